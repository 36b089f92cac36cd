"""A candidate, fitted to a part, gives probabilities and embeddings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

import fashionsearch as fs
from fashionsearch.device import resolve_placement
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.head_fit import fit_head
from harness.candidates import LATENTS, PIXEL_SIZE, Candidate
from harness.names import AUTOENCODER, PIXELS
from harness.rows import StudyError

NEIGHBOURS = 5

Labels = npt.NDArray[Any]
Vectors = npt.NDArray[np.floating]
Embed = Callable[[Sequence[Any]], Vectors]
Labelled = tuple[Sequence[Any], Labels]


@dataclass(frozen=True)
class Encoder:
    """What embeds photos.

    Attributes:
        embed: photos to (n, dim).
        seconds: wall time of learning it, embedding included; less where the embedding cache or a checkpoint helped.
        history: of the epochs in which it learned.
        arithmetic: in which it learned, such as "bf16 channels_last"; None where no network did.
    """

    embed: Embed
    seconds: float = 0.0
    history: fs.History = field(default_factory=fs.History)
    arithmetic: str | None = None


@dataclass(frozen=True)
class Fitted:
    """A candidate that has learned: it maps photos to (n, c) probabilities of its (c,) classes, by its encoder."""

    classes: Labels
    probabilities: Embed
    encoder: Encoder


def fit_to_embeddings(
    candidate: Candidate, train: Labelled, validation: Labelled, encoder: Encoder, seed: int
) -> Fitted:
    """Fit a scorer to what an encoder makes of photos; its regularisation is chosen on the validation part."""
    began = time.perf_counter()
    embed, history = encoder.embed, encoder.history
    if candidate.scorer == "knn":
        neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(train[1]))).fit(embed(train[0]), train[1])
        classes, probabilities = neighbours.classes_, lambda photos: neighbours.predict_proba(embed(photos))
    else:
        classes, encoded = np.unique(train[1], return_inverse=True)
        apart = np.asarray(embed(validation[0]), dtype=np.float32)
        head, strengths = fit_head(
            np.asarray(embed(train[0]), dtype=np.float32),
            encoded,
            validation=(apart, np.searchsorted(classes, validation[1])),
            random_state=seed,
        )
        probabilities, history = _scored_by(head, embed), history if len(history) else strengths
    seconds = time.perf_counter() - began + encoder.seconds
    return Fitted(classes, probabilities, Encoder(embed, seconds, history, encoder.arithmetic))


def fit_network(
    candidate: Candidate,
    train: Labelled,
    validation: Labelled,
    *,
    seed: int,
    checkpoints: Path,
    cache: fs.EmbeddingCache,
) -> Fitted:
    """Let the whole network learn from labels; it is saved beside its checkpoints, as `classifier-<seed>`."""
    began = time.perf_counter()
    model = fs.Classifier(
        candidate.model,
        weights=candidate.library_weights,
        training=candidate.training or fs.FineTuning(),
        image_size=candidate.image_size,
        random_state=seed,
        progress=False,
    )
    model.fit(*train, validation=validation, checkpoints=checkpoints)
    model.save(checkpoints.with_name(f"classifier-{seed}"))
    learned = _learned(model, began, checkpoints, cache)
    return Fitted(model.classes_, _scored_by(model.head_, learned.embed), learned)


def make_encoder(
    candidate: Candidate,
    images: Sequence[Any],
    validation: Sequence[Any],
    *,
    seed: int,
    checkpoints: Path,
    cache: fs.EmbeddingCache,
) -> Encoder:
    """Return what embeds photos without their labels; an autoencoder learns them first."""
    began = time.perf_counter()
    if candidate.model in PIXELS:
        projection = PCA(PIXELS[candidate.model], random_state=seed).fit(_pixels(images))
        embed = embedding_once(lambda photos: projection.transform(_pixels(photos)))
        return Encoder(embed, time.perf_counter() - began)
    weights, size = candidate.library_weights, candidate.image_size
    if not candidate.is_autoencoder:
        backbone = fs.create_backbone(candidate.model, weights=weights, image_size=size, progress=False)
        embed = embedding_once(lambda photos: backbone.embed(photos, cache=cache))
        return Encoder(embed, time.perf_counter() - began)
    model = fs.Autoencoder(
        candidate.model.removeprefix(AUTOENCODER),
        latent_dim=LATENTS,
        perceptual=candidate.perceptual,
        weights=weights,
        training=candidate.training,
        image_size=size,
        random_state=seed,
        progress=False,
    )
    model.fit(images, validation=validation, checkpoints=checkpoints)
    return _learned(model, began, checkpoints, cache)


def _learned(
    model: fs.Classifier | fs.Autoencoder, began: float, checkpoints: Path, cache: fs.EmbeddingCache
) -> Encoder:
    # A run that was resumed took what all its epochs took, and not what this process saw of it.
    seconds = max(time.perf_counter() - began, sum(model.history_["seconds"]))
    # Where the arithmetic was timed, the choice is in the run's folder.
    run = json.loads((checkpoints / "run.json").read_text(encoding="utf-8"))
    plain = {"precision": resolve_placement().precision, "layout": "channels_last"}
    chosen = run.get("compute_mode") or plain
    embed = embedding_once(lambda photos: model.backbone_.embed(photos, cache=cache))
    return Encoder(embed, seconds, model.history_, f"{chosen['precision']} {chosen['layout']}")


def embedding_once(embed: Embed) -> Embed:
    """Return what embeds each file once a process; arrays, which have no name, are embedded each time."""
    known: dict[Path, Vectors] = {}

    def once(images: Sequence[Any]) -> Vectors:
        if not all(isinstance(image, Path) for image in images):
            return embed(images)
        new = [path for path in dict.fromkeys(images) if path not in known]
        if new:
            known.update(zip(new, embed(new), strict=True))
        return np.stack([known[path] for path in images])

    return once


def _pixels(images: Sequence[Any]) -> npt.NDArray[np.float32]:
    small = fs.Preprocess(PIXEL_SIZE)
    return np.stack([small.read(image).astype(np.float32).ravel() / 255 for image in images])


def _scored_by(head: LinearHead, embed: Embed) -> Embed:
    return lambda photos: head.probabilities(np.asarray(embed(photos), dtype=np.float32))


def most_frequent(labels: Labels) -> Fitted:
    """Return what always says the most frequent class."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()

    def nothing(images: Sequence[Any]) -> Vectors:
        raise StudyError("the majority class tells no photos apart")

    return Fitted(classes, lambda images: np.tile(shares, (len(images), 1)), Encoder(nothing))
