"""A buyer's session: pages, what was liked on them, and better pages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index.filters import Where
from fashionsearch.index.rows import Id, check_id, check_number, unknown_id
from fashionsearch.results import Matches

if TYPE_CHECKING:
    from fashionsearch.images import Images
    from fashionsearch.index.searching import Searching

_SAMPLE = 1000
_SHOWN = ("ids", "metadata", "sources")  # of a varied page


class Session:
    """Pages of an index, none of which shows an item again; made by `VisualIndex.session`.

    Without a start the first pages are varied, and once something is liked the next are like that. An item that is removed
    from the index meanwhile is forgotten.

    Attributes:
        shown: ids of all items that were shown, in their order.
        liked: ids.
        unliked: ids.

    Examples:
        >>> import fashionsearch as fs
        >>> index = fs.VisualIndex(dim=2)
        >>> _ = index.add_vectors([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], ids=["a", "b", "c", "d"])
        >>> session = index.session()
        >>> _ = session.next(2)
        >>> session.like("a")
        >>> session.next(1).ids
        array([['c']], dtype=object)
        >>> session
        Session: 3 items shown, 1 liked, 0 not liked
    """

    def __init__(
        self,
        index: Searching,
        images: Images | None = None,
        *,
        text: str | None = None,
        id: Id | None = None,
        where: Where | None = None,
    ) -> None:
        from fashionsearch.images import iterate

        pictures = None if images is None else list(iterate(images))
        if pictures is not None and len(pictures) != 1:
            raise errors.InputError(
                f"a session starts from one photo, and there are {len(pictures)}; give one"
            )
        if text is not None and not isinstance(text, str):
            raise errors.InputError(f"text={text!r:.80} is of type {type(text).__name__}; give one text")
        self._index, self._pictures, self._text, self._id, self._where = index, pictures, text, id, where
        self.shown: list[Id] = []
        self.liked: list[Id] = []
        self.unliked: list[Id] = []

    def next(self, k: int = 10) -> Matches:
        """Return the next page, one query of up to k items that weren't shown before.

        Returns:
            `Matches` of shape (1, k), or fewer where no more are left. A varied page is like nothing in particular, so its
            similarities are NaN.

        Raises:
            InputError: if k isn't a whole number from 1 up, or the start can't be searched by.
            UnknownIdError: if the item of the start isn't there any more.
        """
        liked, unliked = ([item for item in ids if item in self._index] for ids in (self.liked, self.unliked))
        has_start = self._pictures is not None or self._text is not None or self._id is not None
        if has_start or liked:
            found = self._index.search(
                self._pictures, k, text=self._text, id=self._id, where=self._where,
                like=liked, unlike=unliked, exclude=self.shown,
            )  # fmt: skip
        else:
            found = self._index._steadily(partial(self._varied, check_number("k", k, low=1)))
        self.shown += found.ids[0, : int(found.counts[0])].tolist()
        return found

    def like(self, item: Id) -> None:
        """Say that an item is good; it may have been shown or not, and what was said of it before is forgotten.

        Raises:
            UnknownIdError: if no item has the id.
        """
        self._judge(item, self.liked)

    def unlike(self, item: Id) -> None:
        """Say that an item is not what is wanted; likewise.

        Raises:
            UnknownIdError: if no item has the id.
        """
        self._judge(item, self.unliked)

    def __repr__(self) -> str:
        return f"Session: {len(self.shown):,} items shown, {len(self.liked):,} liked, {len(self.unliked):,} not liked"

    def _judge(self, item: Id, judged: list[Id]) -> None:
        known = check_id(item)
        if known not in self._index:
            kinds = {type(each) for each in self.shown}
            raise unknown_id(known, next(iter(kinds), None), len(self._index))
        for ids in (self.liked, self.unliked):
            if known in ids:
                ids.remove(known)
        judged.append(known)

    def _varied(self, k: int) -> Matches:
        """Return items as unlike each other and what was shown as can be."""
        sample = self._index._sample(_SAMPLE)
        seen = list(dict.fromkeys([*self.shown, *self.unliked]))
        shown = [self._index.get(item).vector for item in seen if item in self._index]
        probes = _far_apart(sample, np.array(shown, dtype=np.float32).reshape(-1, self._index.dim), k)
        found = self._index.search_vectors(probes, k, where=self._where, exclude=seen)
        # The nearest of each first.
        arrays: dict[str, Any] = {name: getattr(found, name).T.reshape(1, -1) for name in _SHOWN}
        ids = arrays["ids"][0].tolist()
        places = [place for place, item in enumerate(ids) if item is not None and item not in ids[:place]]
        nothing = np.full(arrays["ids"].shape, np.nan, dtype=np.float32)
        line = Matches(**arrays, similarities=nothing, counts=np.array([len(ids)]))
        return self._index._with_photos(line.chosen([places], min(k, len(places))), None)


def _far_apart(sample: NDArray[np.float32], known: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return some of a sample, each as unlike those before it and those known as can be (Gonzalez 1985)."""
    if not len(sample):
        return sample
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    closest = (
        (sample @ (known / lengths).T).max(axis=1) if len(known) else sample @ -sample.mean(axis=0)
    )  # nothing is known: begin with what is most usual
    chosen: list[int] = []
    for _ in range(min(count, len(sample))):
        best = int(np.argmin(closest))
        likeness = sample @ sample[best]
        closest = np.maximum(closest, likeness) if chosen or len(known) else likeness
        closest[best] = np.inf
        chosen.append(best)
    return sample[chosen]
