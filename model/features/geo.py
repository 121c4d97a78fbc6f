"""Distance on the Earth's surface, by the haversine formula; latitudes and longitudes in degrees."""

from math import asin, cos, radians, sin, sqrt

import numpy as np

EARTH_DIAMETER_KM = 12_742.0176  # twice the IUGG's mean radius R1, 6,371.0088 km


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance between two places, in km."""
    a = sin(radians(other_latitude - latitude) / 2) ** 2
    b = sin(radians(other_longitude - longitude) / 2) ** 2
    h = a + cos(radians(latitude)) * cos(radians(other_latitude)) * b
    return EARTH_DIAMETER_KM * asin(min(1.0, sqrt(h)))


def distances_km(
    latitude: np.ndarray, longitude: np.ndarray, other_latitude: np.ndarray, other_longitude: np.ndarray
) -> np.ndarray:
    """Great-circle distances between places, in km, float64 [n]; NaN where a place is unknown."""
    a = np.sin(np.radians(other_latitude - latitude) / 2) ** 2
    b = np.sin(np.radians(other_longitude - longitude) / 2) ** 2
    h = a + np.cos(np.radians(latitude)) * np.cos(np.radians(other_latitude)) * b
    kilometres: np.ndarray = EARTH_DIAMETER_KM * np.arcsin(np.minimum(1.0, np.sqrt(h)))
    return kilometres
