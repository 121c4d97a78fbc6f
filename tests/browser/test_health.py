"""Airflow's page *Stream*, as a signed-in person sees it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fraudstream.local import secrets
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from model.serving.artifact import METADATA_FILE
from model.serving.registry import PRETRAINED
from tests.browser.charts import VIEWPORT
from tests.commands import fraudctl

SEEN_MS = 60_000
NOTE = """
    INSERT INTO fraud.reconciliations (batches, messages, unread, differences, examples, waiting)
    VALUES (1, 3, 0, 2, '{}', %s)
"""
DIFFERENCE = "batch 7 (transactions/0 4 to 9): fraud.scored_transactions has 5 rows of it, and the ledger says 6"


@pytest.fixture
def health(platform: Settings, browser: Browser) -> Iterator[Page]:
    """The page, open."""
    account = {"username": secrets.WEB_USER, "password": secrets.read(platform, "airflow_admin")}
    token = AirflowApi(platform)._send("POST", "/auth/token", account)["access_token"]
    context = browser.new_context(viewport=VIEWPORT, extra_http_headers={"Authorization": f"Bearer {token}"})
    page = context.new_page()
    page.goto(f"{platform.airflow_url}/fraudstream/")
    expect(page.locator("#updated")).to_contain_text("updated", timeout=SEEN_MS)
    yield page
    context.close()


@pytest.fixture
def differing(platform: Settings) -> Iterator[None]:
    """A newest reconciliation that found two differences."""
    with connect(platform, platform.postgres.writer, autocommit=True) as connection:
        connection.execute(NOTE, ([DIFFERENCE, "batch 8"],))
        yield
        connection.execute("DELETE FROM fraud.reconciliations WHERE differences = 2")


@pytest.fixture
def unusable(platform: Settings, tmp_path: Path) -> Iterator[str]:
    """A challenger that was trained with another scikit-learn; its version."""
    folder = tmp_path / "model"
    shutil.copytree(PRETRAINED, folder)
    metadata = json.loads((folder / METADATA_FILE).read_text())
    version = metadata["version"] = "unusable"
    metadata["libraries"]["scikit-learn"] = "0.1"
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    fraudctl("models", "register", str(folder)).check_returncode()
    yield version
    fraudctl("models", "archive", version).check_returncode()


def test_all_is_well_without_an_alarm(health: Page) -> None:
    expect(health.locator("#alarms")).to_be_hidden()
    expect(health.locator("#now")).to_contain_text("Books")


@pytest.mark.usefixtures("differing")
def test_alarms_stand_on_top(health: Page, unusable: str, screenshots: Path) -> None:
    alarms = health.locator("#alarms")
    expect(alarms).to_contain_text(f"the books differ: {DIFFERENCE}, and 1 more", timeout=SEEN_MS)
    expect(alarms).to_contain_text(f"stream: challenger {unusable} is not at work", timeout=SEEN_MS)
    expect(health.locator("#now")).to_contain_text("2 open differences")
    health.screenshot(path=screenshots / "stream-alarms.png")
