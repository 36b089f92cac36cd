"""What clicks say of likeness: which of the embeddings' axes matter, with the bias of positions taken out.

Who clicks has looked at the place before, and later places are looked at less. So a click is a product of two chances, that
its place is looked at and that the item is good (the position-based model, Craswell et al. 2008), and both are fitted to the
log together, goodness by the likeness of query and item (Wang et al. 2018). What is learned is a weight for each principal
axis of the embeddings. A search multiplies its query by the weights, and stays a search by one vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch.storage.arrays import check_arrays

AXES = 128  # that are weighed; what lies across them keeps the weight 1
_TIGHTNESS = 30.0  # of the weights about 1, in places that were shown
_STEPS = 200
_TINY = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClickMetric:
    """Weights of the embeddings' axes.

    Attributes:
        axes: (m, dim) float32, orthonormal.
        weights: (m,) float32, 0 or more; 1 is an axis that counts as before.
        in_use: whether searches are by them.
    """

    axes: NDArray[np.float32]
    weights: NDArray[np.float32]
    in_use: bool = False

    @property
    def name(self) -> str:
        """What it is kept under."""
        return "clicks"

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, dim) queries whose inner products with items are the weighed ones; unchanged where nothing is left."""
        changed = vectors + ((vectors @ self.axes.T) * (self.weights - 1)) @ self.axes
        is_left = np.linalg.norm(changed, axis=1, keepdims=True) > _TINY
        found: NDArray[np.float32] = np.where(is_left, changed, vectors).astype(np.float32)
        return found

    def used(self, in_use: bool) -> ClickMetric:
        """Return it switched on or off."""
        return replace(self, in_use=in_use)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what `from_state` makes it of again."""
        return {"in_use": self.in_use}, {"axes": self.axes, "weights": self.weights}

    @classmethod
    def from_state(cls, config: Any, arrays: dict[str, NDArray[Any]]) -> ClickMetric:
        """Return what `state` was taken of.

        Raises:
            ValueError: if it isn't that.
        """
        check_arrays(arrays, {"axes": ("float32", ("axes", "dim")), "weights": ("float32", ("axes",))})
        if (arrays["weights"] < 0).any():
            raise ValueError("a weight is below 0")
        return cls(arrays["axes"], arrays["weights"], config.flag("in_use"))


def principal_axes(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (m, dim) the axes along which a sample of vectors differs most."""
    _, axes = np.linalg.eigh(np.cov(vectors.astype(np.float64), rowvar=False).reshape(2 * vectors.shape[1:]))
    found: NDArray[np.float32] = np.ascontiguousarray(axes[:, ::-1].T[:AXES], dtype=np.float32)
    return found


@dataclass(frozen=True, eq=False)
class Pages:
    """Pages of a log: p places that were shown, of n pages, one after the other.

    Attributes:
        queries: (n, dim) float32 unit vectors.
        page: (p,) of which page each place is.
        items: (p, dim) float32 unit vectors.
        places: (p,) from 0.
        clicked: (p,) bool.
    """

    queries: NDArray[np.float32]
    page: NDArray[np.intp]
    items: NDArray[np.float32]
    places: NDArray[np.intp]
    clicked: NDArray[np.bool_]

    def some(self, chosen: NDArray[np.bool_]) -> Pages:
        """Return the places of some pages, (n,) bool; the queries stay."""
        kept = chosen[self.page]
        return Pages(self.queries, self.page[kept], self.items[kept], self.places[kept], self.clicked[kept])

    def without_bias(self) -> Pages:
        """Return them as if each place were looked at alike."""
        return replace(self, places=np.zeros_like(self.places))


@dataclass(frozen=True, eq=False)
class Goodness:
    """The chance that an item is clicked once it is looked at, by its likeness to the query.

    Attributes:
        axes: (m, dim) float32.
        coefficients: (3 + m,): of one, of the likeness, of the mean likeness of its page, and of the axes.
        centre: mean and spread of the likenesses of the log.
    """

    axes: NDArray[np.float32]
    coefficients: Floats
    centre: tuple[float, float]

    def __call__(self, queries: NDArray[np.float32], items: NDArray[np.float32], means: Floats) -> Floats:
        """Return (p,) chances of p pairs, (p, dim) and (p, dim), on pages of these mean likenesses, (p,)."""
        plain = features(queries, items, means, self.centre)
        products = (queries @ self.axes.T).astype(np.float64) * (items @ self.axes.T)
        return _sigmoid(np.hstack([plain, products]) @ self.coefficients)

    @property
    def slope(self) -> float:
        """How steeply goodness rises with likeness; where it doesn't, there is nothing to weigh."""
        return float(self.coefficients[1] / self.centre[1])

    def metric(self) -> ClickMetric:
        """Return what it says of the axes."""
        weights = np.ones(len(self.axes))
        if self.slope > 0:
            weights = np.maximum(weights + self.coefficients[3:] / self.slope, 0)
        return ClickMetric(self.axes, weights.astype(np.float32))


