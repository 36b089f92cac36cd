"""What turns photos into an index's vectors: used, recognised, saved and brought back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.reading import read_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import Embeds
from fashionsearch.images import Images, check_images, iterate, source_of

_PREFIX = "encoder/"
_SAME = 0.999


def check(encoder: object) -> None:
    """Raise InputError unless an object embeds, or NotFittedError if it must learn first."""
    if getattr(encoder, "__sklearn_is_fitted__", lambda: True)() is False:
        raise errors.NotFittedError(
            f"this {type(encoder).__name__} has not learned yet; call fit before indexing with it"
        )
    if not callable(getattr(encoder, "embed", None)) or not isinstance(
        getattr(encoder, "dim", None), int | np.integer
    ):
        raise errors.InputError(
            f"{type(encoder).__name__} is not an encoder: it needs dim and embed(images) -> (n, dim); give a backbone, a "
            "classifier, a backbone's name, or an object of your own with these two"
        )


def backbone_of(encoder: Embeds) -> Backbone | None:
    """Return the backbone whose embeddings an encoder returns, or None for the user's own class."""
    # A subclass or wrapper with an embed of its own is the user's class, whatever it holds.
    if not getattr(getattr(type(encoder), "embed", None), "__module__", "").startswith("fashionsearch."):
        return None
    inner = getattr(encoder, "backbone_", encoder)
    return inner if isinstance(inner, Backbone) else None


def name(encoder: Embeds) -> str:
    """Return what to call an encoder."""
    backbone = backbone_of(encoder)
    return type(encoder).__name__ if backbone is None else backbone.name


def embed_all(
    encoder: Embeds, images: Images, on_error: str, cache: EmbeddingCache | None
) -> tuple[NDArray[np.float32], list[int], list[str | None], tuple[errors.ImageFailure, ...]]:
    """Return vectors (m, dim), their positions and sources, and what was left out."""
    backbone = backbone_of(encoder)
    if backbone is not None:
        batches = list(backbone.embed_batches(images, on_error=on_error, cache=cache))
        vectors = [batch.vectors for batch in batches if len(batch.vectors)]
        return (
            np.concatenate(vectors) if vectors else np.zeros((0, backbone.dim), dtype=np.float32),
            [int(position) for batch in batches for position in batch.positions],
            [source for batch in batches for source in batch.sources],
            tuple(failure for batch in batches for failure in batch.failures),
        )
    if on_error not in ("raise", "skip"):
        raise errors.InputError(f"on_error={on_error!r} is neither 'raise' nor 'skip'")
    everything = list(iterate(images))
    positions = list(range(len(everything)))
    failures: tuple[errors.ImageFailure, ...] = ()
    if on_error == "skip":
        readable, failures = check_images(everything)
        positions = readable.tolist()
    chosen = [everything[position] for position in positions]
    embedded = (
        np.asarray(encoder.embed(chosen), dtype=np.float32)
        if chosen
        else np.zeros((0, encoder.dim), np.float32)
    )
    if embedded.shape != (len(chosen), encoder.dim):
        raise errors.InputError(
            f"the encoder returned shape {embedded.shape} for {len(chosen)} images; (n, dim) is {(len(chosen), encoder.dim)}"
        )
    return embedded, positions, [source_of(image) for image in chosen], failures


def _probe_image() -> NDArray[np.uint8]:
    """Return a picture with fine detail and unequal sides, whose embedding tells encoders apart."""
    rows, columns = np.mgrid[0:96, 0:72]
    channels = [
        (rows * 3 + columns * 7) % 256,
        (rows * columns) % 256,
        ((rows // 8 + columns // 8) % 2) * 200,
    ]
    return np.stack(channels, axis=2).astype(np.uint8)


def identity(encoder: Embeds) -> dict[str, Any]:
    """Return by what an encoder is recognised: a fingerprint, or how it embeds one picture."""
    backbone = backbone_of(encoder)
    if backbone is not None:
        return {
            "name": backbone.name,
            "dim": backbone.dim,
            "fingerprint": backbone.fingerprint,
            "probe": None,
        }
    return {
        "name": type(encoder).__name__,
        "dim": int(encoder.dim),
        "fingerprint": None,
        "probe": _probe(encoder),
    }


def _probe(encoder: Embeds) -> list[float] | None:
    """Return how a user's encoder embeds one picture, or None if it takes no arrays: an index must be saved all the same."""
    try:
        return [float(value) for value in np.asarray(encoder.embed([_probe_image()]))[0]]
    except Exception as error:  # the user's code may raise anything
        warnings.warn(
            f"{type(encoder).__name__} can't embed an array ({error!r}), so the saved index won't notice another encoder",
            errors.DataWarning,
            stacklevel=2,
        )
        return None


def writers(encoder: Embeds) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep the encoder: its backbone, or nothing for the user's own class."""
    backbone = backbone_of(encoder)
    return {} if backbone is None else backbone.writers(_PREFIX)


def restore(
    saved: storage.Saved, expected: Mapping[str, Any] | None, given: Embeds | None, options: dict[str, Any]
) -> Embeds | None:
    """Return the encoder of a saved index: the given one if it is the same, else the saved one.

    Raises:
        EncoderMismatchError: if the given one isn't the one the vectors came from.
    """
    if given is not None:
        check(given)
        if expected is not None:
            _compare(saved, expected, given)
        return given
    if expected is None or expected["fingerprint"] is None:
        return None
    return read_backbone(saved, options=options, prefix=_PREFIX)


def _saved_probe(saved: storage.Saved, expected: Mapping[str, Any]) -> list[float] | None:
    if expected["fingerprint"] is None:
        return None
    return _probe(read_backbone(saved, options={"progress": False}, prefix=_PREFIX))


def _alike(probe: list[float] | None, reference: list[float] | None) -> bool:
    """Return whether two embeddings of one picture are the same within rounding; unknown ones get the benefit."""
    if probe is None or reference is None:
        return True
    lengths = float(np.linalg.norm(probe) * np.linalg.norm(reference))
    return lengths > 0 and float(np.dot(probe, reference)) / lengths >= _SAME


def _compare(saved: storage.Saved, expected: Mapping[str, Any], given: Embeds) -> None:
    if int(given.dim) != expected["dim"]:
        raise errors.EncoderMismatchError(
            f"{saved.folder} holds vectors of {expected['name']!r} with dim {expected['dim']}, and this encoder's dim is "
            f"{given.dim}; load it with the encoder it was saved with, or index the photos again"
        )
    own = identity(given)
    if expected["fingerprint"] is not None and own["fingerprint"] is not None:
        same = own["fingerprint"] == expected["fingerprint"]
    else:
        same = _alike(own["probe"] or _probe(given), expected["probe"] or _saved_probe(saved, expected))
    if not same:
        raise errors.EncoderMismatchError(
            f"{saved.folder} holds vectors of {expected['name']!r}, and this encoder ({own['name']!r}) has other weights or "
            "preprocessing; load it with the encoder it was saved with, or index the photos again"
        )
