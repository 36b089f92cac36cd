"""Calls of Qdrant: errors in words, patience while the server is away, and what is known of the collection."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from fashionsearch import errors
from fashionsearch.index.engines.base import Server
from fashionsearch.index.engines.remote import patiently

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

T = TypeVar("T")
_SOON = 0.5  # seconds for which what is known of the collection is taken to hold


class Session:
    """What an engine asks a collection by.

    Args:
        server: where it is; ":memory:" and "file:FOLDER" are Qdrant's local mode, in this process.
        shares: a session whose connection it shares, because a folder takes one alone.
    """

    def __init__(self, server: Server, shares: Session | None = None) -> None:
        self.server, self._shares = server, shares
        self.is_local = server.url == ":memory:" or server.url.startswith("file:")
        if not self.is_local:
            _check_address(server.url)
        self._lock: contextlib.AbstractContextManager[Any] = (
            threading.RLock() if self.is_local else contextlib.nullcontext()
        )
        if shares is not None:
            self._lock = shares._lock
        self._connected: QdrantClient | None = None
        self._facts: tuple[float, dict[str, Any]] = (-math.inf, {})
        self._told = 0  # how often the facts were changed from here
        self._indexed: set[str] = set()

    @property
    def address(self) -> str:
        """The server's address without what is secret."""
        parts = urlsplit(self.server.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def _client(self) -> QdrantClient:
        if self._shares is not None:
            return self._shares._client
        if self._connected is None:
            from qdrant_client import QdrantClient

            url, wait = self.server.url, math.ceil(self.server.timeout)
            if url == ":memory:":
                self._connected = QdrantClient(":memory:")
            elif self.is_local:
                self._connected = QdrantClient(path=urlsplit(url).path, force_disable_check_same_thread=True)
            else:
                with warnings.catch_warnings():  # of a key without TLS, which is the user's to decide
                    warnings.simplefilter("ignore", UserWarning)
                    self._connected = QdrantClient(
                        url=url, api_key=self.server.api_key, timeout=wait, check_compatibility=False
                    )
        return self._connected

    def ask(self, action: Callable[[QdrantClient], T]) -> T:
        """Ask the server, again while it can't be reached; what it answers otherwise is an error of ours.

        Raises:
            StorageError: if it can't be reached in time, or refuses.
        """
        from qdrant_client.common.client_exceptions import QdrantException
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        def is_passing(error: Exception) -> bool:
            if isinstance(error, UnexpectedResponse):
                return error.status_code in (429, 502, 503, 504)
            return isinstance(error, ResponseHandlingException | QdrantException)

        def act() -> T:
            with self._lock, warnings.catch_warnings():
                if self.is_local:  # which tells that it ignores options of a server's
                    warnings.simplefilter("ignore", UserWarning)
                return action(self._client)

        try:
            return patiently(act, self.server.timeout, is_passing)
        except UnexpectedResponse as error:
            if error.status_code in (401, 403):
                reason = "it refuses the key; give api_key="
            else:
                reason = f"it answered {error.status_code} ({error.reason_phrase})"
            raise errors.StorageError(
                f"the collection {self.server.collection!r} on {self.address}: {reason}"
            ) from error
        except (ResponseHandlingException, QdrantException, OSError, RuntimeError, ValueError) as error:
            raise errors.StorageError(
                f"{self.address} could not be asked within {self.server.timeout:g} seconds: {str(error)[:200]}; see "
                "that the server runs and that timeout= is enough"
            ) from error

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Add to what holds for all rows."""
        self._told += 1
        self.ask(lambda client: client.update_collection(self.server.collection, metadata=dict(facts)))
        self._told += 1
        self._facts = (-math.inf, {})

    def known(self, *, now: bool = False) -> dict[str, Any]:
        """Return what holds for all rows."""
        (looked, facts), told = self._facts, self._told
        if now or time.monotonic() - looked > _SOON:
            facts = (
                self.ask(lambda client: client.get_collection(self.server.collection)).config.metadata or {}
            )
            if told == self._told:  # what was asked for while it changed may be of before
                self._facts = (time.monotonic(), facts)
        return facts

    def make_index(self, path: str, *, of_numbers: bool) -> None:
        """Make a payload index, without which a server filters slowly and counts no values."""
        from qdrant_client import models

        kind = models.PayloadSchemaType.FLOAT if of_numbers else models.PayloadSchemaType.KEYWORD
        if path not in self._indexed and not self.is_local:
            self.ask(
                lambda client: client.create_payload_index(
                    self.server.collection, path, field_schema=kind, wait=True
                )
            )
        self._indexed.add(path)

    def close(self) -> None:
        """Close connections; the next call opens them again."""
        if self._shares is not None:
            self._shares.close()
        if self._connected is not None and self.server.url != ":memory:":
            with self._lock:
                self._connected.close()
                self._connected = None

    def after_fork(self) -> None:
        """Open connections of its own in a child, and renew the lock."""
        if self.is_local:
            self._lock = threading.RLock()
        else:
            self._connected = None


def available() -> bool:
    """Return whether Qdrant's client is installed."""
    from importlib.util import find_spec

    return find_spec("qdrant_client") is not None


def _check_address(url: str) -> None:
    """Raise InputError, which doesn't repeat what may hold a password, unless a text is a server's address."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise errors.InputError(
            "url is no address of a Qdrant server; give one such as http://host:6333, or file:/a/folder or :memory: for "
            "Qdrant's local mode"
        )
