"""The work of a migration: items embedded again, piece by piece, in a thread of its own.

Each piece is one change of the new rows, so wherever the work ends it goes on there: it goes through all items, and embeds
those that have no new vector made of what they are now.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, forks
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.engines.migrating import MigratingEngine
from fashionsearch.index.engines.noted import picked
from fashionsearch.index.photos import Photos
from fashionsearch.index.rows import Id, Rows, check_vectors

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache

_LOOKED = 1000  # items that are looked at together
_AT_ONCE = 100  # photos that are embedded before they are written: what a kill takes away

_running: weakref.WeakSet[Reembedding] = weakref.WeakSet()
_closing = threading.Event()


def embedded(
    encoder: Embeds, photos: Photos, rows: Rows, cache: EmbeddingCache | None
) -> tuple[list[int], NDArray[np.float32], dict[Id, str]]:
    """Return the places of the rows whose photos were embedded, (m, dim) vectors, and of the others why not."""
    missing: dict[Id, str] = {}
    places, found = [], []
    for place, (item, source) in enumerate(zip(rows.ids, rows.sources, strict=True)):
        try:
            found.append(photos.find(item, source))
            places.append(place)
        except LookupError as error:
            missing[item] = str(error.args[0])
    if not places:
        return [], np.zeros((0, int(encoder.dim)), np.float32), missing
    vectors, positions, _, failures = encoders.embed_all(
        encoders.seeing(encoder, photos.background), found, "skip", cache
    )
    for failure in failures:
        missing[rows.ids[places[failure.position]]] = failure.reason
    good = np.array([_can_be_stored(vector) for vector in vectors], dtype=bool)
    for number in np.flatnonzero(~good).tolist():
        missing[rows.ids[places[positions[number]]]] = (
            "its embedding is zero, too short or too long, or isn't finite"
        )
    return [places[positions[number]] for number in np.flatnonzero(good)], vectors[good], missing


def _can_be_stored(vector: NDArray[np.float32]) -> bool:
    try:
        check_vectors(vector, len(vector))
    except errors.InputError:
        return False
    return True


class Reembedding:
    """Gives the items of an engine new vectors.

    Args:
        engine: of the migration.
        encoder: the new one.
        photos: of the items.
        cache: where a backbone looks for embeddings first, and keeps new ones.

    Attributes:
        photos: as given.
        missing: items that can't be embedded -> why.
        failure: what ended the work before its time, if anything did.
    """

    def __init__(
        self, engine: MigratingEngine, encoder: Embeds, photos: Photos, cache: EmbeddingCache | None
    ) -> None:
        self._engine, self._encoder, self.photos, self._cache = engine, encoder, photos, cache
        self.missing: dict[Id, str] = {}
        self.failure: BaseException | None = None
        self._stop = False
        self._thread: threading.Thread | None = None
        forks.register(self)

    @property
    def is_running(self) -> bool:
        """Whether its thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin, or go on, in a thread of its own."""
        if self.is_running or _closing.is_set():
            return
        self._stop, self.failure = False, None
        self._thread = threading.Thread(target=self._run, name="fashionsearch-migration", daemon=True)
        self._engine.stop = self.stop
        _running.add(self)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # whatever it is, whoever asks next is told
            if not (self._stop or _closing.is_set()):
                self.failure = self._engine.failure = error

    def work(self) -> None:
        """Do all of it, in the thread that calls."""
        self.missing = {}
        self._engine.strays()
        ids = list(self._engine)
        for start in range(0, len(ids), _LOOKED):
            if self._stop:
                return
            rows = fetch_present(
                self._engine.old, [i for i in ids[start : start + _LOOKED] if i in self._engine]
            )
            stale = self._engine.stale(rows)
            for first in range(0, len(stale), _AT_ONCE):
                if self._stop:
                    return
                self._embed(picked(rows, stale[first : first + _AT_ONCE]))

    def _embed(self, rows: Rows) -> None:
        places, vectors, missing = embedded(self._encoder, self.photos, rows, self._cache)
        self.missing |= missing
        if places:
            self._engine.place(picked(rows, places), vectors)

    def wait(self, seconds: float | None) -> None:
        """Wait until the thread ends, at most so long.

        Raises:
            FashionSearchError: what ended the work before its time.
        """
        if self._thread is not None:
            self._thread.join(seconds)
        if self.failure is not None:
            failure, self.failure, self._engine.failure = self.failure, None, None
            if isinstance(failure, errors.FashionSearchError):
                raise failure
            raise errors.StorageError(
                f"the items could not all be embedded again: {failure!r}; those that were are kept; start() goes on"
            ) from failure

    def stop(self) -> None:
        """End the thread after its piece, and wait for it."""
        self._stop = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def before_fork(self) -> None:
        """Do nothing: what was written is whole at any moment."""

    def after_fork_in_parent(self) -> None:
        """Do nothing."""

    def after_fork(self) -> None:
        """Leave the work to the parent."""
        self._thread, self._stop = None, True


@atexit.register
def _stop_all() -> None:
    _closing.set()
    for each in list(_running):
        each.stop()
