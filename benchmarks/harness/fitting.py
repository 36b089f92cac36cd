"""A candidate, fitted to a part, gives probabilities and embeddings."""

from __future__ import annotations

import dataclasses
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
from fashionsearch.tagging.head import LinearHead, fit_head
from harness.candidates import LATENTS, PIXEL_SIZE, Candidate
from harness.names import AUTOENCODER, MAJORITY, PIXELS
from harness.rows import StudyError

NEIGHBOURS = 5

Labels = npt.NDArray[Any]
Vectors = npt.NDArray[np.floating]
Embed = Callable[[Sequence[Any]], Vectors]
Labelled = tuple[Sequence[Any], Labels]


@dataclass(frozen=True)
class Encoder:
    """What embeds photos without their labels.

    Attributes:
        embed: photos to (n, dim).
        history: of the epochs in which it learned.
        seconds: wall time of that.
        arithmetic: in which it learned, such as "bf16 channels_last"; None where nothing did.
    """

    embed: Embed
    history: fs.History = field(default_factory=fs.History)
    seconds: float = 0.0
    arithmetic: str | None = None


@dataclass(frozen=True)
class Fitted:
    """A candidate that has learned.

    Attributes:
        classes: (c,) those it knows.
        probabilities: photos to (n, c).
        embed: photos to (n, dim).
        seconds: wall time of learning, embedding included; less where the embedding cache or a checkpoint helped.
        history: of the epochs, or of the head's regularisation.
        arithmetic: as `Encoder` has it.
    """

    classes: Labels
    probabilities: Embed
    embed: Embed
    seconds: float = 0.0
    history: fs.History = field(default_factory=fs.History)
    arithmetic: str | None = None


def fit(
    candidate: Candidate,
    train: Labelled,
    validation: Labelled,
    *,
    seed: int,
    checkpoints: Path,
    encoder: Encoder | None,
    cache: fs.EmbeddingCache,
) -> Fitted:
    """Fit a candidate.

    Args:
        candidate: which.
        train: photos and labels.
        validation: photos and labels on which epochs and strengths are chosen, of classes that are in `train`.
        seed: of training.
        checkpoints: folder of this run; what learned from labels is saved beside it, as `tagger-<seed>`.
        encoder: what `make_encoder` returned; None where the network learns from the labels.
        cache: of embeddings.
    """
    began = time.perf_counter()
    if candidate.model == MAJORITY:
        return _majority(train[1])
    if encoder is None:
        return _learned(candidate, train, validation, seed, checkpoints, cache)
    if candidate.scorer == "knn":
        neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(train[1])))
        neighbours.fit(encoder.embed(train[0]), train[1])
        found = Fitted(
            neighbours.classes_,
            lambda photos: neighbours.predict_proba(encoder.embed(photos)),
            encoder.embed,
        )
    else:
        found = _linear(encoder.embed, train, validation, seed)
    return dataclasses.replace(
        found,
        seconds=time.perf_counter() - began + encoder.seconds,
        history=encoder.history if len(encoder.history) else found.history,
        arithmetic=encoder.arithmetic,
    )


def _learned(
    candidate: Candidate,
    train: Labelled,
    validation: Labelled,
    seed: int,
    checkpoints: Path,
    cache: fs.EmbeddingCache,
) -> Fitted:
    """Let the whole network learn from labels."""
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
    model.save(checkpoints.with_name(f"tagger-{seed}"))
    embed = embedding_once(lambda images: model.backbone_.embed(images, cache=cache))
    return Fitted(
        model.classes_,
        _scored_by(model.head_, embed),
        embed,
        _seconds(model.history_, began),
        model.history_,
        _arithmetic(checkpoints),
    )


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
        return Encoder(embed, seconds=time.perf_counter() - began)
    weights, size = candidate.library_weights, candidate.image_size
    if not candidate.is_autoencoder:
        backbone = fs.create_backbone(candidate.model, weights=weights, image_size=size, progress=False)
        return Encoder(
            embedding_once(lambda photos: backbone.embed(photos, cache=cache)),
            seconds=time.perf_counter() - began,
        )
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
    return Encoder(
        embedding_once(lambda photos: model.backbone_.embed(photos, cache=cache)),
        model.history_,
        _seconds(model.history_, began),
        _arithmetic(checkpoints),
    )


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


def _arithmetic(checkpoints: Path) -> str:
    # Where it was timed, the choice is in the run's folder.
    run = json.loads((checkpoints / "run.json").read_text(encoding="utf-8"))
    chosen = run.get("compute_mode") or {
        "precision": resolve_placement().precision,
        "layout": "channels_last",
    }
    return f"{chosen['precision']} {chosen['layout']}"


def _seconds(history: fs.History, began: float) -> float:
    # A run that was resumed took what all its epochs took, and not what this process saw of it.
    around = time.perf_counter() - began
    return max(around, sum(history["seconds"])) if "seconds" in history.columns else around


def _pixels(images: Sequence[Any]) -> npt.NDArray[np.float32]:
    small = fs.Preprocess(PIXEL_SIZE)
    return np.stack([small.read(image).astype(np.float32).ravel() / 255 for image in images])


def _scored_by(head: LinearHead, embed: Embed) -> Embed:
    return lambda photos: head.probabilities(np.asarray(embed(photos), dtype=np.float32))


def _majority(labels: Labels) -> Fitted:
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()

    def nothing(images: Sequence[Any]) -> Vectors:
        raise StudyError("the majority class tells no photos apart")

    return Fitted(classes, lambda images: np.tile(shares, (len(images), 1)), nothing)


def _linear(embed: Embed, train: Labelled, validation: Labelled, seed: int) -> Fitted:
    classes, encoded = np.unique(train[1], return_inverse=True)
    head, history = fit_head(
        np.asarray(embed(train[0]), dtype=np.float32),
        encoded,
        validation=(
            np.asarray(embed(validation[0]), dtype=np.float32),
            np.searchsorted(classes, validation[1]),
        ),
        random_state=seed,
    )
    return Fitted(classes, _scored_by(head, embed), embed, history=history)