def likenesses(queries: NDArray[np.float32], items: NDArray[np.float32]) -> Floats:
    """Return (p,) cosines of pairs of unit vectors."""
    found: Floats = np.einsum("ij,ij->i", queries, items, dtype=np.float64)
    return found


def page_means(pages: Pages, values: Floats) -> Floats:
    """Return (n,) the mean of values of the places of each page; 0 of a page without places."""
    counts = np.bincount(pages.page, minlength=len(pages.queries))
    found: Floats = np.bincount(pages.page, values, minlength=len(pages.queries)) / np.maximum(counts, 1)
    return found


def features(
    queries: NDArray[np.float32], items: NDArray[np.float32], means: Floats, centre: tuple[float, float]
) -> Floats:
    """Return (p, 3): one, the likeness, and the mean likeness of the page, which says how rich the query is."""
    middle, spread = centre
    alike = likenesses(queries, items)
    return np.stack([np.ones(len(alike)), (alike - middle) / spread, (means - middle) / spread], axis=1)


def looked_at(pages: Pages) -> Floats:
    """Return the chance of each place to be looked at, against the first; fitted together with goodness.

    Goodness is by likeness alone here: with many features it would take over what is the places'.
    """
    alike = likenesses(pages.queries[pages.page], pages.items)
    centre = (float(alike.mean()), max(float(alike.std()), _TINY))
    means = page_means(pages, alike)[pages.page]
    known = features(pages.queries[pages.page], pages.items, means, centre)
    count = int(pages.places.max()) + 1
    clicks = pages.clicked.astype(np.float64)

    def loss(values: Floats) -> tuple[float, Floats]:
        places = np.concatenate([[0.0], values[: count - 1]])
        good = _sigmoid(known @ values[count - 1 :])
        value, slopes = _click_loss(np.exp(places[pages.places]) * good, clicks)
        of_places = np.bincount(pages.places, slopes, minlength=count)[1:]
        of_good = known.T @ (slopes * (1 - good))
        return value, np.concatenate([of_places, of_good]) / len(clicks)

    begin = np.concatenate([-np.log(np.arange(2, count + 1)) / 2, np.zeros(known.shape[1])])
    bounds = [(-8.0, 2.0)] * (count - 1) + [(None, None)] * known.shape[1]
    found: Floats = np.exp(np.concatenate([[0.0], _minimised(loss, begin, bounds)[: count - 1]]))
    return found


def goodness(pages: Pages, chances: Floats, axes: NDArray[np.float32]) -> Goodness:
    """Fit how good items are, given the chances of places to be looked at."""
    queries = pages.queries[pages.page]
    alike = likenesses(queries, pages.items)
    centre = (float(alike.mean()), max(float(alike.std()), _TINY))
    plain = features(queries, pages.items, page_means(pages, alike)[pages.page], centre)
    products = (queries @ axes.T).astype(np.float64) * (pages.items @ axes.T)
    known, clicks, seen = (
        np.hstack([plain, products]),
        pages.clicked.astype(np.float64),
        chances[pages.places],
    )

    def loss(values: Floats, tightness: float = 0.0) -> tuple[float, Floats]:
        shown = known[:, : len(values)]
        good = _sigmoid(shown @ values)
        value, slopes = _click_loss(seen * good, clicks)
        more = np.concatenate([np.zeros(3), values[3:]]) * tightness
        return (
            value + float(more @ values) / 2 / len(clicks),
            (shown.T @ (slopes * (1 - good)) + more) / len(clicks),
        )

    begin = np.concatenate([_minimised(loss, np.zeros(3)), np.zeros(len(axes))])
    slope = begin[1] / centre[1]
    if slope <= 0:
        return Goodness(axes, begin, centre)
    found = _minimised(lambda values: loss(values, _TIGHTNESS / slope**2), begin)
    return Goodness(axes, found if found[1] > 0 else begin, centre)


def _sigmoid(values: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return found


def _click_loss(chances: Floats, clicks: Floats) -> tuple[float, Floats]:
    """Return minus the logarithm of the likelihood over the places, and its slopes by the logarithms of the chances."""
    sure = np.clip(chances, _TINY, 1 - 1e-6)
    value = -(clicks * np.log(sure) + (1 - clicks) * np.log1p(-sure)).mean()
    return float(value), (sure - clicks) / (1 - sure)


def _minimised(loss: Any, begin: Floats, bounds: Any = None) -> Floats:
    from scipy.optimize import minimize

    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
    values: Floats = found.x
    return values
