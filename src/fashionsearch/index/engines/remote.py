"""What the engines beyond this process share: a server that may be away for a while, and answers that become matches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index.engines.base import Server, Settings
from fashionsearch.index.filters import Condition, leaves
from fashionsearch.index.readings import restored
from fashionsearch.index.rows import Id, unknown_field
from fashionsearch.results import Matches

T = TypeVar("T")
FIELD = "field:"  # begins the name of a field among what holds for all rows
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Hit(NamedTuple):
    """One answer to one query."""

    id: Id
    similarity: float
    order: int  # of its first insertion among the others
    metadata: dict[str, Any]
    source: str | None


class RemoteEngine:
    """Rows on a server; what it offers is described in `base.Engine`.

    Attributes:
        settings: as for every engine.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.server is None:
            raise errors.InputError("this engine needs the address of a server: give url= and collection=")
        self.settings = settings
        self._server: Server = settings.server

    def allow(self, ef_search: int) -> bool:
        """Return True: searches keep to any `ef_search`."""
        return True

    def asked(self, condition: Condition | None) -> Any:
        """Return a condition as the server takes it."""
        raise NotImplementedError

    def number(self, asked: Any) -> int:
        """Return the number of rows that meet what `asked` returned."""
        raise NotImplementedError

    def count(self) -> int:
        """Return the number of rows."""
        return self.number(self.asked(None))

    def known(self, *, now: bool = False) -> Mapping[str, Any]:
        """Return what holds for all rows, by name; `now` asks the server whatever was heard just before."""
        raise NotImplementedError

    def answers(self, vectors: NDArray[np.float32], k: int, asked: Any, exact: bool) -> list[list[Hit]]:
        """Return what the server finds for each vector among what `asked` returned, which may be less than there is."""
        raise NotImplementedError

    def fields(self) -> list[str]:
        """Return the metadata fields that rows have or had."""
        return [restored(name[len(FIELD) :]) for name in self.known() if name.startswith(FIELD)]

    @property
    def id_kind(self) -> type | None:
        """The kind of ids, str or int, which the first row ever added decides."""
        return {"str": str, "int": int}.get(self.known().get("id_kind", ""))

    @property
    def next_id(self) -> int:
        """One more than the largest integer id there ever was, or 0."""
        return int(self.known(now=True).get("next_id", 0))

    def search(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        """Return the k nearest rows of each vector (n, dim), of those that meet a condition, nearest first."""
        self._check_fields(condition)
        asked = self.asked(condition)
        found = self.answers(vectors, k, asked, exact)
        if not exact and any(len(hits) < k for hits in found):
            wanted = min(k, self.number(asked))
            short = [row for row, hits in enumerate(found) if len(hits) < wanted]
            for row, hits in zip(short, self.answers(vectors[short], k, asked, True), strict=True):
                found[row] = hits
        return self._matches(found, k)

    def _has_field(self, field: str) -> bool:
        """Return whether a field's values may be counted: not where there are no rows.

        Raises:
            InputError: if there are rows, and none has it.
        """
        self.check_field(field, "facets")
        return field in self.fields()

    def __len__(self) -> int:
        return self.count()

    def check_field(self, field: str, asker: str) -> None:
        """Raise InputError, which says who asks, if there are rows and none has such a metadata field."""
        known = self.fields()
        if field not in known and self.count():
            raise unknown_field(field, asker, known)

    def _check_fields(self, condition: Condition | None) -> None:
        for leaf, _ in leaves(condition) if condition is not None else ():
            self.check_field(leaf.field, "where")

    def settle(self, seconds: float) -> None:
        """Do nothing: a server makes what it needs by itself."""

    def refresh(self) -> None:
        """Do nothing: each search asks the server."""

    @property
    def address(self) -> str:
        """The server's address without what is secret."""
        raise NotImplementedError

    def writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return no files, and where the rows are: they stay there."""
        return {}, {"url": self.address, "collection": self._server.collection}

    def read(self, saved: storage.Saved, notes: Mapping[str, Any], *, rebuild: bool) -> None:
        """Do nothing: the rows are on the server."""

    def after_fork(self) -> None:
        """Renew what a child can't have from its parent."""
        raise NotImplementedError

    def before_fork(self) -> None:
        """Do nothing."""

    def after_fork_in_parent(self) -> None:
        """Do nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["settings"])  # type: ignore[misc]

    def _matches(self, found: Sequence[Sequence[Hit]], k: int) -> Matches:
        """Return answers as matches, as wide as k, or as there are rows."""
        rows = [sorted(hits, key=lambda hit: (-hit.similarity, hit.order)) for hits in found]
        counts = np.array([len(hits) for hits in rows], dtype=np.int64)
        width = k if len(counts) and counts.min() >= k else min(k, self.count())
        width = max(width, int(counts.max(initial=0)))
        shape = (len(rows), width)
        ids, metadata, sources = (np.full(shape, None, dtype=object) for _ in range(3))
        similarities = np.full(shape, np.nan, dtype=np.float32)
        for row, hits in enumerate(rows):
            for place, hit in enumerate(hits):
                ids[row, place], similarities[row, place] = hit.id, hit.similarity
                metadata[row, place], sources[row, place] = hit.metadata, hit.source
        return Matches(ids, similarities, metadata, counts, sources)


def patiently(action: Callable[[], T], seconds: float, is_passing: Callable[[Exception], bool]) -> T:
    """Do something that fails while a server is away, again and again for so many seconds.

    Args:
        action: does no harm when it is done twice.
        seconds: after which the error is raised.
        is_passing: returns whether an error is one that may pass.
    """
    until, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while True:
        try:
            return action()
        except Exception as error:
            if not is_passing(error) or time.monotonic() + pause >= until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
