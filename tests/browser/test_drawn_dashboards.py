"""Each dashboard as a viewer sees it, opened once for all tests: drawn, on one screen, and from here alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Browser, Page, StorageState

from fraudstream.settings import Settings
from tests.browser.charts import CHARTS, VIEWPORT, open_dashboard, wait_until

MAP_SECONDS = 90.0
LAND, SEA = (ImageColor.getrgb(color) for color in ("#f6f5f1", "#d6e4ee"))


@dataclass(frozen=True)
class Drawn:
    """A dashboard of which every chart is drawn, and the URLs that were answered to it, from the first on."""

    slug: str
    page: Page
    answered: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=CHARTS)
def drawn(
    request: pytest.FixtureRequest, browser: Browser, session: StorageState, platform: Settings
) -> Iterator[Drawn]:
    """One dashboard after the other: a browser without a graphics card computes longest until a page is drawn."""
    context = browser.new_context(viewport=VIEWPORT, storage_state=session)
    made = Drawn(request.param, context.new_page())
    made.page.on("requestfinished", lambda answered: made.answered.append(answered.url))
    open_dashboard(made.page, platform, made.slug)
    yield made
    context.close()


def test_every_chart_is_drawn_and_fits_its_place(drawn: Drawn, screenshots: Path) -> None:
    drawn.page.wait_for_load_state("networkidle")
    drawn.page.screenshot(path=screenshots / f"{drawn.slug}.png")
    overflowing = drawn.page.locator('[data-test="slice-container"]').evaluate_all(
        "found => found.filter(e => e.scrollHeight > e.clientHeight + 1).map(e => e.innerText)"
    )
    assert overflowing == []


def test_a_dashboard_fits_the_screen(drawn: Drawn) -> None:
    last = drawn.page.locator('[data-test="dashboard-component-chart-holder"]').last.bounding_box()
    assert last
    assert last["y"] + last["height"] <= VIEWPORT["height"]


def near(color: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return math.dist(color[:3], other[:3]) < 12


@pytest.mark.parametrize("drawn", ["fraud-monitor"], indirect=True)
def test_the_map_shows_land_sea_and_fraud(drawn: Drawn, screenshots: Path) -> None:
    canvas = drawn.page.locator('[data-test-viz-type="deck_scatter"] canvas').first

    def missing() -> list[str]:
        image = Image.open(BytesIO(canvas.screenshot())).convert("RGB")
        counted = image.getcolors(image.width * image.height) or []
        share = dict.fromkeys(("land", "sea", "fraud"), 0)
        for pixels, color in counted:
            red, green, blue = color
            share["land"] += pixels * near((red, green, blue), LAND)
            share["sea"] += pixels * near((red, green, blue), SEA)
            share["fraud"] += pixels * (red > green + 60 and red > blue + 40)
        enough = {"land": 5_000, "sea": 5_000, "fraud": 30}
        return [name for name, pixels in share.items() if pixels < enough[name]]

    assert wait_until(drawn.page, lambda: not missing(), MAP_SECONDS), missing()
    drawn.page.screenshot(path=screenshots / "fraud-monitor.png")  # now with its tiles


def test_nothing_is_loaded_from_elsewhere(drawn: Drawn, platform: Settings) -> None:
    ours = urlsplit(platform.superset_url).netloc
    assert drawn.answered
    elsewhere = [
        url for url in drawn.answered if urlsplit(url).scheme.startswith("http") and urlsplit(url).netloc != ours
    ]
    assert elsewhere == []
