"""The desk as an analyst uses it: from the dashboard to a verdict, by mouse and by keys; and as a viewer doesn't."""

import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer
from playwright.sync_api import Page, expect

from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from tests.browser.charts import DRAWN_SECONDS, open_dashboard
from tests.browser.planting import MARKUP
from tests.commands import fraudctl
from tests.messages import as_bytes, transaction
from tests.polling import poll

#: The Dag backtest_rules runs every minute, and gives way to all else on a busy machine. The archive of a platform of
#: minutes may still be empty.
BACKTEST_SECONDS = 600
#: A purchase is scored within that, whatever else the machine does.
SCORED_SECONDS = 180
BLOCK_LISTED = ("blocked_device", "device_id IN list('blocked_devices')", "--action", "block")
ANSWERED = re.compile(r"tried it .* ago on|nothing is archived yet")
PAGES = (
    ("queue", "/desk/"),
    ("alert", "/desk/alerts/planted"),
    *((name, f"/desk/{name}/") for name in ("rules", "lists", "thresholds", "policy", "audit")),
    ("editor", "/desk/new-rule"),
)
SCREENS = ((1400, 900, "light"), (800, 900, "light"), (1400, 900, "dark"))


def verdicts(platform: Settings) -> list[tuple[object, ...]]:
    with connect(platform, platform.postgres.reader) as reader:
        return reader.execute(
            "SELECT verdict, decided_by, undone_at IS NULL FROM fraud.analyst_verdicts "
            "WHERE transaction_id = 'planted' ORDER BY revision"
        ).fetchall()


def press(analyst: Page, key: str) -> None:
    """Presses a key on a page whose script is at work: what is seen may come before it."""
    analyst.wait_for_load_state()
    analyst.keyboard.press(key)


@pytest.mark.usefixtures("planted")
def test_an_analyst_comes_from_the_dashboard_claims_decides_and_undoes(
    analyst: Page, platform: Settings, screenshots: Path
) -> None:
    open_dashboard(analyst, platform, "fraud-monitor")
    alerts = analyst.locator('[data-test-viz-type="table"]')
    alerts.get_by_role("link", name="Open").first.click(timeout=DRAWN_SECONDS * 1000)
    expect(analyst).to_have_url(f"{platform.superset_url}/desk/alerts/planted")
    expect(analyst.get_by_role("heading", name="Why it was flagged")).to_be_visible()
    expect(analyst.get_by_text(f"ships to {MARKUP}")).to_be_visible()
    press(analyst, "c")
    expect(analyst.get_by_text("Yours until")).to_be_visible()
    analyst.screenshot(path=screenshots / "desk-alert.png", full_page=True)
    press(analyst, "f")
    expect(analyst.get_by_role("status")).to_contain_text("You decided fraud")
    assert verdicts(platform) == [("fraud", "analyst", True)]
    press(analyst, "u")
    expect(analyst.get_by_role("status")).to_have_count(0)
    assert verdicts(platform) == [("fraud", "analyst", False)]


@pytest.mark.usefixtures("planted")
def test_the_queue_is_worked_by_keys(analyst: Page, platform: Settings) -> None:
    analyst.goto(f"{platform.superset_url}/desk/?customer=%3Ci%3Ec1%3C%2Fi%3E")
    expect(analyst.locator("tr.marked")).to_contain_text("<i>c1</i>")
    press(analyst, "c")
    expect(analyst.locator("tr.marked")).to_contain_text("yours")
    press(analyst, "h")
    expect(analyst.get_by_text("No alert fits.")).to_be_visible()
    assert verdicts(platform) == [("honest", "analyst", True)]
    press(analyst, "u")
    expect(analyst.get_by_role("status")).to_have_count(0)


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
@pytest.mark.usefixtures("planted")
def test_pages_fit_the_screen(
    analyst: Page, platform: Settings, screenshots: Path, width: int, height: int, scheme: str
) -> None:
    analyst.set_viewport_size({"width": width, "height": height})
    analyst.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for name, path in PAGES:
        analyst.goto(platform.superset_url + path)
        analyst.screenshot(path=screenshots / f"desk-{name}-{width}-{scheme}.png", full_page=True)
        assert analyst.evaluate("document.documentElement.scrollWidth") <= width


