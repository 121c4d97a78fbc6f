"""A signed-in browser in front of the running platform."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from fraudstream.local import superset
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


@pytest.fixture
def page(platform: Settings, browser: Browser) -> Iterator[Page]:
    """A page on which the viewer is signed in."""
    context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{platform.superset_url}/login/")
    page.locator("input[name=username], #username").fill(superset.VIEWER)
    page.locator("input[name=password], #password").fill((platform.paths.superset / "viewer_password").read_text())
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url, timeout=60_000)
    yield page
    context.close()


@pytest.fixture(scope="session")
def screenshots(platform: Settings) -> Path:
    """Where the tests leave what they saw."""
    folder = platform.paths.var / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder
