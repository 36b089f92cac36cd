"""The truth of an opened index: its rows in an SQLite database, where each change is one transaction.

SQLite writes ahead (WAL) and waits for the disk at each commit, so what a change returned from outlives a crash and a power
failure. Each row bears a digest, and each change a number; the number of the last one is kept in a file beside the database
too, so that changes which a damaged or missing log took away are missed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.files import read_regular
from fashionsearch.index.claim import COUNTER
from fashionsearch.index.codec import Head, digest, digest_of_facts, record_of, rows_of, text
from fashionsearch.index.rows import Id, Rows
from fashionsearch.values import Value

DATABASE = "journal.sqlite"
FORMAT_VERSION = 1
_TABLES = {
    "facts": "CREATE TABLE facts (name TEXT PRIMARY KEY, value)",
    "items": (
        "CREATE TABLE items (place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, vector BLOB NOT NULL, "
        "metadata TEXT NOT NULL, source TEXT NOT NULL, digest BLOB NOT NULL, change INTEGER NOT NULL)"
    ),
    "by_change": "CREATE INDEX by_change ON items (change)",
    "removed": "CREATE TABLE removed (id TEXT PRIMARY KEY, change INTEGER NOT NULL, digest BLOB NOT NULL)",
}
_UPSERT = (
    "INSERT INTO items (id, vector, metadata, source, change, digest) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET vector = excluded.vector, metadata = excluded.metadata, source = excluded.source, "
    "digest = excluded.digest, change = excluded.change"
)
_READ = "SELECT id, vector, metadata, source, change, digest FROM items"
_CHANGED = "SELECT place FROM items WHERE change > ?"  # with an order, SQLite reads all rows in that
_COUNT = "SELECT count(*), coalesce(sum(change), 0) FROM items"
_DIGEST = "digest"  # among the facts: of the others
_AT_ONCE = 500  # rows that are read together
_WAIT = 10.0  # seconds for another process that holds the database for a moment


class Journal:
    """Rows by id, in a folder's database.

    Args:
        folder: of the index.
        dim: length of a vector.
        counter: what `claim` returned, which the journal closes; None only reads, while another process may write.

    Attributes:
        lost: how many changes the file beside the database knows of and the database doesn't.

    Raises:
        CorruptFileError: if the database isn't one of ours, or is damaged.
        StorageError: if it can't be read or written, or a newer version wrote it.
    """

    def __init__(self, folder: Path, dim: int, *, counter: int | None = None) -> None:
        self._folder, self._dim = folder, dim
        self.path = folder / DATABASE
        self._lock = threading.RLock()
        self._counter = -1 if counter is None else counter
        # Whoever forgets to close it is not to keep others from writing.
        self._release = None if counter is None else weakref.finalize(self, os.close, counter)
        self.lost, self._is_closed = 0, False
        self._seen: os.stat_result | None = None  # of the file that this is connected to
        self._is_unchanging = False  # as far as SQLite knows
        try:
            with self._told():
                self._connection = self._connected(read_only=counter is None)
                try:
                    self._check_tables(read_only=counter is None)
                    if counter is not None:
                        self._compare_counter()
                except BaseException:
                    self._connection.close()
                    raise
        except BaseException:
            self.forget()
            raise

    def _connected(self, *, read_only: bool) -> sqlite3.Connection:
        if read_only and not self.path.exists():
            raise errors.StorageError(f"{self._folder} holds no {DATABASE}; open it for writing once")
        mode = "ro" if read_only else "rwc"
        self._seen = self.path.stat() if read_only else None
        if read_only and not os.access(self._folder, os.W_OK) and not Path(f"{self.path}-wal").exists():
            mode = "ro&immutable=1"  # SQLite reads a log only where it can write beside it, and there is none
        self._is_unchanging = "immutable" in mode
        connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=_WAIT,
            isolation_level=None,
            check_same_thread=False,
        )
        # Nothing that a database's file says is executed.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._seen = self.path.stat()
        return connection

    def _check_tables(self, *, read_only: bool) -> None:
        found = dict(self._connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        found.pop("sqlite_sequence", None)
        if not found and read_only:
            raise errors.StorageError(f"{self.path} is empty; open {self._folder} for writing once")
        if not found:
            with self._transaction("BEGIN IMMEDIATE") as connection:
                for statement in _TABLES.values():
                    connection.execute(statement)
                numbers = dict.fromkeys(("change", "known_from", "count", "total"), 0)
                self._note(
                    {
                        "version": FORMAT_VERSION,
                        "epoch": secrets.token_hex(8),
                        "id_kind": None,
                        "next_id": "0",
                        **numbers,
                    }
                )
            return
        version = None
        if "facts" in found:
            row = self._connection.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
            version = row and row[0]
        if type(version) is int and version > FORMAT_VERSION:
            raise errors.StorageError(
                f"{self.path} has format version {version}, and this fashionsearch reads up to {FORMAT_VERSION}; upgrade it"
            )
        if found != _TABLES or version != FORMAT_VERSION:
            raise errors.CorruptFileError(f"{self.path} is no journal of an index; restore it from a copy")

    def _facts(self) -> dict[str, Any]:
        """Return what is noted of the rows as a whole.

        Raises:
            ValueError: if it isn't what was written.
        """
        facts = dict(self._connection.execute("SELECT name, value FROM facts"))
        if facts.pop(_DIGEST, None) != digest_of_facts(facts):
            raise ValueError("what is noted of its rows isn't what was written")
        return facts

    def _note(self, facts: Mapping[str, Any]) -> None:
        noted = {**facts, _DIGEST: digest_of_facts(facts)}
        self._connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", noted.items())

    def check(self) -> None:
        """Compare how many rows there are, and of which changes, with what is noted.

        Raises:
            CorruptFileError: if rows are missing, or there are others.
        """
        with self.snapshot():
            facts = self._facts()
            found = self._connection.execute(_COUNT).fetchone()
            if found != (facts["count"], facts["total"]):
                raise ValueError(
                    f"{found[0]:,} rows are there, and {facts['count']:,} were written, or of other changes"
                )

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read inside the block be of one moment, whatever others write."""
        with self._lock, self._told():
            self._look_again()
            with self._transaction("BEGIN"):
                yield

    def _look_again(self) -> None:
        """Connect again where a database that was taken for unchanging has changed; one that is no longer there is told."""
        seen = self._seen
        found = self.path.stat() if self.path.exists() else None
        if seen is None or found is None or not os.path.samestat(found, seen):
            raise errors.StorageError(
                f"{self._folder} was removed, replaced or given another encoder; open the index again"
            )
        is_same = (found.st_mtime_ns, found.st_size) == (seen.st_mtime_ns, seen.st_size)
        if self._is_unchanging and not (is_same and not Path(f"{self.path}-wal").exists()):
            self._connection.close()
            self._connection = self._connected(read_only=True)

    def pause(self) -> None:
        """Close the database until `resume`; until then nobody else comes in."""
        self._lock.acquire()
        if not self._is_closed:
            self._connection.close()

    def resume(self) -> None:
        """Open the database again."""
        try:
            if not self._is_closed:
                self._connection = self._connected(read_only=self._counter < 0)
        finally:
            self._lock.release()

    def _compare_counter(self) -> None:
        head = self.head()
        try:
            told = int(read_regular(self._folder / COUNTER, 100).split()[0])
        except (OSError, ValueError, IndexError):
            told = 0  # the file is there to find a fault of the database, and not to make one
        if told > head.change:
            self.lost = told - head.change
            self.renew()
        self._count(head.change)

    def _count(self, change: int) -> None:
        with contextlib.suppress(OSError):  # what it counts is done, and the database knows it
            os.lseek(self._counter, 0, os.SEEK_SET)
            os.write(self._counter, b"%020d\n" % change)

    def head(self) -> Head:
        """Return where the journal stands now, whoever wrote to it.

        Raises:
            CorruptFileError: if it is damaged.
        """
        with self._lock, self._told():
            facts = self._facts()
            kind = {"str": str, "int": int, None: None}[facts["id_kind"]]
            numbers = facts["change"], facts["known_from"], facts["count"]
            return Head(numbers[0], str(facts["epoch"]), numbers[1], kind, int(facts["next_id"]), numbers[2])

    def renew(self) -> None:
        """Draw another epoch: what was made of the rows before is to be made again."""
        with self._lock, self._told(), self._transaction("BEGIN IMMEDIATE"):
            self._note({**self._facts(), "epoch": secrets.token_hex(8)})

    def upsert(self, rows: Rows) -> int:
        """Add rows; those whose ids are there keep their place, and get everything else anew.

        Returns:
            The number of this change.

        Raises:
            StorageError: if it can't be written; nothing is changed.
        """
        with self._change() as (facts, change):
            self._put(rows, facts, change)
            integers = [item + 1 for item in rows.ids if isinstance(item, int)]
            # As text: it may be larger than what SQLite calls an integer.
            facts["next_id"] = str(max([int(facts["next_id"]), *integers]))
            if len(rows):
                facts["id_kind"] = type(rows.ids[0]).__name__
        return change

    def _put(self, rows: Rows, facts: dict[str, Any], change: int) -> None:
        self._leave([text(item) for item in rows.ids], facts)
        facts["count"] += len(rows)
        facts["total"] += len(rows) * change
        self._connection.executemany(_UPSERT, (record_of(rows, place, change) for place in range(len(rows))))

    def _leave(self, names: Sequence[str], facts: dict[str, Any]) -> None:
        """Take rows that are to be removed or replaced out of the count."""
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            asked = f"{_COUNT} WHERE id IN ({', '.join('?' * len(some))})"
            count, total = self._connection.execute(asked, some).fetchone()
            facts["count"] -= count
            facts["total"] -= total

    def note_next_id(self, next_id: int) -> None:
        """Give no automatic id below this one."""
        with self._change() as (facts, _):
            facts["next_id"] = str(next_id)

    def delete(self, ids: Sequence[Id]) -> int:
        """Remove rows that are there; the rest is as for `upsert`."""
        with self._change() as (facts, change):
            names = [text(item) for item in ids]
            self._leave(names, facts)
            self._connection.executemany("DELETE FROM items WHERE id = ?", ((name,) for name in names))
            self._connection.executemany(
                "INSERT OR REPLACE INTO removed VALUES (?, ?, ?)",
                ((name, change, digest(name, change)) for name in names),
            )
        return change

    def update(self, item: Id, metadata: Mapping[str, Value]) -> int:
        """Set fields of the metadata of a row that is there; the rest is as for `upsert`."""
        with self._change() as (facts, change):
            (found,) = self._read(f"{_READ} WHERE id = ?", (text(item),))
            merged = [{**found.metadata[0], **metadata}]
            self._put(Rows([item], found.vectors, merged, found.sources), facts, change)
        return change

    def removed(self, since: int) -> list[Id]:
        """Return the ids that were removed after a change, among them those that came again."""
        with self._lock, self._told():
            found = self._connection.execute(
                "SELECT id, change, digest FROM removed WHERE change > ?", (since,)
            ).fetchall()
            if any(digest(name, change) != mark for name, change, mark in found):
                raise ValueError("what is noted of removed items isn't what was written")
            return [json.loads(name) for name, *_ in found]

    def rows(self, since: int = 0) -> Iterator[Rows]:
        """Yield the rows that were added or changed after a change, in the order of their first insertion.

        Whoever calls has a `snapshot` until the last is read.

        Raises:
            CorruptFileError: if one isn't what was written.
        """
        with self._lock, self._told():
            places = sorted(place for (place,) in self._connection.execute(_CHANGED, (since,)))
        for start in range(0, len(places), _AT_ONCE):
            chosen = places[start : start + _AT_ONCE]
            asked = f"{_READ} WHERE place IN ({', '.join('?' * len(chosen))}) AND +change > ? ORDER BY place"
            with self._lock, self._told():
                batch = self._read(asked, [*chosen, since])
                if sum(map(len, batch)) != len(chosen):  # no digest is of the index by change
                    raise ValueError("what is noted of changes isn't what was written")
            yield from batch

    def _read(self, query: str, values: Sequence[Any]) -> list[Rows]:
        """Return the rows of a query, checked, as one batch; no batch where there is none."""
        records = self._connection.execute(query, values).fetchall()
        if not records:
            return []
        return [rows_of(records, self._dim)]

    def forget_removed(self, until: int) -> None:
        """Forget what was removed up to a change: nobody who stands before it can catch up any more, but begins anew."""
        with self._lock, self._told(), self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("DELETE FROM removed WHERE change <= ?", (until,))
            self._note({**self._facts(), "known_from": until})

    @contextlib.contextmanager
    def _change(self) -> Iterator[tuple[dict[str, Any], int]]:
        with self._lock, self._told():
            self._look_again()  # SQLite would go on writing to a file that nobody finds again
            with self._transaction("BEGIN IMMEDIATE"):
                facts = self._facts()
                change = facts["change"] = int(facts["change"]) + 1
                yield facts, change
                self._note(facts)
            self._count(change)

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection.in_transaction:  # an interruption left it behind
            connection.execute("ROLLBACK")
        try:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what was wrong with the database, and where it is."""
        try:
            yield
        except errors.FashionSearchError:
            raise
        except sqlite3.OperationalError as error:
            raise errors.StorageError(
                f"{self.path} can't be read or written: {error}; nothing was changed"
            ) from error
        except (sqlite3.Error, LookupError, ValueError, TypeError, RecursionError) as error:
            raise errors.CorruptFileError(
                f"{self.path} is damaged: {error or type(error).__name__}; restore it from a copy"
            ) from error
        except OSError as error:
            raise errors.StorageError(
                f"{self._folder} can't be written: {error}; nothing was changed"
            ) from error

    def close(self) -> None:
        """Give the files back; what was written is in the database's own file then."""
        with self._lock:
            self._connection.close()
            self.forget()

    def forget(self) -> None:
        """Leave the database alone from now on, as the child of a fork must: it is its parent's."""
        self._is_closed = True
        if self._release is not None:
            self._release()
            self._counter = -1
