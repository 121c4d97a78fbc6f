"""Draws map tiles from Natural Earth's country borders, so that the map needs no key and no internet.

Coordinates are in the unit square of Web Mercator: x grows to the east, y to the south, both from 0 to 1.
"""

import json
import math
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

MAX_ZOOM = 19
TILE_PIXELS = 256
OVERSAMPLING = 2  # drawn larger and scaled down: PIL's lines aren't anti-aliased
SEA, LAND, BORDER = "#d6e4ee", "#f6f5f1", "#b4bec6"
MAX_LATITUDE = 85.06  # where the square of Web Mercator ends, degrees

COUNTRIES = Path(__file__).parent / "data" / "countries-110m.geojson"


class Ring(NamedTuple):
    """The outline of a piece of land, with its bounding box."""

    left: float
    top: float
    right: float
    bottom: float
    points: tuple[tuple[float, float], ...]


@lru_cache(maxsize=2048)
def draw(z: int, x: int, y: int) -> bytes:
    """The tile at zoom `z`, column `x`, row `y`, as a PNG."""
    size = TILE_PIXELS * OVERSAMPLING
    tiles = 2**z
    margin = 2 / size  # the width of a border that lies just outside
    image = Image.new("RGB", (size, size), SEA)
    canvas = ImageDraw.Draw(image)
    for ring in _rings():
        if ring.right * tiles < x - margin or ring.left * tiles > x + 1 + margin:
            continue
        if ring.bottom * tiles < y - margin or ring.top * tiles > y + 1 + margin:
            continue
        pixels = [((px * tiles - x) * size, (py * tiles - y) * size) for px, py in ring.points]
        canvas.polygon(pixels, fill=LAND)
        canvas.line(pixels, fill=BORDER, width=OVERSAMPLING)
    png = BytesIO()
    image.resize((TILE_PIXELS, TILE_PIXELS), Image.Resampling.LANCZOS).save(png, "PNG")
    return png.getvalue()


@cache
def _rings() -> tuple[Ring, ...]:
    rings: list[Ring] = []
    for feature in json.loads(COUNTRIES.read_text())["features"]:
        geometry = feature["geometry"]
        polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        for polygon in polygons:
            outline = _unwrap(polygon[0])
            rings.extend(_project(outline, turn) for turn in (-360, 0, 360) if _visible(outline, turn))
    return tuple(rings)


def _unwrap(outline: list[list[float]]) -> list[tuple[float, float]]:
    """Makes longitudes continuous where an outline crosses the antimeridian, and closes Antarctica over the pole."""
    unwrapped: list[tuple[float, float]] = []
    for longitude, latitude in outline:
        if unwrapped:
            longitude += 360 * round((unwrapped[-1][0] - longitude) / 360)
        unwrapped.append((longitude, latitude))
    first, last = unwrapped[0][0], unwrapped[-1][0]
    if abs(last - first) > 180:
        unwrapped += [(last, -90.0), (first, -90.0)]
    return unwrapped


def _visible(outline: list[tuple[float, float]], turn: int) -> bool:
    longitudes = [longitude + turn for longitude, _ in outline]
    return min(longitudes) < 180 and max(longitudes) > -180


def _project(outline: list[tuple[float, float]], turn: int) -> Ring:
    points = tuple(_web_mercator(longitude + turn, latitude) for longitude, latitude in outline)
    xs, ys = zip(*points, strict=True)
    return Ring(min(xs), min(ys), max(xs), max(ys), points)


def _web_mercator(longitude: float, latitude: float) -> tuple[float, float]:
    latitude = max(-MAX_LATITUDE, min(MAX_LATITUDE, latitude))
    return (longitude + 180) / 360, (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2
