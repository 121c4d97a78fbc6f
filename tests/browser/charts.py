"""A dashboard's charts in the browser: which are drawn, and what Superset answered for those that aren't."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Request

CHART_DATA = "/api/v1/chart/data"
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
    """The charts of a page, with their newest questions to Superset."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._asked: dict[int, tuple[float, Request]] = {}
        page.on("request", self._note)

    def wait(self, count: int, seconds: float) -> None:
        """Returns when all are drawn. Fails with what is shown, and what Superset answered, for each that isn't."""
        wait_until(self._page, lambda: len(found := self._found()) == count and not _waiting(found), seconds)
        found = self._found()
        undrawn = [self._explained(chart) for chart in found if chart.state != "drawn"]
        assert not undrawn, "\n".join(["charts that aren't drawn:", *undrawn])
        assert len(found) == count, f"{len(found)} charts on {self._page.url}: {self._page.inner_text('body')}"

    def _note(self, request: Request) -> None:
        if CHART_DATA in request.url and request.post_data:
            number = json.loads(request.post_data)["form_data"].get("slice_id")
            self._asked[number] = time.monotonic(), request

    def _found(self) -> list[Chart]:
        return [Chart(**chart) for chart in self._page.locator("[data-test-chart-id]").evaluate_all(_CHARTS)]

    def _explained(self, chart: Chart) -> str:
        return f"{chart.name!r} is {chart.state} {chart.text!r}: {self._answer(chart.number)}"

    def _answer(self, number: int) -> str:
        """What Superset answered to the newest question for a chart."""
        if number not in self._asked:
            return "Superset wasn't asked"
        asked, request = self._asked[number]
        if request.failure:
            return f"the request failed: {request.failure}"
        try:
            response = request.response() if request.timing["responseEnd"] >= 0 else None
            if not response:
                return f"no answer for {time.monotonic() - asked:.0f} s"
            took = request.timing["responseEnd"] / 1000
            return f"answered {response.status} in {took:.1f} s: {response.text()[:_SHOWN_CHARACTERS]}"
        except PlaywrightError as error:
            return f"its answer can't be read: {error}"


def _waiting(charts: list[Chart]) -> bool:
    return any(chart.state == "waiting" for chart in charts)


def wait_until(page: Page, happened: Callable[[], bool], seconds: float) -> bool:
    """Whether it happened in time. Playwright delivers the page's events meanwhile."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        page.wait_for_timeout(200)
    return True
