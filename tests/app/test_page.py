"""The page in a real browser: Debian's Chromium, with every name but 127.0.0.1 blocked, and one server for all tests."""

import json
import os
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import httpx
import pytest
from browsing import BLOCKED, CHROMIUM
from playwright.sync_api import sync_playwright

PATIENCE = 60_000  # milliseconds: a machine of CI may be busy


@pytest.fixture(scope="module")
def axe():
    """Return axe-core, which scripts/setup.sh dev installs."""
    path = Path(sys.prefix) / "share" / "axe-core" / "axe.min.js"
    assert path.is_file(), "axe-core is missing: run bash scripts/setup.sh dev"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(drawn, tmp_path_factory):
    """Start the command, and return the page's address."""
    folder = shutil.copytree(drawn, tmp_path_factory.mktemp("served") / "shop")
    words = [
        "app",
        str(folder / "catalogue"),
        "--writable",
        "--photos",
        str(folder / "photos"),
        "--port",
        "0",
    ]
    scratch = folder / "scratch"
    scratch.mkdir()
    environment = {
        **os.environ,
        "FASHIONSEARCH_CACHE": str(folder / "cache"),
        "TMPDIR": str(scratch),
        "http_proxy": "http://127.0.0.1:9",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "fashionsearch", *words], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        assert lines[0].startswith("opening "), lines
        assert "30 items: open http://127.0.0.1:" in lines[1]
        yield lines[1].split(" open ")[1].split()[0]
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        rest = process.stdout.read()
        process.stdout.close()
    assert (process.returncode, rest) == (0, "closed\n")
    left = [path for name in ("fashionsearch-*", "gradio") for path in scratch.glob(name)]
    assert left == [], "uploads go with the page"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=BLOCKED)
        yield opened
        opened.close()


class Page:
    """A page, and what a person does on it."""

    def __init__(self, browser, address, width=1280):
        self.failed, self.elsewhere, self.errors = [], [], []
        self.tab = browser.new_page(viewport={"width": width, "height": 800})
        self.tab.set_default_timeout(PATIENCE)
        self.tab.on("request", self._seen)
        self.tab.on("requestfailed", self._failed)
        self.tab.on("response", lambda answer: answer.status < 400 or self.failed.append(answer.url))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda said: said.type != "error" or self.errors.append(said.text))
        self.tab.goto(address)
        self.tab.wait_for_selector(".card")
        self.settle()

    def _seen(self, request):
        if urllib.parse.urlsplit(request.url).hostname not in ("127.0.0.1", None):
            self.elsewhere.append(request.url)

    def _failed(self, request):
        # Gradio's own script ends a stream of events once all are there.
        is_stream = "/gradio_api/queue/data" in request.url or "/heartbeat/" in request.url
        if not (is_stream and request.failure == "net::ERR_ABORTED"):
            self.failed.append(f"{request.url} {request.failure}")

    def settle(self):
        self.tab.wait_for_function(
            "document.querySelector('[data-turn]:not([aria-busy], [data-turn=\"0\"])')"
        )

    def turn(self):
        return self.tab.get_attribute("#finding section", "data-turn")

    def done(self, do):
        """Do something, and wait for the answer."""
        before = self.turn()
        do()
        self.tab.wait_for_function(
            "(before) => document.querySelector('#finding section').dataset.turn !== before", arg=before
        )

    def click(self, selector):
        self.done(lambda: self.tab.click(selector))

    def names(self):
        return [each.get_attribute("title") for each in self.tab.query_selector_all(".card h3")]

    def status(self):
        return self.tab.inner_text("#status")

    def show(self, path):
        self.done(lambda: self.tab.set_input_files("#photo", path))

    def serious(self, axe):
        """Return what axe-core finds serious or critical."""
        self.tab.evaluate(axe)
        found = self.tab.evaluate("axe.run()")
        assert len(found["passes"]) > 15
        return [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]


@pytest.fixture
def page(browser, address):
    opened = Page(browser, address)
    yield opened
    opened.tab.close()


