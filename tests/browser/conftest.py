"""A signed-in browser in front of the running platform."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from fraudstream.local.parts import superset
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from tests.browser.charts import VIEWPORT
from tests.browser.planting import MARKUP, PLANT
from tests.polling import poll

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Without a graphics card, WebGL (the map) is drawn by SwiftShader; and the browser talks to nobody but us.
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: A page may take this long: a first sight of it, on two cores that two suites share.
SEEN_MS = 60_000
SIGN_IN_MS = 30_000
SIGN_IN_TRIES = 4
RECONCILE = "reconcile_stream"
RECONCILED_SECONDS = 300.0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium or Chrome."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    expect.set_options(timeout=SEEN_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def sign_in(platform: Settings, browser: Browser, username: str) -> StorageState:
    """A user's session. Signing in is tried again: a form that is sent before its script has loaded is lost.

    So is a session whose cookie an answer to the page before, which came late, replaced by one of nobody.
    """
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    for _ in range(SIGN_IN_TRIES):
        page.goto(f"{platform.superset_url}/login/", wait_until="networkidle")
        page.locator("input[name=username], #username").fill(username)
        page.locator("input[name=password], #password").fill(superset.password_file(platform, username).read_text())
        page.keyboard.press("Enter")
        try:
            page.wait_for_url(lambda url: "/login" not in url, timeout=SIGN_IN_MS)
        except PlaywrightTimeoutError:
            continue
        if context.request.get(f"{platform.superset_url}/api/v1/me/").ok:
            return context.storage_state()
    pytest.fail(f"can't sign in to {platform.superset_url} as {username} in {SIGN_IN_TRIES} tries")


@pytest.fixture(scope="session")
def session(platform: Settings, browser: Browser) -> StorageState:
    """The viewer's session."""
    return sign_in(platform, browser, superset.VIEWER)


@pytest.fixture(scope="session")
def analyst_session(platform: Settings, browser: Browser) -> StorageState:
    """The analyst's session."""
    return sign_in(platform, browser, superset.ANALYST)


@pytest.fixture
def page(browser: Browser, session: StorageState) -> Iterator[Page]:
    """A page on which the viewer is signed in."""
    context = browser.new_context(viewport=VIEWPORT, storage_state=session)
    yield context.new_page()
    context.close()


@pytest.fixture
def analyst(browser: Browser, analyst_session: StorageState) -> Iterator[Page]:
    """A page on which the analyst is signed in."""
    context = browser.new_context(viewport=VIEWPORT, storage_state=analyst_session)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def screenshots(platform: Settings) -> Path:
    """Where the tests leave what they saw."""
    folder = platform.paths.var / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def unreconciled(platform: Settings) -> Iterator[None]:
    """A time in which nobody compares the books.

    A row that a test adds by itself is a difference, and told until somebody acknowledges it.
    """
    api = AirflowApi(platform)
    api.pause(RECONCILE)
    while api.active_runs(RECONCILE):  # of a paused Dag, it would never end
        api.start(RECONCILE)
        poll(lambda: not api.active_runs(RECONCILE), RECONCILED_SECONDS, f"the end of {RECONCILE}")
        api.pause(RECONCILE)
    yield
    api.start(RECONCILE)


@pytest.fixture
def planted(platform: Settings, unreconciled: None) -> Iterator[None]:
    """The newest alert, of a shopper who typed markup, for the time of a test."""
    with connect(platform, platform.postgres.admin, autocommit=True) as admin:
        admin.execute(PLANT, {"city": MARKUP})
        yield
        admin.execute("DELETE FROM fraud.fraud_alerts WHERE transaction_id = 'planted'")
        admin.execute("DELETE FROM fraud.scored_transactions WHERE transaction_id = 'planted'")
