"""What can stand in for an item that is sold out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fashionsearch.index import filters
from fashionsearch.index.rows import Id, check_id
from fashionsearch.index.searching import Searching
from fashionsearch.results import Matches


class Substituting(Searching):
    """Items that others stand in for."""

    def substitutes(
        self,
        id: Id,
        k: int = 5,
        *,
        where: filters.Where | None = None,
        group_by: str | None = None,
        diversity: float = 0.0,
        exact: bool = False,
        offset: int = 0,
        exclude: Iterable[Id] = (),
    ) -> Matches:
        """Find what can stand in for a stored item: of the items that meet the condition, those likest to it.

        Args:
            id: the item, which is no answer itself.
            k: how many to find.
            where: what a substitute must meet, such as `{"stock": {"gte": 1}, "price": {"lte": 40}}`, as for `search`.
            group_by: the metadata field of a product's name or number: other photos of the item's own product are no answers,
                and each other product is shown once.
            diversity: as for `search`.
            exact: likewise.
            offset: likewise.
            exclude: likewise.

        Returns:
            `Matches` of shape (1, k), as from `search`; fewer where not so many meet the condition.

        Raises:
            UnknownIdError: if there is no item of the id.
            InputError: if k, the condition or another argument can't be used.

        Examples:
            >>> import fashionsearch as fs
            >>> index = fs.VisualIndex(dim=2)
            >>> shop = {"name": ["tee", "tee", "top", "hat"], "stock": [0, 3, 2, 0]}
            >>> _ = index.add_vectors([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]], ids=["a", "b", "c", "d"], metadata=shop)
            >>> [match.id for match in index.substitutes("a", where={"stock": {"gte": 1}})[0]]
            ['b', 'c']
            >>> [match.id for match in index.substitutes("a", where={"stock": {"gte": 1}}, group_by="name")[0]]
            ['c']
        """
        own = None
        if isinstance(group_by, str):
            self._engine.check_field(group_by, "group_by")
            own = self._engine.fetch([check_id(id)]).metadata[0].get(group_by)
        if own is not None and group_by is not None:
            others: dict[str, Any] = {"not": {group_by: own}}
            where = others if where is None else {"and": [where, others]}
        return self.search(
            id=id,
            k=k,
            where=where,
            group_by=group_by,
            diversity=diversity,
            exact=exact,
            offset=offset,
            exclude=exclude,
        )
