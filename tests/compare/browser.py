"""Headless Chromium, which reads the reports in the tests."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Start a browser with an empty profile; skip the test where there is none."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    binary = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("Chromium and chromedriver are not installed")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Given the path, selenium starts no manager, which would look for drivers in the network.
    browser = Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def emulate(browser: Chrome, *, width: int = 1000, scheme: str = "light") -> None:
    """Give the page another width and the user another preference of colours."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def requested(browser: Chrome, address: str) -> list[str]:
    """Return what a page asked for since the last call; the browser's own start page does, too."""
    messages: list[dict[str, Any]] = [
        json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
    ]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"] == address
    ]


def complaints(browser: Chrome) -> list[str]:
    """Return what the console shows since the last call."""
    return [entry["message"] for entry in browser.get_log("browser")]


def edges(browser: Chrome, element: WebElement) -> list[str]:
    """Return the colours that most of the leftmost and of the rightmost pixels have."""
    from PIL import Image

    place = browser.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "return [box.left + scrollX, box.top + scrollY, box.width, box.height]",
        element,
    )
    clip = dict(zip(("x", "y", "width", "height"), place, strict=True), scale=1)
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
    )
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    found = []
    for x in (1, picture.width - 2):
        column = Counter(picture.getpixel((x, y)) for y in range(picture.height))
        found.append("rgb({}, {}, {})".format(*column.most_common(1)[0][0]))
    return found


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as "rgb(1, 2, 3)", as WCAG defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
