"""The data flow: images are decoded and resized in threads while the network embeds the batch before."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, images
from fashionsearch.cache import EmbeddingCache, cache_key
from fashionsearch.device import is_out_of_memory
from fashionsearch.encoder import Batch, StageSeconds, check_on_error
from fashionsearch.images import decoding
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.progress import open_bar
from fashionsearch.runtimes import Runtime


class PhotoTransform(Protocol):
    """A change that every photo goes through before it is embedded, such as an augmentation."""

    @property
    def name(self) -> str:
        """What, with the photo, decides the changed one: part of the cache's key."""
        ...

    def __call__(self, pixels: decoding.RGB, draw: bytes) -> decoding.RGB:
        """Return a changed (H, W, 3) uint8; `draw` is the same for the same photo and name. Called from threads."""
        ...


@dataclass(frozen=True, eq=False)
class _Ready:
    """One image after the threads are done with it: its embedding from the cache, or its pixels to embed."""

    position: int
    source: str | None = None
    key: bytes = b""
    vector: NDArray[np.float32] | None = None
    pixels: NDArray[np.uint8] | None = None
    failure: errors.ImageFailure | None = None
    decoding: float = 0.0
    resizing: float = 0.0


@contextlib.contextmanager
def progress_bar(
    total: int | None, what: str, unit: str, *, shown: bool
) -> Iterator[Callable[[int], object]]:
    """Give a function that is told how much more is done; a bar shows it once two seconds have passed."""
    with open_bar(total, what, unit, shown=shown) as bar:
        yield bar.update


