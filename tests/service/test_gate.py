"""What every request passes: hosts, tokens, room and time."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import fashionsearch as fs
from fashionsearch.service.settings import Limits
from fashionsearch.service.tokens import Tokens

WRITE, READ = "w" * 20, "r" * 20


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_tokens(client: Callable, vectors: Path) -> None:
    index = fs.VisualIndex.open(vectors, progress=False)
    ask = client(index, writable=True, tokens=Tokens(WRITE, READ))
    for path in ("/health", "/ready", "/docs", "/openapi.json"):
        assert ask("GET", path).status_code == 200
    for path in ("/items/1", "/catalogue", "/metrics", "/nowhere"):
        answer = ask("GET", path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert ask("GET", path, headers=bearer("x" * 20)).status_code == 401
        assert ask("GET", path, headers=bearer(READ)).status_code in (200, 404)
        assert ask("GET", path, headers=bearer(WRITE)).status_code in (200, 404)
    change = {"json": {"metadata": {"colour": "red"}}}
    assert ask("PATCH", "/items/1", **change).status_code == 401
    assert ask("PATCH", "/items/1", headers=bearer("x" * 20), **change).status_code == 401
    assert ask("PATCH", "/items/1", headers=bearer(READ), **change).status_code == 403
    assert ask("PATCH", "/items/1", headers={"Authorization": f"Basic {WRITE}"}, **change).status_code == 401
    assert ask("PATCH", "/items/1", headers=bearer(WRITE), **change).status_code == 200


def test_a_service_that_only_reads_changes_nothing(client: Callable) -> None:
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        answer = client()(method, "/items/item/1")
        assert answer.status_code == 403
        assert "--writable" in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2.x:80"]
)
def test_a_page_that_gives_this_machine_its_own_name_is_refused(client: Callable, host: str) -> None:
    assert client()("GET", "/catalogue", headers={"Host": host}).status_code == 421
    for name in ("localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000", "[::1]"):
        assert client()("GET", "/health", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(("host", "name"), [("127.0.0.2", "127.0.0.2:8000"), ("0:0::1", "[0:0::1]:8000")])
def test_the_address_that_it_listens_at_is_a_name_of_it(client: Callable, host: str, name: str) -> None:
    assert client()("GET", "/catalogue", headers={"Host": name}).status_code == 421
    assert client(host=host)("GET", "/catalogue", headers={"Host": name}).status_code == 200


def test_only_pages_that_are_named_may_ask(client: Callable) -> None:
    ask = client(cors_origins=("https://shop.example",))
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert (
        ask("OPTIONS", "/search", headers=asked).headers["access-control-allow-origin"]
        == "https://shop.example"
    )
    refused = ask("OPTIONS", "/search", headers={**asked, "Origin": "https://evil.example"})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-origin" not in client()("GET", "/health", headers=asked).headers
    failed = ask.post(
        "/search", {}, headers={"Origin": "https://shop.example"}
    )  # whose words the page is to see
    assert failed.status_code == 422
    assert failed.headers["access-control-allow-origin"] == "https://shop.example"


def test_heads_and_bodies_have_limits(client: Callable) -> None:
    ask = client(limits=Limits(body=1000, head=2000))
    assert ask("GET", "/health", headers={"x": "a" * 3000}).status_code == 431
    assert ask("GET", "/health?" + "a" * 3000).status_code == 414
    json = {"content-type": "application/json"}
    for content in (b" " * 1001, iter([b" " * 600] * 2)):
        answer = ask("POST", "/search", content=Chunks(content), headers=json)
        assert answer.status_code == 413
        assert answer.headers["connection"] == "close"
    assert ask("GET", "/health", content=b"x").status_code == 413
    assert (
        ask("POST", "/search", content=b"{", headers={**json, "content-encoding": "gzip"}).status_code == 415
    )


class Chunks:
    """Bytes or pieces of them, as an asynchronous client wants them."""

    def __init__(self, content: object) -> None:
        self._pieces = [content] if isinstance(content, bytes) else list(content)

    async def __aiter__(self):
        for piece in self._pieces:
            yield piece


def slow_index(saved: Path, go: threading.Event, begun: threading.Semaphore | None = None) -> fs.VisualIndex:
    index = fs.VisualIndex.load(saved, progress=False)

    def facets(*_: object, **__: object) -> dict[str, int]:
        if begun is not None:
            begun.release()
        go.wait(10)
        return {}

    index.facets = facets
    return index


def test_too_many_at_once_are_to_come_again(client: Callable, saved: Path) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)
    ask = client(slow_index(saved, go, begun), limits=Limits(concurrency=3))
    asked = [("POST", "/facets", {"json": {"field": "baseColour"}})] * 3
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.extend(ask.together(*asked)))
    asking.start()
    assert all(begun.acquire(timeout=10) for _ in asked)
    answer = ask("GET", "/catalogue")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert ask("GET", "/health").status_code == 200
    go.set()
    asking.join(10)
    assert [each.status_code for each in answers] == [200] * 3
    assert ask("GET", "/catalogue").status_code == 200


def test_what_takes_too_long_is_ended(client: Callable, saved: Path) -> None:
    go = threading.Event()
    ask = client(slow_index(saved, go), limits=Limits(seconds=0.2))
    answer = ask.post("/facets", {"field": "baseColour"})
    assert answer.status_code == 504
    assert "0.2 s" in answer.text
    go.set()


def test_bodies_of_all_requests_together_have_a_limit(client: Callable) -> None:
    ask = client(limits=Limits(waiting=500))
    answer = ask("POST", "/search", content=b" " * 600, headers={"content-type": "application/json"})
    assert answer.status_code == 503
    assert ask.post("/search", {"text": "x", "k": 1}).status_code == 200
