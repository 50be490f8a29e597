"""Take the page's picture for the README: ``python docs/page_png.py``, beside a running stack with a model.

Needs a Chromium (``scripts/browser``) and the environment of the tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from dataflix_contract import load_settings

_ROOT = Path(__file__).resolve().parents[1]
_PICTURE = _ROOT / "docs" / "img" / "page.png"
_SIZE: ViewportSize = {"width": 1180, "height": 760}
_MOST_BYTES = 300_000
#: A user of the sample data, whose recommendations have reasons.
_USER = "1"


def main() -> int:
    """Open the page as somebody, wait until everything is there, and keep what it looks like."""
    browser = subprocess.run([_ROOT / "scripts/browser"], check=True, capture_output=True, text=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.stdout.strip(), args=["--no-sandbox", "--hide-scrollbars"]
        )
        page = chromium.new_page(viewport=_SIZE, reduced_motion="reduce")
        page.add_init_script(f"localStorage.setItem('dataflix-user', '{_USER}')")
        page.goto(load_settings().backend_url)
        _wait(page)
        size = len(page.screenshot(path=_PICTURE))
        chromium.close()
    sys.stdout.write(f"{_PICTURE}: {size:,} bytes\n")
    return 0 if size < _MOST_BYTES else 1


def _wait(page: Page) -> None:
    for part in ("#picks .because", "#list .mean", "#figures b", "#list .seen[aria-pressed=true]"):
        page.locator(part).first.wait_for()


if __name__ == "__main__":
    sys.exit(main())
