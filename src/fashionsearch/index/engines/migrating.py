"""The engine of an index that is being given another encoder: the old vectors, and the new ones there are by now, as one.

It is asked in the new encoder's space. Items that were embedded again answer from their new vectors, and the rest from their
old ones, which a mapped query searches; the similarities of both are on the scale of the new ones.

The old rows are the truth: which items there are, and their metadata. A new row says by a sketch of which old vector it was
made, so one that no longer fits (after a crash between two writes, or after a change that only the old rows saw) is noticed.
Of each change the new rows lose what it touches, then the old rows change, then the new ones: wherever that is cut off, each
item answers wholly as before or wholly as after.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index.codec import Head, same
from fashionsearch.index.engines import estimating
from fashionsearch.index.engines.base import Engine, Facts, Settings, fetch_present
from fashionsearch.index.engines.durable import DurableEngine
from fashionsearch.index.engines.merging import merged, without
from fashionsearch.index.engines.noted import MADE_OF, MAPPED, alike, fitting, notes, picked, plain
from fashionsearch.index.filters import Condition, lacking, leaves
from fashionsearch.index.mapping import SpaceMap
from fashionsearch.index.rows import Id, Rows
from fashionsearch.results import Matches
from fashionsearch.values import Value

_WIDER = 4
_TRIES = 3  # of a search while rows move, before it holds them still


class MigratingEngine:
    """Two engines as one; what it offers is described in `base.Engine`.

    Args:
        old: holds every row, with the old encoder's vectors.
        new: holds those rows that were embedded again.
        mapping: from one space to the other.

    Attributes:
        old: as given.
        new: as given.
        mapping: as given.
        stop: ends the embedding in the background, if there is any.
        failure: what ended the embedding before its time, until the next call has told it.
    """

    def __init__(self, old: Engine, new: Engine, mapping: SpaceMap) -> None:
        self.old, self.new, self.mapping = old, new, mapping
        self._moved = 0  # odd while new rows are put or taken away, and another number after
        self._compared: tuple[list[Head], set[Id]] = [], set()
        self.failure: BaseException | None = None
        self.stop: Callable[[], None] | None = None
        # A server would be asked for each candidate of each search.
        self._known: set[Id] | None = set(new) if new.settings.server is not None else None

    @property
    def settings(self) -> Settings:
        """Those of the new rows; another `ef_search` holds for both."""
        return self.new.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self.new.settings = settings
        self.old.settings = replace(self.old.settings, ef_search=settings.ef_search)

    @property
    def is_writing(self) -> bool:
        """Whether changes are possible: no engine of the two is closed or a reader's."""
        return all(getattr(engine, "is_writing", True) for engine in (self.old, self.new))

    @property
    def changing(self) -> contextlib.AbstractContextManager[Any]:
        """A lock that one thread may take several times."""
        return self._both()

    @contextlib.contextmanager
    def _both(self) -> Iterator[None]:
        with self.new.changing, self.old.changing:
            yield

    @property
    def id_kind(self) -> type | None:
        """The kind of ids, str or int, which the first row ever added decides."""
        return self.old.id_kind

    @property
    def next_id(self) -> int:
        """One more than the largest integer id there ever was, or 0."""
        return self.old.next_id

    @property
    def has_graph(self) -> bool:
        """Whether searches may walk through graphs alone."""
        return self.old.has_graph and self.new.has_graph

    def allow(self, ef_search: int) -> bool:
        """Verify some more rows for a lower `ef_search`; return whether all are, so that searches keep to that at once."""
        return all([self.old.allow(ef_search), self.new.allow(ef_search)])

    def __len__(self) -> int:
        return len(self.old)

    @property
    def gone(self) -> set[Id]:
        """The new rows whose items are gone: whoever writes has none, and a reader what a writer of the old ones left."""
        if self.is_writing:
            return set()
        # Asked for their lengths, they take over what there is.
        both = [each for each in (self.old, self.new) if isinstance(each, DurableEngine) and len(each) >= 0]
        heads = [each.at for each in both]
        if heads != self._compared[0]:
            self._compared = heads, set(self.new).difference(self.old)
        return self._compared[1]

    @property
    def done(self) -> int:
        """How many items have new vectors."""
        return len(self.new) - len(self.gone)

    def __contains__(self, item: object) -> bool:
        return item in self.old

    def __iter__(self) -> Iterator[Id]:
        return iter(self.old)

    def renewed(self, ids: Sequence[Id]) -> list[Id]:
        """Return those of some ids whose rows have new vectors."""
        if self._known is not None:
            return [item for item in ids if item in self._known]
        return [item for item in ids if item in self.new]

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id; the vectors of those that have no new ones are what the map makes of the old.

        Raises:
            UnknownIdError: if one isn't there.
        """
        rows = self.old.fetch(ids)
        vectors = self.mapping.estimates(rows.vectors)
        fresh = fetch_present(self.new, self.renewed(list(rows.ids)))
        place = {item: number for number, item in enumerate(rows.ids)}
        for number, item in enumerate(fresh.ids):
            vectors[place[item]] = fresh.vectors[number]
        return replace(rows, vectors=vectors, metadata=[plain(each) for each in rows.metadata])

    def upsert(self, rows: Rows) -> None:
        """Add rows with new vectors; what only changes the metadata of a row leaves its old vector."""
        self._tell_failure()
        with self.changing:
            there = [item for item in rows.ids if item in self.old]
            held, current = self.old.fetch(there), self.fetch(there)
            place = {item: number for number, item in enumerate(there)}
            mapped = self.mapping.probes(rows.vectors)
            renewed, kept = set(self.renewed(there)), []
            metadata: list[Mapping[str, Value]] = []
            for number, item in enumerate(rows.ids):
                at = place.get(item)
                known = at is not None and alike(rows.vectors[number], current.vectors[at])
                if known and at is not None:
                    mapped[number] = held.vectors[at]
                marked = not known or at is None or MAPPED in held.metadata[at]
                metadata.append({**rows.metadata[number], **({MAPPED: True} if marked else {})})
                if not known or item in renewed:
                    kept.append(number)
            before = replace(rows, vectors=mapped, metadata=metadata)
            self._take_away([item for item in there if item in renewed])
            self.old.upsert(before)
            self._put(picked(rows, kept), mapped[kept])

    def place(self, rows: Rows, vectors: NDArray[np.float32]) -> None:
        """Give old rows new vectors, unless they have changed since they were looked at."""
        with self.changing:
            there = fetch_present(self.old, [item for item in rows.ids if item in self.old])
            looked = {item: number for number, item in enumerate(rows.ids)}
            kept = [
                number
                for number, item in enumerate(there.ids)
                if alike(there.vectors[number], rows.vectors[looked[item]])
                and there.sources[number] == rows.sources[looked[item]]
            ]
            chosen = picked(there, kept)
            places = [looked[item] for item in chosen.ids]
            self._put(replace(chosen, vectors=vectors[places]), chosen.vectors)

    def stale(self, rows: Rows) -> list[int]:
        """Return the places of those old rows that have no new vector made of them; metadata that differ are put right."""
        fresh = fetch_present(self.new, self.renewed(list(rows.ids)))
        at = fitting(rows, fresh)
        differing = [
            number
            for number, place in at.items()
            if fresh.sources[place] != rows.sources[number]
            or not same(plain(fresh.metadata[place]), plain(rows.metadata[number]))
        ]
        if differing:
            vectors = np.stack([fresh.vectors[at[number]] for number in differing])
            self.place(picked(rows, differing), vectors)
        return [number for number in range(len(rows)) if number not in at]

    def strays(self) -> list[Id]:
        """Take away new rows whose items are gone, and return their ids."""
        with self.changing:
            gone = [item for item in self.new if item not in self.old]
            self._take_away(gone)
        return gone

    def drop_stale(self, ids: Sequence[Id]) -> None:
        """Take away those new rows of some items that are made of other vectors than these have now."""
        with self.changing:
            rows = fetch_present(self.old, self.renewed(ids))
            self._take_away([rows.ids[place] for place in self.stale(rows)])

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove rows; all the ids are there, each once."""
        with self.changing:
            self._take_away(self.renewed(ids))
            self.old.delete(ids)

    def update(self, item: Id, metadata: Mapping[str, Value]) -> None:
        """Set fields of the metadata of a row that is there; its other fields stay."""
        with self.changing:
            self.old.update(item, metadata)
            if self.renewed([item]):
                self.new.update(item, metadata)

    def search(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        """Return the k nearest rows of each vector (n, dim), of those that meet a condition, nearest first."""
        self._tell_failure()
        for leaf, _ in leaves(condition) if condition is not None else ():
            self.old.check_field(leaf.field, "where")
        for _ in range(_TRIES):
            moved = self._moved
            found = self._search(vectors, k, condition, exact)
            if moved == self._moved and moved % 2 == 0:
                return found  # what moves from one engine to the other meanwhile may be in neither answer
        with self.changing:
            return self._search(vectors, k, condition, exact)

    def _search(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        gone = self.gone
        fresh = self._search_new(vectors, k + len(gone), condition, exact)
        if gone:
            fresh = without(fresh, gone, k)
        if self.done >= len(self.old):
            return fresh
        width = max(estimating.POOL, 2 * k)
        while True:
            found = estimating.search(
                self.old, self.mapping, vectors, width, condition, exact, left_out=self.renewed
            )
            if self._is_enough(found, fresh, k, width):
                break
            width *= _WIDER
        return merged(fresh, found, min(k, len(self)))

    def _search_new(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        """Search the new rows, of which none may have a field that the condition names."""
        left: Condition | bool | None = condition
        if condition is not None:
            names = {leaf.field for leaf, _ in leaves(condition)}
            left = lacking(condition, {name for name in names if not self._has_field(name)})
        if left is False:
            nothing = np.full((len(vectors), 0), None, dtype=object)
            return Matches(
                nothing, nothing.astype(np.float32), nothing, np.zeros(len(vectors), np.int64), nothing
            )
        return self.new.search(vectors, k, None if isinstance(left, bool) else left, exact)

    def _has_field(self, name: str) -> bool:
        try:
            self.new.check_field(name, "where")
        except errors.InputError:
            return False
        return True

    @staticmethod
    def _is_enough(found: Matches, fresh: Matches, k: int, width: int) -> bool:
        """Return whether no old row that wasn't found can be among the k nearest of any query."""
        there = ~np.isnan(found.similarities)
        for query, count in enumerate(found.counts.tolist()):
            rest = found.similarities[query][there[query]]
            has_better = (
                len(rest) and fresh.counts[query] >= k and fresh.similarities[query, k - 1] >= rest.min()
            )
            if count >= width and len(rest) < k and not has_better:
                return False
        return True

    def _tell_failure(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            warnings.warn(
                f"the items could not all be embedded again ({failure!r}); the answers are right, from mapped queries where "
                "there are no new vectors; call index.migration.start() to go on",
                errors.DataWarning,
                stacklevel=5,
            )

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        self._moved += 1
        try:
            yield
        finally:
            self._moved += 1

    def _take_away(self, ids: Sequence[Id]) -> None:
        if ids:
            with self._moving():
                self.new.delete(list(ids))
            if self._known is not None:
                self._known.difference_update(ids)

    def _put(self, rows: Rows, made_of: NDArray[np.float32]) -> None:
        """Give the new rows some more, or others; `made_of` are the old vectors that they stand for."""
        if not len(rows):
            return
        noted = zip(rows.metadata, notes(made_of), strict=True)
        with self._moving():
            self.new.upsert(replace(rows, metadata=[{**plain(each), MADE_OF: text} for each, text in noted]))
        if self._known is not None:
            self._known.update(rows.ids)

    def check_field(self, field: str, asker: str) -> None:
        """Raise InputError, which says who asks, if there are rows and none has such a metadata field."""
        self.old.check_field(field, asker)

    def counts(
        self, field: str, condition: Condition | None, most: int | None = None
    ) -> list[tuple[Value, int]]:
        """Return a field's values and how many rows that meet a condition have each, the commonest first."""
        return self.old.counts(field, condition, most)

    def identity(self, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return by what the encoder of the new rows is recognised."""
        return self.new.identity(given)

    def settle(self, seconds: float) -> None:
        """Wait until what the engines make aside is there, at most so long for each."""
        self.old.settle(seconds)
        self.new.settle(seconds)

    def facts(self) -> Facts:
        """Return what both know of themselves."""
        old, new = self.old.facts(), self.new.facts()
        disk = None if old.disk is None or new.disk is None else max(old.disk, new.disk)
        return replace(old, deleted=max(old.deleted, new.deleted), memory=old.memory + new.memory, disk=disk)

    def refresh(self) -> None:
        """Take over what others have changed."""
        self.old.refresh()
        self.new.refresh()

    def close(self) -> None:
        """Give back files and connections of both, once nobody embeds for them any more."""
        if self.stop is not None:
            self.stop()
        with contextlib.closing(self.old):
            self.new.close()

    def writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return what writes the new rows, which are all there once the migration has switched."""
        return self.new.writers()

    def read(self, saved: storage.Saved, notes: Mapping[str, Any], *, rebuild: bool) -> None:
        """Do nothing: the two engines were filled before."""