def test_a_viewer_has_no_desk(page: Page, platform: Settings) -> None:
    page.goto(f"{platform.superset_url}/dashboard/list/", wait_until="networkidle")
    expect(page.locator('a[href="/desk/"]')).to_have_count(0)
    page.goto(f"{platform.superset_url}/desk/")
    expect(page.get_by_text("The desk is for analysts.")).to_be_visible()


def test_a_rule_goes_from_the_empty_editor_over_the_past_and_shadow_to_live(
    analyst: Page, platform: Settings, screenshots: Path
) -> None:
    analyst.goto(f"{platform.superset_url}/desk/rules/")
    begun = time.monotonic()
    press(analyst, "n")
    analyst.get_by_label("Name").fill("tried_in_a_browser")
    analyst.get_by_label("When").fill("amunt > 100000")
    analyst.get_by_role("button", name="Save as a draft").click()
    expect(analyst.get_by_role("alert")).to_contain_text("There is no column amunt (do you mean amount?)")
    analyst.screenshot(path=screenshots / "desk-rule-editor.png", full_page=True)
    analyst.get_by_label("When").fill("amount > 100000")
    analyst.get_by_role("button", name="Save as a draft").click()
    expect(analyst.get_by_role("heading", name="tried_in_a_browser")).to_contain_text("draft")
    press(analyst, "t")
    expect(analyst.locator("#past")).to_contain_text("It waits to be tried")
    expect(analyst.locator("#past")).to_contain_text(ANSWERED, timeout=BACKTEST_SECONDS * 1000)
    for button, state in (("To shadow", "in shadow"), ("To live", "live"), ("Retire", "retired")):
        analyst.get_by_role("button", name=button).click()
        expect(analyst.get_by_role("heading", name="tried_in_a_browser")).to_contain_text(state)
        if state == "live":
            sys.stdout.write(f"from the empty editor to live: {time.monotonic() - begun:.0f} s\n")
    analyst.screenshot(path=screenshots / "desk-rule.png", full_page=True)


@pytest.fixture
def block_listed(platform: Settings) -> Iterator[None]:
    """A live rule that blocks what is bought with a device of a list."""
    for command in (
        ("lists", "add", "blocked_devices", "d-other", "--kind", "device"),
        ("rules", "add", *BLOCK_LISTED),
        ("rules", "enable", "blocked_device", "--to", "live"),
    ):
        fraudctl(*command).check_returncode()
    yield
    fraudctl("rules", "retire", "blocked_device").check_returncode()
    fraudctl("lists", "remove", "blocked_devices", "d1").check_returncode()


@pytest.mark.usefixtures("planted", "block_listed")
def test_the_next_purchase_with_a_device_that_was_blocked_is_blocked(analyst: Page, platform: Settings) -> None:
    analyst.goto(f"{platform.superset_url}/desk/alerts/planted")
    begun = time.monotonic()
    analyst.get_by_role("button", name="Put this device on blocked_devices").click()
    expect(analyst.get_by_text("This device is on blocked_devices")).to_be_visible()
    now = iso_milliseconds(datetime.now(UTC))
    bought = transaction(transaction_id="of-blocked", device_id="d1", customer_id="c-browser", event_time=now)
    producer = Producer(platform.kafka.client_config())
    producer.produce(Topic.TRANSACTIONS, as_bytes(bought), b"c-browser")
    assert producer.flush(60) == 0
    with connect(platform, platform.postgres.reader, autocommit=True) as reader:
        asked = "SELECT decision, matched_rules FROM fraud.scored_transactions WHERE transaction_id = 'of-blocked'"
        found = poll(lambda: reader.execute(asked).fetchone(), SCORED_SECONDS, "the purchase")
    sys.stdout.write(f"from the click to the blocked purchase: {time.monotonic() - begun:.1f} s\n")
    assert found == ("block", ["blocked_device"])
