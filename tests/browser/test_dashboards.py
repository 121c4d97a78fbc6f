"""The dashboards as a viewer meets them: fresh, without errors, and safe from what shoppers type."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from playwright.sync_api import Page, Request, expect
from psycopg.sql import SQL, Identifier

from fraudstream.settings import Settings
from fraudstream.storage import roles
from fraudstream.storage.connect import connect
from tests.browser.charts import CHART_DATA, DRAWN_SECONDS, open_dashboard, wait_until
from tests.browser.planting import MARKUP

#: What a dashboard's answers may take on a machine that is shared.
ANSWERED_SECONDS = 30.0


@dataclass
class Round:
    """A refresh of all charts: its first question, and the last answer so far, monotonic seconds."""

    asked: float
    answered: float


class Refreshes:
    """A dashboard's rounds of questions, which come every `seconds`."""

    def __init__(self, page: Page, seconds: int) -> None:
        self._seconds = seconds
        self.rounds: list[Round] = []
        page.on("request", self._ask)
        page.on("requestfinished", self._answer)

    def _ask(self, request: Request) -> None:
        now = time.monotonic()
        if CHART_DATA in request.url and (not self.rounds or now - self.rounds[-1].asked > self._seconds / 2):
            self.rounds.append(Round(now, now))

    def _answer(self, request: Request) -> None:
        if CHART_DATA in request.url and self.rounds:
            self.rounds[-1].answered = time.monotonic()

    def check(self) -> None:
        """Fails when a pause was too short, or too long."""
        pairs = list(pairwise(self.rounds))
        # the next pause begins when the charts are drawn: a busy machine's answers and drawing come on top
        assert all(later.asked - earlier.asked >= self._seconds - 2 for earlier, later in pairs), self.rounds
        assert all(later.asked - earlier.answered < 2 * self._seconds for earlier, later in pairs), self.rounds


def test_charts_are_asked_again(page: Page, platform: Settings) -> None:
    """Two dashboards that are open at the same time, each at its own pace."""
    slow, seconds = page.context.new_page(), 30
    open_dashboard(slow, platform, "sales")
    open_dashboard(page, platform, "fraud-monitor")
    fraud, sales = Refreshes(page, 10), Refreshes(slow, seconds)
    done = wait_until(page, lambda: len(fraud.rounds) >= 3 and len(sales.rounds) >= 2, 2 * (seconds + ANSWERED_SECONDS))
    assert done, (fraud.rounds, sales.rounds)
    fraud.check()
    sales.check()


@pytest.fixture
def unreadable(platform: Settings) -> Iterator[None]:
    """Sales that Superset may not read, for the time of a test."""
    with connect(platform, platform.postgres.admin, autocommit=True) as admin:
        admin.execute(
            SQL("REVOKE SELECT (units) ON fraud.product_sales FROM {}").format(Identifier(platform.postgres.charts))
        )
    yield
    roles.grant_tables(platform)


@pytest.mark.usefixtures("unreadable")
def test_a_chart_that_is_not_drawn_is_told_with_superset_s_answer(page: Page, platform: Settings) -> None:
    answer = r"'Best sellers, newest 30 minutes or filter' is failed .* 400 .*permission denied for table product_sales"
    with pytest.raises(AssertionError, match=answer):
        open_dashboard(page, platform, "sales")


@pytest.mark.usefixtures("planted")
def test_markup_that_shoppers_type_is_shown_as_text(page: Page, platform: Settings) -> None:
    open_dashboard(page, platform, "fraud-monitor")
    alerts = page.locator('[data-test-viz-type="table"]')
    shown = MARKUP.replace("<", "<\u200b")  # as the dataset says
    expect(alerts.get_by_text(f"{shown}, FR")).to_be_visible(timeout=DRAWN_SECONDS * 1000)
    expect(alerts.get_by_text("<\u200bi>c1<\u200b/i>")).to_be_visible()
    expect(alerts.locator("td b, td i")).to_have_count(0)