@pytest.fixture
def photo(drawn):
    return drawn / "photos" / "garment-07.png"


def test_a_photo_is_searched_by_and_nothing_leaves_the_machine(page, photo, axe):
    assert len(page.names()) == 5
    assert page.serious(axe) == []
    page.show(photo)
    assert page.names()[0] == "garment-07"
    assert len(page.names()) == 5
    assert page.tab.locator(".tags li").count() == 7
    assert "%" in page.tab.inner_text(".tags")
    assert page.tab.locator(".card img").count() == 5
    page.click("button[data-do=more]")
    assert len(set(page.names())) == 10
    page.click(".card:nth-child(3) button[data-do=like]")
    assert "what you liked" in page.status()
    page.tab.click("details[data-name='filter:baseColour'] summary")
    box = page.tab.locator("input[name='where:baseColour']").first
    page.done(box.check)
    assert box.is_checked()
    assert "fit your filters" in page.status()
    page.tab.click("details[data-name=towards] summary")
    page.done(lambda: page.tab.select_option("select[name='towards:baseColour']", "Red"))
    assert page.tab.locator("details[open]").count() == 3, "what was opened stays open"
    page.tab.click("details[data-name=sliders] summary")
    page.done(lambda: page.tab.locator("input[name=diversity]").fill("0.4"))
    assert page.tab.inner_text(".slider:has([name=diversity]) output") == "0.4"
    assert page.serious(axe) == []
    page.click("button[data-do=reset]")
    assert not box.is_checked()
    assert page.tab.locator(".tags").count() == 0
    assert (page.failed, page.elsewhere, page.errors) == ([], [], [])


def test_why_is_shown_in_a_window(page, photo, axe):
    page.show(photo)
    page.click(".card:nth-child(2) button[data-do=why]")
    page.tab.wait_for_selector("dialog[open] img")
    assert "likeness to your photo" in page.tab.inner_text("dialog")
    assert page.serious(axe) == []
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("dialog[open]").count() == 0
    focused = page.tab.evaluate("document.activeElement.dataset.do + document.activeElement.dataset.place")
    assert focused == "why1", "the focus goes back to where it was"
    assert page.errors == []


