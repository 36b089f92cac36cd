"""`VisualIndex`: photos or vectors in, the nearest items out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fashionsearch import errors, neighbours
from fashionsearch.device import Execution
from fashionsearch.encoder import Embeds
from fashionsearch.files import as_path
from fashionsearch.index import encoders, engines, learned, snapshot
from fashionsearch.index.engines.base import Settings
from fashionsearch.index.first_pages import FirstPages
from fashionsearch.index.items import PATIENCE
from fashionsearch.index.rows import LOWEST_EF, check_choice, check_number, check_recall
from fashionsearch.index.shared import Shared
from fashionsearch.storage import PathLike, open_saved

_EF_SEARCH = 50
_MAX_EF = 1_000_000


class VisualIndex(Shared):
    """Items by id, each a vector with metadata; searched by photo or by vector.

    Vectors, ids and metadata are the truth. The HNSW graph is a cache beside them, used when the index is too large to
    scan in about a millisecond; small sets, narrow filters and a `k` near the size are answered exactly. A graph is
    built aside, and searches are exact until it is there; `add` and `load` wait a minute at most for a first one.

    Args:
        encoder: anything with `dim` and `embed(images) -> (n, dim) float32` (a `Backbone`, a `Classifier`, your own
            class), or a backbone's name; None for an index of vectors only.
        dim: length of a vector, where there is no encoder.
        metric: "cosine", or "euclidean" (similarity is minus the distance).
        engine: "hnsw", through hnswlib; "faiss", the same graph through faiss; "exact"; or one beyond this process, "qdrant"
            or "pgvector" (PostgreSQL).
        m: links of a node of the graph; more is larger, slower to build and more accurate.
        ef_construction: candidates while building; likewise.
        ef_search: candidates while searching; raises recall at the cost of time. None is 50, or what `recall` needs.
        storage: how the graph holds vectors in memory: "float32"; or, with faiss, "float16", "int8" or "pca128" (their 128
            principal components), or "auto", the smallest that costs at most 0.01 of recall@10 on a sample. With less than
            float32 the whole vectors are in a file, and what a walk finds is compared by them.
        recall: a goal for recall@10, above 0 and below 1, instead of `ef_search`: once there is a graph, whenever the index
            has grown by half, and at the first search after it was loaded or opened, it is compared with exact search on 500
            queries between its own items, and `ef_search` is raised or lowered.
        background: what is done about the backgrounds of the photos that are added, and of those that are searched by:
            "keep" embeds photos as they are, "fuse" embeds what each shows beside it, alone on white (metric "cosine").
        random_state: of the graph's levels.
        url: address of the server of an engine beyond this process, such as "http://host:6333" or
            "postgresql://user@host/database".
        collection: name of the items' collection or table there, which is made where it is missing.
        api_key: of Qdrant; it is never saved.
        timeout: seconds after which a server that doesn't answer is an error.
        progress: show a bar once building takes over two seconds.

    Attributes:
        encoder: as given, or the backbone of that name; another one that embeds alike can be set.
        dim: length of a vector.
        metric: as given.
        engine: as given; "exact" if what it is made of can't be imported.
        show_photos: whether a notebook shows matches' photos, by opening the files they were added from; False once
            loaded, because a folder may name any file. Set it to True for a folder you trust.
        commit: full hash of the hub's commit that `from_pretrained` loaded; None of any other.

    Raises:
        InputError: if neither or both of encoder and dim are given, or an option isn't known.
        EncoderMismatchError: if the items of a server came from another encoder.
        StorageError: if a server can't be reached.

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
        ef_search: int | None = None,
        storage: str = "float32",
        recall: float | None = None,
        background: str = "keep",
        random_state: int = 0,
        url: str | None = None,
        collection: str | None = None,
        api_key: str | None = None,
        timeout: float = 10.0,
        progress: bool = True,
    ) -> None:
        check_choice("metric", metric, neighbours.METRICS)
        self.engine, self.storage = engines.usable(engine), storage
        if encoder is None and dim is None:
            raise errors.InputError("give an encoder, a backbone's name, or dim for an index of vectors only")
        self._encoder = encoder = encoders.named(encoder)
        self.dim = encoders.dimension(encoder, dim)
        engines.check_storage(storage, engine, self.dim)
        self.metric = metric
        self.background = encoders.check_background(background, metric)
        self.m = check_number("m", m, low=2, high=512)
        self.ef_construction = check_number("ef_construction", ef_construction, low=1, high=_MAX_EF)
        self.random_state = check_number("random_state", random_state, low=0, high=2**32 - 1)
        self.progress, self.show_photos = progress, True
        self.recall = check_recall(recall, ef_search)
        self._audited, self._auditing = 0, False
        self._first_pages = FirstPages()
        self._folder: Path | None = None  # of an opened index
        self._items = ""  # where in that folder the rows are
        self._learned: Mapping[str, learned.Part] = {}
        if ef_search is None or recall is not None:
            ef_search = _EF_SEARCH if recall is None else LOWEST_EF
        self._engine = engines.ENGINES[self.engine](
            Settings(
                dim=self.dim,
                metric=metric,
                m=self.m,
                ef_construction=self.ef_construction,
                ef_search=check_number("ef_search", ef_search, low=1, high=_MAX_EF),
                random_state=self.random_state,
                progress=progress,
                storage=storage,
                server=engines.server_of(self.engine, url, collection, api_key, timeout),
            )
        )
        self._check_encoder(encoder)

    def _check_encoder(self, encoder: Embeds | None) -> None:
        super()._check_encoder(encoder)
        if self._folder is not None:
            from fashionsearch.index.engines.durable import DurableEngine
            from fashionsearch.index.opening import keep_encoder

            if isinstance(self._engine, DurableEngine):
                keep_encoder(self._folder, self._engine, encoder)

    @property
    def ef_search(self) -> int:
        """Candidates of a walk through the graph; may be set at any time, which ends the keeping of a goal for recall."""
        return self._engine.settings.ef_search

    @ef_search.setter
    def ef_search(self, value: int) -> None:
        checked = check_number("ef_search", value, low=1, high=_MAX_EF)
        self._engine.settings = dataclasses.replace(self._engine.settings, ef_search=checked)
        self.recall = None

    @property
    def has_graph(self) -> bool:
        """Whether the index has grown to need its HNSW graph, and that is ready; until then every search is exact."""
        return self._engine.has_graph

    def __repr__(self) -> str:
        return (
            f"VisualIndex of {len(self):,} items, dim={self.dim}, metric={self.metric!r}, engine={self.engine!r}, "
            f"encoder={None if self.encoder is None else encoders.name(self.encoder)!r}"
        )

    def save(self, folder: PathLike, *, onnx: bool = True) -> None:
        """Save everything the index needs (vectors, ids, metadata, parameters, the graph, the encoder), atomically.

        An encoder is saved whole, a classifier with its head; of one of your own class only what it takes to recognise it.
        While items are being embedded again for another encoder, the index is saved as it was, with a warning.

        Args:
            folder: made where it is missing.
            onnx: as for `Tagger.save`, of the encoder.

        Raises:
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        if not self.has_graph:
            self._engine.settle(PATIENCE)  # what is saved without a graph makes it again at each load
        with self._held() as engine:
            encoder, parts = self._encoder, self._learned
            if self._migration is not None:
                engine, encoder, parts = self._migration.saved()
            parameters = {name: getattr(self, name) for name in snapshot.PARAMETERS} | {
                "dim": engine.settings.dim
            }
            snapshot.write(folder, engine, encoder, parameters, parts, onnx=onnx)

    @classmethod
    def load(
        cls,
        folder: PathLike,
        *,
        encoder: Embeds | None = None,
        rebuild: bool = False,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 10.0,
        progress: bool = True,
    ) -> VisualIndex:
        """Load what `save` wrote, without touching the network unless the items are on a server.

        A damaged graph is built again from the vectors; anything else that is damaged is an error. The hashes of the
        files guard against accidents, not against attackers, who can write them too: a folder from a stranger is
        loaded with `rebuild=True`.

        Args:
            folder: the saved folder.
            encoder: to use instead of the saved one; needed where the saved one was of your own class.
            rebuild: build the graph again from the vectors, and the encoder's network from its weights (with torch, unless it
                ships with the library), so that no native code reads a graph of the folder.
            device: of the saved encoder, as for `create_backbone`.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            url: of the server, where the items are on one; None is the saved address, which holds no password.
            api_key: as for `VisualIndex`.
            timeout: likewise.
            progress: show a bar once work takes over two seconds.

        Raises:
            StorageError: if the folder holds no index or is damaged, or the server can't be reached.
            EncoderMismatchError: if the encoder isn't the one the vectors came from.
            InputError: if an address is given and the items are not on a server.
        """
        execution = Execution(device, precision, runtime, batch_size, progress)
        with snapshot.reading(folder) as (saved, config):
            parameters = snapshot.parameters(config)
            chosen = encoders.restore(saved, config["encoder"], encoder, execution, rebuild=rebuild)
            if parameters["engine"] in engines.REMOTE:
                place = {
                    "url": url or engines.saved_url(parameters["engine"], config["url"]),
                    "collection": config["collection"],
                    "timeout": timeout,
                }
                place["api_key"] = api_key
                server = engines.server_of(parameters["engine"], **place)
                if server is not None:
                    engines.check_there(parameters["engine"], server)
                self = cls._made_with(chosen, parameters | place, progress)
                self._learned, self.show_photos = learned.read(saved), False
                return self
            engines.server_of(parameters["engine"], url, None, api_key, timeout)
            self = cls._restored(chosen, parameters, progress)
            self._engine.read(saved, config, rebuild=rebuild)
            self._learned = learned.read(saved)
        self.show_photos = False
        self._engine.settle(PATIENCE)
        return self

    @classmethod
    def _made_with(cls, encoder: Embeds | None, parameters: dict[str, Any], progress: bool) -> VisualIndex:
        ef_search, recall = parameters["ef_search"], parameters["recall"]
        rest = {name: value for name, value in parameters.items() if name not in ("ef_search", "recall")}
        self = cls(encoder, ef_search=ef_search, progress=progress, **rest)
        self.recall = check_recall(recall, None)
        return self

    @classmethod
    def _restored(cls, encoder: Embeds | None, parameters: dict[str, Any], progress: bool) -> VisualIndex:
        """Return an index with what its folder notes; what can't be is damage, and ValueError."""
        try:
            return cls._made_with(encoder, parameters, progress)
        except errors.InputError as error:
            raise ValueError(f"index.json: {error}") from error

    @classmethod
    def open(
        cls,
        folder: PathLike,
        encoder: Embeds | str | None = None,
        *,
        dim: int | None = None,
        metric: str | None = None,
        engine: str | None = None,
        m: int | None = None,
        ef_construction: int | None = None,
        ef_search: int | None = None,
        storage: str | None = None,
        recall: float | None = None,
        background: str | None = None,
        random_state: int | None = None,
        read_only: bool = False,
        rebuild: bool = False,
        onnx: bool = True,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> VisualIndex:
        """Open a folder as an index whose every change is on the disk when the call returns.

        What `add`, `remove` and `update` returned from outlives a crash and a power failure: it is a transaction of an
        SQLite database in the folder. One process writes, and others read (`read_only=True`), which see a change within a
        second. A folder that `save` wrote becomes an opened one.

        Args:
            folder: of the index; made where it is missing.
            encoder: as for `VisualIndex`; None takes the one that is kept in the folder.
            dim: likewise, of a new index.
            metric: likewise, as are the next seven; None is what the index was made with, or the default of a new one.
            engine: likewise.
            m: likewise.
            ef_construction: likewise.
            ef_search: likewise; it may be another each time, as may `recall`.
            storage: likewise.
            recall: likewise.
            background: likewise.
            random_state: likewise.
            read_only: refuse changes, and follow those of another process.
            rebuild: read the rows from the database and not from the checkpoint, and the encoder's network as for `load`.
            onnx: of the encoder of a new index, as for `save`.
            device: of the kept encoder, as for `create_backbone`.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: show a bar once work takes over two seconds.

        Raises:
            StorageError: if it is open for writing elsewhere, can't be read or written, or lies on a network file system.
            CorruptFileError: if it is damaged.
            EncoderMismatchError: if the encoder isn't the one the vectors came from.
            InputError: if an option isn't what the index was made with.

        Examples:
            >>> import tempfile
            >>> import fashionsearch as fs
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     with fs.VisualIndex.open(folder, dim=2) as index:
            ...         _ = index.add_vectors([[1, 0]], ids=["a"])
            ...     with fs.VisualIndex.open(folder, read_only=True) as index:
            ...         list(index)
            ['a']
        """
        from fashionsearch.index import opening, relocation

        root = as_path(folder)
        wanted = dim, metric, engine, m, ef_construction, ef_search, random_state, storage, recall, background
        given: dict[str, Any] = dict(zip(snapshot.PARAMETERS, wanted, strict=True))
        given = {name: value for name, value in given.items() if value is not None}
        encoder = encoders.named(encoder)
        execution = Execution(device, precision, runtime, batch_size, progress)
        opening.check_local(engine)
        opening.check_near(root)
        kind = opening.kind_of(root)
        if kind is None and not read_only:
            made = cls(encoder, progress=progress, **given)
            opening.create(
                root, made.encoder, {name: getattr(made, name) for name in snapshot.PARAMETERS}, onnx=onnx
            )
            given.pop("engine", None)  # which may be another, where its library isn't installed
        elif kind == opening.SAVED and not read_only:
            generation = open_saved(root).generation
            made = cls.load(root, encoder=encoder, rebuild=rebuild, **dataclasses.asdict(execution))
            opening.check_local(made.engine)
            made_with = {name: getattr(made, name) for name in snapshot.PARAMETERS}
            opening.convert(root, generation, made._engine, made.encoder, made_with, made._learned, onnx=onnx)
        with snapshot.reading(root, opening.OPENED) as (saved, config):
            parameters = snapshot.parameters(config)
            opening.check_same(root, given, parameters)
            note = relocation.read(root, config)
            newer = relocation.encoder_of(note, encoder, execution, rebuild=rebuild)
            restored = partial(
                encoders.restore, saved, config["encoder"], execution=execution, rebuild=rebuild
            )
            before = partial(restored, None)
            chosen = None if newer else restored(encoder)
            if recall is not None:
                parameters["recall"] = check_recall(recall, ef_search if kind is not None else None)
            elif ef_search is not None:
                check_number("ef_search", ef_search, low=1, high=_MAX_EF)
                parameters |= {"ef_search": ef_search, "recall": None}
            self = cls._restored(chosen, parameters, progress)
        items, settings = opening.items_of(config), self._engine.settings
        self._engine = opening.start(
            root, saved.generation, self.engine, settings, items=items, read_only=read_only, rebuild=rebuild
        )
        self._folder, self._items = root, items
        self._followed = learned.mark(root / items) if read_only else None
        self._learned = learned.kept(root / items)
        if newer is not None:
            from fashionsearch.index.beginning import resume

            resume(self, newer, before, read_only=read_only, rebuild=rebuild)
        elif config["encoder"] is None:
            self._check_encoder(chosen)
        if note is None and not read_only:
            relocation.tidy(root, self._items)
        self.show_photos = kind is None
        return self
