"""Embeddings kept on disk, so that a frozen backbone never sees the same image twice.

The key holds the image's bytes, the weights, the preprocessing and the precision, never a path: a changed photo or model
is another key. One SQLite file serves several processes at once. `FASHIONSEARCH_CACHE` moves the folder, or is `off`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.files import as_path

if TYPE_CHECKING:
    import sqlite3

ENVIRONMENT = "FASHIONSEARCH_CACHE"
MAX_BYTES = 2 * 2**30
_DIGEST_SIZE = 16


def cache_folder() -> Path | None:
    """Return the folder of caches, or None where the user has turned caching off or has no home folder."""
    import platformdirs

    setting = os.environ.get(ENVIRONMENT, "")
    if setting.lower() == "off":
        return None
    folder = as_path(setting or platformdirs.user_cache_dir("fashionsearch", appauthor=False))
    return None if folder.parts[:1] == ("~",) else folder


class EmbeddingCache:
    """Embeddings by key, in one SQLite file of bounded size; the oldest go first.

    A cache only saves time: whatever goes wrong with its file, the work goes on without it, after one warning.

    Args:
        path: of the SQLite file; None is the default place, and keeps nothing where caching is off.
        max_bytes: of the embeddings.

    Examples:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = EmbeddingCache(f"{folder}/cache.sqlite")
        ...     cache.put({b"key": np.ones(3, np.float32)})
        ...     vector = cache.get(b"key")
        ...     cache.close()
        >>> vector.tolist()
        [1.0, 1.0, 1.0]
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        folder = cache_folder()
        if path is None and folder is not None:
            path = folder / "embeddings.sqlite"
        self._path = None if path is None else as_path(path)
        if path is None and os.environ.get(ENVIRONMENT, "").lower() != "off":
            _warn("there is no home folder")
        _open_caches.add(self)
        with self._guarded():
            self._connect()

    def _connect(self) -> None:
        import sqlite3

        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            self._path, timeout=10, check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        # Version 0.1 kept embeddings without a digest, in a table of this name.
        columns = self._connection.execute("SELECT name FROM pragma_table_info('embeddings')").fetchall()
        if columns == [("key",), ("vector",), ("stored",)]:
            self._connection.execute("DROP TABLE embeddings")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS checked_embeddings "
            "(key BLOB PRIMARY KEY, vector BLOB NOT NULL, digest BLOB NOT NULL, stored REAL)"
        )

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return the embedding kept under a key, or None; one that is damaged is forgotten."""
        with self._guarded():
            if self._connection is not None:
                row = self._connection.execute(
                    "SELECT vector, digest FROM checked_embeddings WHERE key = ?", (key,)
                ).fetchone()
                if row and isinstance(row[0], bytes) and row[1] == _digest(key, row[0]):
                    return np.frombuffer(row[0], dtype="<f4")
                if row:
                    self._connection.execute("DELETE FROM checked_embeddings WHERE key = ?", (key,))
        return None

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keep embeddings, in one transaction."""
        if not vectors:
            return
        now = time.time()
        packed = {key: np.asarray(vector, dtype="<f4").tobytes() for key, vector in vectors.items()}
        rows = [(key, vector, _digest(key, vector), now) for key, vector in packed.items()]
        with self._guarded():
            if self._connection is None:
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(
                    "INSERT OR REPLACE INTO checked_embeddings VALUES (?, ?, ?, ?)", rows
                )
                self._make_room()
                self._connection.execute("COMMIT")
            except BaseException:  # Ctrl-C too must not keep the file locked against other processes
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def clear(self) -> None:
        """Forget everything."""
        with self._guarded():
            if self._connection is not None:
                self._connection.execute("DELETE FROM checked_embeddings")
                self._connection.execute("VACUUM")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _make_room(self) -> None:
        if self._connection is None:
            return
        pages = self._connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
        free = self._connection.execute(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
        )
        if pages.fetchone()[0] - free.fetchone()[0] > self._max_bytes:
            self._connection.execute(
                "DELETE FROM checked_embeddings WHERE key IN (SELECT key FROM checked_embeddings ORDER BY stored LIMIT "
                "(SELECT count(*) / 4 + 1 FROM checked_embeddings))"
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        import sqlite3

        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                if self._connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.close()
                    self._connection = None
                _warn(str(error))

    def _renew_in_child(self) -> None:
        """Open the file again in a forked child: SQLite forbids it the parent's connection, even to close it."""
        self._lock = threading.Lock()
        if self._connection is not None:
            _of_parents.append(self._connection)
            self._connection = None
            with self._guarded():
                self._connect()


_open_caches: weakref.WeakSet[EmbeddingCache] = weakref.WeakSet()
_of_parents: list[sqlite3.Connection] = []


def _renew_all_in_child() -> None:
    for cache in list(_open_caches):
        cache._renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all_in_child)


def _warn(reason: str) -> None:
    warnings.warn(
        f"embeddings are not cached: {errors.shown(reason)}; set {ENVIRONMENT} to a folder that can be written, or to 'off'",
        errors.DataWarning,
        stacklevel=4,
    )


def _digest(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=_DIGEST_SIZE).digest()


def cache_key(content: bytes | NDArray[np.uint8], salt: str) -> bytes:
    """Return the key of an image (its encoded bytes, or its pixels) under one model, named by `salt`."""
    kind = "file" if isinstance(content, bytes) else f"pixels {content.shape}"
    # The length keeps the end of a salt from passing for the start of an image.
    digest = hashlib.blake2b(f"{len(salt)} {salt} {kind} ".encode(), digest_size=20)
    digest.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return digest.digest()
