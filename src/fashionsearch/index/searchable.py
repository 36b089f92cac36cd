"""What an index takes in: photos or vectors, a folder in step, shards, another index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders
from fashionsearch.index.holding import OtherEncoderError
from fashionsearch.index.learning import Learning
from fashionsearch.index.rows import (
    Id,
    Rows,
    as_ids,
    check_ids,
    check_vectors,
    metadata_rows,
)

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.datasets.table import Table
    from fashionsearch.images import Images
    from fashionsearch.index.engines.base import Engine
    from fashionsearch.index.learned import Part
    from fashionsearch.index.migration import Migration
    from fashionsearch.results import Added, Health, Synced


class Searchable(Learning):
    """Items that photos and vectors are added to, and searched by."""

    engine: str
    metric: str
    progress: bool
    _migration: Migration | None = None

    @property
    def encoder(self) -> Embeds | None:
        """What embeds photos; another one is refused with EncoderMismatchError unless it embeds alike.

        One that is set is kept in the folder of an opened index, unless that was opened with `read_only=True`.
        """
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: Embeds | None) -> None:
        with self._held() as engine:
            chosen = encoders.replacement(self._encoder, encoder, self.dim, empty=not len(engine))
            if chosen is not None and self._migration is not None:
                self._migration.check_encoder(chosen)
            else:
                self._check_encoder(chosen)
            if chosen is not self._encoder and not len(engine) and self._learned:
                self._forget()  # which was learned of another encoder's vectors
            with self._exchanging():
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
        ids: Iterable[Id] | None = None,
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
            EncoderMismatchError: if the images are an iterator, and the index was given another encoder meanwhile; others
                are embedded again then.
        """
        from fashionsearch.images import count  # here, since an index of vectors alone needs none of it
        from fashionsearch.results import Added

        encoder = self._required_encoder("add photos")
        known, rows = count(images), None
        names = None if ids is None else as_ids(ids)
        if known is not None:  # embedding takes long, so what can be refused is refused before
            rows = metadata_rows(metadata, known)
            check_ids(names, known, self._engine.id_kind, self._engine.next_id)
        while True:
            seeing = self._seeing(encoder)
            vectors, positions, sources, failures = encoders.embed_all(seeing, images, on_error, cache)
            total = len(positions) + len(failures)
            if rows is None or len(rows) != total:
                rows = metadata_rows(metadata, total)
            kept = [rows[position] for position in positions]
            added = Rows(positions, check_vectors(vectors, int(encoder.dim)), kept, sources)
            try:
                return Added(self._upsert(added, names, total, encoder), failures)
            except OtherEncoderError:
                if known is None:  # what was read from an iterator is gone
                    raise
                encoder = self._required_encoder("add photos")

    def add_vectors(
        self, vectors: ArrayLike, *, ids: Iterable[Id] | None = None, metadata: Any = None
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
            EncoderMismatchError: if the index is given another encoder at this moment.
        """
        from fashionsearch.results import Added

        encoder, checked = self._encoder, check_vectors(vectors, self.dim)
        rows = metadata_rows(metadata, len(checked))
        n = len(checked)
        return Added(self._upsert(Rows(range(n), checked, rows, [None] * n), ids, n, encoder))

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

        self._required_encoder("embed photos")
        return sync(self, photos, table, cache)

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
            InputError: if its ids are of another kind, or the index has background="fuse".
        """
        from fashionsearch.index.shards import add_shards

        if self.background != "keep":
            raise errors.InputError(
                "shards hold embeddings of whole photos, and this index has background='fuse'; add its photos, or make an "
                "index with background='keep'"
            )
        return add_shards(self, folder, progress=self.progress)

    def copy_to(self, other: Searchable) -> int:
        """Copy all items to another index, whatever its engine, and what was learned of them.

        Items that are there unchanged are left out, so a copy that was interrupted goes on. Others there stay. Where the
        encoder and the metric are the same, an index that holds no other items takes over words, clicks, calibration and how
        the embeddings lie; one with items of its own keeps what it has learned, and takes words and clicks if it has none.

        Args:
            other: an index of vectors as long as these; one without an encoder takes this one's if it is empty.

        Returns:
            How many items were added or replaced.

        Raises:
            EncoderMismatchError: if its vectors come from another encoder, or from photos with another `background`.
            InputError: if its ids are of another kind, or this index is being migrated to another encoder.

        Examples:
            >>> import fashionsearch as fs
            >>> one, other = fs.VisualIndex(dim=2), fs.VisualIndex(dim=2, engine="exact")
            >>> _ = one.add_vectors([[1, 0], [0, 1]], ids=["a", "b"])
            >>> one.copy_to(other), one.copy_to(other), list(other)
            (2, 0, ['a', 'b'])
        """
        from fashionsearch.index.copying import copy

        return copy(self, other, progress=self.progress)

    @property
    def migration(self) -> Migration | None:
        """What `migrate` has begun, until it is finished or rolled back."""
        return self._migration

    def migrate(
        self,
        encoder: Embeds | str,
        photos: Mapping[Any, Any] | str | Path | None = None,
        *,
        pairs: int = 1500,
        field: str | None = None,
        random_state: int = 0,
        cache: EmbeddingCache | None = None,
    ) -> Migration:
        """Give the index another encoder: its queries search at once, and items are embedded again in the background.

        Some items are embedded before the call returns, and a map between the two spaces is learned from them. What it loses
        is measured on others and printed (unless `progress=False`). Then the new encoder's queries, mapped, search the old
        vectors of the items that are still to be embedded, and as they are the new vectors of the others. Both encoders'
        vectors are kept until `migration.finish()`; until then `migration.rollback()` goes back. The work of an opened index
        goes on where it was when the folder is opened again; a second call goes on as well.

        Args:
            encoder: the new one, or a backbone's name. Two threads use it at once.
            photos: of the items: id -> photo, or a folder of them; None is the paths that they were added from. Of a loaded
                index these are whatever its folder says: leave them only where you trust it.
            pairs: items to learn the map from; a quarter as many more are held out, and together they are at most half of the
                items. An index of fewer than 50 items is embedded as a whole before the call returns.
            field: a metadata field in which the first match is to agree with the query, to be measured too.
            random_state: of the choice of these items.
            cache: where a backbone looks for embeddings first, and keeps new ones.

        Returns:
            The migration: its `report`, its `state`, and what ends it.

        Raises:
            InputError: if too few photos can be embedded, the metric isn't "cosine", or the index is empty, only reads, or
                has this encoder.
            EncoderMismatchError: if it is being migrated to another encoder.
            StorageError: if the new vectors can't be written; the index is as it was.
        """
        from fashionsearch.index.beginning import migrate

        return migrate(
            self, encoder, photos, pairs=pairs, field=field, random_state=random_state, cache=cache
        )

    def _take(self, engine: Engine, encoder: Embeds | None, parts: Mapping[str, Part], items: str) -> None:
        """Go on with another engine, whose vectors come from another encoder, what was learned of these, and their folder."""
        with self._exchanging():
            self._engine, self._encoder, self.dim, self._audited = engine, encoder, engine.settings.dim, 0
            self._learned, self._items = parts, items

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
