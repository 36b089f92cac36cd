"""Rows in a table of PostgreSQL with the extension pgvector.

```text
COLLECTION         place bigint (order of first insertion), key text (the id, as `readings.encoded` writes it), vector,
                   source text, fields jsonb (the readings of the metadata)
COLLECTION_facts   name text, value text: what holds for all rows
```
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index import forks
from fashionsearch.index.engines.base import Facts, Settings
from fashionsearch.index.engines.pgvector.filters import rendered
from fashionsearch.index.engines.pgvector.session import Session, available
from fashionsearch.index.engines.remote import FIELD, Hit, RemoteEngine
from fashionsearch.index.filters import Condition
from fashionsearch.index.readings import VALUE, decoded, encoded, key, metadata_of, plain, readings, restored
from fashionsearch.index.rows import Id, Rows, unknown_id
from fashionsearch.values import Value

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

_FORMAT = "1"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,50}")
_QUERIES = 100  # of one statement
_GRAPH_FROM = 10_000  # rows from which on an HNSW index pays
_MOST_DIMENSIONS = 2000  # that pgvector's HNSW index takes
_OPERATORS = {"cosine": ("<=>", "vector_cosine_ops"), "euclidean": ("<->", "vector_l2_ops")}


class PgvectorEngine(RemoteEngine):
    """Rows of a table; what it offers is described in `base.Engine`.

    A change is one transaction. Changes of all processes come one at a time, by an advisory lock. From 10,000 rows on
    searches go through pgvector's HNSW index, with iterative scans, so that a filter leaves enough; what it leaves short all
    the same is answered exactly. Vectors longer than 2,000 numbers, which that index doesn't take, are compared one by one.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if not available():
            raise errors.MissingPackageError(
                "engine='pgvector' needs packages that aren't installed: pip install 'psycopg[binary]' psycopg-pool pgvector"
            )
        if not _NAME.fullmatch(self._server.collection):
            raise errors.InputError(
                f"collection={self._server.collection!r} is not a table's name: letters, digits and underscores, at most 51"
            )
        self._session = Session(self._server)
        forks.register(self)
        self._has_index = False
        self._start()

    @property
    def address(self) -> str:
        """Where the table is, without what is secret."""
        return self._session.address

    @property
    def changing(self) -> contextlib.AbstractContextManager[Any]:
        """A lock that one thread of all processes has, and may take several times."""
        return self._session.exclusively()

    def _sql(self, text: str, **parts: Composable) -> Any:
        from psycopg import sql

        operator, ops = _OPERATORS[self.settings.metric]
        return sql.SQL(text).format(
            table=sql.Identifier(self._server.collection),
            facts=sql.Identifier(f"{self._server.collection}_facts"),
            name=sql.Literal(f'"{self._server.collection}"'),
            index=sql.Identifier(f"{self._server.collection}_hnsw"),
            gin=sql.Identifier(f"{self._server.collection}_gin"),
            operator=sql.SQL(operator),
            ops=sql.SQL(ops),
            **parts,
        )

    def _start(self) -> None:
        """Make the table, or check the one that is there.

        Raises:
            InputError: if it holds vectors of another kind.
        """
        wanted = {"format": _FORMAT, "dim": str(self.settings.dim), "metric": self.settings.metric}

        def make(connection: Connection[Any]) -> None:
            from psycopg import sql

            dim = sql.Literal(self.settings.dim)
            for text in (
                "CREATE TABLE IF NOT EXISTS {facts} (name text PRIMARY KEY, value text NOT NULL)",
                "CREATE TABLE IF NOT EXISTS {table} (place bigint GENERATED ALWAYS AS IDENTITY, "
                'key text COLLATE "C" PRIMARY KEY, vector vector({dim}) NOT NULL, source text, fields jsonb NOT NULL)',
                "CREATE INDEX IF NOT EXISTS {gin} ON {table} USING gin (fields jsonb_path_ops)",
            ):
                connection.execute(self._sql(text, dim=dim))
            self._note(connection, wanted)

        self._session.begin()
        if not self._session.has("facts"):
            self._session.write(make)
        found = self.known()
        if found.get("format") != _FORMAT:
            raise errors.StorageError(
                f"the table {self._server.collection!r} has format {found.get('format')!r}, and this version knows "
                f"{_FORMAT}; use a newer fashionsearch"
            )
        if {name: found.get(name) for name in wanted} != wanted:
            raise errors.InputError(
                f"the table {self._server.collection!r} holds vectors of length {found.get('dim')} that are compared by "
                f"metric={found.get('metric')!r}, and these are of length {self.settings.dim}, with "
                f"metric={self.settings.metric!r}; use another collection"
            )

    def _note(self, connection: Connection[Any], facts: Mapping[str, str], *, again: bool = True) -> None:
        insert = "INSERT INTO {facts} VALUES (%s, %s) ON CONFLICT (name) "
        statement = self._sql(insert + ("DO UPDATE SET value = EXCLUDED.value" if again else "DO NOTHING"))
        with connection.cursor() as cursor:
            cursor.executemany(statement, list(facts.items()))

    def known(self, *, now: bool = True) -> Mapping[str, Any]:
        """Return what holds for all rows, by name, as it is now."""
        return dict(
            self._session.ask(lambda c: c.execute(self._sql("SELECT name, value FROM {facts}")).fetchall())
        )

    @property
    def has_graph(self) -> bool:
        """Whether there is an HNSW index."""
        if not self._has_index:
            self._has_index = self._session.has("hnsw")
        return self._has_index

    def asked(self, condition: Condition | None) -> Any:
        """Return a condition as the words of a WHERE clause, and its parameters."""
        return rendered(condition)

    def number(self, asked: Any) -> int:
        """Return the number of rows that meet what `asked` returned."""
        kept, values = asked
        return self._number("SELECT count(*) FROM {table} WHERE {kept}", values, kept=kept)

    def _number(self, text: str, values: Sequence[Any] = (), **parts: Composable) -> int:
        found = self._session.ask(lambda c: c.execute(self._sql(text, **parts), values).fetchone())
        return int(found[0])  # type: ignore[index]

    def identity(self, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return by what the encoder of the rows is recognised; what is given is kept if nothing is."""
        held = self.known().get("encoder")
        if given is not None and (held is None or (json.loads(held) != dict(given) and not self.count())):
            told = {"encoder": json.dumps(given)}
            # Of two processes that begin at once the first one's stands, unless there are no rows yet.
            self._session.write(lambda connection: self._note(connection, told, again=held is not None))
            held = self.known().get("encoder")
        return None if held is None else dict(json.loads(held))

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, str | int):
            return False
        statement = self._sql("SELECT 1 FROM {table} WHERE key = %s")
        return self._session.ask(lambda c: c.execute(statement, [encoded(item)]).fetchone()) is not None

    def __iter__(self) -> Iterator[Id]:
        found = self._session.ask(
            lambda c: c.execute(self._sql("SELECT key FROM {table} ORDER BY place")).fetchall()
        )
        return iter([decoded(row[0]) for row in found])  # type: ignore[misc]

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id.

        Raises:
            UnknownIdError: if one isn't there.
        """
        statement = self._sql("SELECT key, vector, fields, source FROM {table} WHERE key = ANY(%s)")
        keys = [encoded(item) for item in ids]
        found = {
            row[0]: row[1:] for row in self._session.ask(lambda c: c.execute(statement, [keys]).fetchall())
        }
        for item, name in zip(ids, keys, strict=True):
            if name not in found:
                raise unknown_id(item, self.id_kind, self.count())
        rows = [found[name] for name in keys]
        vectors = np.array([_array(row[0]) for row in rows], dtype=np.float32)
        return Rows(
            list(ids),
            vectors.reshape(len(ids), self.settings.dim),
            [metadata_of(row[1], private=True) for row in rows],
            [None if row[2] is None else restored(row[2]) for row in rows],
        )

    def upsert(self, rows: Rows) -> None:
        """Add rows; those whose ids are there replace vector, metadata and source."""
        if not len(rows):
            return

        def change(connection: Connection[Any]) -> None:
            self._copy(connection, rows)
            known = dict(connection.execute(self._sql("SELECT name, value FROM {facts}")).fetchall())
            integers = [item + 1 for item in rows.ids if isinstance(item, int)]
            facts = {FIELD + plain(name): "" for row in rows.metadata for name in row}
            facts["id_kind"] = type(rows.ids[0]).__name__
            facts["next_id"] = str(max([int(known.get("next_id", "0")), *integers]))
            self._note(connection, {name: value for name, value in facts.items() if known.get(name) != value})

        with self._session.exclusively():
            self._session.write(change)
            if self.settings.dim <= _MOST_DIMENSIONS and not self.has_graph and self.count() >= _GRAPH_FROM:
                try:
                    self._session.write(self._make_graph)
                except errors.StorageError as error:
                    warnings.warn(
                        f"the items are kept; their HNSW index could not be made, and searches compare one by one: {error}",
                        errors.DataWarning,
                        stacklevel=5,
                    )

    def _copy(self, connection: Connection[Any], rows: Rows) -> None:
        """Bring rows in by COPY, beside the table, and from there into it."""
        from psycopg.types.json import Jsonb

        connection.execute(
            "CREATE TEMPORARY TABLE staged (number bigint, key text, vector vector, source text, fields jsonb) "
            "ON COMMIT DROP"
        )
        command = "COPY staged FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(command) as copy:
            copy.set_types(["int8", "text", "vector", "text", "jsonb"])
            for number, (item, vector, metadata, source) in enumerate(
                zip(rows.ids, rows.vectors, rows.metadata, rows.sources, strict=True)
            ):
                told = None if source is None else plain(str(source))
                copy.write_row((number, encoded(item), vector, told, Jsonb(readings(metadata))))
        connection.execute(
            self._sql(
                "INSERT INTO {table} (key, vector, source, fields) "
                "SELECT key, vector, source, fields FROM staged ORDER BY number "
                "ON CONFLICT (key) DO UPDATE SET vector = EXCLUDED.vector, source = EXCLUDED.source, "
                "fields = EXCLUDED.fields"
            )
        )

    def _make_graph(self, connection: Connection[Any]) -> None:
        from psycopg import sql

        m = min(self.settings.m, 100)  # the limits of pgvector
        statement = (
            "CREATE INDEX {index} ON {table} USING hnsw (vector {ops}) WITH (m = {m}, ef_construction = {ef})"
        )
        ef = min(max(self.settings.ef_construction, 2 * m), 1000)
        connection.execute(self._sql(statement, m=sql.Literal(m), ef=sql.Literal(ef)))

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove rows; all the ids are there, each once."""
        keys = [encoded(item) for item in ids]
        statement = self._sql("DELETE FROM {table} WHERE key = ANY(%s)")
        self._session.write(lambda connection: connection.execute(statement, [keys]))

    def update(self, item: Id, metadata: Mapping[str, Value]) -> None:
        """Set fields of the metadata of a row that is there; its other fields stay."""
        from psycopg.types.json import Jsonb

        statement = self._sql("UPDATE {table} SET fields = fields || %s WHERE key = %s")

        def change(connection: Connection[Any]) -> None:
            connection.execute(statement, [Jsonb(readings(metadata)), encoded(item)])
            self._note(connection, {FIELD + plain(name): "" for name in metadata})

        self._session.write(change)

    def answers(self, vectors: NDArray[np.float32], k: int, asked: Any, exact: bool) -> list[list[Hit]]:
        """Return what the server finds for each vector."""
        from psycopg import sql

        kept, values = asked
        # A sum is no order that an index has; and ties are in the order of insertion then.
        order = "0 + (vector {operator} asked.vector), place" if exact else "vector {operator} asked.vector"
        statement = self._sql(
            "SELECT asked.number, found.* FROM unnest(%s::text[]::vector[]) WITH ORDINALITY AS asked(vector, number) "
            "CROSS JOIN LATERAL (SELECT vector {operator} asked.vector, place, key, fields, source FROM {table} "
            "WHERE {kept} ORDER BY {order} LIMIT %s) AS found",
            kept=kept,
            order=self._sql(order) if order else sql.SQL(""),
        )
        ef, wait = str(min(max(k, self.settings.ef_search), 1000)), math.ceil(1000 * self._server.timeout)

        def ask(connection: Connection[Any], some: NDArray[np.float32]) -> list[Any]:
            texts = ["[" + ",".join(map(repr, vector)) + "]" for vector in some.tolist()]
            with connection.transaction():
                connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", [ef])
                connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(wait * len(some))]
                )
                return connection.execute(statement, [texts, *values, k]).fetchall()

        found: list[list[Hit]] = [[] for _ in vectors]
        for start in range(0, len(vectors), _QUERIES):
            some = vectors[start : start + _QUERIES]
            for number, distance, place, name, fields, source in self._session.ask(
                lambda connection, some=some: ask(connection, some)  # type: ignore[misc]
            ):
                similarity = 1 - distance if self.settings.metric == "cosine" else -distance
                told = None if source is None else restored(source)
                hit = Hit(decoded(name), similarity, place, metadata_of(fields), told)  # type: ignore[arg-type]
                found[start + number - 1].append(hit)
        return found

    def counts(
        self, field: str, condition: Condition | None, most: int | None = None
    ) -> list[tuple[Value, int]]:
        """Return a field's values and how many rows that meet a condition have each, the commonest first.

        Raises:
            InputError: if a field is named that no row has.
        """
        if not self._has_field(field):
            return []
        self._check_fields(condition)
        kept, values = rendered(condition)
        statement = self._sql(
            "SELECT fields #>> %s AS value, count(*) FROM {table} WHERE {kept} GROUP BY 1 ORDER BY 2 DESC, min(place)",
            kept=kept,
        )
        found = self._session.ask(lambda c: c.execute(statement, [[key(field), VALUE], *values]).fetchall())
        counts: list[tuple[Value, int]] = [(decoded(value), n) for value, n in found if value is not None]
        return counts[:most]

    def facts(self) -> Facts:
        """Return what it knows of itself; memory is that of this process."""
        twice = self._number(
            "SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM {table} GROUP BY vector) AS twins WHERE n > 1"
        )
        disk = self._number("SELECT pg_total_relation_size(to_regclass({name}))")
        return Facts(0.0, twice / max(1, self.count()), 0, disk)

    def close(self) -> None:
        """Close connections; the next call opens them again."""
        self._session.close()

    def after_fork(self) -> None:
        """Open connections of its own, and renew the locks."""
        self._session.after_fork()


def _array(vector: Any) -> Any:
    return vector.to_numpy() if hasattr(vector, "to_numpy") else vector
