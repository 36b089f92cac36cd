"""`fashionsearch app` served to Debian's Chromium, which resolves no name."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = "/usr/bin/chromium"
BLOCKED = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@contextlib.contextmanager
def served(index: Path, *words: str) -> Iterator[str]:
    """Serve an index with the command, and give the page's address."""
    command = [sys.executable, "-m", "fashionsearch", "app", str(index), "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - the command above
    try:
        if process.stdout is None:
            raise SystemExit("the command prints nothing")
        while " open http" not in (line := process.stdout.readline()):
            if not line:
                raise SystemExit(f"the command ended with {process.wait()}")
        yield line.split(" open ")[1].split()[0]
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def opened(address: str, width: int = 1280, height: int = 900) -> Iterator[tuple[Any, dict[str, list[str]]]]:
    """Open the page in a browser; give it, and the requests that failed and those to anywhere else."""
    from playwright.sync_api import sync_playwright

    requests: dict[str, list[str]] = {"failed": [], "elsewhere": []}

    def failed(request: Any) -> None:
        # Gradio's own script ends a stream of events once all are there.
        if not ("/queue/data" in request.url and request.failure == "net::ERR_ABORTED"):
            requests["failed"].append(f"{request.url}: {request.failure}")

    def seen(request: Any) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            requests["elsewhere"].append(request.url)

    def answered(answer: Any) -> None:
        if answer.status >= 400:
            requests["failed"].append(f"{answer.url}: {answer.status}")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BLOCKED)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("requestfailed", failed)
        page.on("request", seen)
        page.on("response", answered)
        page.goto(address)
        page.wait_for_selector(".card")
        yield page, requests
        browser.close()
