"""What turns photos into embeddings: what it must offer, and how an object of the user's own becomes one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors

if TYPE_CHECKING:
    from fashionsearch import storage
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.images import Images


GRAPH = (
    "backbone.onnx"  # ends the name of the file of an encoder that may be left out: its network as a graph
)
GRAPHS = GRAPH, "backbone.int8.onnx"  # end the names of all files of an encoder that native code reads


def with_graph(files: Mapping[str, storage.Writer], *, onnx: bool) -> dict[str, storage.Writer]:
    """Return what writes an encoder's files, unless `onnx` without those of graphs that may be left out."""
    return {name: write for name, write in files.items() if onnx or not name.endswith(GRAPH)}


class Embeds(Protocol):
    """Anything that turns images into vectors: what an object of the user's own must offer at least."""

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        ...

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return (n, dim) float32."""
        ...


class EmbedsText(Embeds, Protocol):
    """What embeds photos and texts into one space, where a photo lies near what describes it, as CLIP does."""

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dim) float32 of n texts."""
        ...


class Encoder(Embeds, Protocol):
    """What the library asks of whatever embeds: a backbone, a classifier, an autoencoder, or an adapted object."""

    def embed_batches(
        self, images: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Yield embeddings piece by piece, in the order of the images."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return by what the encoder is recognised, as JSON holds it.

        "kind" says what it is, "name" what to call it, and "dim" the length of an embedding. "fingerprint" is a hash of all
        that decides the embeddings; where there is none, "probe" is the embedding of one picture.
        """
        ...

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep the encoder, nothing if it can't be kept."""
        ...


class StageSeconds(NamedTuple):
    """Where the time went.

    Attributes:
        decoding: seconds of CPU that threads spent reading and decoding files, or looking in the cache.
        resizing: likewise, making photos the network's size.
        model: seconds on the clock in the network, all its threads together.
    """

    decoding: float = 0.0
    resizing: float = 0.0
    model: float = 0.0


_NO_TIME = StageSeconds()


@dataclass(frozen=True, eq=False)
class Batch:
    """A piece of a stream of embeddings.

    Attributes:
        positions: (m,) int64, the places of the embedded images in the input.
        vectors: (m, dim) float32.
        sources: the path of each embedded image, or None where it had none.
        failures: images of this piece that were left out, where the caller asked to skip them.
        seconds: where the time of this piece went.
    """

    positions: NDArray[np.int64]
    vectors: NDArray[np.float32]
    sources: tuple[str | None, ...] = ()
    failures: tuple[errors.ImageFailure, ...] = ()
    seconds: StageSeconds = _NO_TIME


def check_on_error(on_error: str) -> None:
    """Raise InputError unless `on_error` is "raise" or "skip"."""
    if on_error not in ("raise", "skip"):
        raise errors.InputError(f"on_error={on_error!r} is neither 'raise' nor 'skip'")


def tell_left_out(failures: Sequence[errors.ImageFailure], total: int) -> None:
    """Warn of images that can't be read and are left out, if there are any."""
    if failures:
        warnings.warn(
            f"{len(failures)} of {total} images can't be read and are left out: {errors.ImageError(failures)}",
            errors.DataWarning,
            stacklevel=4,
        )


def joined(batches: Iterable[Batch], dim: int) -> NDArray[np.float32]:
    """Return the embeddings of a stream, (n, dim).

    Warns:
        DataWarning: that names the images that were left out.
    """
    everything = list(batches)
    failures = [failure for batch in everything for failure in batch.failures]
    pieces = [batch.vectors for batch in everything]
    tell_left_out(failures, len(failures) + sum(map(len, pieces)))
    return np.concatenate(pieces) if pieces else np.zeros((0, dim), dtype=np.float32)


class AdaptedEncoder:
    """An object of the user's own, which has only `dim` and `embed`, as an `Encoder`.

    Args:
        encoder: the object.
    """

    def __init__(self, encoder: Embeds) -> None:
        self._encoder = encoder

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return int(self._encoder.dim)

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return (n, dim) float32.

        Raises:
            InputError: if the object returns another shape.
        """
        embedded = np.asarray(self._encoder.embed(images), dtype=np.float32)
        if embedded.ndim != 2 or embedded.shape[1] != self.dim:
            raise errors.InputError(
                f"{type(self._encoder).__name__}.embed returned shape {embedded.shape}; (n, dim) is (n, {self.dim})"
            )
        return embedded

    def embed_batches(
        self, source: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Yield one piece with all embeddings; a cache is not used, since nothing names the object's weights."""
        from fashionsearch.images import check_images, iterate, source_of

        check_on_error(on_error)
        everything = list(iterate(source))
        positions = np.arange(len(everything))
        failures: tuple[errors.ImageFailure, ...] = ()
        if on_error == "skip":
            positions, failures = check_images(everything)
        chosen = [everything[position] for position in positions]
        vectors = self.embed(chosen) if chosen else np.zeros((0, self.dim), np.float32)
        if len(vectors) != len(chosen):
            raise errors.InputError(
                f"{type(self._encoder).__name__}.embed returned {len(vectors)} embeddings of {len(chosen)} images"
            )
        yield Batch(positions, vectors, tuple(source_of(image) for image in chosen), failures)

    def identity(self) -> dict[str, Any]:
        """Return name, dim and the embedding of one picture; without the last, another encoder can't be noticed."""
        name = type(self._encoder).__name__
        probe = None
        try:
            probe = [float(value) for value in self.embed([_probe_image()])[0]]
        except MemoryError:
            raise  # which says nothing of what the encoder takes
        except Exception as error:  # the user's code may raise anything
            warnings.warn(
                f"{name} can't embed an array ({error!r}), so the saved index won't notice another encoder",
                errors.DataWarning,
                stacklevel=2,
            )
        return {"kind": "custom", "name": name, "dim": self.dim, "fingerprint": None, "probe": probe}

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return nothing: only the user's own code can make the object again."""
        return {}


def as_encoder(encoder: Embeds) -> Encoder:
    """Return an object that embeds as an `Encoder`: itself if it is one, else adapted.

    An object whose class replaces `embed` and inherits the rest is adapted too: the inherited rest
    would describe the embeddings of the class it comes from.
    """
    kind = type(encoder)

    def depth(name: str) -> int:
        """Return how far up the class that defines an attribute stands, or infinity."""
        return next((i for i, base in enumerate(kind.__mro__) if name in vars(base)), len(kind.__mro__))

    rest = [depth(name) for name in ("embed_batches", "identity", "writers")]
    if (
        "embed" not in getattr(encoder, "__dict__", {})
        and max(rest) < len(kind.__mro__)
        and max(rest) <= depth("embed")
    ):
        return cast(Encoder, encoder)
    return AdaptedEncoder(encoder)


def probe(encoder: Embeds) -> list[float] | None:
    """Return how an encoder embeds one picture, or None if it takes no arrays."""
    found: list[float] | None = AdaptedEncoder(encoder).identity()["probe"]
    return found


def _probe_image() -> NDArray[np.uint8]:
    """Return a picture with fine detail and unequal sides, whose embedding tells encoders apart."""
    rows, columns = np.mgrid[0:96, 0:72]
    channels = [
        (rows * 3 + columns * 7) % 256,
        (rows * columns) % 256,
        ((rows // 8 + columns // 8) % 2) * 200,
    ]
    return np.stack(channels, axis=2).astype(np.uint8)
