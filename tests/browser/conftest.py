"""A signed-in browser in front of the running platform."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from fraudstream.local.parts import superset
from fraudstream.settings import Settings

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
SIGN_IN_TRIES = 4
VIEWPORT = {"width": 1400, "height": 900}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium or Chrome."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def session(platform: Settings, browser: Browser) -> StorageState:
    """The viewer's session. Signing in is tried again: a form that is sent before its script has loaded is lost."""
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    for _ in range(SIGN_IN_TRIES):
        page.goto(f"{platform.superset_url}/login/", wait_until="networkidle")
        page.locator("input[name=username], #username").fill(superset.VIEWER)
        page.locator("input[name=password], #password").fill((platform.paths.superset / "viewer_password").read_text())
        page.keyboard.press("Enter")
        try:
            page.wait_for_url(lambda url: "/login" not in url, timeout=30_000)
        except PlaywrightTimeoutError:
            continue
        return context.storage_state()
    pytest.fail(f"can't sign in to {platform.superset_url} in {SIGN_IN_TRIES} tries")


@pytest.fixture
def page(browser: Browser, session: StorageState) -> Iterator[Page]:
    """A page on which the viewer is signed in."""
    context = browser.new_context(viewport=VIEWPORT, storage_state=session)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def screenshots(platform: Settings) -> Path:
    """Where the tests leave what they saw."""
    folder = platform.paths.var / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder
