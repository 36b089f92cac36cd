"""What turns photos into an index's vectors: used, recognised, saved and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.base import read_backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import Embeds
from fashionsearch.images import Images, check_images, iterate

_PREFIX = "encoder/"
_SAME = 0.999


def check(encoder: object) -> None:
    """Raise InputError unless an object embeds."""
    if not callable(getattr(encoder, "embed", None)) or not isinstance(
        getattr(encoder, "dim", None), int | np.integer
    ):
        raise errors.InputError(
            f"{type(encoder).__name__} is not an encoder: it needs dim and embed(images) -> (n, dim); give a backbone, a "
            "classifier, a backbone's name, or an object of your own with these two"
        )


def backbone_of(encoder: Embeds) -> Backbone | None:
    """Return the backbone whose embeddings an encoder returns, or None for the user's own class."""
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
    positions, failures = check_images(everything)
    if failures and on_error == "raise":
        raise errors.ImageError(failures)
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
    sources = [
        str(image) if not hasattr(image, "shape") and isinstance(image, str) else None for image in chosen
    ]
    return embedded, positions.tolist(), sources, failures


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
    probe = np.asarray(encoder.embed([_probe_image()]), dtype=np.float64)[0]
    return {
        "name": type(encoder).__name__,
        "dim": int(encoder.dim),
        "fingerprint": None,
        "probe": probe.tolist(),
    }


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


def _alike(given: Embeds, reference: NDArray[Any]) -> bool:
    probe = np.asarray(given.embed([_probe_image()]), dtype=np.float64)[0]
    lengths = float(np.linalg.norm(probe) * np.linalg.norm(reference))
    return lengths > 0 and float(probe @ reference) / lengths >= _SAME


def _compare(saved: storage.Saved, expected: Mapping[str, Any], given: Embeds) -> None:
    if int(given.dim) != expected["dim"]:
        raise errors.EncoderMismatchError(
            f"{saved.folder} holds vectors of {expected['name']!r} with dim {expected['dim']}, and this encoder's dim is "
            f"{given.dim}; load it with the encoder it was saved with, or index the photos again"
        )
    own = identity(given)
    if expected["fingerprint"] is not None and own["fingerprint"] is not None:
        same = own["fingerprint"] == expected["fingerprint"]
    elif expected["probe"] is not None:
        same = _alike(given, np.asarray(expected["probe"]))
    else:
        # The saved encoder is a backbone and the given one the user's own class: ask the saved one.
        reference = read_backbone(saved, options={"progress": False}, prefix=_PREFIX).embed(_probe_image())[0]
        same = _alike(given, reference)
    if not same:
        raise errors.EncoderMismatchError(
            f"{saved.folder} holds vectors of {expected['name']!r}, and this encoder ({own['name']!r}) has other weights or "
            "preprocessing; load it with the encoder it was saved with, or index the photos again"
        )
