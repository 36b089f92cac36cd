"""A contender is a model, its weights and its scorer; fitted to a part, it gives probabilities and embeddings."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

import fashionsearch as fs
from fashionsearch.device import place
from fashionsearch.head import fit_head
from fashionsearch.training.learners import is_normalised
from fashionsearch.training.options import teacher_fingerprint
from fashionsearch.training.speed import Arithmetic
from harness import rows
from harness.rows import StudyError

NEIGHBOURS = 5
AUTOENCODER = "autoencoder-"
DISTILLED = "distilled"
LATENTS = 16  # the study's number
PERCEPTUAL = 1.0
SUITABLE = "suitable"  # trained weights, and none for an autoencoder
MAJORITY = "baseline-majority"
PIXELS = {"baseline-pixels-pca-16-knn": 16, "baseline-pixels-pca-64-knn": 64}
PIXEL_SIZE = (32, 24)
BASELINES = {
    MAJORITY: "head",
    **dict.fromkeys(PIXELS, "knn"),
}  # the majority class is a head that is all bias
SCORERS = ("head", "finetuned", "knn", "probe")

Labels = npt.NDArray[Any]
Vectors = npt.NDArray[np.floating]
Embed = Callable[[Sequence[Any]], Vectors]


@dataclass(frozen=True)
class Contender:
    """What a row of a table is about.

    Attributes:
        model: a backbone's name, "autoencoder-<name>" or "baseline-<name>".
        weights: None, "default" or a file, where the network starts; "distilled" starts from scratch, with a teacher.
        scorer: "head" (a linear head on the frozen network), "finetuned" (the whole network learns), "knn" (5 nearest
            neighbours of the embeddings, Euclidean) or "probe" (a linear head on an autoencoder's latents).
        image_size: height and width in pixels; None for what doesn't look at pixels.
        training: of a network that learns; None is the library's recipe.
    """

    model: str
    weights: str | None
    scorer: str
    image_size: tuple[int, int] | None
    training: fs.FineTuning | None = None

    @property
    def stem(self) -> str:
        """The name of its file of rows."""
        return rows.stem(**self.fields())

    @functools.cached_property
    def digest(self) -> str:
        """Eight digits that tell recipes apart, for the names of folders."""
        text = json.dumps(self.configuration(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def learns(self) -> bool:
        """Whether a network learns."""
        return self.scorer == "finetuned" or self.model.startswith(AUTOENCODER)

    @property
    def embeds(self) -> bool:
        """Whether it tells photos apart, so that they can be retrieved."""
        return self.model != MAJORITY

    @property
    def start(self) -> str | None:
        """What the library takes as the weights."""
        return None if self.weights == DISTILLED else self.weights

    @property
    def recipe(self) -> str:
        """The name of the library's recipe it learns by."""
        if self.model.startswith(AUTOENCODER):
            return "autoencoder"
        return "scratch" if self.start is None else "weights"

    def fields(self) -> dict[str, Any]:
        """Return what the rows say of it."""
        size = self.image_size
        return {
            "model": self.model,
            "weights": self.weights,
            "scorer": self.scorer,
            "image_size": None if size is None else size[0] if size[0] == size[1] else list(size),
        }

    def configuration(self) -> dict[str, Any]:
        """Return everything that makes it again, as JSON holds it: the fields of its rows, and `learning`."""
        return {**self.fields(), **self.learning()}

    def learning(self) -> dict[str, Any]:
        """Return what its rows' fields don't say: the recipe in full, an autoencoder's terms, teacher and first weights.

        Raises:
            FashionSearchError: if a teacher, or a file of weights, can't be read.
        """
        settings: dict[str, Any] = {"training": None}
        if self.start is not None and not self.model.startswith("baseline-"):
            name = self.model.removeprefix(AUTOENCODER)
            network = fs.create_backbone(name, weights=self.start, image_size=self.image_size, progress=False)
            settings["network"] = network.fingerprint
        if not self.learns:
            return settings
        given = self.training or fs.FineTuning()
        recipe = given.recipe(self.recipe, normalised=self._normalised()).to_dict()
        # A field that a later version of the library brings is None where it isn't used.
        settings["training"] = {name: value for name, value in recipe.items() if value is not None}
        if self.model.startswith(AUTOENCODER):
            settings["autoencoder"] = {"latent_dim": LATENTS, "perceptual": PERCEPTUAL}
        if isinstance(given.teacher, str):
            settings["teacher_fingerprint"] = teacher_fingerprint(fs.Classifier.load(given.teacher))
        return settings

    def _normalised(self) -> bool:
        name = self.model.removeprefix(AUTOENCODER)
        return is_normalised(fs.create_backbone(name, weights=None, image_size=self.image_size).module)

    @classmethod
    def from_configuration(cls, saved: Mapping[str, Any]) -> Contender:
        """Return what `configuration` wrote."""
        size = saved["image_size"]
        return cls(
            saved["model"],
            saved["weights"],
            saved["scorer"],
            None if size is None else (size, size) if isinstance(size, int) else tuple(size),
            None if saved["training"] is None else fs.FineTuning.from_dict(saved["training"]),
        )


def make_contenders(
    model: str,
    *,
    weights: str | None,
    scorers: Sequence[str] = (),
    image_size: int | None = None,
    training: fs.FineTuning | None = None,
) -> list[Contender]:
    """Return a contender for each scorer that suits a model.

    Args:
        model: as in `Contender`.
        weights: where its network starts; None is from scratch; "suitable" is "default", and None for an autoencoder.
        scorers: which are wanted; empty are those that cost least: "head" from weights, "finetuned" from scratch, and
            "knn" and "probe" for an autoencoder.
        image_size: side in pixels; None is the backbone's own.
        training: of a network that learns.

    Raises:
        StudyError: if none of the wanted scorers suits the model, a baseline is unknown, or what is distilled has no
            teacher.
    """
    if model.startswith("baseline-") and model not in BASELINES:
        raise StudyError(f"{model} is no baseline; there are {', '.join(BASELINES)}")
    if weights == DISTILLED and getattr(training, "teacher", None) is None:
        raise StudyError(
            "weights 'distilled' need a teacher among the fields of training: the folder of a saved Classifier"
        )
    if model in BASELINES:
        fitting: Sequence[str] = (BASELINES[model],)
        size: tuple[int, int] | None = PIXEL_SIZE if model in PIXELS else None
        weights = training = None
    else:
        is_autoencoder = model.startswith(AUTOENCODER)
        fitting = ("knn", "probe") if is_autoencoder else ("head", "finetuned", "knn")
        if weights == SUITABLE:
            weights = None if is_autoencoder else "default"
        if not is_autoencoder and weights in (None, DISTILLED):
            fitting = ("finetuned",)
        name = model.removeprefix(AUTOENCODER)
        size = fs.create_backbone(name, weights=None, image_size=image_size).preprocess.image_size
    wanted = [scorer for scorer in fitting if scorer in scorers] if scorers else list(fitting)
    if not scorers and "head" in fitting:
        wanted = ["head"]
    if not wanted:
        raise StudyError(
            f"{model}, weights {weights}, has no scorer {', '.join(scorers)}; it has {', '.join(fitting)}"
        )
    return [
        Contender(model, weights, scorer, size, training if model not in BASELINES else None)
        for scorer in wanted
    ]


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
    return str(Arithmetic(noted["precision"], noted["layout"]) if noted else Arithmetic(place().precision))


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
