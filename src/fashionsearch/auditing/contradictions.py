"""Labels that don't go together: against the taxonomy, against other photos of the product, or as nobody else has them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionsearch.auditing.mislabels import agreement
from fashionsearch.results import Contradiction
from fashionsearch.tagging.taxonomy import Taxonomy, learn_taxonomy
from fashionsearch.targets import UNKNOWN, Targets

_AGREEMENT, _DOUBT = 0.9, 0.3  # looser than where a taxonomy is to tag by: violations are what is looked for
_PRODUCTS_AGREE = 0.8
_EXPECTED, _RARELY = (
    5.0,
    0.05,
)  # photos that two labels would share by chance, and the share of them that is rare


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What contradictions are sought in.

    Attributes:
        targets: of the m photos that can be read.
        probabilities: attribute -> (m, c) by the photos.
        products: (m,) which photos are of one product.
        copies: (m,) which photos have the same pixels.
        rows: (m,) their rows in the table.
        sources: (n,) of all rows.
    """

    targets: Targets
    probabilities: Mapping[str, NDArray[np.float64]]
    products: NDArray[np.intp]
    copies: NDArray[np.intp]
    rows: NDArray[np.intp]
    sources: NDArray[np.object_]

    def given(self, name: str, place: int) -> float:
        """Return how probable the label of a photo is by the photo."""
        return float(self.probabilities[name][place, self.targets.of(name)[place]])

    def contradiction(
        self, place: int, name: str, suggested: int, reason: str, score: float
    ) -> Contradiction:
        """Return a finding; a suggested class of −1 is none."""
        classes, row = self.targets.classes[name], int(self.rows[place])
        label = classes[self.targets.of(name)[place]]
        better = "" if suggested == UNKNOWN else str(classes[suggested])
        return Contradiction(row, self.sources[row], name, str(label), better, reason, score)


def contradictions(catalogue: Catalogue) -> list[Contradiction]:
    """Return the contradictions of a catalogue, the surest first, each photo and attribute once."""
    taxonomy = learn_taxonomy(catalogue.targets, "auto", agreement=_AGREEMENT, doubt=_DOUBT)
    found = [
        *_against_taxonomy(catalogue, taxonomy),
        *_within(catalogue, catalogue.products, "of the product", least=_PRODUCTS_AGREE),
        *_within(catalogue, catalogue.copies, "of the same pixels", least=0.0),
        *_rare_pairs(catalogue, taxonomy),
    ]
    kept: dict[tuple[int, str], Contradiction] = {}
    for each in sorted(found, key=lambda each: (-each.score, each.row)):
        kept.setdefault((each.row, each.attribute), each)
    return list(kept.values())


def _against_taxonomy(catalogue: Catalogue, taxonomy: Taxonomy) -> list[Contradiction]:
    targets, found = catalogue.targets, []
    for child, parent in taxonomy.parents.items():
        below, above, links = targets.of(child), targets.of(parent), taxonomy.above[child]
        both = (below != UNKNOWN) & (above != UNKNOWN)
        right = both & (links[below] == above)
        shares = np.bincount(below[right], minlength=len(links)) / (
            np.bincount(below[both], minlength=len(links)) + 1
        )
        for place in np.flatnonzero(both & ~right).tolist():
            share = float(shares[below[place]])
            names = targets.classes[child][below[place]], targets.classes[parent][links[below[place]]]
            reason = (
                f"{child} {str(names[0])!r} goes with {parent} {str(names[1])!r}, and this photo's is "
                f"{str(targets.classes[parent][above[place]])!r}"
            )
            if catalogue.given(child, place) < catalogue.given(parent, place):
                fits = np.where(links == above[place], catalogue.probabilities[child][place], -1.0)
                better = int(fits.argmax()) if fits.max() > 0 else UNKNOWN
                found.append(catalogue.contradiction(place, child, better, reason, share))
            else:
                better = int(links[below[place]])
                found.append(catalogue.contradiction(place, parent, better, reason, share))
    return found


def _within(
    catalogue: Catalogue, groups: NDArray[np.intp], called: str, *, least: float
) -> list[Contradiction]:
    """Return labels that differ from those of most photos of a group, of attributes in which groups mostly agree."""
    targets, found = catalogue.targets, []
    numbers = np.unique(groups, return_inverse=True)[1]
    several = np.bincount(numbers)[numbers] > 1
    for name, classes in targets.classes.items():
        labels = targets.of(name)
        agreed = agreement(labels, numbers)
        if agreed < least:
            continue
        known = several & (labels != UNKNOWN)
        counts = np.zeros((int(numbers.max()) + 1, len(classes)), dtype=np.int64)
        np.add.at(counts, (numbers[known], labels[known]), 1)
        # Where as many photos say one as the other, what the photos look like decides.
        likely = counts + 0.5 * _mean_probabilities(catalogue.probabilities[name], numbers) * (counts > 0)
        best = likely.argmax(axis=1)
        for place in np.flatnonzero(known & (best[numbers] != labels)).tolist():
            others, better = counts[numbers[place]], int(best[numbers[place]])
            reason = f"{others[better]} of {others.sum()} photos {called} are {str(classes[better])!r}"
            score = max(agreed, 0.5) * (1 - 0.5 * others[labels[place]] / others[better])
            found.append(catalogue.contradiction(place, name, better, reason, float(score)))
    return found


def _mean_probabilities(probabilities: NDArray[np.float64], numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    mean = np.zeros((int(numbers.max()) + 1, probabilities.shape[1]))
    np.add.at(mean, numbers, probabilities)
    return np.asarray(mean / np.bincount(numbers)[:, None])


def _rare_pairs(catalogue: Catalogue, taxonomy: Taxonomy) -> list[Contradiction]:
    targets, found = catalogue.targets, []
    for one, other in itertools.combinations(targets.classes, 2):
        if one in taxonomy.path(other) or other in taxonomy.path(one):
            continue
        first, second = targets.of(one), targets.of(other)
        both = (first != UNKNOWN) & (second != UNKNOWN)
        counts = np.zeros((len(targets.classes[one]), len(targets.classes[other])))
        np.add.at(counts, (first[both], second[both]), 1)
        expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / max(1.0, counts.sum())
        rare = (expected >= _EXPECTED) & (counts <= _RARELY * expected)
        for place in np.flatnonzero(both & rare[first, second]).tolist():
            pair = first[place], second[place]
            words = [
                f"{name} {str(targets.classes[name][label])!r}"
                for name, label in zip((one, other), pair, strict=True)
            ]
            reason = (
                f"{' and '.join(words)} are together on {counts[pair]:.0f} photos, and by chance would be on "
                f"{expected[pair]:.0f}"
            )
            wrong = min((one, other), key=lambda name: catalogue.given(name, place))
            best = int(catalogue.probabilities[wrong][place].argmax())
            better = UNKNOWN if best == targets.of(wrong)[place] else best
            score = float(1 - counts[pair] / expected[pair])
            found.append(catalogue.contradiction(place, wrong, better, reason, score))
    return found
