"""What a buyer says, as vectors to search by and scores to rank by; it knows no engine.

Each thing that is said is a term: a photo, words, a stored item, what was liked. A term's scores are what it adds to the
ranking, and its probes are the vectors about which the items of its best scores lie. An item's scores add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.rows import Rows, row_lengths

_CANCELLED = 1e-6


class Term(Protocol):
    """One thing that is said in each of n queries."""

    @property
    def name(self) -> str:
        """Its key in `Match.parts`."""
        ...

    @property
    def probes(self) -> NDArray[np.float32]:
        """(n, dim): added up over all terms, they are what candidates are searched by."""
        ...

    @property
    def is_linear(self) -> bool:
        """Whether its scores are the inner products of its probes with the items' unit vectors."""
        ...

    def repeated(self, n: int) -> Term:
        """Return a term of one query as one of n."""
        ...

    def scores(self, query: int, rows: Rows) -> NDArray[np.float32]:
        """Return (m,) scores of m items for one of the queries."""
        ...


@runtime_checkable
class Weighed(Term, Protocol):
    """A term that is said beside others, for as many queries as they are."""

    @property
    def weight(self) -> float:
        """What it counts beside other terms."""
        ...

    def repeated(self, n: int) -> Weighed:
        """Return a term of one query as one of n."""
        ...

    def times(self, factors: NDArray[np.float32]) -> Weighed:
        """Return the term with the probes and scores of each query times its factor, (n, 1)."""
        ...


@dataclass(frozen=True, eq=False)
class Likeness:
    """Likeness to vectors in the items' own space: the inner products with the items' unit vectors.

    Attributes:
        name: "photo", "item", "text" or "vector".
        probes: (n, dim) float32; of any length until they are `balanced`.
        weight: what it counts beside other terms.
    """

    name: str
    probes: NDArray[np.float32]
    weight: float = 1.0

    @property
    def is_linear(self) -> bool:
        """Whether the engine's own order is that of the scores: yes."""
        return True

    def scores(self, query: int, rows: Rows) -> NDArray[np.float32]:
        """Return (m,) scores of m items for one of the queries."""
        found: NDArray[np.float32] = unit(rows.vectors) @ self.probes[query]
        return found

    def repeated(self, n: int) -> Likeness:
        """Return a term of one query as one of n."""
        return replace(self, probes=np.repeat(self.probes, n, axis=0))

    def times(self, factors: NDArray[np.float32]) -> Likeness:
        """Return the term with the probes and scores of each query times its factor, (n, 1)."""
        return replace(self, probes=self.probes * factors)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n, dim) vectors of length 1."""
    found: NDArray[np.float32] = (vectors / row_lengths(vectors)[:, None]).astype(np.float32)
    return found


def spread(term: Term, n: int) -> Term:
    """Return a term of n queries, which a term of one query says in each.

    Raises:
        InputError: if it is of another number of queries.
    """
    said = len(term.probes)
    if said == n:
        return term
    if said == 1:
        return term.repeated(n)
    raise errors.InputError(
        f"{term.name!r} is said for {said} queries, and there are {n}; say one for all, or one for each"
    )


def balanced(terms: Sequence[Term]) -> list[Term]:
    """Return terms in which likenesses are weighed, whose probes make up unit vectors: their scores add up to a cosine.

    Raises:
        InputError: if they cancel each other out.
    """
    likenesses = [term for term in terms if isinstance(term, Weighed)]
    others = [term for term in terms if not isinstance(term, Weighed)]
    return [*_balanced(likenesses), *others] if likenesses else others


def _balanced(terms: Sequence[Weighed]) -> list[Weighed]:
    weighed = [
        term.times((term.weight / row_lengths(term.probes)[:, None]).astype(np.float32)) for term in terms
    ]
    lengths = row_lengths(np.sum([term.probes for term in weighed], axis=0))
    if (lengths < _CANCELLED).any():
        said = " and ".join(dict.fromkeys(term.name for term in terms))
        raise errors.InputError(
            f"{said} of query {int(np.argmin(lengths))} cancel each other out: nothing is left to search by; leave one out"
        )
    return [term.times((1 / lengths).astype(np.float32)[:, None]) for term in weighed]
