"""A client of HTTP that sends any bytes as they are, and says what comes back."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

_PIECE = 2**16
_LEAKS = re.compile(
    rb'Traceback|File "|site-packages|\.py"|root:x?:|/usr/lib|/home/|/root/|sqlite|pydantic|starlette'
)


@dataclass(frozen=True)
class Hostile:
    """A request.

    Attributes:
        kind: what is wrong with it.
        head: its first line and headers, without the empty line; or all bytes that are sent, where `body` is None.
        body: pieces that follow.
        pause: seconds between these.
        is_open: whether the pieces go on with the head, which no empty line ends.
    """

    kind: str
    head: bytes
    body: Sequence[bytes] | Callable[[], Iterator[bytes]] | None = field(default=(), repr=False)
    pause: float = 0.0
    is_open: bool = False


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: None where the connection was closed without an answer.
        content: all bytes.
        sent: bytes of the request that were sent.
    """

    status: int | None
    content: bytes = field(repr=False)
    sent: int

    def leaks(self, secrets: Sequence[str]) -> bool:
        """Return whether it tells of the server's code, files or any of these paths."""
        return bool(_LEAKS.search(self.content)) or any(secret.encode() in self.content for secret in secrets)


def send(
    address: tuple[str, int], request: Hostile, seconds: float = 20.0, token: str | None = None
) -> Answer:
    """Send a request as it is, and return what comes back."""
    content, sent, until = b"", 0, time.monotonic() + seconds
    with socket.create_connection(address, timeout=seconds) as connection:
        try:
            head = request.head
            if request.body is not None and not request.is_open:
                extra = f"\r\nAuthorization: Bearer {token}" if token and b"uthorization" not in head else ""
                head = head + extra.encode() + b"\r\n\r\n"
            connection.sendall(head)
            pieces = request.body() if callable(request.body) else request.body or ()
            for piece in pieces:
                connection.settimeout(max(0.1, until - time.monotonic()))
                connection.sendall(piece)
                sent += len(piece)
                if request.pause:
                    time.sleep(request.pause)
                if _has_answer(connection):
                    break
        except OSError:
            pass  # cut off: an answer may be there
        try:
            while time.monotonic() < until and not _is_whole(content):
                connection.settimeout(max(0.1, until - time.monotonic()))
                piece = connection.recv(_PIECE)
                if not piece:
                    break
                content += piece
        except OSError:
            pass
    while content.startswith(b"HTTP/1.1 100"):
        content = content.partition(b"\r\n\r\n")[2]
    found = re.match(rb"HTTP/1\.[01] (\d{3})", content)
    return Answer(int(found[1]) if found else None, content, sent)


def _has_answer(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except (BlockingIOError, OSError):
        return False


def _is_whole(content: bytes) -> bool:
    head, mark, rest = content.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return _is_whole(rest)
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(mark) and length is not None and len(rest) >= int(length[1])
