"""An index's encoder and its engine belong together, and a migration puts others in the place of both.

Photos are embedded while nobody waits, and that may take minutes. So vectors are written only if the index still has the
encoder that made them, and an answer is given only if the index had one encoder and one engine from its question on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index.engines.base import Engine

T = TypeVar("T")


class OtherEncoderError(errors.EncoderMismatchError):
    """The index was given another encoder while photos were embedded by the one before."""

    def __init__(self) -> None:
        super().__init__(
            "the index was given another encoder meanwhile, and these vectors are of the one before; nothing of them was "
            "added: embed the photos again"
        )


class Holding:
    """What has an engine and an encoder, which may be exchanged at any moment by another thread."""

    _engine: Engine
    _encoder: Embeds | None
    _changes = 0  # of items, by this index
    _exchanged = 0  # odd while both are being exchanged

    @contextlib.contextmanager
    def _held(self) -> Iterator[Engine]:
        """Give the engine, and let nobody change or exchange it meanwhile."""
        while True:
            engine = self._engine
            with engine.changing:
                if engine is self._engine:
                    yield engine
                    return

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Engine]:
        """Give the engine likewise, to change it."""
        with self._held() as engine:
            self._changes += 1
            yield engine

    @contextlib.contextmanager
    def _held_for(self, encoder: Embeds | None) -> Iterator[Engine]:
        """Give the engine likewise, to take vectors that an encoder made.

        Raises:
            OtherEncoderError: if the index has another one by now.
        """
        with self._changing() as engine:
            if self._encoder is not encoder:
                raise OtherEncoderError
            yield engine

    def _look(self) -> None:
        """Take over what another process has written, where that is due and the engine doesn't."""

    @contextlib.contextmanager
    def _exchanging(self) -> Iterator[None]:
        """Let encoder and engine be exchanged; whoever calls holds the engine that there is."""
        self._exchanged += 1
        try:
            yield
        finally:
            self._exchanged += 1

    def _steadily(self, action: Callable[[], T]) -> T:
        """Do something that uses encoder and engine, and again where these were exchanged meanwhile."""
        self._look()
        while True:
            before = self._exchanged
            if before % 2:
                with self._held():  # until that is over
                    before = self._exchanged
            try:
                found = action()
            except Exception:
                if before == self._exchanged:
                    raise
                continue
            if before == self._exchanged:
                return found