@contextlib.contextmanager
def noticed(what: str, *, shown: bool) -> Iterator[None]:
    """Say on a terminal what is being done, once it has taken two seconds and nobody can count its steps."""
    if not shown or not sys.stderr.isatty():
        yield
        return
    stream = sys.stderr  # what is done may replace it
    timer = threading.Timer(2, lambda: stream.write(f"{what} …\n"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Pipeline:
    """Embeds any number of images with one network, in bounded memory.

    Args:
        runtime: runs the network.
        preprocess: how it wants its images.
        dim: length of an embedding.
        fingerprint: names weights, preprocessing and precision in the cache's keys.
        batch_size: images a forward pass; halved when the device runs out of memory.
        progress: show a bar on standard error once it takes over two seconds.
    """

    def __init__(
        self,
        runtime: Runtime,
        preprocess: Preprocess,
        *,
        dim: int,
        fingerprint: str,
        batch_size: int,
        progress: bool,
    ) -> None:
        self._runtime, self._preprocess, self._dim = runtime, preprocess, dim
        self._fingerprint = f"{fingerprint} decoding {decoding.RULES}"
        self._batch_size, self._progress = batch_size, progress
        self._shrunk = False

    def batches(
        self,
        source: images.Images,
        *,
        on_error: str = "raise",
        cache: EmbeddingCache | None = None,
        view: PhotoTransform | None = None,
    ) -> Iterator[Batch]:
        """Yield embeddings in the order of the input, piece by piece.

        Args:
            source: any form of images; a generator is read only as far ahead as two batches.
            on_error: "raise" at the first image that can't be read, or "skip" it and say so in the piece.
            cache: where to look first, and what to add to.
            view: done to each photo at the network's size, unless the cache has the embedding already.

        Raises:
            ImageError: at an image that can't be read.
        """
        check_on_error(on_error)
        total = images.count(source)
        self._runtime.expect(total or 0)
        stream = self._prepared(source, total, cache, view)
        shown = self._progress and total != 1
        with contextlib.closing(stream), progress_bar(total, "embedding", "image", shown=shown) as advance:
            held: list[_Ready] = []
            waiting = 0
            for ready in stream:
                if ready.failure is not None and on_error == "raise":
                    raise errors.ImageError([ready.failure])
                held.append(ready)
                waiting += ready.pixels is not None
                # Above and not only equal: another stream of this pipeline may have made batches smaller.
                if waiting >= self._batch_size or len(held) >= 16 * self._batch_size:
                    yield self._flush(held, cache)
                    advance(len(held))
                    held, waiting = [], 0
            if held:
                yield self._flush(held, cache)
                advance(len(held))

    def _prepared(
        self,
        source: images.Images,
        total: int | None,
        cache: EmbeddingCache | None,
        view: PhotoTransform | None,
    ) -> Generator[_Ready, None, None]:
        numbered = enumerate(images.iterate(source))
        # A single query waits for no threads to start, and neither does what needs no decoding.
        if total == 1 or self._is_ready(source):
            return (self._prepare(position, image, cache, view) for position, image in numbered)
        return images.ordered_map(
            lambda each: self._prepare(*each, cache, view), numbered, ahead=2 * self._batch_size
        )

    def _is_ready(self, source: images.Images) -> bool:
        """Return whether images are arrays of the network's size already."""
        shape = (*self._preprocess.image_size, 3)
        return isinstance(source, list) and all(
            isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == shape
            for image in source
        )

    def _prepare(
        self, position: int, image: decoding.Image, cache: EmbeddingCache | None, view: PhotoTransform | None
    ) -> _Ready:
        source = images.source_of(image)
        began = time.thread_time()
        try:
            with images.named(position, image):
                key = draw = b""
                data: decoding.Image = image
                if cache is not None or view is not None:
                    content = (
                        decoding.content(image) if decoding.is_encoded(image) else decoding.decode(image)
                    )
                    salt = self._fingerprint
                    if view is not None:
                        draw = cache_key(content, view.name)
                        salt += f" view {view.name}"
                    key = cache_key(content, salt)
                    vector = None if cache is None else cache.get(key)
                    if vector is not None and vector.shape == (self._dim,) and np.isfinite(vector).all():
                        return _Ready(position, source, key, vector, decoding=time.thread_time() - began)
                    data = content
                rgb = decoding.decode(data, at_least=self._preprocess.image_size)
                decoded = time.thread_time()
                pixels = self._preprocess.resized(rgb)
                if view is not None:
                    pixels = view(pixels, draw)
                resizing = time.thread_time() - decoded
                return _Ready(
                    position, source, key, pixels=pixels, decoding=decoded - began, resizing=resizing
                )
        except errors.ImageError as error:
            return _Ready(position, source, failure=error.failures[0])

    def _flush(self, held: list[_Ready], cache: EmbeddingCache | None) -> Batch:
        fresh = [ready for ready in held if ready.pixels is not None]
        began = time.perf_counter()
        rows = (
            self._run(np.stack([ready.pixels for ready in fresh if ready.pixels is not None]))
            if fresh
            else ()
        )
        model = time.perf_counter() - began
        self._check(rows, fresh)
        computed = {ready.position: row for ready, row in zip(fresh, rows, strict=True)}
        if cache is not None:
            cache.put({ready.key: computed[ready.position] for ready in fresh})
        good = [ready for ready in held if ready.failure is None]
        vectors = [computed[ready.position] if ready.vector is None else ready.vector for ready in good]
        return Batch(
            positions=np.array([ready.position for ready in good], dtype=np.int64),
            vectors=np.stack(vectors) if vectors else np.zeros((0, self._dim), dtype=np.float32),
            sources=tuple(ready.source for ready in good),
            failures=tuple(ready.failure for ready in held if ready.failure is not None),
            seconds=StageSeconds(
                sum(ready.decoding for ready in held), sum(ready.resizing for ready in held), model
            ),
        )

    def _check(self, rows: NDArray[np.float32] | tuple[()], fresh: list[_Ready]) -> None:
        """Raise InputError if the network returned another shape, NaN or infinity."""
        if not fresh:
            return
        rows = np.asarray(rows)
        if rows.shape != (len(fresh), self._dim):
            raise errors.InputError(
                f"the network returned shape {rows.shape} for {len(fresh)} images, and (n, {self._dim}) was expected"
            )
        wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(wrong):
            names = [f"{fresh[i].position} ({fresh[i].source or 'no path'})" for i in wrong[:5]]
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise errors.InputError(
                f"the network returned NaN or infinity for image {', '.join(names)}{more}: its numbers are too large in "
                "between; use precision='fp32', or other weights"
            )

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows: list[NDArray[np.float32]] = []
        done = 0
        while done < len(pixels):
            part = pixels[done : done + self._batch_size]
            try:
                rows.append(self._runtime.run(part))
                done += len(part)
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or len(part) == 1:
                    raise
            # Outside the handler, whose traceback would keep the failed batch's memory alive.
            self._shrink(len(part))
        return np.concatenate(rows)

    def _shrink(self, failed: int) -> None:
        self._batch_size = min(self._batch_size, failed // 2)
        if not self._shrunk:
            warnings.warn(
                f"out of memory with {failed} images a batch; going on with smaller ones. A batch_size of "
                f"{self._batch_size} or less avoids this",
                errors.DataWarning,
                stacklevel=2,
            )
        self._shrunk = True
