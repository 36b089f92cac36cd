"""`VisualIndex`: photos or vectors in, the nearest items out."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors, neighbours, storage
from fashionsearch.encoder import Embeds
from fashionsearch.index import encoders, engines, filters, snapshot
from fashionsearch.index.engines.base import Settings
from fashionsearch.index.items import PATIENCE, Items
from fashionsearch.index.ranking import source_first
from fashionsearch.index.rows import (
    Id,
    Rows,
    as_ids,
    check_choice,
    check_ids,
    check_number,
    check_vectors,
    metadata_rows,
)
from fashionsearch.results import Added, Matches

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.images import Images

_SAVED = ("dim", "metric", "engine", "m", "ef_construction", "ef_search", "random_state")
_MAX_K = _MAX_EF = 1_000_000
_TWINS = 8  # items beyond k among which that of the queried file itself may be
_SHOWN = 10  # queries whose photos are kept for a notebook's view


class VisualIndex(Items):
    """Items by id, each a vector with metadata; searched by photo or by vector.

    Vectors, ids and metadata are the truth. The HNSW graph is a cache beside them, used when the index is too large to
    scan in about a millisecond; small sets, narrow filters and a `k` near the size are answered exactly. A graph is
    built aside, and searches are exact until it is there; `add` and `load` wait a minute at most for a first one.

    Args:
        encoder: anything with `dim` and `embed(images) -> (n, dim) float32` (a `Backbone`, a `Classifier`, your own
            class), or a backbone's name; None for an index of vectors only.
        dim: length of a vector, where there is no encoder.
        metric: "cosine", or "euclidean" (similarity is minus the distance).
        engine: "hnsw" or "exact".
        m: links of a node of the graph; more is larger, slower to build and more accurate.
        ef_construction: candidates while building; likewise.
        ef_search: candidates while searching; raises recall at the cost of time.
        random_state: of the graph's levels.
        progress: show a bar once building takes over two seconds.

    Attributes:
        encoder: as given, or the backbone of that name; another one that embeds alike can be set.
        dim: length of a vector.
        metric: as given.
        engine: as given; "exact" if hnswlib can't be imported.
        show_photos: whether a notebook shows matches' photos, by opening the files they were added from; False once
            loaded, because a folder may name any file. Set it to True for a folder you trust.

    Raises:
        InputError: if neither or both of encoder and dim are given, or an option isn't known.

    Examples:
        >>> import fashionsearch as fs
        >>> index = fs.VisualIndex(dim=2)
        >>> index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"], metadata=[{"colour": "red"}, {"colour": "blue"}])
        Added 2 items, left out 0
        >>> index.search_vectors([[1, 0.1]], k=1).ids
        array([['a']], dtype=object)
    """

    def __init__(
        self,
        encoder: Embeds | str | None = None,
        *,
        dim: int | None = None,
        metric: str = "cosine",
        engine: str = "hnsw",
        m: int = 16,
        ef_construction: int = 200,
        ef_search: int = 50,
        random_state: int = 0,
        progress: bool = True,
    ) -> None:
        check_choice("metric", metric, neighbours.METRICS)
        self.engine = engines.usable(engine)
        if encoder is None and dim is None:
            raise errors.InputError(
                "give an encoder (or a backbone's name), or dim for an index of vectors only"
            )
        if isinstance(encoder, str):
            from fashionsearch.backbones import create_backbone

            encoder = create_backbone(encoder)
        self._encoder: Embeds | None = encoder
        self.dim = encoders.dimension(encoder, dim)
        self.metric = metric
        self.m = check_number("m", m, low=2, high=512)
        self.ef_construction = check_number("ef_construction", ef_construction, low=1, high=_MAX_EF)
        self.random_state = check_number("random_state", random_state, low=0, high=2**32 - 1)
        self.progress = progress
        self.show_photos = True
        self._engine = engines.ENGINES[self.engine](
            Settings(
                dim=self.dim,
                metric=metric,
                m=self.m,
                ef_construction=self.ef_construction,
                ef_search=check_number("ef_search", ef_search, low=1, high=_MAX_EF),
                random_state=self.random_state,
                progress=progress,
            )
        )

    @property
    def ef_search(self) -> int:
        """Candidates of a walk through the graph; may be set at any time."""
        return self._engine.settings.ef_search

    @ef_search.setter
    def ef_search(self, value: int) -> None:
        checked = check_number("ef_search", value, low=1, high=_MAX_EF)
        self._engine.settings = dataclasses.replace(self._engine.settings, ef_search=checked)

    @property
    def encoder(self) -> Embeds | None:
        """What embeds photos; another one is refused with EncoderMismatchError unless it embeds alike."""
        return self._encoder

    @encoder.setter
    def encoder(self, encoder: Embeds | None) -> None:
        self._encoder = encoders.replacement(self._encoder, encoder, self.dim, empty=not len(self))

    @property
    def has_graph(self) -> bool:
        """Whether the index has grown to need its HNSW graph, and that is ready; until then every search is exact."""
        return self._engine.has_graph

    def __repr__(self) -> str:
        return (
            f"VisualIndex of {len(self):,} items, dim={self.dim}, metric={self.metric!r}, engine={self.engine!r}, "
            f"encoder={None if self.encoder is None else encoders.name(self.encoder)!r}"
        )

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
            metadata: one mapping an image, or a mapping of columns; values are text, numbers, booleans or None.
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
        self, images: Images, k: int = 5, *, where: filters.Where | None = None, exact: bool = False
    ) -> Matches:
        """Find the items nearest to one or several photos.

        Args:
            images: n photos, each a query, in any form.
            k: how many items to find for each.
            where: only among items whose metadata fit, for example
                `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`; "contains", "exists", "not",
                "and" and "or" are there too (the page of the reference has them all).
            exact: compare with every item, instead of walking the graph.

        Returns:
            `Matches` of shape (n, k), nearest first, or (n, items) where there are fewer than k items. A filter may leave
            less: places beyond `counts` hold None and NaN.

        Raises:
            ImageError: if a photo can't be read.
            InputError: if k or the filter can't be used, or there is no encoder.
        """
        from fashionsearch.images import source_of, thumbnail_uri

        check_number("k", k, low=1, high=_MAX_K)
        encoder, condition = self._required_encoder("search by photo"), filters.parse(where)
        pictures, embedded = encoders.embed_queries(encoder, images)
        found = self._search(check_vectors(embedded, self.dim), k + _TWINS, condition, exact)
        found = source_first(found, [source_of(picture) for picture in pictures], k)
        shown = tuple(pictures[i] if i < _SHOWN else None for i in range(len(pictures)))
        return dataclasses.replace(
            found, queries=shown, _thumbnail=thumbnail_uri, _shows_sources=self.show_photos
        )

    def search_vectors(
        self, vectors: ArrayLike, k: int = 5, *, where: filters.Where | None = None, exact: bool = False
    ) -> Matches:
        """Find the items nearest to one or several vectors, (n, dim) or (dim,); the rest is as for `search`.

        Raises:
            InputError: if a vector, k or the filter can't be used.
        """
        wanted = check_number("k", k, low=1, high=_MAX_K)
        return self._search(check_vectors(vectors, self.dim), wanted, filters.parse(where), exact)

    def _search(
        self, queries: NDArray[np.float32], k: int, condition: filters.Condition | None, exact: bool
    ) -> Matches:
        found = self._engine.search(queries, k, condition, exact)
        if condition is not None and len(queries) and not found.counts.any() and len(self):
            told = filters.nothing_fits(condition, self._engine.counts)
            warnings.warn(told, errors.DataWarning, stacklevel=3)
        return found

    def _required_encoder(self, purpose: str) -> Embeds:
        if self.encoder is None:
            raise errors.InputError(
                f"this index has no encoder to {purpose}; use the methods for vectors, or give VisualIndex or "
                "VisualIndex.load an encoder"
            )
        return self.encoder

    def save(self, folder: storage.PathLike) -> None:
        """Save everything the index needs (vectors, ids, metadata, parameters, the graph, the encoder), atomically.

        An encoder is saved whole, a classifier with its head; of one of your own class only what it takes to recognise it.

        Raises:
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        if not self.has_graph:
            self._engine.settle(PATIENCE)  # what is saved without a graph makes it again at each load
        with self._engine.changing:
            snapshot.write(folder, self._engine, self.encoder, {name: getattr(self, name) for name in _SAVED})

    @classmethod
    def load(
        cls,
        folder: storage.PathLike,
        *,
        encoder: Embeds | None = None,
        rebuild: bool = False,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> VisualIndex:
        """Load what `save` wrote, without touching the network.

        A damaged graph is built again from the vectors; anything else that is damaged is an error. The hashes of the
        files guard against accidents, not against attackers, who can write them too: a folder from a stranger is
        loaded with `rebuild=True`.

        Args:
            folder: the saved folder.
            encoder: to use instead of the saved one; needed where the saved one was of your own class.
            rebuild: build the graph again from the vectors, so that no native code reads a file of the folder.
            device: of the saved encoder, as for `create_backbone`.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: show a bar once work takes over two seconds.

        Raises:
            StorageError: if the folder holds no index or is damaged.
            EncoderMismatchError: if the encoder isn't the one the vectors came from.
        """
        options = {
            "device": device,
            "precision": precision,
            "runtime": runtime,
            "batch_size": batch_size,
            "progress": progress,
        }
        with snapshot.reading(folder) as (saved, config):
            parameters = {name: config[name] for name in _SAVED}
            chosen = encoders.restore(saved, config["encoder"], encoder, options)
            try:
                self = cls(chosen, progress=progress, **parameters)
            except errors.InputError as error:
                raise ValueError(f"index.json: {error}") from error
            self._engine.read(saved, config, rebuild=rebuild)
        self.show_photos = False
        self._engine.settle(PATIENCE)
        return self
