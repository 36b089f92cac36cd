"""A contender, fitted to a part, gives probabilities and embeddings."""

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
from fashionsearch.tagging.head import fit_head
from fashionsearch.training.autotune import Arithmetic
from harness.contenders import AUTOENCODER, LATENTS, MAJORITY, PERCEPTUAL, PIXEL_SIZE, PIXELS, Contender
from harness.rows import StudyError

NEIGHBOURS = 5

Labels = npt.NDArray[Any]
Vectors = npt.NDArray[np.floating]
Embed = Callable[[Sequence[Any]], Vectors]


@dataclass(frozen=True)
class Fitted:
    """A contender that has learned.

    Attributes:
        classes: (c,) those it knows.
        probabilities: photos to (n, c).
        embed: photos to (n, dim).
        seconds: wall time of learning, embedding included; less where the embedding cache or a checkpoint helped.
        history: of the epochs, or of the head's regularisation.
        arithmetic: in which a network learned, such as "bf16 channels_last"; None where none did.
    """

    classes: Labels
    probabilities: Embed
    embed: Embed
    seconds: float
    history: fs.History = field(default_factory=fs.History)
    arithmetic: str | None = None


def fit(
    contender: Contender,
    train: tuple[Sequence[Any], Labels],
    held_out: tuple[Sequence[Any], Labels],
    *,
    seed: int,
    checkpoints: Path,
    embed: Embed | None,
    cache: fs.EmbeddingCache,
) -> Fitted:
    """Fit a contender.

    Args:
        contender: which.
        train: photos and labels.
        held_out: photos and labels on which epochs and strengths are chosen, of classes that are in `train`.
        seed: of training.
        checkpoints: folder of this run; what learned from labels is saved beside it, as `tagger-<seed>`.
        embed: what `encoder` returned; None where the network learns from the labels.
        cache: of embeddings.
    """
    began = time.perf_counter()
    if contender.model == MAJORITY:
        return _majority(train[1])
    if contender.scorer in ("knn", "probe"):
        if embed is None:
            raise StudyError(f"{contender.stem} is scored on embeddings; give its encoder")
        fitted = _knn(embed, *train) if contender.scorer == "knn" else _probe(embed, train, held_out, seed)
        return dataclasses.replace(fitted, seconds=time.perf_counter() - began)
    tagger = fs.Classifier(
        contender.model,
        weights=contender.start,
        training=(contender.training or fs.FineTuning()) if contender.learns else None,
        image_size=contender.image_size,
        random_state=seed,
        progress=False,
    )
    tagger.fit(*train, validation=held_out, checkpoints=checkpoints if contender.learns else None)
    if contender.learns:
        tagger.save(checkpoints.with_name(f"tagger-{seed}"))

    embedded = embed or remembered(lambda images: tagger.backbone_.embed(images, cache=cache))
    return Fitted(
        tagger.classes_,
        lambda images: tagger.head_.probabilities(np.asarray(embedded(images), dtype=np.float32)),
        embedded,
        _seconds(tagger.history_, began),
        tagger.history_,
        _arithmetic(checkpoints) if contender.learns else None,
    )


@dataclass(frozen=True)
class Encoder:
    """What embeds photos without their labels.

    Attributes:
        embed: photos to (n, dim).
        history: of the epochs in which it learned.
        seconds: wall time of that.
        arithmetic: as `Fitted` has it.
    """

    embed: Embed
    history: fs.History
    seconds: float
    arithmetic: str | None = None


def encoder(
    contender: Contender,
    images: Sequence[Any],
    held_out: Sequence[Any],
    *,
    seed: int,
    checkpoints: Path,
    cache: fs.EmbeddingCache,
) -> Encoder:
    """Return what embeds photos without their labels; an autoencoder learns them first."""
    began = time.perf_counter()
    if contender.model in PIXELS:
        projection = PCA(PIXELS[contender.model], random_state=seed).fit(_pixels(images))
        embed = remembered(lambda photos: projection.transform(_pixels(photos)))
        return Encoder(embed, fs.History(), time.perf_counter() - began)
    if contender.model.startswith(AUTOENCODER):
        learner = fs.Autoencoder(
            contender.model.removeprefix(AUTOENCODER),
            latent_dim=LATENTS,
            perceptual=PERCEPTUAL,
            weights=contender.start,
            training=contender.training,
            image_size=contender.image_size,
            random_state=seed,
            progress=False,
        )
        learner.fit(images, validation=held_out, checkpoints=checkpoints)
        backbone, history, arithmetic = learner.backbone_, learner.history_, _arithmetic(checkpoints)
    else:
        backbone, history, arithmetic = (
            fs.create_backbone(
                contender.model, weights=contender.weights, image_size=contender.image_size, progress=False
            ),
            fs.History(),
            None,
        )
    embed = remembered(lambda photos: backbone.embed(photos, cache=cache))
    return Encoder(embed, history, _seconds(history, began), arithmetic)


def remembered(embed: Embed) -> Embed:
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
    noted = json.loads((checkpoints / "run.json").read_text(encoding="utf-8")).get("arithmetic")
    return str(
        Arithmetic(noted["precision"], noted["layout"])
        if noted
        else Arithmetic(resolve_placement().precision)
    )


def _seconds(history: fs.History, began: float) -> float:
    # A run that went on from a checkpoint took what all its epochs took, and not what this process saw of it.
    around = time.perf_counter() - began
    return max(around, sum(history["seconds"])) if "seconds" in history.columns else around


def _pixels(images: Sequence[Any]) -> npt.NDArray[np.float32]:
    small = fs.Preprocess(PIXEL_SIZE)
    return np.stack([small.read(image).astype(np.float32).ravel() / 255 for image in images])


def _majority(labels: Labels) -> Fitted:
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts / counts.sum()

    def nothing(images: Sequence[Any]) -> Vectors:
        raise StudyError("the majority class tells no photos apart")

    return Fitted(classes, lambda images: np.tile(shares, (len(images), 1)), nothing, 0.0)


def _knn(embed: Embed, images: Sequence[Any], labels: Labels) -> Fitted:
    neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(labels))).fit(embed(images), labels)
    return Fitted(neighbours.classes_, lambda photos: neighbours.predict_proba(embed(photos)), embed, 0.0)


def _probe(
    embed: Embed, train: tuple[Sequence[Any], Labels], held_out: tuple[Sequence[Any], Labels], seed: int
) -> Fitted:
    classes, numbered = np.unique(train[1], return_inverse=True)
    validation = np.searchsorted(classes, held_out[1])
    head, history = fit_head(
        np.asarray(embed(train[0]), dtype=np.float32),
        numbered,
        validation=(np.asarray(embed(held_out[0]), dtype=np.float32), validation),
        class_weight=None,
        random_state=seed,
    )
    return Fitted(
        classes,
        lambda photos: head.probabilities(np.asarray(embed(photos), dtype=np.float32)),
        embed,
        0.0,
        history,
    )
