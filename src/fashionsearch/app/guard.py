"""What a browser may ask of the server: the page, its uploads and its events, from this machine's own names alone."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Gradio has more, such as files by their paths, a proxy to other machines and the documentation of its API.
_GET = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static|svelte)/.*"
    r"|/gradio_api/(startup-events|queue/data|theme\.css|app_id|upload_progress|heartbeat/[\w-]+)/?"
)
_POST = re.compile(r"/gradio_api/(queue/join|upload|cancel|reset)/?")
_MOST_BYTES = 1_000_000  # of what is sent, but an upload, which Gradio bounds
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """Lets through what the page needs.

    Pages of other sites, whose scripts run in the same browser, are told by the name of the host and of their origin.

    Args:
        app: the application behind.
    """

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        status = refusal(scope)
        if status is not None:
            await _refuse(status, send)
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_guarded)


def refusal(scope: Scope) -> int | None:
    """Return the status with which a request is refused, or None for one that the page needs."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host, origin = headers.get(b"host", ""), headers.get(b"origin")
    if not re.fullmatch(r"(127\.0\.0\.1|localhost)(:\d+)?", host):
        return 403
    if origin is not None and origin != f"http://{host}":
        return 403
    path, method = scope["path"], scope["method"]
    known = {"GET": _GET, "HEAD": _GET, "POST": _POST}.get(method)
    if known is None or not known.fullmatch(path):
        return 404
    length = headers.get(b"content-length")
    if method == "POST" and not path.startswith("/gradio_api/upload"):
        if length is None or not length.isdecimal():
            return 411
        if int(length) > _MOST_BYTES:
            return 413
    return None


async def _refuse(status: int, send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
