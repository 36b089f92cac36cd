"""What every engine offers, and what every graph offers to the local engine.

An engine holds an index's rows and finds the nearest. `VisualIndex` speaks to it in ids and has checked everything it
hands over: ids of one kind, finite vectors of the right length, plain metadata, parsed filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.index.filters import Condition
from fashionsearch.index.rows import Id, Rows
from fashionsearch.results import Matches
from fashionsearch.values import Value

# What reading a file that isn't what was written raises, beside the library's own errors.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Server:
    """Where rows beyond this process are; the arguments of `VisualIndex` of the same names."""

    url: str = field(repr=False)  # which may hold a password
    collection: str
    api_key: str | None = field(repr=False)
    timeout: float


@dataclass(frozen=True)
class Settings:
    """How an index compares and searches; the arguments of `VisualIndex` of the same names."""

    dim: int
    metric: str
    m: int
    ef_construction: int
    ef_search: int
    random_state: int
    progress: bool
    storage: str = "float32"
    server: Server | None = None


@dataclass(frozen=True)
class Facts:
    """What an engine knows of itself.

    Attributes:
        deleted: share of its rows in memory that are no items any more.
        duplicates: share of its items whose vector another item has too.
        memory: bytes of vectors, columns and graph.
        disk: bytes of its folder; None where it has none.
        checkpoint: when what it holds was last written there as a whole.
    """

    deleted: float
    duplicates: float
    memory: int
    disk: int | None = None
    checkpoint: datetime | None = None


class Engine(Protocol):
    """Holds rows by id and finds the nearest.

    Searches may come from any thread at any time. Changes come one at a time: whoever changes holds `changing`, from
    before it checks ids until the change has returned. A change that raises, or that is interrupted at any moment,
    has happened wholly or not at all.

    Attributes:
        settings: may be replaced by one with another `ef_search` at any time.
    """

    settings: Settings

    @property
    def changing(self) -> AbstractContextManager[Any]:
        """A lock that one thread may take several times."""

    @property
    def id_kind(self) -> type | None:
        """The kind of ids, str or int, which the first row ever added decides."""

    @property
    def next_id(self) -> int:
        """One more than the largest integer id there ever was, or 0."""

    @property
    def has_graph(self) -> bool:
        """Whether searches may walk through a graph; until then every search is exact."""

    def allow(self, ef_search: int) -> bool:
        """Verify some more rows for a lower `ef_search`; return whether all are, so that searches keep to that at once."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __contains__(self, item: object) -> bool:
        """Return whether there is a row of this id."""

    def __iter__(self) -> Iterator[Id]:
        """Iterate over the ids, in the order of their first insertion."""

    def upsert(self, rows: Rows) -> None:
        """Add rows; those whose ids are there replace vector, metadata and source."""

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove rows; all the ids are there, each once."""

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id.

        Raises:
            UnknownIdError: if one isn't there.
        """

    def update(self, item: Id, metadata: Mapping[str, Value]) -> None:
        """Set fields of the metadata of a row that is there; its other fields stay."""

    def search(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        """Return the k nearest rows of each vector (n, dim), of those that meet a condition, nearest first.

        Raises:
            InputError: if the condition names a field that no row has.
        """

    def check_field(self, field: str, asker: str) -> None:
        """Raise InputError, which says who asks, if there are rows and none has such a metadata field."""

    def counts(
        self, field: str, condition: Condition | None, most: int | None = None
    ) -> list[tuple[Value, int]]:
        """Return a field's values, None left out, and how many rows that meet a condition have each, the commonest first.

        At most so many of them, where that is given.

        Raises:
            InputError: if a field is named that no row has.
        """

    def identity(self, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return by what the encoder of the rows is recognised, which is kept with them; what is given, if nothing is."""

    def settle(self, seconds: float) -> None:
        """Wait until what the engine makes aside, such as a graph, is there, at most so long."""

    def facts(self) -> Facts:
        """Return what it knows of itself."""

    def refresh(self) -> None:
        """Take over what others have changed, where the rows aren't this process's alone."""

    def close(self) -> None:
        """Give back files and connections, if there are any."""

    def writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return what writes the engine's files, and what `read` needs beside them, as JSON holds it."""

    def read(self, saved: storage.Saved, notes: Mapping[str, Any], *, rebuild: bool) -> None:
        """Fill this new engine from saved files; `rebuild` makes what native code would read anew from the rows.

        Raises:
            CorruptFileError: if they aren't what an engine writes.
        """


def fetch_present(engine: Engine, ids: Sequence[Id]) -> Rows:
    """Return the rows of those ids that are there, whatever is removed meanwhile."""
    while True:
        try:
            return engine.fetch(ids)
        except errors.UnknownIdError:
            ids = [item for item in ids if item in engine]


class Graph(Protocol):
    """Finds candidates among a store's slots; a cache, dropped and built again at will.

    `vectors` are always those of the store by slot. Nothing here is safe to call while another call runs.

    Attributes:
        end: one more than the largest slot that was ever added.
        file: the name of its file in a saved index.
        survives_fork: whether the child of a fork may search it.
    """

    end: int
    file: str
    survives_fork: bool

    def __init__(self, settings: Settings) -> None: ...

    def learn(self, sample: NDArray[np.float32]) -> None:
        """Learn from some of the rows that are to come how to hold them, before any is added."""

    def reserve(self, count: int) -> None:
        """Make room for so many rows at once, which is faster than bit by bit."""

    def __len__(self) -> int:
        """Return the number of slots that were added and not removed."""

    def add(self, slots: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add rows, in ascending order of their slots."""

    def verify(self, slots: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """See to it that these rows, the last of which has been added, find themselves."""

    def remove(self, slots: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Remove rows."""

    def candidates(
        self, queries: NDArray[np.float32], count: int, ef_search: int, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
        """Return (n, m) slots, about the `count` nearest of each query or more, and their (n, m) similarities.

        A row that has fewer is filled up with −1 and NaN. None where the graph can't tell.
        """

    def allow(self, ef_search: int, vectors: NDArray[np.float32]) -> bool:
        """Verify some more rows for a lower `ef_search`; return whether all are known to find themselves at that."""

    @property
    def bytes(self) -> int:
        """What it takes up in memory, about."""

    def write(self, path: Path) -> None:
        """Write the graph's own file.

        Raises:
            StorageError: if it wasn't written whole.
        """

    def labels(self, slots: Sequence[int]) -> NDArray[np.int64]:
        """Return what `read` needs of each of these slots."""

    def notes(self) -> dict[str, Any]:
        """Return what `read` needs beside the file and the labels, as JSON holds it."""

    def read(self, path: Path, labels: NDArray[np.int64], notes: Mapping[str, Any]) -> None:
        """Fill this new graph from a verified file whose slots 0, 1, 2, … have these labels.

        Raises:
            CorruptFileError: if the file, the labels and the notes don't fit each other.
        """
