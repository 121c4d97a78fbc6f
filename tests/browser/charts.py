"""A dashboard's charts in the browser: which are drawn, and what Superset answered for those that aren't."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import yaml
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Request

from fraudstream.settings import PROJECT_DIR, Settings

CHART_DATA = "/api/v1/chart/data"
_ASSETS = [yaml.safe_load(path.read_text()) for path in (PROJECT_DIR / "superset/assets/dashboards").glob("*.yaml")]
#: The number of charts on each dashboard.
CHARTS = {
    board["slug"]: sum(isinstance(item, dict) and item["type"] == "CHART" for item in board["position"].values())
    for board in _ASSETS
}
DRAWN_SECONDS = 120.0
VIEWPORT = {"width": 1400, "height": 900}
#: State of each chart, and the text that stands in the place of one that failed or is empty.
_CHARTS = """
charts => charts.map(chart => {
  const notice = chart.querySelector('.ant-alert, .ant-empty');
  const drawn = chart.querySelector('[data-test="slice-container"] [id^="chart-id-"]');
  const waits = chart.querySelector('[data-test="loading-indicator"]');
  return {
    number: Number(chart.dataset.testChartId),
    name: chart.dataset.testChartName,
    state: notice ? 'failed' : drawn && !waits ? 'drawn' : 'waiting',
    text: notice ? notice.innerText : '',
  };
})
"""
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True)
class Chart:
    """A chart as the page shows it."""

    number: int
    name: str
    state: str
    """`drawn`, `waiting` or `failed`: with an error, or without a row."""
    text: str


class Charts:
    """The charts of a page, with Superset's newest answer for each."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._ended: dict[int, Request] = {}
        page.on("requestfinished", self._note)
        page.on("requestfailed", self._note)

    def wait(self, count: int, seconds: float) -> None:
        """Returns when all are drawn. Fails with what is shown, and what Superset answered, for each that isn't."""
        found: list[Chart] = []

        def settled() -> bool:
            found[:] = self._found()
            return len(found) == count and all(chart.state != "waiting" for chart in found)

        wait_until(self._page, settled, seconds)
        undrawn = [self._explained(chart) for chart in found if chart.state != "drawn"]
        assert not undrawn, "\n".join(["charts that aren't drawn:", *undrawn])
        assert len(found) == count, f"{len(found)} charts on {self._page.url}: {self._page.inner_text('body')}"

    def _note(self, request: Request) -> None:
        if CHART_DATA in request.url and request.post_data:
            self._ended[json.loads(request.post_data)["form_data"].get("slice_id")] = request

    def _found(self) -> list[Chart]:
        return [Chart(**chart) for chart in self._page.locator("[data-test-chart-id]").evaluate_all(_CHARTS)]

    def _explained(self, chart: Chart) -> str:
        return f"{chart.name!r} is {chart.state} {chart.text!r}: {self._answer(chart.number)}"

    def _answer(self, number: int) -> str:
        request = self._ended.get(number)
        if request is None:
            return "Superset has not answered"
        if request.failure:
            return f"the request failed: {request.failure}"
        try:
            response, took = request.response(), request.timing["responseEnd"] / 1000
            assert response
            return f"Superset answered {response.status} in {took:.1f} s: {response.text()[:_SHOWN_CHARACTERS]}"
        except PlaywrightError as error:
            return f"its answer can't be read: {error}"


def wait_until(page: Page, happened: Callable[[], bool], seconds: float) -> bool:
    """Whether it happened in time. Playwright delivers the page's events meanwhile."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        page.wait_for_timeout(200)
    return True


def open_dashboard(page: Page, platform: Settings, slug: str) -> None:
    """Opens a dashboard, and returns when every chart is drawn."""
    charts = Charts(page)
    page.goto(f"{platform.superset_url}/superset/dashboard/{slug}/")
    charts.wait(CHARTS[slug], DRAWN_SECONDS)