def test_a_damaged_photo_is_told_in_words(page, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    page.show(tmp_path / "bad.jpg")
    assert page.status() == "This photo is damaged; choose another one."
    assert len(page.names()) == 5
    assert page.errors == []


def test_an_item_is_added_and_removed(page, photo, axe):
    page.show(photo)
    page.tab.click("details[data-name=add] summary")
    page.tab.fill("form[data-form=add] input[name=id]", "added")
    assert page.tab.input_value("form[data-form=add] input[name='field:baseColour']") != ""
    assert page.serious(axe) == []
    page.click("form[data-form=add] button")
    assert page.status().startswith("Added")
    assert page.status().endswith("The catalogue holds 31 items.")
    assert "added" in page.names()
    place = page.names().index("added") + 1
    assert page.tab.locator(f".card:nth-child({place}) img").count() == 1
    page.click(f".card:nth-child({place}) button[data-do=remove]")
    page.tab.wait_for_selector("dialog[open]")
    page.click("dialog button[data-do=remove-surely]")
    assert "The catalogue holds 30 items." in page.status()
    assert "added" not in page.names()
    assert page.tab.locator("dialog").count() == 0


def test_all_of_it_can_be_done_by_the_keyboard(page, photo):
    keys = page.tab.keyboard

    def tab_to(selector):
        for _ in range(120):
            if page.tab.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
            keys.press("Tab")
        raise AssertionError(f"no Tab leads to {selector}")

    # Asked for before anything else, since the browser is told a moment later.
    page.tab.on("filechooser", lambda chooser: chooser.set_files(photo))
    tab_to("#photo")
    page.done(lambda: keys.press("Enter"))
    tab_to("#text")
    keys.type("red")
    page.done(lambda: keys.press("Enter"))
    assert "“red”" in page.status()
    tab_to("details[data-name='filter:baseColour'] summary")
    keys.press("Enter")
    keys.press("Tab")
    page.done(lambda: keys.press("Space"))
    assert "fit your filters" in page.status()
    assert page.tab.evaluate("document.activeElement.name") == "where:baseColour", "the focus stays"
    tab_to("details[data-name=sliders] summary")
    keys.press("Enter")
    tab_to("input[name=diversity]")
    page.done(lambda: keys.press("ArrowRight"))
    tab_to(".card button[data-do=unlike]")
    page.done(lambda: keys.press("Enter"))
    assert page.tab.locator(".judged li").count() == 1
    page.tab.evaluate("document.activeElement.blur()")
    tab_to("button[data-do=forget]")
    page.done(lambda: keys.press("Enter"))
    tab_to(".card button[data-do=remove]")
    page.done(lambda: keys.press("Enter"))
    page.tab.wait_for_selector("dialog[open]")
    tab_to("dialog form button:last-child")
    keys.press("Enter")
    assert page.tab.locator("dialog[open]").count() == 0


def test_a_photo_is_dropped_and_pasted(page, photo):
    transfer = """([bytes, name]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" }));
        const made = name === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.body.dispatchEvent(made);
    }"""
    content = list(photo.read_bytes())
    for name in ("drop", "paste"):
        page.done(lambda name=name: page.tab.evaluate(transfer, [content, name]))
        assert page.names()[0] == "garment-07"
        page.click("button[data-do=no-photo]")


def test_nothing_scrolls_sideways_on_a_phone(browser, address, photo, axe):
    page = Page(browser, address, width=375)
    assert page.tab.locator("details[data-name=options][open]").count() == 0, "results are not far below"
    page.show(photo)
    page.tab.click("details[data-name=options] > summary")
    for folded in page.tab.query_selector_all("details details > summary, details[data-name=add] > summary"):
        folded.click()
    for _ in range(2):
        assert page.tab.evaluate("document.documentElement.scrollWidth") == 375
        page.click(".card button[data-do=like]")
    assert page.serious(axe) == []
    page.click(".card button[data-do=why]")
    page.tab.wait_for_selector("dialog[open]")
    assert page.tab.evaluate("document.querySelector('dialog').scrollWidth") <= 375
    page.tab.close()


def call(client, data, session):
    """Send an event as a client that is no browser may."""
    sent = {"data": [None], "event_data": data, "fn_index": 0, "session_hash": session, "trigger_id": None}
    answer = client.post("/gradio_api/queue/join", json=sent)
    assert answer.status_code == 200, answer.text
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                said = json.loads(line[5:])
                if said["msg"] == "process_completed":
                    return json.dumps(said["output"])
    raise AssertionError("the event had no answer")


def test_a_client_reads_no_file_of_the_server(address, photo):
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        for path in ("/etc/passwd", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}):
            told = call(client, {"do": "photo", "path": path}, "crafted")
            assert "no photo that was uploaded here" in told or "cannot be accessed" in told
            assert "root:" not in told
        for path in (
            "file=/etc/passwd",
            "file/etc/passwd",
            "file=http://127.0.0.1:9/",
            "config/../file=/etc/passwd",
            "info",
            "openapi.json",
        ):
            assert client.get(f"/gradio_api/{path}").status_code == 404
        sent = client.post("/gradio_api/upload", files={"files": ("photo.png", photo.read_bytes())})
        (path,) = sent.json()
        assert client.get(f"/gradio_api/file={path}").status_code == 404
        assert "the nearest to your photo first" in call(client, {"do": "photo", "path": path}, "crafted")
        assert not Path(path).exists()
        large = client.post("/gradio_api/upload", files={"files": ("photo.png", bytes(26_000_000))})
        assert large.status_code == 413
        assert client.get("/", headers={"host": "shop.example"}).status_code == 403
        assert client.get("/", headers={"origin": "http://shop.example"}).status_code == 403
        for nonsense in (None, 5, [], {"do": {}}, {"do": "search", "form": "x"}):
            assert "class='problem'" in call(client, nonsense, "crafted")
