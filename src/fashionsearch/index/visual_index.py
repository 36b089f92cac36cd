"""`VisualIndex`: photos or vectors in, the nearest items out."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors, storage
from fashionsearch import neighbours as exact
from fashionsearch.backbones import create_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import Embeds
from fashionsearch.images import Images, count, iterate, source_of, thumbnail_uri
from fashionsearch.index import encoders
from fashionsearch.index import snapshot as persistence
from fashionsearch.index.engines import hnsw
from fashionsearch.index.engines.planner import find
from fashionsearch.index.engines.store import Id, Store, metadata_row, metadata_rows
from fashionsearch.index.filters import Condition, Where, nothing_fits, parse
from fashionsearch.index.rows import as_ids, check_id, check_ids, check_number, check_vectors
from fashionsearch.results import Added, Item, Matches

ENGINES = ("hnsw", "exact")
_SAVED = ("metric", "engine", "m", "ef_construction", "ef_search", "random_state")
_EXACT_BYTES = 8 * 2**20  # below this, scanning every vector takes about as long as a walk through the graph
_MAX_DEAD = 0.2
_MAX_K = 1_000_000  # the answer is (n, k) whatever the index holds
_SHOWN = 10  # queries whose photos are kept for a notebook's view


class VisualIndex:
    """Items by id, each a vector with metadata; searched by photo or by vector.

    Vectors, ids and metadata are the truth. The HNSW graph is a cache beside them, used when the index is too large to
    scan in about a millisecond; small sets, narrow filters and a `k` near the size are answered exactly.

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
        encoder: as given, or the backbone of that name.
        dim: length of a vector.
        metric: as given.
        engine: as given; "exact" if hnswlib can't be imported.

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
        for name, value, known in (("metric", metric, exact.METRICS), ("engine", engine, ENGINES)):
            if value not in known:
                raise errors.InputError(
                    f"{name}={value!r} is not one of {', '.join(known)}.{errors.did_you_mean(value, known)}"
                )
        if encoder is None and dim is None:
            raise errors.InputError(
                "give an encoder (or a backbone's name), or dim for an index of vectors only"
            )
        self.encoder: Embeds | None = create_backbone(encoder) if isinstance(encoder, str) else encoder
        if self.encoder is not None:
            encoders.check(self.encoder)
            if dim is not None and dim != self.encoder.dim:
                raise errors.InputError(f"dim={dim}, and the encoder's is {self.encoder.dim}; leave dim out")
        self.dim = int(self.encoder.dim) if self.encoder is not None else check_number("dim", dim, low=1)
        self.metric = metric
        self.m = check_number("m", m, low=2, high=512)
        self.ef_construction = check_number("ef_construction", ef_construction, low=1)
        self.ef_search = check_number("ef_search", ef_search, low=1)
        self.random_state = check_number("random_state", random_state, low=0)
        self.progress = progress
        self.engine = engine
        if engine == "hnsw" and not hnsw.available():
            warnings.warn(
                "hnswlib can't be imported; going on with exact search", errors.DataWarning, stacklevel=2
            )
            self.engine = "exact"
        self._store = Store(self.dim)
        self._graph: hnsw.HnswGraph | None = None
        self._next_id = 0
        self._lock = threading.RLock()  # hnswlib can't add and search at once

    @property
    def has_graph(self) -> bool:
        """Whether the index has grown to need its HNSW graph; until then every search is exact."""
        return self._graph is not None

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, item: object) -> bool:
        return item in self._store.slot_of

    def __iter__(self) -> Iterator[Id]:
        return iter(list(self._store.slot_of))

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
        encoder = self._required_encoder("add photos")
        known, rows = count(images), None
        names = None if ids is None else as_ids(ids)
        if known is not None:  # embedding takes long, so what can be refused is refused before
            rows = metadata_rows(metadata, known)
            check_ids(names, known, self._store.id_kind, self._next_id)
        vectors, positions, sources, failures = encoders.embed_all(encoder, images, on_error, cache)
        total = len(positions) + len(failures)
        if rows is None or len(rows) != total:
            rows = metadata_rows(metadata, total)
        with self._lock:  # ids once more, because another thread may have added some meanwhile
            checked = check_ids(names, total, self._store.id_kind, self._next_id)
            kept = [checked[position] for position in positions]
            self._insert(check_vectors(vectors, self.dim), kept, [rows[p] for p in positions], sources)
        return Added(tuple(kept), failures)

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
        rows_of_numbers = check_vectors(vectors, self.dim)
        rows = metadata_rows(metadata, len(rows_of_numbers))
        with self._lock:
            checked = check_ids(ids, len(rows_of_numbers), self._store.id_kind, self._next_id)
            self._insert(rows_of_numbers, checked, rows, [None] * len(checked))
        return Added(tuple(checked))

    def _insert(
        self,
        vectors: NDArray[np.float32],
        ids: list[Id],
        rows: list[dict[str, Any]],
        sources: Sequence[str | None],
    ) -> None:
        start = self._store.size
        replaced = self._store.add(vectors, ids, rows, sources)
        self._next_id = max([self._next_id, *(item + 1 for item in ids if isinstance(item, int))])
        with self._whole_graph() as graph:
            if graph is not None:
                graph.remove(replaced, self._store.vectors)
                graph.add(range(start, start + len(ids)), vectors, self._store.vectors)
        self._tidy()

    @contextlib.contextmanager
    def _whole_graph(self) -> Iterator[hnsw.HnswGraph | None]:
        """Give the graph for a change; one that was interrupted half-way is thrown away, and built again when needed."""
        graph, self._graph = self._graph, None
        yield graph
        self._graph = graph

    def _tidy(self) -> None:
        """Drop dead slots when they are many, and build the graph when the index has grown to need one."""
        if self._store.size - len(self._store) > _MAX_DEAD * self._store.size:
            self._store = self._store.compacted()
            self._graph = None
        too_large_to_scan = 4 * self.dim * len(self._store) > _EXACT_BYTES
        if self.engine == "hnsw" and self._graph is None and too_large_to_scan:
            graph = self._new_graph()
            slots = np.flatnonzero(self._store.alive)
            graph.add(slots.tolist(), self._store.vectors[slots], self._store.vectors)
            self._graph = graph

    def _new_graph(self) -> hnsw.HnswGraph:
        return hnsw.HnswGraph(
            self.dim,
            self.metric,
            m=self.m,
            ef_construction=self.ef_construction,
            ef_search=self.ef_search,
            random_state=self.random_state,
            progress=self.progress,
        )

    def remove(self, ids: Id | Iterable[Id]) -> None:
        """Remove items.

        Raises:
            UnknownIdError: if one isn't there; nothing is removed.
        """
        with self._lock:
            wanted = list(dict.fromkeys(self._known(item) for item in as_ids(ids)))
            slots = self._store.remove(wanted)
            with self._whole_graph() as graph:
                if graph is not None:
                    graph.remove(slots, self._store.vectors)
            self._tidy()

    def get(self, item: Id) -> Item:
        """Return an item's vector, metadata and source.

        Raises:
            UnknownIdError: if it isn't there.
        """
        with self._lock:
            identity = self._known(item)
            slot = self._store.slot_of[identity]
            return Item(
                identity,
                self._store.vectors[slot].copy(),
                self._store.metadata(slot),
                self._store.source(slot),
            )

    def update(self, item: Id, metadata: Any) -> None:
        """Set fields of an item's metadata; the fields that aren't named stay.

        Raises:
            UnknownIdError: if the item isn't there.
            InputError: if a value isn't text, a number, a boolean or None.
        """
        with self._lock:
            self._store.update(self._known(item), metadata_row(metadata))

    def _known(self, item: object) -> Id:
        identity = check_id(item)
        if identity not in self._store.slot_of:
            kind = self._store.id_kind
            hint = f"; ids here are of type {kind.__name__}" if kind not in (None, type(identity)) else ""
            raise errors.UnknownIdError(
                f"no item has the id {identity!r}; the index holds {len(self):,}{hint}"
            )
        return identity

    def search(
        self, images: Images, k: int = 5, *, where: Where | None = None, exact: bool = False
    ) -> Matches:
        """Find the items nearest to one or several photos.

        Args:
            images: n photos, each a query, in any form.
            k: how many items to find for each.
            where: only among items whose metadata fit, for example
                `{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}`.
            exact: compare with every item, instead of walking the graph.

        Returns:
            `Matches` of shape (n, k), nearest first; places beyond `counts` hold None and NaN.

        Raises:
            ImageError: if a photo can't be read.
            InputError: if k or the filter can't be used, or there is no encoder.
        """
        check_number("k", k, low=1, high=_MAX_K)
        encoder, conditions = self._required_encoder("search by photo"), _parsed(where)
        pictures = list(iterate(images))
        vectors = encoder.embed(pictures)
        return self._search(check_vectors(vectors, self.dim), k, conditions, exact, pictures)

    def search_vectors(
        self, vectors: ArrayLike, k: int = 5, *, where: Where | None = None, exact: bool = False
    ) -> Matches:
        """Find the items nearest to one or several vectors, (n, dim) or (dim,); the rest is as for `search`.

        Raises:
            InputError: if a vector, k or the filter can't be used.
        """
        return self._search(
            check_vectors(vectors, self.dim),
            check_number("k", k, low=1, high=_MAX_K),
            _parsed(where),
            exact,
            None,
        )

    def _search(
        self,
        queries: NDArray[np.float32],
        k: int,
        conditions: Condition | None,
        exactly: bool,
        pictures: list[Any] | None,
    ) -> Matches:
        sources = [source_of(picture) for picture in pictures] if pictures else None
        with self._lock:
            found = find(
                self._store,
                None if exactly else self._graph,
                queries,
                k,
                conditions,
                metric=self.metric,
                ef_search=self.ef_search,
                query_sources=sources,
            )
            if conditions is not None and len(self) and len(queries) and not found.counts.any():
                warnings.warn(
                    nothing_fits(conditions, self._store.commonest), errors.DataWarning, stacklevel=3
                )
        shown = tuple(pictures[i] if i < _SHOWN else None for i in range(len(pictures))) if pictures else ()
        return dataclasses.replace(found, queries=shown, _thumbnail=thumbnail_uri)

    def _required_encoder(self, purpose: str) -> Embeds:
        if self.encoder is None:
            raise errors.InputError(
                f"this index has no encoder to {purpose}; use the methods for vectors, or give VisualIndex or "
                "VisualIndex.load an encoder"
            )
        return self.encoder

    def save(self, folder: storage.PathLike) -> None:
        """Save everything needed to go on (vectors, ids, metadata, parameters, the graph, the encoder), atomically.

        A backbone is saved with its weights, and of a classifier its backbone; of an encoder of your own class only
        what it takes to recognise it.

        Raises:
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        with self._lock:
            parameters = {name: getattr(self, name) for name in _SAVED}
            files = persistence.writers(self._store, self._graph, self.encoder, parameters, self._next_id)
            storage.save(folder, "index", files)

    @classmethod
    def load(
        cls,
        folder: storage.PathLike,
        *,
        encoder: Embeds | None = None,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        progress: bool = True,
    ) -> VisualIndex:
        """Load what `save` wrote, without touching the network.

        A damaged graph is built again from the vectors; anything else that is damaged is an error.

        Args:
            folder: the saved folder.
            encoder: to use instead of the saved one; needed where the saved one was of your own class.
            device: of the saved encoder, as for `create_backbone`.
            precision: likewise.
            runtime: likewise.
            progress: show a bar once work takes over two seconds.

        Raises:
            StorageError: if the folder holds no index or is damaged.
            EncoderMismatchError: if the encoder isn't the one the vectors came from.
        """
        saved = storage.open_saved(folder, "index")
        config = saved.json("index.json")
        options = {"device": device, "precision": precision, "runtime": runtime, "progress": progress}
        chosen = encoders.restore(saved, config["encoder"], encoder, options)
        self = cls(chosen, dim=config["dim"], progress=progress, **{name: config[name] for name in _SAVED})
        self._store = persistence.read_store(saved)
        self._next_id = config["next_id"]
        if config["graph"] is not None and self.engine == "hnsw":
            self._graph = persistence.read_graph(saved, config["graph"], self._new_graph())
        self._tidy()
        return self


def _parsed(where: Where | None) -> Condition | None:
    return None if where is None else parse(where)
