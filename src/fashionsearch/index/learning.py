"""What an index learns beside its items, and keeps with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index import learned
from fashionsearch.index.engines.base import fetch_present
from fashionsearch.index.queries import unit
from fashionsearch.index.searching import Searching
from fashionsearch.index.whitening import Whitening

_SAMPLE = 5000
_GROWN = 1.5


class Learning(Searching):
    """Items, and what was learned of them."""

    _folder: Path | None  # of an opened index
    _learned: Mapping[str, learned.Part]

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
