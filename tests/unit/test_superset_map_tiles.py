"""The map's tiles show land where land is."""

import importlib
import math
import sys
from io import BytesIO

import pytest
from PIL import Image, ImageColor

from fraudstream.settings import PROJECT_DIR

sys.path.insert(0, str(PROJECT_DIR / "superset"))
map_tiles = importlib.import_module("map_tiles")


def is_land(latitude: float, longitude: float, zoom: int) -> bool:
    """Whether a place is drawn as land: by the formulas of https://wiki.openstreetmap.org/wiki/Slippy_map_tilenames."""
    x = (longitude + 180) / 360 * 2**zoom
    y = (1 - math.log(math.tan(math.radians(latitude)) + 1 / math.cos(math.radians(latitude))) / math.pi) / 2 * 2**zoom
    image = Image.open(BytesIO(map_tiles.draw(zoom, int(x), int(y)))).convert("RGB")
    pixel = image.getpixel((int(x % 1 * 256), int(y % 1 * 256)))
    land, sea = (math.dist(pixel, ImageColor.getrgb(color)) for color in (map_tiles.LAND, map_tiles.SEA))
    return land < sea


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(48.0, 2.0), (23.0, 10.0), (-10.0, -55.0), (40.0, -100.0), (62.0, 100.0), (-25.0, 135.0), (-84.0, 0.0)],
    ids=["France", "Sahara", "Brazil", "Kansas", "Siberia", "Australia", "Antarctica"],
)
@pytest.mark.parametrize("zoom", [2, 5])
def test_land(latitude: float, longitude: float, zoom: int) -> None:
    assert is_land(latitude, longitude, zoom)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(0.0, -30.0), (0.0, -150.0), (-40.0, 80.0), (85.0, 0.0)],
    ids=["Atlantic", "Pacific", "Indian Ocean", "Arctic"],
)
@pytest.mark.parametrize("zoom", [2, 5])
def test_sea(latitude: float, longitude: float, zoom: int) -> None:
    assert not is_land(latitude, longitude, zoom)


@pytest.mark.parametrize("longitude", [179.0, -175.0])
def test_land_goes_on_across_the_antimeridian(longitude: float) -> None:
    """Chukotka reaches from Asia into the western hemisphere."""
    assert is_land(67.0, longitude, 4)


def test_a_tile_is_a_png_of_256_pixels() -> None:
    image = Image.open(BytesIO(map_tiles.draw(0, 0, 0)))
    assert (image.format, image.size) == ("PNG", (256, 256))
