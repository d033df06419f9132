"""Chromium, where this machine has one: pages of our own printed and pictured.

The browser is started for one file, without a profile, a window or a network: each name
resolves to nothing, each request goes to a proxy that is not there. That it is missing
is no error: ``find`` says so, and ``ADVICE`` how to get it.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import StorageError, UsageError

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
CHOSEN = "MUNIMENT_CHROMIUM"  # a path that goes before all others
ADVICE = (
    "install Chromium (Debian: apt install chromium; or: playwright install chromium), "
    f"or name it in {CHOSEN}"
)
PATIENCE = 120  # seconds for one page
ALONE = (
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",
)


def find() -> Path | None:
    """Find a Chromium: the one that was chosen, the system's, Playwright's newest.

    Raises UsageError where the chosen one is no program.
    """
    if chosen := os.environ.get(CHOSEN):
        if not os.access(chosen, os.X_OK) or Path(chosen).is_dir():
            raise UsageError(f"{CHOSEN}: {chosen} is no program; {ADVICE}")
        return Path(chosen)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    return next(_of_playwright(), None)


def _of_playwright() -> Iterator[Path]:
    """List what ``playwright install`` put in its place, the newest first."""
    place = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    root = (
        Path(place) if place not in {"", "0"} else Path.home() / ".cache/ms-playwright"
    )
    found = (*root.glob("chromium-*/chrome-linux*/chrome"),)
    yield from sorted(found, key=lambda one: one.parts[-3], reverse=True)


def print_pdf(browser: Path, page: Path, out: Path) -> None:
    """Print an HTML file of ours. Raises StorageError where no PDF came of it."""
    _show(
        browser, page, out, f"--print-to-pdf={out.absolute()}", "--no-pdf-header-footer"
    )


def picture(browser: Path, page: Path, out: Path, *, size: tuple[int, int]) -> None:
    """Take a PNG of an HTML file of ours, so many pixels wide and high.

    Raises StorageError where no picture came of it.
    """
    wide, high = size
    _show(
        browser,
        page,
        out,
        f"--screenshot={out.absolute()}",
        f"--window-size={wide},{high}",
    )


def unconfined() -> tuple[str, ...]:
    """Say what root has to: for it Chromium has no sandbox."""
    return ("--no-sandbox",) if os.geteuid() == 0 else ()


def _show(browser: Path, page: Path, out: Path, *wanted: str) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        own = (f"--user-data-dir={profile}", *unconfined())
        try:
            done = subprocess.run(  # noqa: S603 - the browser, its arguments our own
                [browser, *ALONE, *own, *wanted, page.absolute().as_uri()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StorageError(f"{out}: {browser} did not make it: {error}") from error
    if not out.is_file() or not out.stat().st_size:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else f"it ended with {done.returncode}"
        raise StorageError(f"{out}: {browser} did not make it: {why}; {ADVICE}")
