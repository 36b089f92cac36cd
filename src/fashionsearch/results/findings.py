"""What an audit finds fault with: one small value a finding."""

from __future__ import annotations

from dataclasses import dataclass

from fashionsearch.results.shown import ShowsFields


@dataclass(frozen=True)
class Mislabel(ShowsFields):
    """A label that is probably wrong.

    Attributes:
        row: of the table, from 0.
        source: the photo's path, or None where it has none.
        attribute: the column.
        given: the label in the table.
        suggested: the label that is most probable instead.
        score: in [0, 1], how improbable the given label is.
    """

    row: int
    source: str | None
    attribute: str
    given: str
    suggested: str
    score: float


@dataclass(frozen=True)
class Duplicate(ShowsFields):
    """A photo that another row has too, of another product.

    Attributes:
        row: of the later of the two, from 0.
        source: its path, or None where it has none.
        of: the earlier row.
        of_source: its path, or None.
        exact: whether all pixels are the same; else the photo was resized, cropped, saved again, or nearly so.
        score: the cosine of the two photos' features, 1 for exact copies.
    """

    row: int
    source: str | None
    of: int
    of_source: str | None
    exact: bool
    score: float


@dataclass(frozen=True)
class Leak(ShowsFields):
    """A photo whose copy, or whose product, is in an earlier part of a split too.

    Attributes:
        row: of the later part, from 0.
        source: its path, or None where it has none.
        part: the part it is in.
        of: the row of the earlier part.
        of_source: its path, or None.
        of_part: the earlier part.
        reason: "exact copy", "same product" or "near copy".
        score: in [0, 1], 1 for exact copies and products, the cosine for near copies.
    """

    row: int
    source: str | None
    part: str
    of: int
    of_source: str | None
    of_part: str
    reason: str
    score: float


@dataclass(frozen=True)
class Broken(ShowsFields):
    """A photo that is of no use, or looks so.

    Attributes:
        row: of the table, from 0.
        source: its path, or None where it has none.
        reason: what is wrong with it.
        score: in [0, 1], how far beyond the bound it is; 1 for what can't be read.
    """

    row: int
    source: str | None
    reason: str
    score: float


@dataclass(frozen=True)
class Contradiction(ShowsFields):
    """A label that doesn't go with another label.

    Attributes:
        row: of the table, from 0.
        source: the photo's path, or None where it has none.
        attribute: the column that is more probably wrong of the two, by the photo.
        given: its label in the table.
        suggested: a label that would go with the other, or "" where none is sure.
        reason: what contradicts what.
        score: in [0, 1], how rarely such labels go together.
    """

    row: int
    source: str | None
    attribute: str
    given: str
    suggested: str
    reason: str
    score: float


@dataclass(frozen=True)
class LeakFree(ShowsFields):
    """How well labels of one part are predicted from those of the first part, with and without its leaks.

    Attributes:
        attribute: the column.
        learned: the part that was learned from.
        part: the part that was predicted.
        accuracy: over its n labelled photos, in [0, 1].
        without_leaks: over those that are no leaks; NaN if all of them are.
        n: labelled photos of the part.
        leaked: how many of them are leaks.
    """

    attribute: str
    learned: str
    part: str
    accuracy: float
    without_leaks: float
    n: int
    leaked: int


Finding = Mislabel | Duplicate | Leak | Broken | Contradiction
