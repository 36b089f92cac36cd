"""Photos that are there twice, pixel for pixel or nearly, and those that are in two parts of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionsearch.results import Duplicate, Leak

# Found by saving, resizing, cropping and mirroring 150 photos of a shop, and by looking at pairs of different products: from
# the first cosine on most are the same photo, one shade of lipstick for another aside, where the thumbnails differ by no
# more than a crop by a pixel; from the second on, where they differ by as little as a JPEG of quality 85 does.
_SAME, _ROUGHLY = 0.97, 20.0
_ALIKE, _CLOSELY = 0.85, 3.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Photos that are the same, or nearly.

    Attributes:
        copies: (m,) numbers, the same for photos of the same pixels.
        near: (p, 2) places, the earlier photo first, of photos that are nearly the same.
        cosines: (p,) of these.
    """

    copies: NDArray[np.intp]
    near: NDArray[np.intp]
    cosines: NDArray[np.float64]


def find_pairs(
    copies: NDArray[np.intp],
    thumbnails: NDArray[np.float32],
    neighbours: tuple[NDArray[np.intp], NDArray[np.float64]],
) -> Pairs:
    """Return which of m photos are the same or nearly, by digest, features and thumbnails."""
    rows, cosines = neighbours
    first, rank = np.nonzero(cosines >= _ALIKE)
    second, alike = rows[first, rank], cosines[first, rank]
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)
    pairs, kept = np.unique(pairs, axis=0, return_index=True)
    alike = alike[kept]
    difference = _differences(thumbnails, pairs)
    near = (difference <= _CLOSELY) | ((alike >= _SAME) & (difference <= _ROUGHLY))
    near &= copies[pairs[:, 0]] != copies[pairs[:, 1]]
    return Pairs(copies, pairs[near], np.minimum(alike[near], 1.0))


def _differences(thumbnails: NDArray[np.float32], pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return (p,) how far two thumbnails lie apart, in grey levels, or one and the other mirrored."""
    side = round((thumbnails.shape[1] / 3) ** 0.5)
    found = np.zeros(len(pairs))
    for start in range(0, len(pairs), 4096):
        part = pairs[start : start + 4096]
        one, other = (thumbnails[part[:, end]].reshape(-1, side, side, 3) for end in (0, 1))
        squares = [((one - seen) ** 2).mean(axis=(1, 2, 3)) for seen in (other, other[:, :, ::-1])]
        found[start : start + 4096] = np.sqrt(np.minimum(*squares))
    return found


def duplicates(
    pairs: Pairs, products: NDArray[np.intp], rows: NDArray[np.intp], sources: NDArray[np.object_]
) -> list[Duplicate]:
    """Return each photo that an earlier one of another product repeats, exact copies first, each once.

    Args:
        pairs: places among the m photos that can be read.
        products: (m,) which photos are of one product.
        rows: (m,) their rows in the table.
        sources: (n,) of all rows.
    """
    found: dict[int, Duplicate] = {}
    for places in _groups(pairs.copies):
        for place in places[1:]:
            others = [other for other in places if other < place and products[other] != products[place]]
            if others:
                found[place] = _duplicate(rows[others[0]], rows[place], sources, exact=True, score=1.0)
    for position in np.argsort(-pairs.cosines, kind="stable").tolist():
        earlier, later = pairs.near[position].tolist()
        if later not in found and products[earlier] != products[later]:
            score = float(pairs.cosines[position])
            found[later] = _duplicate(rows[earlier], rows[later], sources, exact=False, score=score)
    return sorted(found.values(), key=lambda each: (not each.exact, -each.score, each.row))


def _duplicate(
    earlier: int, later: int, sources: NDArray[np.object_], *, exact: bool, score: float
) -> Duplicate:
    return Duplicate(int(later), sources[later], int(earlier), sources[earlier], exact, score)


def leaks(
    pairs: Pairs,
    products: NDArray[np.intp],
    parts: NDArray[np.str_],
    order: Sequence[str],
    rows: NDArray[np.intp],
    sources: NDArray[np.object_],
) -> list[Leak]:
    """Return each photo of a later part whose copy or product is in an earlier part, for the strongest reason.

    Args:
        pairs: places among the m photos that can be read.
        products: (m,) which photos are of one product.
        parts: (m,) the part of each.
        order: the parts, what is learned from first.
        rows: (m,) their rows in the table.
        sources: (n,) of all rows.
    """
    ranks = np.array([order.index(part) if part else len(order) for part in parts.tolist()], dtype=np.intp)
    found: dict[int, Leak] = {}

    def add(earlier: int, later: int, reason: str, score: float) -> None:
        if ranks[earlier] > ranks[later]:
            earlier, later = later, earlier
        if ranks[earlier] < ranks[later] < len(order) and later not in found:
            row, of = int(rows[later]), int(rows[earlier])
            found[later] = Leak(
                row, sources[row], str(parts[later]), of, sources[of], str(parts[earlier]), reason, score
            )

    for numbers, reason in ((pairs.copies, "exact copy"), (products, "same product")):
        for places in _groups(numbers):
            first = min(places, key=lambda place: ranks[place])
            for place in places:
                add(first, place, reason, 1.0)
    for position in np.argsort(-pairs.cosines, kind="stable").tolist():
        earlier, later = pairs.near[position].tolist()
        add(earlier, later, "near copy", float(pairs.cosines[position]))
    order_of_reasons = ("exact copy", "same product", "near copy")
    return sorted(
        found.values(), key=lambda each: (order_of_reasons.index(each.reason), -each.score, each.row)
    )


def _groups(numbers: NDArray[np.intp]) -> list[list[int]]:
    """Return the places of each number that is there more than once, in order."""
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return [places.tolist() for places in np.split(order, cuts) if len(places) > 1]
