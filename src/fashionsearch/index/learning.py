"""What an index learns beside its items, and keeps with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fashionsearch import errors
from fashionsearch.index import learned
from fashionsearch.index.filters import Where
from fashionsearch.index.rows import Id
from fashionsearch.index.searching import Searching
from fashionsearch.index.session import Session

if TYPE_CHECKING:
    from fashionsearch.images import Images


class Learning(Searching):
    """Items, and what was learned of them."""

    _folder: Path | None  # of an opened index

    def session(
        self,
        images: Images | None = None,
        *,
        text: str | None = None,
        id: Id | None = None,
        where: Where | None = None,
    ) -> Session:
        """Return a buyer's session: `session.next(k)` shows a page, and `session.like(id)` makes the next ones better.

        Args:
            images: one photo to start from, in any form.
            text: words to start from.
            id: a stored item to start from. Without any of these the first pages are varied.
            where: only items whose metadata fit, as for `search`.

        Raises:
            InputError: if there are several photos or texts.

        Examples:
            >>> import fashionsearch as fs
            >>> index = fs.VisualIndex(dim=2)
            >>> _ = index.add_vectors([[1, 0], [0, 1], [1, 0.1]], ids=["a", "b", "c"])
            >>> session = index.session(id="a")
            >>> session.next(1).ids, session.next(1).ids
            (array([['c']], dtype=object), array([['b']], dtype=object))
        """
        return Session(self, images, text=text, id=id, where=where)

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
