"""A real browser, and what a page may not do in one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.stack import ROOT

_NOT_OURS = 3
#: Nothing has a name but this machine: what would leave it fails.
_LOCAL_ONLY = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium without a window; skips the test where there is none and we may not install it."""
    found = subprocess.run([ROOT / "scripts/browser"], capture_output=True, text=True, check=False)
    if found.returncode == _NOT_OURS:
        pytest.skip(found.stderr.strip())
    assert found.returncode == 0, f"Chromium could not be installed:\n{found.stderr}"
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.stdout.strip(), args=[*sandbox, _LOCAL_ONLY]
        )
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and what it did that a page of ours may not.

    Attributes:
        faults: errors of its scripts and of the console, requests that leave this machine.
    """

    page: Page
    context: BrowserContext
    faults: list[str] = field(default_factory=list)


@contextmanager
def watched_page(browser: Browser, **options: object) -> Iterator[Watched]:
    """A page in a context of its own (playwright's ``new_context`` takes the options)."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    watched = Watched(context.new_page(), context)
    watched.page.on("pageerror", lambda error: watched.faults.append(f"script: {error}"))
    watched.page.on(
        "console",
        lambda line: watched.faults.append(f"console: {line.text}") if line.type == "error" else None,
    )
    context.on("request", lambda request: _stays(request.url, watched.faults))
    try:
        yield watched
    finally:
        context.close()


def _stays(url: str, faults: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"data", "blob"} and parts.hostname != "127.0.0.1":
        faults.append(f"request: {url}")
