"""Each dashboard as a viewer sees and uses it, opened once for all tests, since that is what takes long.

Drawn, on one screen, from here alone; then filtered, and left.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageColor
from playwright.sync_api import Browser, Page, Response, StorageState, expect

from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from fraudstream.storage.expressions import FLAGGED
from tests.browser.charts import CHART_DATA, CHARTS, DRAWN_SECONDS, VIEWPORT, Charts, open_dashboard, wait_until

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


class Answers:
    """Superset's answers for charts that were asked with a filter of `column`."""

    def __init__(self, page: Page, column: str) -> None:
        self._column = column
        self.statuses: dict[int, int] = {}
        page.on("response", self._note)

    def _note(self, response: Response) -> None:
        if CHART_DATA not in response.url or not response.request.post_data:
            return
        asked = json.loads(response.request.post_data)
        number = asked["form_data"].get("slice_id")
        if number and any(each["col"] == self._column for each in asked["queries"][0]["filters"]):
            self.statuses[number] = response.status


def busiest_country(platform: Settings, condition: str) -> str:
    """The country with the most transactions under `condition` lately, so that no chart is empty."""
    asked = f"""SELECT shipping_country FROM fraud.scored_transactions
        WHERE {condition} AND event_time > now() - interval '25 minutes' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"""
    with connect(platform, platform.postgres.reader) as reader:
        (country,) = reader.execute(asked).fetchone() or ("",)
        return str(country)


@pytest.mark.parametrize(
    ("drawn", "condition"), [("fraud-monitor", FLAGGED), ("sales", f"NOT ({FLAGGED})")], indirect=["drawn"]
)
def test_a_viewer_filters_all_charts_of_a_dashboard(drawn: Drawn, condition: str, platform: Settings) -> None:
    page, slug = drawn.page, drawn.slug
    answers, charts = Answers(page, "country"), Charts(page)
    chosen = page.get_by_role("combobox", name=f"NATIVE_FILTER-{slug}-country")
    chosen.click()
    chosen.fill(country := busiest_country(platform, condition))
    page.locator(f'.ant-select-item-option[title="{country}"]').click()
    page.locator('[data-test="filter-bar__apply-button"]').click()
    assert wait_until(page, lambda: len(answers.statuses) == CHARTS[slug], DRAWN_SECONDS), answers.statuses
    assert set(answers.statuses.values()) == {200}
    charts.wait(CHARTS[slug], DRAWN_SECONDS)


@pytest.mark.parametrize("drawn", ["sales"], indirect=True)
def test_a_click_on_a_product_filters_the_other_charts(drawn: Drawn) -> None:
    """Besides the country, by which the charts are filtered by now."""
    answers = Answers(drawn.page, "product")
    drawn.page.locator('[data-test-viz-type="table"] td').first.click()
    assert wait_until(drawn.page, lambda: len(answers.statuses) >= CHARTS["sales"] - 1, DRAWN_SECONDS), answers.statuses
    assert set(answers.statuses.values()) == {200}


@pytest.mark.parametrize("drawn", ["sales"], indirect=True)
def test_leaving_a_dashboard_does_not_ask_a_viewer_to_sign_in(drawn: Drawn) -> None:
    drawn.page.locator('a[href="/dashboard/list/"]').first.click()
    expect(drawn.page.locator('a[href*="/fraud-monitor/"]').first).to_be_visible(timeout=60_000)
    assert "/login" not in drawn.page.url
