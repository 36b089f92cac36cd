"""An encoder that sees each photo twice: as it is, and what it shows alone on white."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.background.foreground import LONGEST, Subject, subject
from fashionsearch.background.network import look
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import progress_bar
from fashionsearch.encoder import Batch, Embeds, as_encoder, check_on_error
from fashionsearch.images import Images, count, iterate, ordered_map, read_image
from fashionsearch.images.decoding import Image

_PIECE = 256  # photos that are in hand at once
# What the subject counts beside the whole photo, chosen on the validation names of benchmarks/buying.
_PLAIN, _CLUTTERED = 0.5, 0.9


class Fused:
    """An encoder whose embedding of a photo is that of the whole photo and that of its subject on white, added up.

    Both are made 1 long first, so that a similarity to the sum is the weighed mean of both similarities. The whole photo
    always counts: 0.5 where its ground is plain, 0.1 where it is cluttered, and alone where the subject can't be told.

    Args:
        encoder: embeds photos.

    Examples:
        >>> import numpy as np, fashionsearch as fs
        >>> photos = fs.datasets.make_catalogue(2, seed=0).images
        >>> Fused(fs.create_backbone("fashion")).embed(photos).shape
        (2, 256)
    """

    def __init__(self, encoder: Embeds) -> None:
        self._encoder = as_encoder(encoder)
        self._progress = bool(getattr(encoder, "progress", False))

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return int(self._encoder.dim)

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return (n, dim) float32.

        Raises:
            ImageError: if an image can't be read.
            MissingPackageError: if the ground of one isn't plain, and the network for masks is nowhere.
            WeightsError: if the network's file is another one.
        """
        pieces = [batch.vectors for batch in self.embed_batches(images)]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *pieces])

    def embed_batches(
        self, images: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Yield embeddings piece by piece, in the order of the images."""
        check_on_error(on_error)
        stream, done = iterate(images), 0
        with progress_bar(count(images), "telling backgrounds", "image", shown=self._progress) as advance:
            while piece := list(islice(stream, _PIECE)):
                try:
                    for batch in self._encoder.embed_batches(piece, on_error=on_error, cache=cache):
                        chosen = [piece[place] for place in batch.positions]
                        yield replace(
                            batch,
                            positions=batch.positions + done,
                            vectors=self._fused(chosen, batch.vectors, cache),
                            failures=_moved(batch.failures, done),
                        )
                        advance(len(chosen))
                except errors.ImageError as error:
                    raise errors.ImageError(_moved(error.failures, done)) from error
                done += len(piece)

    def _fused(
        self, pictures: list[Image], whole: NDArray[np.float32], cache: EmbeddingCache | None
    ) -> NDArray[np.float32]:
        fused = _unit(whole)
        subjects = dict(enumerate(ordered_map(_subject, pictures)))
        found = {place: each for place, each in subjects.items() if each is not None}
        if found:
            alone = [each.pixels for each in found.values()]
            vectors = np.concatenate(
                [batch.vectors for batch in self._encoder.embed_batches(alone, cache=cache)]
            )
            shares = [_PLAIN if each.was_plain else _CLUTTERED for each in found.values()]
            share = np.array(shares, np.float32)[:, None]
            places = list(found)
            fused[places] = (1 - share) * fused[places] + share * _unit(vectors)
        return fused


def fuse(encoder: Embeds, images: Images) -> NDArray[np.float32]:
    """Return (n, dim) float32 embeddings of photos, each with that of what it shows, as `Fused` has it."""
    return Fused(encoder).embed(images)


def _subject(picture: Image) -> Subject | None:
    return subject(read_image(picture, at_least=(LONGEST, LONGEST)), look)


def _moved(failures: Sequence[errors.ImageFailure], places: int) -> tuple[errors.ImageFailure, ...]:
    return tuple(replace(failure, position=failure.position + places) for failure in failures)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float32] = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return found
