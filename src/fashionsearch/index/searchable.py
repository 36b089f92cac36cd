"""What an index takes in and answers: photos or vectors, and the nearest items."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, filters, paging
from fashionsearch.index.health import reach
from fashionsearch.index.items import Items
from fashionsearch.index.ranking import source_first
from fashionsearch.index.rows import (
    Id,
    Rows,
    as_ids,
    check_id,
    check_ids,
    check_number,
    check_vectors,
    metadata_rows,
)
from fashionsearch.results import Added, Health, Matches, Synced

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.datasets.table import Table
    from fashionsearch.images import Images

_MAX_K = 1_000_000
_TWINS = 8  # items beyond k among which that of the queried file itself may be
_GROWN = 1.5
_SHOWN = 10  # queries whose photos are kept for a notebook's view


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What a search asks, checked; the arguments of `search` of the same names."""

    k: int
    condition: filters.Condition | None
    exact: bool
    offset: int
    exclude: frozenset[Id]
    group_by: str | None


class Searchable(Items):
    """Items that photos and vectors are added to, and searched by."""

    dim: int
    show_photos: bool
    progress: bool
    recall: float | None
    _audited: int  # items when `ef_search` was last set for the goal of recall
    _auditing: bool
    _encoder: Embeds | None

    @property
    def encoder(self) -> Embeds | None:
        """What embeds photos; another one is refused with EncoderMismatchError unless it embeds alike."""
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: Embeds | None) -> None:
        chosen = encoders.replacement(self._encoder, encoder, self.dim, empty=not len(self))
        self._check_encoder(chosen)
        self._encoder = chosen

    def _check_encoder(self, encoder: Embeds | None) -> None:
        """Let the engine keep by what an encoder is recognised, or check it against what is kept."""
        if self._engine.settings.server is not None:
            held = self._engine.identity(None if encoder is None else encoders.identity(encoder))
            if encoder is not None and held is not None:
                encoders.check_same(encoder, held, "the collection holds")

    def add(
        self,
        images: Images,
        *,
        ids: Sequence[Id] | None = None,
        metadata: Any = None,
        on_error: str = "raise",
        cache: EmbeddingCache | None = None,
    ) -> Added:
        """Embed photos and add them; an id that is there already gets the new photo and metadata.

        Args:
            images: n images in any form.
            ids: n strings or n integers; None numbers them on from the largest so far, from 0.
            metadata: one mapping an image, or a mapping of columns, or a data frame; values are text, numbers,
                booleans, dates or None.
            on_error: "raise" at an image that can't be read, and add nothing; or "skip" such images.
            cache: where a backbone looks for embeddings first, and keeps new ones.

        Returns:
            `Added(ids, failures)`: what was added, and what was left out and why.

        Raises:
            ImageError: if an image can't be read and `on_error` is "raise".
            InputError: if lengths differ, an id is of another kind or occurs twice, or there is no encoder; nothing
                is added.
        """
        from fashionsearch.images import count  # here, since an index of vectors alone needs none of it

        encoder = self._required_encoder("add photos")
        known, rows = count(images), None
        names = None if ids is None else as_ids(ids)
        if known is not None:  # embedding takes long, so what can be refused is refused before
            rows = metadata_rows(metadata, known)
            check_ids(names, known, self._engine.id_kind, self._engine.next_id)
        vectors, positions, sources, failures = encoders.embed_all(encoder, images, on_error, cache)
        total = len(positions) + len(failures)
        if rows is None or len(rows) != total:
            rows = metadata_rows(metadata, total)
        kept = [rows[position] for position in positions]
        added = Rows(positions, check_vectors(vectors, self.dim), kept, sources)
        return Added(self._upsert(added, names, total), failures)

    def add_vectors(
        self, vectors: ArrayLike, *, ids: Sequence[Id] | None = None, metadata: Any = None
    ) -> Added:
        """Add vectors; an id that is there already gets the new vector and metadata.

        Args:
            vectors: (n, dim) finite numbers, none of them all zero.
            ids: as for `add`.
            metadata: as for `add`.

        Returns:
            `Added(ids, ())`.

        Raises:
            InputError: if a shape, value, id or metadata can't be used; nothing is added.
        """
        checked = check_vectors(vectors, self.dim)
        rows = metadata_rows(metadata, len(checked))
        n = len(checked)
        return Added(self._upsert(Rows(range(n), checked, rows, [None] * n), ids, n))

    def search(
        self,
        images: Images,
        k: int = 5,
        *,
        where: filters.Where | None = None,
        exact: bool = False,
        offset: int = 0,
        exclude: Iterable[Id] = (),
        group_by: str | None = None,
    ) -> Matches:
        """Find the items nearest to one or several photos.

        Args:
            images: n photos, each a query, in any form.
            k: how many items to find for each.
            where: only among items whose metadata fit, for example
                `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`; "contains", "exists", "not",
                "and" and "or" are there too (the page of the reference has them all).
            exact: compare with every item, instead of walking the graph.
            offset: leave out so many of the nearest, which were on the pages before. While the index doesn't change, pages of
                one size hold each item once; those after the first compare with every item.
            exclude: ids that are no answers, such as what was shown; those that aren't there don't matter.
            group_by: a metadata field, such as the product's id: of the items that share a value only the nearest is shown.
                Items without a value are shown each.

        Returns:
            `Matches` of shape (n, k), nearest first, or (n, items) where there are fewer than k items. A filter may leave
            less: places beyond `counts` hold None and NaN.

        Raises:
            ImageError: if a photo can't be read.
            InputError: if k, the filter or another argument can't be used, or there is no encoder.
        """
        from fashionsearch.images import source_of, thumbnail_uri

        encoder, ask = (
            self._required_encoder("search by photo"),
            self._asked(k, where, exact, offset, exclude, group_by),
        )
        pictures, embedded = encoders.embed_queries(encoder, images)
        found = self._search(
            check_vectors(embedded, self.dim), ask, [source_of(picture) for picture in pictures]
        )
        shown = tuple(pictures[i] if i < _SHOWN else None for i in range(len(pictures)))
        return found.of_photos(shown, thumbnail_uri, shows_sources=self.show_photos)

    def search_vectors(
        self,
        vectors: ArrayLike,
        k: int = 5,
        *,
        where: filters.Where | None = None,
        exact: bool = False,
        offset: int = 0,
        exclude: Iterable[Id] = (),
        group_by: str | None = None,
    ) -> Matches:
        """Find the items nearest to one or several vectors, (n, dim) or (dim,); the rest is as for `search`.

        Raises:
            InputError: if a vector, k, the filter or another argument can't be used.
        """
        return self._search(
            check_vectors(vectors, self.dim), self._asked(k, where, exact, offset, exclude, group_by)
        )

    def _asked(
        self,
        k: int,
        where: filters.Where | None,
        exact: bool,
        offset: int,
        exclude: Iterable[Id],
        group_by: str | None,
    ) -> _Asked:
        if group_by is not None and not isinstance(group_by, str):
            raise errors.InputError(f"group_by={group_by!r} is not the name of a metadata field")
        return _Asked(
            check_number("k", k, low=1, high=_MAX_K),
            filters.parse(where),
            exact,
            check_number("offset", offset, low=0, high=_MAX_K),
            frozenset(check_id(item) for item in as_ids(exclude)),
            group_by,
        )

    def sync(
        self,
        photos: str | os.PathLike[str],
        table: Table | None = None,
        *,
        cache: EmbeddingCache | None = None,
    ) -> Synced:
        """Bring the index in step with a folder of photos: add new ones, embed changed ones again, remove missing ones.

        A file whose size and times are unchanged is skipped; one that was only touched, or moved with its folder, is
        recognised by a digest of its content. Every 500 photos are a change of their own, so an interrupted call goes on
        where it was. Items that were added otherwise stay.

        Args:
            photos: the folder; ids are the photos' paths in it. Not looked at where there is a table.
            table: whose rows are to be the items: by its ids, with its metadata and its own image paths; items synced before
                that it lacks are removed.
            cache: where a backbone looks for embeddings first, and keeps new ones.

        Returns:
            `Synced`: what was added, changed, removed and kept, and what can't be read.

        Raises:
            DataError: if the folder is missing or holds no photo; nothing is removed.
            InputError: if the table's photos are no files, its ids are of another kind, or there is no encoder.
        """
        from fashionsearch.index.sync import sync

        return sync(self._engine, self._required_encoder("embed photos"), photos, table, cache)

    def add_shards(self, folder: str | os.PathLike[str]) -> int:
        """Add what `embed_shards` embedded; items that are there unchanged are left, so an interrupted call goes on.

        Args:
            folder: of the Parquet files.

        Returns:
            How many items were added or replaced.

        Raises:
            StorageError: if the folder holds no such run.
            CorruptFileError: if a shard is missing or damaged; those before it are in the index.
            EncoderMismatchError: if its embeddings come from another encoder than this index's.
            InputError: if its ids are of another kind.
        """
        from fashionsearch.index.shards import add_shards

        return add_shards(self._engine, self._encoder, folder, progress=self.progress)

    def copy_to(self, other: Searchable) -> int:
        """Copy all items to another index, whatever its engine.

        Items that are there unchanged are left out, so a copy that was interrupted goes on. Others there stay.

        Args:
            other: an index of vectors as long as these; one without an encoder takes this one's if it is empty.

        Returns:
            How many items were added or replaced.

        Raises:
            EncoderMismatchError: if its vectors come from another encoder.
            InputError: if its ids are of another kind.

        Examples:
            >>> import fashionsearch as fs
            >>> one, other = fs.VisualIndex(dim=2), fs.VisualIndex(dim=2, engine="exact")
            >>> _ = one.add_vectors([[1, 0], [0, 1]], ids=["a", "b"])
            >>> one.copy_to(other), one.copy_to(other), list(other)
            (2, 0, ['a', 'b'])
        """
        from fashionsearch.index.copying import copy

        if self.dim != other.dim:
            raise errors.EncoderMismatchError(f"vectors here have length {self.dim}, and there {other.dim}")
        if self._encoder is not None and (other._encoder is not None or not len(other)):
            other.encoder = encoders.replacement(
                other._encoder, self._encoder, other.dim, empty=not len(other)
            )
        return copy(self._engine, other._engine, progress=self.progress)

    def health(self) -> Health:
        """Audit the index on its own items: recall against exact search, what it takes up, and how its embeddings lie.

        Examples:
            >>> import fashionsearch as fs
            >>> index = fs.VisualIndex(dim=2)
            >>> _ = index.add_vectors([[1, 0], [0, 1], [1, 1]])
            >>> index.health().recall
            1.0
        """
        from fashionsearch.index.health import check

        return check(self._engine)

    def _search(
        self, queries: NDArray[np.float32], asked: _Asked, sources: Sequence[str | None] = ()
    ) -> Matches:
        self._keep_goal()
        extra = _TWINS if sources else 0

        def find(count: int, exact: bool) -> Matches:
            found = self._engine.search(queries, count + extra, asked.condition, exact or asked.exact)
            return source_first(found, sources, count) if sources else found

        if asked.offset or asked.exclude or asked.group_by is not None:
            if asked.group_by is not None:
                self._engine.check_field(asked.group_by, "group_by")
            found = paging.page(
                find, asked.k, offset=asked.offset, exclude=asked.exclude, group_by=asked.group_by
            )
        else:
            found = find(asked.k, False)
        is_first = not (asked.offset or asked.exclude)
        if asked.condition is not None and is_first and len(queries) and not found.counts.any() and len(self):
            told = filters.nothing_fits(asked.condition, self._engine.counts)
            warnings.warn(told, errors.DataWarning, stacklevel=3)
        return found

    def _keep_goal(self) -> None:
        """Set `ef_search` for the goal of recall, if there is one, and the index has grown much since that was last done."""
        if self.recall is None or self._auditing or len(self) <= _GROWN * self._audited:
            return
        if self._engine.has_graph:
            self._auditing = True
            try:
                reach(self._engine, self.recall)
                self._audited = len(self)
            finally:
                self._auditing = False

    def _required_encoder(self, purpose: str) -> Embeds:
        if self._encoder is None:
            raise errors.InputError(
                f"this index has no encoder to {purpose}; use the methods for vectors, or give VisualIndex or "
                "VisualIndex.load an encoder"
            )
        return self._encoder
