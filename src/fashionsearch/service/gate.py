"""What every request passes first: its host, token, size, room and time; and how every failure leaves."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from pydantic_core import to_json
from starlette.responses import Response

from fashionsearch.service.failures import RefusedError, no_room
from fashionsearch.service.metrics import Metrics
from fashionsearch.service.settings import Settings

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"
App: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"

log = logging.getLogger("fashionsearch.service")

OPEN = ("/", "/health", "/ready", "/docs", "/openapi.json")  # what shows nothing of the catalogue
_CHANGING, _BODILESS = ("POST", "PUT", "PATCH", "DELETE"), ("GET", "HEAD", "DELETE", "OPTIONS")
_NAMES_OF_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
_LINGERING, _DRAINED = (
    1.0,
    64 * 2**20,
)  # seconds and bytes for which a client that is cut off may go on sending


def json_response(content: Any, status: int = 200, headers: Any = None) -> Response:
    """Return an answer in JSON, in which NaN and infinity are null."""
    return Response(to_json(content, inf_nan_mode="null"), status, headers, "application/json")


def failure_response(refusal: RefusedError) -> Response:
    """Return the answer that tells a failure."""
    headers = dict(refusal.headers)
    if refusal.close:
        headers["connection"] = "close"
    return json_response(refusal.content(), refusal.status, headers)


def unforeseen(error: BaseException) -> Response:
    """Return the answer to an error that nobody foresaw; what it was stands in the log alone."""
    reference = secrets.token_hex(6)
    log.error("request failed, reference %s", reference, exc_info=error)
    told = f"something went wrong; the service's log has it under {reference}"
    return failure_response(RefusedError(500, told))


class Gate:
    """An ASGI application around another.

    Args:
        app: answers what passes.
        settings: of the service.
        metrics: are told of every request.
    """

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._limits = app, settings, settings.limits
        self._metrics = metrics
        self._inside = self._held = 0  # requests, and bytes of their bodies
        self._any_host = settings.tokens.read is not None or not settings.is_local
        host = settings.host.lower()
        self._hosts = (*_NAMES_OF_THIS_MACHINE, f"[{host}]" if ":" in host else host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = _Exchange(self, scope, receive, send)
        try:
            self._check(scope, exchange.headers)
            # Whoever asks for its health would restart a service that is only busy.
            if self._inside >= self._limits.concurrency and scope["path"] != "/health":
                raise no_room()
            await self._admit(scope, exchange)
        except RefusedError as refusal:
            if not exchange.status:
                await failure_response(refusal)(scope, receive, exchange.send)
        finally:
            self._held -= exchange.size
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.answered(
                scope["method"] if route != "other" else "other",
                route,
                exchange.status,
                time.perf_counter() - began,
            )

    async def _admit(self, scope: Scope, exchange: _Exchange) -> None:
        self._inside += 1
        self._metrics.in_progress.inc()
        try:
            await asyncio.wait_for(self._app(scope, exchange.receive, exchange.send), self._limits.seconds)
        except (TimeoutError, asyncio.TimeoutError):
            if exchange.status:
                raise  # half of an answer is out: the connection ends
            raise RefusedError(504, f"this took longer than {self._limits.seconds:g} s", close=True) from None
        except Exception:
            if not exchange.status:
                raise  # else it was told and logged within
        finally:
            self._inside -= 1
            self._metrics.in_progress.dec()

    def hold(self, size: int) -> None:
        """Count bytes of a body.

        Raises:
            RefusedError: if all requests together hold too many; 503.
        """
        self._held += size
        if self._held > self._limits.waiting:
            raise no_room("too many photos at the moment; come again")

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        limits = self._limits
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.head:
            raise RefusedError(431, f"the head is longer than {limits.head:,} bytes", close=True)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.head:
            raise RefusedError(414, f"the address is longer than {limits.head:,} bytes", close=True)
        if not self._any_host and _name_of(headers.get(b"host", b"")) not in self._hosts:
            raise RefusedError(421, "this service is for this machine; call it localhost or 127.0.0.1")
        self._check_token(scope, headers)
        length = headers.get(b"content-length", b"0")
        if scope["method"] in _BODILESS and (b"transfer-encoding" in headers or length != b"0"):
            raise RefusedError(413, f"a {scope['method']} has no body", close=True)
        if not length.isdigit() or int(length[:20]) > limits.body:
            raise _too_large(limits.body)

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        path, tokens = scope["path"], self._settings.tokens
        if path in OPEN:
            return
        writes = scope["method"] in _CHANGING and path.startswith("/items")
        if writes and not self._settings.writable:
            raise RefusedError(403, "this service only reads; it is started with --writable to change items")
        scheme, _, shown = headers.get(b"authorization", b"").partition(b" ")
        given = shown.strip() if scheme.lower() == b"bearer" else None
        if tokens.may(given, write=writes):
            return
        if writes and given is not None and tokens.read is not None and tokens.may(given, write=False):
            raise RefusedError(403, "this token is for reading; changing items needs the other one")
        raise RefusedError(
            401, "a token is needed: Authorization: Bearer …", headers={"www-authenticate": "Bearer"}
        )


class _Exchange:
    """One request and its answer, within limits."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate, self._receive, self._send = gate, receive, send
        self._limits = gate._limits
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # of several the first
        self.status = self.size = 0
        self._until = 0.0
        self._has_body = b"transfer-encoding" in self.headers or self.headers.get(
            b"content-length", b"0"
        ) not in (b"0", b"")

    async def receive(self) -> MutableMapping[str, Any]:
        """Return the next piece of the body."""
        now = time.monotonic()
        self._until = self._until or now + self._limits.body_seconds
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._until - now))
        except (TimeoutError, asyncio.TimeoutError):
            raise RefusedError(
                408, f"the body took longer than {self._limits.body_seconds:g} s", close=True
            ) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.size += size
            self._gate.hold(size)
            if self.size > self._limits.body:
                raise _too_large(self._limits.body)
            if not message.get("more_body", False):
                self._has_body = False
                self._until = time.monotonic() + 86_400  # what comes after is the end of the connection
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of the answer; the connection ends with it where the body was not read."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            if self._has_body and (b"connection", b"close") not in headers:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._has_body and not message.get("more_body", False) and b"expect" not in self.headers:
            # A client that is still sending would lose the answer if the connection were cut.
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        until, left = time.monotonic() + _LINGERING, _DRAINED
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), seconds)
            except (TimeoutError, asyncio.TimeoutError):
                return
            if message["type"] != "http.request" or not message.get("more_body", False):
                return
            left -= len(message["body"])


def _too_large(most: int) -> RefusedError:
    return RefusedError(413, f"the body is larger than {most:,} bytes", close=True)


def _name_of(host: bytes) -> str:
    """Return a host without its port."""
    name = host.decode("latin-1").lower()
    return name if name.endswith("]") else name.rpartition(":")[0] or name
