"""Chances in place of cosines: how probable it is that an item is of the query's kind, and that the index has no such kind.

What a cosine of 0.8 is worth depends on the encoder, the catalogue and the query. What says more is whether the items beside
a match are of its kind too, and whether the tagger of the encoder, where it has one, sees that kind in the query. A logistic
function of these, made monotone by isotonic regression, was fitted on queries whose kind is known. A list that holds an item
of the query's kind with a chance that is asked for is split-conformal (Vovk et al. 2005; for retrieval, arXiv:2307.07336).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fashionsearch.results import Matches
from fashionsearch.storage.arrays import check_arrays
from fashionsearch.values import Value

EVIDENCE = 50  # nearest items that a query is judged by
_VOTERS = 30
_SHARPNESS = 0.05  # cosine within which a neighbour's vote loses most of its weight
_LEAST = 1e-3
NEVER = 1e9  # what stands for a list that would have to be longer than the evidence


class Evidence(NamedTuple):
    """What one query is judged by.

    Attributes:
        labels: (m,) numbers of the kinds of its nearest items, from 0; −1 where unknown.
        similarities: (m,) float32, largest first.
        values: the kinds by number.
        seen: (v,) the chance that the tagger gives the query to be of each kind; None without a tagger.
    """

    labels: NDArray[np.intp]
    similarities: NDArray[np.float32]
    values: Sequence[Value]
    seen: NDArray[np.float64] | None

    @classmethod
    def of(
        cls, found: Matches, query: int, field: str, told: Mapping[Value, float] | None = None
    ) -> Evidence:
        """Return the evidence in one query's matches; `told` is what a tagger gives each kind."""
        count = int(found.counts[query])
        kinds = [metadata.get(field) for metadata in found.metadata[query, :count]]
        numbers: dict[Value, int] = {}
        labels = [-1 if kind is None else numbers.setdefault(kind, len(numbers)) for kind in kinds]
        seen = None if told is None else np.array([told.get(kind, 0.0) for kind in numbers], dtype=np.float64)
        return cls(np.array(labels, dtype=np.intp), found.similarities[query, :count], list(numbers), seen)

    @property
    def votes(self) -> NDArray[np.float64]:
        """(m,) what each of the nearest counts: the first 1, and those that are less alike less."""
        alike = self.similarities.astype(np.float64)
        weights = np.exp((alike - alike.max(initial=-np.inf)) / _SHARPNESS) if len(alike) else alike
        weights[_VOTERS:] = 0
        weights[self.labels < 0] = 0
        return weights

    def shares(self) -> NDArray[np.float64]:
        """Return (v,) the share of the votes that each kind has."""
        votes = self.votes
        counted = self.labels >= 0
        found = np.bincount(self.labels[counted], votes[counted], minlength=len(self.values))
        shares: NDArray[np.float64] = found / max(found.sum(), 1e-12)
        return shares


