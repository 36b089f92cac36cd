"""What an index answers with."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fashionsearch.results.columns import MetadataColumns
from fashionsearch.results.frames import match_frame
from fashionsearch.results.shown import fields_table
from fashionsearch.values import plain_value

_ARRAYS = ("ids", "similarities", "metadata", "sources", "probabilities")
_SHOWN = 10  # queries in a notebook's view


class Match(NamedTuple):
    """One item that was found.

    Attributes:
        id: text or integer.
        similarity: cosine in [−1, 1], or minus the Euclidean distance.
        probability: the calibrated chance, in [0, 1], that the item is of the query's kind; NaN where the index isn't
            calibrated.
        metadata: field -> value.
        source: the path its photo was added from, or None.
        parts: what it is ranked by, which adds up: "photo", "item", "vector", "text" and so on -> what that adds.
    """

    id: str | int
    similarity: float
    probability: float
    metadata: Mapping[str, Any]
    source: str | None
    parts: Mapping[str, float]

    def _repr_html_(self) -> str:
        return fields_table(f"match {self.id!r}", zip(self._fields[1:], self[1:], strict=True))


class _Metadata:
    """The attribute `Matches.metadata`: an array, or columns of which that is made when it is first read."""

    def __get__(self, owner: Matches | None, _: type | None = None) -> NDArray[np.object_]:
        if owner is None:
            raise AttributeError("metadata")  # what tells dataclasses that there is no default
        held = owner.__dict__["metadata"]
        if isinstance(held, MetadataColumns):
            held = owner.__dict__["metadata"] = held.rows()
        return held  # type: ignore[no-any-return]

    def __set__(self, owner: Matches, value: NDArray[np.object_] | MetadataColumns) -> None:
        owner.__dict__["metadata"] = value


@dataclass(frozen=True, repr=False, eq=False)
class Matches:
    """The k nearest items of each of n queries, nearest first; also for one query the first axis is there.

    `matches[0]` is the list of what was found for the first query, `for hits in matches` goes through the queries, and
    `matches.to_rows()` is ready for JSON or a data frame. The arrays are for computing.

    Attributes:
        ids: (n, k) object; None beyond `counts`.
        similarities: (n, k) float32, cosine in [−1, 1] or minus the Euclidean distance; NaN beyond `counts`.
        metadata: (n, k) object, a dict for each item, as it was when it was found; None beyond `counts`.
        counts: (n,) int64, how many places of each row are filled.
        sources: (n, k) object, the path an item's photo was added from, or None where it had none.
        queries: the queried photos as they were given: of the first ten queries, and None for the others and for vectors.
        probabilities: (n, k) float32, the calibrated chance in [0, 1] that an item is of the query's kind; NaN beyond
            `counts`, and everywhere if the index isn't calibrated.

    Examples:
        >>> import fashionsearch as fs
        >>> index = fs.VisualIndex(dim=2)
        >>> _ = index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"], metadata={"colour": ["red", "blue"]})
        >>> matches = index.search_vectors([[1, 0]], k=1)
        >>> matches[0][0].id, matches[0][0].similarity, matches[0][0].metadata
        ('a', 1.0, {'colour': 'red'})
    """

    ids: NDArray[np.object_]
    similarities: NDArray[np.float32]
    metadata: _Metadata = _Metadata()  # no default, which mypy takes it for
    counts: NDArray[np.int64]  # type: ignore[misc]
    sources: NDArray[np.object_]  # type: ignore[misc]
    queries: tuple[Any, ...] = ()
    probabilities: NDArray[np.float32] = None  # type: ignore[assignment]
    _thumbnail: Callable[[Any], str] | None = field(default=None, repr=False)
    _shows_sources: bool = field(default=True, repr=False)
    _parts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.probabilities is None:
            unknown = np.full(self.ids.shape, np.nan, dtype=np.float32)
            object.__setattr__(self, "probabilities", unknown)

    def __len__(self) -> int:
        return len(self.counts)

    def __getstate__(self) -> dict[str, Any]:
        # With the metadata made: their columns hold the values of all items.
        return {**self.__dict__, "metadata": self.metadata}

    def of_photos(
        self, queries: tuple[Any, ...], thumbnail: Callable[[Any], str], *, shows_sources: bool
    ) -> Matches:
        """Return the matches with the photos that were queried.

        Args:
            queries: as the attribute of this name.
            thumbnail: returns the address of a photo's small picture.
            shows_sources: whether the photos of items may be opened for a picture.
        """
        return self._changed(queries=queries, _thumbnail=thumbnail, _shows_sources=shows_sources)

    def of_scores(
        self,
        *,
        similarities: NDArray[np.float32] | None = None,
        probabilities: NDArray[np.float32] | None = None,
        parts: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> Matches:
        """Return the matches with other scores; None leaves what there is.

        Args:
            similarities: (n, k).
            probabilities: (n, k).
            parts: name -> (n, k), of what a score is made.
        """
        scores = {"similarities": similarities, "probabilities": probabilities, "_parts": parts}
        return self._changed(**{name: value for name, value in scores.items() if value is not None})

    def _changed(self, **changes: Any) -> Matches:
        # Not by `dataclasses.replace`, which would have the metadata made.
        changed = object.__new__(Matches)
        vars(changed).update(self.__dict__, **changes)
        return changed

    @overload
    def __getitem__(self, query: int) -> list[Match]: ...
    @overload
    def __getitem__(self, query: slice) -> list[list[Match]]: ...
    def __getitem__(self, query: int | slice) -> list[Match] | list[list[Match]]:
        """Return what was found for one query as a list, nearest first; for a slice of queries a list of such lists.

        Raises:
            IndexError: if there is no such query.
        """
        if isinstance(query, slice):
            return [self[position] for position in range(*query.indices(len(self)))]
        place = range(len(self))[operator.index(query)]
        return next(self._found(slice(place, place + 1)))

    def __iter__(self) -> Iterator[list[Match]]:
        return self._found(slice(None))

    def _found(self, queries: slice) -> Iterator[list[Match]]:
        # Lists of the whole answer: made a query at a time they take longer than the search.
        arrays = (self.ids, self.similarities, self.probabilities, self.metadata, self.sources)
        columns = [*(array[queries].tolist() for array in arrays), self._itemised(queries)]
        for count, *row in zip(self.counts[queries].tolist(), *columns, strict=True):
            yield list(map(Match._make, zip(*(values[:count] for values in row), strict=True)))

    def _itemised(self, queries: slice) -> list[list[dict[str, float]]]:
        """Return of what each item's score is made, query by query."""
        names = list(self._parts)
        columns = [self._parts[name][queries].tolist() for name in names]
        if not columns:
            return [[{} for _ in row] for row in self.ids[queries]]
        rows = (zip(*values, strict=True) for values in zip(*columns, strict=True))
        return [[dict(zip(names, item, strict=True)) for item in row] for row in rows]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary a match, of plain Python values: for `json.dumps`, a CSV file or a data frame.

        Returns:
            Rows with the query's position, the match's rank from 0, and what a `Match` holds; None stands for NaN. A query
            without matches has no row.

        Examples:
            >>> import fashionsearch as fs
            >>> index = fs.VisualIndex(dim=2)
            >>> _ = index.add_vectors([[1, 0]], ids=["a"], metadata={"colour": ["red"]})
            >>> index.search_vectors([1, 0]).to_rows()
            [{'query': 0, 'rank': 0, 'id': 'a', 'similarity': 1.0, 'probability': None, 'metadata': {'colour': 'red'},
              'source': None, 'parts': {'vector': 1.0}}]
        """
        return [
            {
                "query": query,
                "rank": rank,
                "id": plain_value(match.id, "id"),
                "similarity": _number(match.similarity),
                "probability": _number(match.probability),
                "metadata": {str(name): plain_value(value, name) for name, value in match.metadata.items()},
                "source": None if match.source is None else os.fspath(match.source),
                "parts": dict(match.parts),
            }
            for query, found in enumerate(self)
            for rank, match in enumerate(found)
        ]

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas DataFrame, in which each field of the metadata is a column.

        One called as a match's own column has "metadata." before its name, and each part has "parts.".

        Raises:
            MissingPackageError: if pandas isn't installed.
        """
        return match_frame(self.to_rows())

    def rearranged(self, order: NDArray[np.intp]) -> Matches:
        """Return the matches of each query in another order, or fewer of them.

        Args:
            order: (n, m) places to take, in [0, k), the filled ones first; −1 leaves a place empty.
        """
        changed: dict[str, Any] = {}
        for name in _ARRAYS:
            held = self.__dict__[name]
            changed[name] = (
                held.rearranged(order) if isinstance(held, MetadataColumns) else _taken(held, order)
            )
        parts = {name: _taken(array, order) for name, array in self._parts.items()}
        counts = ((order >= 0) & (order < self.counts[:, None])).sum(axis=1)
        return self._changed(**changed, _parts=parts, counts=counts)

    def first(self, count: int) -> Matches:
        """Return the first places of each query, at most `count`."""
        width = self.ids.shape[1]
        return self if count >= width else self.rearranged(np.tile(np.arange(count), (len(self), 1)))

    def chosen(self, places: Sequence[Sequence[int]], width: int) -> Matches:
        """Return some places of each query, in any order, and empty ones up to a width."""
        orders = [[*order[:width], *[-1] * (width - len(order))] for order in places]
        return self.rearranged(np.array(orders, dtype=np.intp).reshape(len(orders), width))

    def __repr__(self) -> str:
        lines = [f"Matches: {len(self)} queries, up to {self.ids.shape[1]} items each"]
        for query, found in enumerate(self[:5]):
            named = ", ".join(f"{match.id!r} {match.similarity:.3f}" for match in found)
            lines.append(f"  {query}: {named or 'nothing'}")
        if len(self) > 5:
            lines.append(f"  … and {len(self) - 5} more")
        return "\n".join(lines)

    def _address(self, photo: Any) -> str | None:
        return self._thumbnail(photo) if self._thumbnail and photo is not None else None

    def _repr_html_(self) -> str:
        rows = []
        for query, found in enumerate(self[:_SHOWN]):
            asked = self._address(self.queries[query] if self.queries else None)
            cells = [f"<td>{_figure(asked, f'query {query}')}</td>"]
            for match in found:
                picture = self._address(match.source) if self._shows_sources else None
                cells.append(f"<td>{_figure(picture, str(match.id), f'{match.similarity:.3f}')}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        notes = [f"the first {_SHOWN} of {len(self)} queries"] if len(self) > _SHOWN else []
        if self._thumbnail and not self._shows_sources:
            notes.append("the index was loaded: its photos are shown after index.show_photos = True")
        caption = f"<caption>{'; '.join(notes)}</caption>" if notes else ""
        return f"<table>{caption}<tbody>{''.join(rows)}</tbody></table>"


def joined(parts: Sequence[Matches]) -> Matches:
    """Return the places of several answers to the same n queries side by side, (n, k₁ + k₂ + …), filled or not."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in _ARRAYS
    }
    return Matches(**arrays, counts=np.full(len(parts[0]), arrays["ids"].shape[1]))


def stacked(parts: Sequence[Matches]) -> Matches:
    """Return the answers to several queries, each (1, k), as one of (n, k)."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
    }
    return Matches(**arrays, counts=np.concatenate([part.counts for part in parts]))


def _taken(array: NDArray[Any], order: NDArray[np.intp]) -> NDArray[Any]:
    taken = np.take_along_axis(array, order, axis=1)
    taken[order < 0] = None if array.dtype == object else np.nan
    return taken


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _figure(address: str | None, *words: str) -> str:
    import html

    caption = "<br>".join(map(html.escape, words))
    picture = f"<img alt='' src='{address}'><br>" if address else ""
    return f"{picture}<small>{caption}</small>"
