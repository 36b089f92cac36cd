import asyncio

import pytest

from fashionsearch.app.guard import Guard, refusal


def scope(path="/", method="GET", host="127.0.0.1:7860", **headers):
    sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in sent.items() if value is not None]
    return {"type": "http", "path": path, "method": method, "headers": raw}


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/", "GET", {}),
        ("/assets/index.js", "GET", {}),
        ("/gradio_api/queue/data", "GET", {"origin": "http://127.0.0.1:7860"}),
        ("/gradio_api/queue/join", "POST", {"content_length": "100"}),
        ("/gradio_api/upload", "POST", {"content_length": "20000000"}),
        ("/", "GET", {"host": "localhost:7860"}),
    ],
)
def test_what_the_page_needs_is_let_through(path, method, headers):
    assert refusal(scope(path, method, **headers)) is None


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/gradio_api/file=/etc/passwd", "GET", {}, 404),
        ("/gradio_api/file/etc/passwd", "GET", {}, 404),
        ("/gradio_api/file=http://example.org/", "GET", {}, 404),
        ("/gradio_api/proxy=http://example.org/", "GET", {}, 404),
        ("/gradio_api/run/act", "POST", {"content_length": "2"}, 404),
        ("/gradio_api/call/act", "POST", {"content_length": "2"}, 404),
        ("/gradio_api/component_server", "POST", {"content_length": "2"}, 404),
        ("/docs", "GET", {}, 404),
        ("/monitoring", "GET", {}, 404),
        ("/", "DELETE", {}, 404),
        ("/", "GET", {"host": "shop.example:7860"}, 403),
        ("/", "GET", {"host": None}, 403),
        ("/gradio_api/queue/join", "POST", {"origin": "http://shop.example", "content_length": "2"}, 403),
        ("/gradio_api/queue/join", "POST", {"origin": "null", "content_length": "2"}, 403),
        ("/gradio_api/queue/join", "POST", {}, 411),
        ("/gradio_api/queue/join", "POST", {"content_length": "2000000"}, 413),
    ],
)
def test_all_else_is_refused(path, method, headers, status):
    assert refusal(scope(path, method, **headers)) == status


def test_answers_say_that_nothing_is_loaded_from_elsewhere():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(app)(scope(), None, send))
    headers = dict(sent[0]["headers"])
    assert headers[b"a"] == b"b"
    assert headers[b"content-security-policy"].startswith(b"default-src 'self'")
    sent.clear()
    asyncio.run(Guard(app)(scope("/gradio_api/file=/etc/passwd"), None, send))
    assert sent[0]["status"] == 404
    asyncio.run(Guard(app)({"type": "websocket"}, None, send))
    assert len(sent) == 2
