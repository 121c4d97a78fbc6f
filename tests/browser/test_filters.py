"""A dashboard's filters in the browser, as a viewer uses them."""

import json

import pytest
from playwright.sync_api import Page, Response

from fraudstream.settings import Settings
from tests.browser.charts import CHART_DATA, CHARTS, DRAWN_SECONDS, Charts, open_dashboard, wait_until


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


@pytest.mark.parametrize("slug", ["fraud-monitor", "sales"])
def test_a_viewer_filters_all_charts_of_a_dashboard(page: Page, platform: Settings, slug: str) -> None:
    open_dashboard(page, platform, slug)
    answers, charts = Answers(page, "country"), Charts(page)
    page.get_by_role("combobox", name=f"NATIVE_FILTER-{slug}-country").click()
    page.locator(".ant-select-item-option").first.click()
    page.locator('[data-test="filter-bar__apply-button"]').click()
    assert wait_until(page, lambda: len(answers.statuses) == CHARTS[slug], DRAWN_SECONDS), answers.statuses
    assert set(answers.statuses.values()) == {200}
    charts.wait(CHARTS[slug], DRAWN_SECONDS)


def test_a_click_on_a_product_filters_the_other_charts(page: Page, platform: Settings) -> None:
    open_dashboard(page, platform, "sales")
    answers = Answers(page, "product")
    page.locator('[data-test-viz-type="table"] td').first.click()
    assert wait_until(page, lambda: len(answers.statuses) >= CHARTS["sales"] - 1, DRAWN_SECONDS), answers.statuses
    assert set(answers.statuses.values()) == {200}
