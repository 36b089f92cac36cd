"""Which attribute is the coarser name of which: learned from labels, and used to tag consistently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.targets import UNKNOWN, Targets

_AGREEMENT = 0.99  # share of photos whose coarser label is that of most photos of their class
_DOUBT = 0.1  # of always naming the parent's most frequent class: how much of it may be left
_PHOTOS = 3  # a class, on average: below that, agreement is chance


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Trees of attributes: what is a shirt is a topwear too.

    Attributes:
        parents: attribute -> the coarser attribute above it; roots are left out.
        above: attribute -> (c,) the index of the class above each of its classes, −1 where none is known.
    """

    parents: Mapping[str, str] = field(default_factory=dict)
    above: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def order(self) -> list[str]:
        """Return the attributes of the trees, each behind the one above it."""
        everything = [*self.parents, *self.parents.values()]
        return sorted(dict.fromkeys(everything), key=lambda name: len(self.path(name)))

    def path(self, attribute: str) -> list[str]:
        """Return an attribute and those above it, coarsest first."""
        found = [attribute]
        while found[-1] in self.parents:
            found.append(self.parents[found[-1]])
        return found[::-1]

    def consistent(self, probabilities: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.int64]]:
        """Return the classes that are most probable together, of those that go together.

        In each tree it is the branch with the largest product of its levels' probabilities.

        Args:
            probabilities: attribute -> (n, c).

        Returns:
            Attribute -> (n,) class indices; −1 where nothing is known below the chosen class.
        """
        scores = {name: np.log(np.maximum(p, 1e-12)) for name, p in probabilities.items()}
        order = [name for name in self.order() if name in scores]
        for name in reversed(order):
            above = self.parents.get(name)
            if above is None or above not in scores:
                continue
            best = np.full(scores[above].shape, -np.inf)
            free = self.above[name] == UNKNOWN
            if free.any():
                best[:] = scores[name][:, free].max(axis=1, keepdims=True)
            for place in sorted(set(self.above[name].tolist()) - {UNKNOWN}):
                here = scores[name][:, self.above[name] == place].max(axis=1)
                best[:, place] = np.maximum(best[:, place], here)
            # A class with nothing below it must neither win nor lose by that.
            scores[above] = scores[above] + np.where(np.isfinite(best), best, np.log(0.5))
        chosen = {}
        for name in [name for name in scores if name not in order] + order:
            above = self.parents.get(name)
            if above is None or above not in chosen:
                chosen[name] = scores[name].argmax(axis=1)
                continue
            # A class of which nobody knows what is above it goes with every one.
            links = self.above[name][None]
            fits = (links == chosen[above][:, None]) | (links == UNKNOWN)
            best_below = np.where(fits, scores[name], -np.inf).argmax(axis=1)
            chosen[name] = np.where(fits.any(axis=1), best_below, UNKNOWN)
        return {name: np.asarray(chosen[name], dtype=np.int64) for name in scores}

    def with_class(self, attribute: str, above: int | None) -> Taxonomy:
        """Return a taxonomy for an attribute that has one class more, at the end, below a class or none."""
        if attribute not in self.parents:
            return self
        extended = np.append(self.above[attribute], UNKNOWN if above is None else above)
        return Taxonomy(self.parents, {**self.above, attribute: extended})

    def without_class(self, attribute: str, index: int) -> Taxonomy:
        """Return a taxonomy for an attribute from which one class was taken away."""
        links = dict(self.above)
        if attribute in links:
            links[attribute] = np.delete(links[attribute], index)
        for child, parent in self.parents.items():
            if parent == attribute:
                old = links[child]
                links[child] = np.where(old == index, UNKNOWN, old - (old > index))
        return Taxonomy(self.parents, links)


def learn_taxonomy(
    targets: Targets,
    given: Mapping[str, str] | str | None,
    *,
    agreement: float = _AGREEMENT,
    doubt: float = _DOUBT,
) -> Taxonomy:
    """Return the taxonomy of an attribute's classes, by what most photos of a class are labelled with.

    Args:
        targets: of the training photos.
        given: attribute -> the attribute above it; "auto" finds out which attribute decides which; None is none.
        agreement: with "auto", the least share of photos whose coarser label is that of most photos of their class.
        doubt: with "auto", the most that may be left of the mistakes of always naming the most frequent coarser class.

    Raises:
        InputError: if an attribute that there isn't is named, or the attributes go round in a circle.
    """
    if given is None:
        return Taxonomy()
    parents = _found(targets, agreement, doubt) if given == "auto" else _checked(targets, given)
    return Taxonomy(parents, {child: _links(targets, child, parent)[0] for child, parent in parents.items()})


def _links(targets: Targets, child: str, parent: str) -> tuple[NDArray[np.int64], float]:
    """Return (c,) the most frequent class above each class, and the share of photos that agree."""
    below, above = targets.of(child), targets.of(parent)
    both = (below != UNKNOWN) & (above != UNKNOWN)
    counts = np.zeros((len(targets.classes[child]), len(targets.classes[parent])), dtype=np.int64)
    np.add.at(counts, (below[both], above[both]), 1)
    links = np.where(counts.any(axis=1), counts.argmax(axis=1), UNKNOWN)
    return links, float(counts.max(axis=1).sum() / max(1, counts.sum()))


def _found(targets: Targets, agreement: float, doubt: float) -> dict[str, str]:
    sizes = {name: len(classes) for name, classes in targets.classes.items()}
    parents = {}
    for child, size in sizes.items():
        enough = np.count_nonzero(targets.of(child) != UNKNOWN) >= _PHOTOS * size
        coarser = [
            name
            for name in sizes
            if enough and sizes[name] < size and _decides(targets, child, name, agreement, doubt)
        ]
        if coarser:
            parents[child] = max(coarser, key=lambda name: sizes[name])
    return parents


def _decides(targets: Targets, child: str, parent: str, agreement: float, doubt: float) -> bool:
    """Return whether an attribute's class says another's, and far better than always its most frequent one would."""
    found = _links(targets, child, parent)[1]
    labels = targets.of(parent)[targets.of(parent) != UNKNOWN]
    mostly = np.bincount(labels).max() / len(labels)
    return bool(found >= agreement and 1 - found <= (1 - mostly) * doubt)


def _checked(targets: Targets, given: Mapping[str, str] | str) -> dict[str, str]:
    known = list(targets.classes)
    if not isinstance(given, Mapping):
        raise errors.InputError(
            f"taxonomy={given!r} is not 'auto', None or a mapping of attributes to coarser ones, such as "
            "{'articleType': 'subCategory'}"
        )
    for name in (*given, *given.values()):
        if name not in known:
            raise errors.InputError(
                f"the taxonomy names {name!r}, and the attributes are {', '.join(known)}."
                + errors.did_you_mean(name, known)
            )
    if found := circle(given):
        raise errors.InputError(
            f"the taxonomy goes round in a circle: {' > '.join(found)}; leave one of its steps out"
        )
    return dict(given)


def circle(parents: Mapping[str, str]) -> list[str]:
    """Return attributes that go round in a circle, coarsest first, or none."""
    for start in parents:
        seen = [start]
        while seen[-1] in parents:
            seen.append(parents[seen[-1]])
            if seen[-1] in seen[:-1]:
                return seen[::-1]
    return []
