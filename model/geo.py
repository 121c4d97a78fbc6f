"""Distance on the Earth's surface."""

from math import asin, cos, radians, sin, sqrt

EARTH_DIAMETER_KM = 12_742.0176  # twice the IUGG's mean radius R1, 6,371.0088 km


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance by the haversine formula; arguments in degrees."""
    a = sin(radians(other_latitude - latitude) / 2) ** 2
    b = sin(radians(other_longitude - longitude) / 2) ** 2
    h = a + cos(radians(latitude)) * cos(radians(other_latitude)) * b
    return EARTH_DIAMETER_KM * asin(min(1.0, sqrt(h)))
