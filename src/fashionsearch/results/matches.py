"""What an index answers with."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors


@dataclass(frozen=True, repr=False, eq=False)
class Matches:
    """The k nearest items of each of n queries, nearest first; also for one query the first axis is there.

    Attributes:
        ids: (n, k) object; None beyond `counts`.
        similarities: (n, k) float32, cosine in [−1, 1] or minus the Euclidean distance; NaN beyond `counts`.
        metadata: (n, k) object, a dict for each item; None beyond `counts`.
        counts: (n,) int64, how many places of each row are filled.
        sources: (n, k) object, the path an item's photo was added from, or None where it had none.
        queries: the queried photos as they were given: of the first ten queries, and None for the others and for vectors.
    """

    ids: NDArray[np.object_]
    similarities: NDArray[np.float32]
    metadata: NDArray[np.object_]
    counts: NDArray[np.int64]
    sources: NDArray[np.object_]
    queries: tuple[Any, ...] = ()
    _thumbnail: Callable[[Any], str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        lines = [f"Matches: {len(self)} queries, up to {self.ids.shape[1]} items each"]
        for query in range(min(len(self), 5)):
            places = range(int(self.counts[query]))
            found = ", ".join(f"{self.ids[query, i]!r} {self.similarities[query, i]:.3f}" for i in places)
            lines.append(f"  {query}: {found or 'nothing'}")
        if len(self) > 5:
            lines.append(f"  … and {len(self) - 5} more")
        return "\n".join(lines)

    def _address(self, photo: Any) -> str | None:
        return self._thumbnail(photo) if self._thumbnail and photo is not None else None

    def _repr_html_(self) -> str:
        rows = []
        for query in range(min(len(self), 10)):
            cells = [
                f"<td>{_figure(self._address(self.queries[query] if self.queries else None), f'query {query}')}</td>"
            ]
            for place in range(int(self.counts[query])):
                picture = self._address(self.sources[query, place])
                words = f"{self.ids[query, place]}<br>{self.similarities[query, place]:.3f}"
                cells.append(f"<td>{_figure(picture, words)}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        more = f"<caption>the first 10 of {len(self)} queries</caption>" if len(self) > 10 else ""
        return f"<table>{more}<tbody>{''.join(rows)}</tbody></table>"


def _figure(address: str | None, words: str) -> str:
    caption = "<br>".join(html.escape(part) for part in words.split("<br>"))
    picture = f"<img alt='' src='{address}'><br>" if address else ""
    return f"{picture}<small>{caption}</small>"


@dataclass(frozen=True, eq=False)
class Item:
    """What an index holds under one id.

    Attributes:
        id: text or integer.
        vector: (dim,) float32, as it was added.
        metadata: field -> value.
        source: the path its photo was added from, or None.
    """

    id: str | int
    vector: NDArray[np.float32] = field(repr=False)
    metadata: Mapping[str, Any]
    source: str | None


@dataclass(frozen=True)
class Added:
    """What `VisualIndex.add` did.

    Attributes:
        ids: the ids that were added or replaced, in the order of the images.
        failures: the images that were left out, each with its position and the reason.
    """

    ids: tuple[str | int, ...]
    failures: tuple[errors.ImageFailure, ...] = ()

    def __repr__(self) -> str:
        left_out = "".join(f"\n  left out: {failure}" for failure in self.failures[:10])
        more = f"\n  … and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        return f"Added {len(self.ids):,} items, left out {len(self.failures):,}{left_out}{more}"
