"""What an index learns beside its items, and keeps with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index import learned, wording
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.queries import unit
from fashionsearch.index.searching import Searching
from fashionsearch.index.whitening import Whitening

if TYPE_CHECKING:
    from fashionsearch.images import Images

_SAMPLE = 5000
_GROWN = 1.5


class Learning(Searching):
    """Items, and what was learned of them."""

    progress: bool
    _folder: Path | None  # of an opened index

    def learn_text(
        self, titles: str | Sequence[str | None], images: Images | None = None, *, random_state: int = 0
    ) -> None:
        """Learn what words mean in photos, from titles; `search(text=…)` then finds by them, and the index keeps them.

        It takes about a minute for 12,000 titles. Words that were learned before are replaced; where words ship with the
        encoder, as with "fashion", they are what is started from. Of more than 100,000 items, so many are drawn.

        Args:
            titles: the metadata field that holds the items' titles; or one text for each of the images, or of the index's own
                items in their order, None where unknown.
            images: n photos that bear the titles; None is the index's own items.
            random_state: of what is drawn while learning.

        Raises:
            InputError: if fewer than 20 titles differ, there aren't as many as photos, no item has the field, or a title
                isn't text or has over 2,000 words.
            ImageError: if an image can't be read.
            StorageError: if the folder of an opened index can't be written.

        Examples:
            >>> import fashionsearch as fs
            >>> shop = fs.datasets.make_catalogue(60, seed=0)
            >>> titles = [f"{colour} {kind}" for colour, kind in zip(shop["baseColour"], shop["articleType"])]
            >>> index = fs.VisualIndex("fashion", progress=False)
            >>> _ = index.add(shop.images, metadata={"title": titles})
            >>> index.learn_text("title")
            >>> index.search(text="red shirt", k=3).counts
            array([3])
        """
        words = wording.learn(
            self._engine, self._encoder, titles, images, random_state=random_state, progress=self.progress
        )
        self._keep(words)

    def _keep(self, part: learned.Part) -> None:
        """Take over what was learned, and keep it in the folder of an opened index.

        Raises:
            StorageError: if the folder can't be written or was opened to be read only; what was known before stays.
        """
        with self._engine.changing:
            parts = {**self._learned, part.name: part}
            if self._folder is not None:
                self._check_writing()
                learned.keep(self._folder, parts)
            self._learned = parts

    def _check_writing(self) -> None:
        from fashionsearch.index.engines.durable import DurableEngine

        if isinstance(self._engine, DurableEngine) and not self._engine.is_writing:
            raise errors.StorageError(
                f"{self._folder} was opened with read_only=True or is closed, so nothing learned can be kept; open it "
                "for writing"
            )

    def _sample(self, count: int = _SAMPLE) -> NDArray[np.float32]:
        """Return unit vectors of some items, the same each time while the items don't change."""
        ids = list(self._engine)
        if len(ids) > count:
            chosen = np.sort(np.random.default_rng(0).choice(len(ids), count, replace=False))
            ids = [ids[place] for place in chosen.tolist()]
        return unit(fetch_present(self._engine, ids).vectors)

    def _whitening(self) -> Whitening:
        """Return how the embeddings lie, which is looked at again when the index has grown by half.

        It is saved with the index, but it is no change of it: a folder that is only read stays as it is.
        """
        known = self._learned.get("whitening")
        if not isinstance(known, Whitening) or len(self) > _GROWN * known.items:
            known = Whitening.fitted(self._sample(), items=len(self))
            self._learned = {**self._learned, known.name: known}
        return known