def features(
    evidence: Evidence, labels: NDArray[np.intp], similarities: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return (m, f) of items of known kinds: what tells whether they are of the query's kind.

    Args:
        evidence: of the query.
        labels: (m,) the numbers of their kinds; one that is not in the evidence is its length.
        similarities: (m,) to the query.
    """
    votes = evidence.votes
    counted = evidence.labels >= 0
    sums = np.append(
        np.bincount(evidence.labels[counted], votes[counted], minlength=len(evidence.values)), 0.0
    )
    top = float(evidence.similarities[0]) if len(evidence.similarities) else 0.0
    alike = similarities.astype(np.float64)
    # An item is no witness for itself.
    own = np.minimum(np.exp(np.minimum(alike - top, 0) / _SHARPNESS), sums[labels])
    others = (sums[labels] - own) / np.maximum(sums.sum() - own, 1e-9)
    found = [alike, alike - top, others, others**2, np.sqrt(others), alike**2, alike * others]
    if evidence.seen is not None:
        seen = np.append(evidence.seen, 0.0)[labels]
        found += [seen, np.log(seen + _LEAST), seen * others, np.sqrt(seen)]
    return np.stack(found, axis=1)


def outlook(evidence: Evidence) -> NDArray[np.float64]:
    """Return (g,) what tells whether the index holds the query's kind at all."""
    alike = evidence.similarities.astype(np.float64)
    if not len(alike):
        alike = np.zeros(1)
    shares = evidence.shares()
    ranked = np.append(np.sort(shares)[::-1], [0.0, 0.0])
    found = [alike[0], alike[:5].mean(), alike[:_VOTERS].mean(), ranked[0], ranked[1]]
    if evidence.seen is not None:
        missed = max(0.0, 1 - float(evidence.seen.sum()))
        agreed = float(shares @ evidence.seen)
        likely = float(evidence.seen[int(shares.argmax())]) if len(shares) else 0.0
        found += [missed, np.log(missed + _LEAST), likely, agreed, np.log(agreed + _LEAST)]
    return np.array(found)


def first_of_each(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the places of the first item of each known kind.

    Items of one kind are right together or wrong together, so a second one adds nothing to the chance that one is right.
    """
    _, places = np.unique(labels, return_index=True)
    found: NDArray[np.intp] = np.sort(places[labels[places] >= 0])
    return found


def judged(
    calibration: Calibration,
    evidence: Matches,
    found: Matches,
    told: Sequence[Mapping[Value, float]] | None,
    *,
    least: float | None,
    coverage: float | None,
) -> Matches:
    """Return matches with the chances that they are of the query's kind, and of them what is asked for.

    Args:
        calibration: what a likeness is worth.
        evidence: the nearest items of each query.
        found: what is shown.
        told: of each query, what a tagger gives each kind.
        least: leave out items of a smaller chance; None keeps all.
        coverage: keep the shortest list that holds an item of the query's kind with this chance; None keeps all.
    """
    field = calibration.field
    probabilities = np.full(found.ids.shape, np.nan, dtype=np.float32)
    kept = []
    for query, count in enumerate(found.counts.tolist()):
        about = Evidence.of(evidence, query, field, None if told is None else told[query])
        numbers = {value: number for number, value in enumerate(about.values)}
        kinds = [metadata.get(field) for metadata in found.metadata[query, :count]]
        labels = np.array(
            [-1 if kind is None else numbers.get(kind, len(numbers)) for kind in kinds], dtype=np.intp
        )
        chances = calibration.chances(about, labels, found.similarities[query, :count])
        probabilities[query, :count] = chances
        places = list(range(count))
        if (least is not None or coverage is not None) and calibration.lacks(about):
            places = []
        if coverage is not None:
            listed = calibration.listed(labels, chances, coverage).tolist()
            places = [place for place in places if place in listed]
        if least is not None:
            places = [place for place in places if chances[place] >= least]
        kept.append(places)
    changed = found.of_scores(probabilities=probabilities)
    return changed if least is None and coverage is None else changed.chosen(kept, found.ids.shape[1])


@dataclass(frozen=True, eq=False)
class Logistic:
    """A logistic function.

    Attributes:
        weight: (f,) float64.
        bias: number.
    """

    weight: NDArray[np.float64]
    bias: float

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (m,) probabilities of (m, f) features."""
        found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(inputs @ self.weight + self.bias, -50, 50)))
        return found


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a likeness is worth in one index, for one metadata field.

    Attributes:
        field: whose value is an item's kind.
        tagged: whether the tagger's own view of a query was learned from.
        same: of an item's features, whether it is of the query's kind.
        steps: (2, s) float64: where its isotonic correction has its corners, and the probabilities there.
        absent: of a query's outlook, whether the index lacks its kind.
        threshold: from which on it is said to be lacking.
        needed: (n,) float64 in ascending order: of n queries, what the chances of the kinds before the right one added up to,
            each kind by its nearest item; `NEVER` where there was none.
    """

    field: str
    tagged: bool
    same: Logistic
    steps: NDArray[np.float64]
    absent: Logistic
    threshold: float
    needed: NDArray[np.float64]

    @property
    def name(self) -> str:
        """What it is kept under."""
        return "calibration"

    def chances(
        self, evidence: Evidence, labels: NDArray[np.intp], similarities: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return (m,) probabilities that items of these kinds are of the query's; NaN where a kind is unknown."""
        if not len(labels):
            return np.zeros(0)
        raw = self.same(features(evidence, np.where(labels < 0, len(evidence.values), labels), similarities))
        return np.where(labels < 0, np.nan, np.interp(raw, *self.steps))

    def lacks(self, evidence: Evidence) -> bool:
        """Return whether the index has nothing of the query's kind, as far as can be told."""
        return bool(self.absent(outlook(evidence)[None])[0] > self.threshold)

    def listed(
        self, labels: NDArray[np.intp], chances: NDArray[np.float64], coverage: float
    ) -> NDArray[np.intp]:
        """Return the places of the shortest list that holds an item of the query's kind with a probability.

        It is the nearest item of each kind, up to where their chances add up to enough; all of them where they never do.
        """
        rank = int(np.ceil((len(self.needed) + 1) * coverage)) - 1
        enough = self.needed[rank] if rank < len(self.needed) else NEVER
        places = first_of_each(labels)
        # In so many queries no more chance than this came before the right kind: a list that has more is long enough.
        long = np.flatnonzero(np.cumsum(chances[places]) > enough)
        return places[: int(long[0]) + 1] if len(long) else places

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `from_state` makes it of again."""
        config = {
            "field": self.field,
            "tagged": self.tagged,
            "same_bias": self.same.bias,
            "absent_bias": self.absent.bias,
            "threshold": self.threshold,
        }
        return config, {
            "same": self.same.weight,
            "absent": self.absent.weight,
            "steps": self.steps,
            "needed": self.needed,
        }

    @classmethod
    def from_state(cls, config: Any, arrays: dict[str, NDArray[Any]]) -> Calibration:
        """Return what `state` was taken of.

        Raises:
            ValueError: if it isn't that.
        """
        tagged = config.flag("tagged")
        told = Evidence(np.zeros(1, np.intp), np.zeros(1, np.float32), [""], np.zeros(1) if tagged else None)
        expected = {
            "same": ("float64", (features(told, told.labels, told.similarities).shape[1],)),
            "absent": ("float64", (len(outlook(told)),)),
            "steps": ("float64", (2, None)),
            "needed": ("float64", (None,)),
        }
        check_arrays(arrays, expected)
        steps, needed = arrays["steps"], arrays["needed"]
        if not steps.size or (np.diff(steps, axis=1) < 0).any() or steps[1].min() < 0 or steps[1].max() > 1:
            raise ValueError("the steps of the correction don't ascend within [0, 1]")
        if (np.diff(needed) < 0).any():
            raise ValueError("'needed' isn't in ascending order")
        return cls(
            config.text("field"),
            tagged,
            Logistic(arrays["same"], config.number("same_bias")),
            steps,
            Logistic(arrays["absent"], config.number("absent_bias")),
            config.number("threshold", least=0, most=1),
            needed,
        )
