"""The engine of a collection of Qdrant: on a cluster, sharded and replicated, or in this process for trials."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index import forks
from fashionsearch.index.engines.base import Facts, Settings
from fashionsearch.index.engines.qdrant import points
from fashionsearch.index.engines.qdrant.collection import begin
from fashionsearch.index.engines.qdrant.filters import needs_values, payload_key, rendered
from fashionsearch.index.engines.qdrant.session import Session, available
from fashionsearch.index.engines.remote import FIELD, Hit, RemoteEngine
from fashionsearch.index.filters import Condition, Contains, as_number, leaves
from fashionsearch.index.readings import (
    NUMBER,
    REAL,
    VALUE,
    WORDS,
    decoded,
    encoded,
    is_large,
    plain,
)
from fashionsearch.index.rows import Id, Rows, unknown_id
from fashionsearch.values import Value

_AT_ONCE = 500  # rows of one request
_QUERIES = 100  # of one request
_PAGE = 10_000  # points that are listed at once
_VALUES = 100_000  # distinct values of a field that are looked through for a range of texts


class QdrantEngine(RemoteEngine):
    """Rows of a collection; what it offers is described in `base.Engine`.

    A request changes up to 500 rows, wholly or not at all on each shard. A call of more is several requests; where one
    fails, the rows of new ids are taken back if the server can be reached, and the error says whether some may be there.
    """

    def __init__(self, settings: Settings, shares: QdrantEngine | None = None) -> None:
        super().__init__(settings)
        if not available():
            raise errors.MissingPackageError(
                "engine='qdrant' needs a package that isn't installed: pip install qdrant-client"
            )
        self._changing = threading.RLock()
        self._session: Session = Session(self._server, None if shares is None else shares._session)
        forks.register(self)
        begin(self._session, settings)

    @property
    def address(self) -> str:
        """The server's address without what is secret."""
        return self._session.address

    @property
    def changing(self) -> contextlib.AbstractContextManager[Any]:
        """A lock of this process; Qdrant has none for several."""
        return self._changing

    @property
    def has_graph(self) -> bool:
        """Whether the server searches through a graph."""
        found = self._session.ask(lambda client: client.get_collection(self._server.collection))
        return bool(found.indexed_vectors_count) and not self._session.is_local

    def number(self, asked: Any) -> int:
        """Return the number of rows that meet what `asked` returned."""
        return self._session.ask(
            lambda client: client.count(self._server.collection, count_filter=asked, exact=True)
        ).count

    def known(self, *, now: bool = False) -> Mapping[str, Any]:
        """Return what holds for all rows, by name, as it was half a second ago at most."""
        return self._session.known(now=now)

    def identity(self, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return by what the encoder of the rows is recognised; what is given is kept if nothing is."""
        held = self._session.known(now=True).get("encoder")
        if given is not None and (held is None or (held != dict(given) and not self.count())):
            self._session.tell({"encoder": dict(given)})
            return given
        return held

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, str | int):
            return False
        return bool(self._records([item], with_payload=False, with_vectors=False))

    def __iter__(self) -> Iterator[Id]:
        found = [
            (record.payload["order"], decoded(record.payload["id"]))
            for record in self._all(["order", "id"], with_vectors=False)
        ]
        return iter([item for _, item in sorted(found, key=lambda entry: entry[0])])  # type: ignore[misc]

    def _all(self, payload: Any, *, with_vectors: bool) -> Iterator[Any]:
        offset: Any = None
        while True:
            at = offset
            records, offset = self._session.ask(
                lambda client, at=at: client.scroll(  # type: ignore[misc]
                    self._server.collection,
                    limit=_PAGE,
                    offset=at,
                    with_payload=payload,
                    with_vectors=with_vectors,
                )
            )
            yield from records
            if offset is None:
                return

    def _records(self, ids: Sequence[Id], **wanted: Any) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(ids), _AT_ONCE):
            chosen = [points.point_id(item) for item in ids[start : start + _AT_ONCE]]
            found += self._session.ask(
                lambda client, chosen=chosen: client.retrieve(self._server.collection, chosen, **wanted)  # type: ignore[misc]
            )
        return found

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id.

        Raises:
            UnknownIdError: if one isn't there.
        """
        found = {
            str(record.id): record for record in self._records(ids, with_payload=True, with_vectors=True)
        }
        records = []
        for item in ids:
            record = found.get(points.point_id(item))
            if record is None:
                raise unknown_id(item, self.id_kind, self.count())
            records.append(record)
        return points.rows_of(ids, records, self.settings)

    def upsert(self, rows: Rows) -> None:
        """Add rows; those whose ids are there replace vector, metadata and source.

        Raises:
            StorageError: if the server can't be reached; the message says what was changed.
        """
        with self._changing:
            self._prepare(rows)
            tried: list[Id] = []  # new ids that may have been written
            replaced = False
            try:
                for start in range(0, len(rows), _AT_ONCE):
                    places = range(start, min(start + _AT_ONCE, len(rows)))
                    there = self._orders([rows.ids[place] for place in places])
                    tried += [
                        rows.ids[place] for place in places if points.point_id(rows.ids[place]) not in there
                    ]
                    replaced = replaced or bool(there)
                    self._write(rows, places, there)
            except BaseException as error:
                is_undone = False
                with contextlib.suppress(errors.StorageError):
                    self.delete(tried)
                    is_undone = not replaced
                if not isinstance(error, errors.StorageError):
                    raise
                told = (
                    "nothing was changed"
                    if is_undone
                    else f"some of the {len(rows):,} rows may have been written"
                )
                raise errors.StorageError(
                    f"{error}; {told}, and the call can be made again with the same ids"
                ) from error

    def _prepare(self, rows: Rows) -> None:
        """Tell the collection of new fields and ids before the rows are there, so that no filter misses them."""
        known = self._session.known(now=True)
        facts: dict[str, Any] = {}
        for row in rows.metadata:
            for name, value in row.items():
                facts[FIELD + plain(name)] = True
                number = as_number(value)
                if number is not None and is_large(number):
                    facts[f"large:{plain(name)}"] = True
        integers = [item + 1 for item in rows.ids if isinstance(item, int)]
        if len(rows):
            facts["id_kind"] = type(rows.ids[0]).__name__
            facts["next_id"] = str(max([int(known.get("next_id", 0)), *integers]))
        fresh = {name: value for name, value in facts.items() if known.get(name) != value}
        if fresh:
            self._session.tell(fresh)

    def _orders(self, ids: Sequence[Id]) -> dict[str, int]:
        """Return the order of each point of some ids that is there."""
        found = self._records(ids, with_payload=["order"], with_vectors=False)
        return {str(record.id): record.payload["order"] for record in found}

    def _write(self, rows: Rows, places: range, there: Mapping[str, int]) -> None:
        """Write some of the rows in one request."""
        from qdrant_client import models

        now = time.time_ns()
        written = [
            models.PointStruct(
                id=(point := points.point_id(rows.ids[place])),
                vector=points.direction(rows.vectors[place], self.settings.metric),
                payload=points.payload_of(rows, place, there.get(point, now + place)),
            )
            for place in places
        ]
        self._session.ask(lambda client: client.upsert(self._server.collection, written, wait=True))

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove rows; all the ids are there, each once."""
        from qdrant_client import models

        with self._changing:
            for start in range(0, len(ids), _PAGE):
                chosen: list[Any] = [points.point_id(item) for item in ids[start : start + _PAGE]]
                self._session.ask(
                    lambda client, chosen=chosen: client.delete(  # type: ignore[misc]
                        self._server.collection, models.PointIdsList(points=chosen), wait=True
                    )
                )

    def update(self, item: Id, metadata: Mapping[str, Value]) -> None:
        """Set fields of the metadata of a row that is there; its other fields stay."""
        with self._changing:
            rows = self.fetch([item])
            self._prepare(Rows([item], rows.vectors, [metadata], rows.sources))
            chosen: list[Any] = [points.point_id(item)]
            fields = points.fields_of(metadata)
            # The fields alone, so that another process may set others at the same time.
            self._session.ask(
                lambda client: client.set_payload(
                    self._server.collection, fields, points=chosen, key="fields", wait=True
                )
            )

    def answers(self, vectors: NDArray[np.float32], k: int, asked: Any, exact: bool) -> list[list[Hit]]:
        """Return what the server finds for each vector."""
        from qdrant_client import models

        found: list[list[Hit]] = []
        for start in range(0, len(vectors), _QUERIES):
            requests = [
                models.QueryRequest(
                    query=points.direction(vector, self.settings.metric),
                    filter=asked,
                    limit=k,
                    params=models.SearchParams(hnsw_ef=max(k, self.settings.ef_search), exact=exact),
                    with_payload=True,
                )
                for vector in vectors[start : start + _QUERIES]
            ]
            answers = self._session.ask(
                lambda client, requests=requests: client.query_batch_points(  # type: ignore[misc]
                    self._server.collection, requests
                )
            )
            found += [
                [points.hit(point, self.settings.metric) for point in answer.points] for answer in answers
            ]
        return found

    def asked(self, condition: Condition | None) -> Any:
        """Return a condition as Qdrant's filter, its payload indexes made.

        What Qdrant can't compare (texts in order, whole numbers beyond 2^53) is decided here for each distinct value of the
        field.
        """
        if condition is None:
            return None
        known = self._session.known()
        decided: dict[Any, tuple[str, ...]] = {}
        for leaf, _ in leaves(condition):
            has_large = f"large:{plain(leaf.field)}" in known
            if needs_values(leaf, has_large=has_large):
                held = [value for value, _ in self.counts(leaf.field, None)]
                decided[leaf] = tuple(
                    encoded(value) for value in held if value is not None and leaf.holds(value)
                )
            readings = (VALUE, NUMBER, REAL, *map(points.exact, (NUMBER, REAL) if has_large else ()))
            for reading in (WORDS,) if isinstance(leaf, Contains) else readings:
                self._session.make_index(
                    payload_key(leaf.field, reading), of_numbers=reading in (NUMBER, REAL)
                )
        return rendered(condition, decided)

    def counts(
        self, field: str, condition: Condition | None, most: int | None = None
    ) -> list[tuple[Value, int]]:
        """Return a field's values and how many rows that meet a condition have each, the commonest first.

        Raises:
            InputError: if a field is named that no row has, or has more than 100,000 values.
        """
        if not self._has_field(field):
            return []
        self._check_fields(condition)
        path = payload_key(field, VALUE)
        self._session.make_index(path, of_numbers=False)
        asked = self.asked(condition)
        hits = self._session.ask(
            lambda client: client.facet(
                self._server.collection, path, facet_filter=asked, limit=most or _VALUES, exact=True
            )
        ).hits
        if most is None and len(hits) >= _VALUES:
            raise errors.InputError(
                f"{field!r} has more than {_VALUES:,} values, too many for Qdrant to go through; keep it as a number where "
                "it is to be compared"
            )
        return [(decoded(str(hit.value)), hit.count) for hit in hits]

    def facts(self) -> Facts:
        """Return what it knows of itself; memory is that of this process."""
        marks: dict[bytes, int] = {}
        for record in self._all(["length"], with_vectors=True):
            scaled = np.array(record.vector, dtype=np.float32) * record.payload["length"]
            mark = hashlib.blake2b(scaled.tobytes(), digest_size=8).digest()
            marks[mark] = marks.get(mark, 0) + 1
        total = sum(marks.values())
        return Facts(0.0, sum(n for n in marks.values() if n > 1) / max(1, total), 0)

    def writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return no files, and where the rows are.

        Raises:
            InputError: if they are in the memory of this process, which nobody finds again.
        """
        if self._server.url == ":memory:":
            raise errors.InputError(
                "url=':memory:' is gone with this process, so there is nothing to save; give url='file:/a/folder', or copy "
                "the items to another index by copy_to"
            )
        return super().writers()

    def close(self) -> None:
        """Close connections; the next call opens them again."""
        self._session.close()

    def after_fork(self) -> None:
        """Open connections of its own, and renew the locks."""
        self._session.after_fork()
        self._changing = threading.RLock()
