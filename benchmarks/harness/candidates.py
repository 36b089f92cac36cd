"""A candidate is a model, its weights and its scorer, and how it learns."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import fashionsearch as fs
from fashionsearch.backbones.architectures import has_default_weights
from fashionsearch.training.objectives import is_normalised
from fashionsearch.training.old_names import current_names
from fashionsearch.training.options import recipe_for, teacher_fingerprint
from harness import rows
from harness.names import AUTOENCODER, BASELINES, DISTILLED, MAJORITY, PIXELS, SCORERS, SUITABLE
from harness.rows import StudyError

LATENTS = 16  # the study's number
PERCEPTUAL = 1.0
PIXEL_SIZE = (32, 24)
HEAD = ("Model", "Starts from", "Scored by", "Size")  # of a candidate's cells
STARTS = {None: "scratch", "default": "ImageNet", DISTILLED: "scratch, with a teacher"}


@dataclass(frozen=True)
class Candidate:
    """What a row, and a line of a table, is about.

    Attributes:
        model: a backbone's name, "autoencoder-<name>" or "baseline-<name>".
        weights: None, "default" or a file, where the network starts; "distilled" starts from scratch, with a teacher.
        scorer: "head" (a linear head on the frozen network), "finetuned" (the whole network learns), "knn" (5 nearest
            neighbours of the embeddings, Euclidean) or "probe" (a linear head on an autoencoder's latents).
        image_size: height and width in pixels; None for what doesn't look at pixels.
        perceptual: weight with which an autoencoder learns to tell the embedding of a network trained on ImageNet.
        training: of a network that learns; None is the library's recipe. It tells no lines of a table apart.
    """

    model: str
    weights: str | None
    scorer: str
    image_size: tuple[int, int] | None
    perceptual: float = 0.0
    training: fs.FineTuning | None = field(default=None, compare=False)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Candidate:
        """Return the candidate of a row, without its training."""
        size = row["image_size"]
        return cls(
            row["model"],
            row["weights"],
            row["scorer"],
            None if size is None else (size, size) if isinstance(size, int) else tuple(size),
            row["configuration"].get("autoencoder", {}).get("perceptual", 0.0),
        )

    @classmethod
    def again(cls, row: Mapping[str, Any], teacher: str | None = None) -> Candidate:
        """Return what measured a row; a teacher's folder, which a row doesn't hold, is given again."""
        training = row["configuration"]["training"]
        if training is not None and "teacher" in row["configuration"]:
            training = {**training, "teacher": teacher}
        recipe = None if training is None else fs.FineTuning.from_dict(training)
        return replace(cls.of(row), training=recipe)

    @property
    def stem(self) -> str:
        """The name of its file of rows."""
        return rows.stem(**self.fields())

    @functools.cached_property
    def digest(self) -> str:
        """Eight digits that tell recipes apart, for the names of folders."""
        text = json.dumps({**self.fields(), **self.learning}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def is_autoencoder(self) -> bool:
        """Whether its network learns to draw."""
        return self.model.startswith(AUTOENCODER)

    @property
    def is_baseline(self) -> bool:
        """Whether no network is in it."""
        return self.model.startswith("baseline-")

    @property
    def learns(self) -> bool:
        """Whether a network learns."""
        return self.scorer == "finetuned" or self.is_autoencoder

    @property
    def embeds(self) -> bool:
        """Whether it tells photos apart, so that they can be retrieved."""
        return self.model != MAJORITY

    @property
    def library_weights(self) -> str | None:
        """What the library takes as the weights."""
        return None if self.weights == DISTILLED else self.weights

    @property
    def recipe(self) -> str:
        """The name of the library's recipe it learns by."""
        return "autoencoder" if self.is_autoencoder else recipe_for(self.library_weights)

    @property
    def start(self) -> str:
        """Where its network starts, in words."""
        start = STARTS.get(self.weights, "a file")
        return f"{start}, taught ImageNet embeddings" if self.perceptual > 0 else start

    @property
    def scored_by(self) -> str:
        """Its scorer in words; a network from scratch is trained, and not fine-tuned."""
        is_trained = self.scorer == "finetuned" and self.library_weights is None
        return "trained" if is_trained else SCORERS[self.scorer]

    @property
    def title(self) -> str:
        """What a chart calls it."""
        return self.model if self.is_baseline else f"{self.model}, from {self.start}, {self.scored_by}"

    @property
    def cells(self) -> list[str]:
        """The first cells of its line, under `HEAD`."""
        about = ["–", "–"] if self.is_baseline else [self.start, self.scored_by]
        sides = dict.fromkeys(self.image_size or ())
        return [f"`{self.model}`", *about, f"{'×'.join(map(str, sides))} px" if sides else "–"]

    def fields(self) -> dict[str, Any]:
        """Return what the rows say of it."""
        return {
            "model": self.model,
            "weights": self.weights,
            "scorer": self.scorer,
            "image_size": None if self.image_size is None else _saved(self.image_size),
        }

    @functools.cached_property
    def learning(self) -> dict[str, Any]:
        """What its rows' fields don't say: the network, the recipe in full, an autoencoder's terms, the teacher.

        Raises:
            FashionSearchError: if a teacher, or a file of weights, can't be read.
            StudyError: if a backbone has no default weights.
        """
        settings: dict[str, Any] = {"training": None}
        if self.is_baseline:
            return settings
        network = self._network()
        if self.library_weights is None:
            # First weights that are drawn have no name; the layers they are drawn for have.
            settings["layers"] = hashlib.sha256(repr(network.module).encode()).hexdigest()
        else:
            settings["network"] = network.fingerprint
        if not self.learns:
            return settings
        given = self.training or fs.FineTuning()
        settings["training"] = _given(given.recipe(self.recipe, normalised=is_normalised(network.module)))
        if self.is_autoencoder:
            settings["autoencoder"] = {"latent_dim": LATENTS, "perceptual": self.perceptual}
        if self.teacher is not None:
            # Where it lies is a matter of one machine.
            settings["training"].pop("teacher")
            settings["teacher"] = _about(self.teacher)
        return settings

    @functools.cached_property
    def teacher(self) -> fs.Classifier | None:
        """The classifier it learns from beside the labels."""
        given = None if self.training is None else self.training.teacher
        return given if given is None or isinstance(given, fs.Classifier) else fs.Classifier.load(given)

    def _network(self) -> fs.Backbone:
        name = self.model.removeprefix(AUTOENCODER)
        try:
            return fs.create_backbone(
                name, weights=self.library_weights, image_size=self.image_size, progress=False
            )
        except fs.errors.WeightsError as error:
            if self.weights != "default":
                raise
            raise StudyError(f"{error}; or train it from scratch: --weights none") from error


def by_todays_names(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row's recipe that are set, by the names they have today: rows stay as they were measured."""
    fields = {name: value for name, value in current_names(training).items() if value is not None}
    return {name: value for name, value in fields.items() if (name, value) != ("autotune", False)}


def _given(recipe: fs.FineTuning) -> dict[str, Any]:
    # A field that a later version of the library brings is None where it isn't used.
    return {name: value for name, value in recipe.to_dict().items() if value is not None}


def _saved(size: tuple[int, int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else list(size)


def _about(teacher: fs.Classifier) -> dict[str, Any]:
    """Return what makes a teacher again, its photos apart, and the fingerprint of what came of it."""
    training = None
    if teacher.training is not None:
        normalised = is_normalised(teacher.backbone_.module)
        training = _given(teacher.training.recipe(recipe_for(teacher.weights), normalised=normalised))
        training.pop("teacher", None)  # a matter of one machine, too; the fingerprint covers what it taught
    return {
        "model": teacher.backbone,
        "weights": teacher.weights if teacher.weights in (None, "default") else "file",
        "image_size": _saved(teacher.backbone_.preprocess.image_size),
        "seed": teacher.random_state,
        "training": training,
        "fingerprint": teacher_fingerprint(teacher),
    }


def make_candidates(
    model: str,
    *,
    weights: str | None,
    scorers: Sequence[str] = (),
    image_size: int | None = None,
    training: fs.FineTuning | None = None,
) -> list[Candidate]:
    """Return a candidate for each scorer that suits a model.

    Args:
        model: as in `Candidate`.
        weights: where its network starts; None is from scratch; "suitable" is "default", and None for an autoencoder and
            for a backbone that has none.
        scorers: which are wanted; empty are those that cost least: "head" from weights, "finetuned" from scratch, and
            "knn" and "probe" for an autoencoder.
        image_size: side in pixels; None is the backbone's own.
        training: of a network that learns.

    Raises:
        StudyError: if none of the wanted scorers suits the model, a baseline is unknown, or what is distilled has no
            teacher.
    """
    name, is_autoencoder = model.removeprefix(AUTOENCODER), model.startswith(AUTOENCODER)
    if model.startswith("baseline-"):
        if model not in BASELINES:
            raise StudyError(f"{model} is no baseline; there are {', '.join(BASELINES)}")
        fitting: Sequence[str] = (BASELINES[model],)
        size: tuple[int, int] | None = PIXEL_SIZE if model in PIXELS else None
        weights = training = None
    else:
        if weights == DISTILLED and getattr(training, "teacher", None) is None:
            raise StudyError(
                "weights 'distilled' need a teacher among the fields of training: the folder of a saved Classifier"
            )
        if weights == SUITABLE:
            weights = "default" if has_default_weights(name) and not is_autoencoder else None
        fitting = ("head", "finetuned", "knn")
        if is_autoencoder:
            fitting = ("knn", "probe")
        elif weights in (None, DISTILLED):
            fitting = ("finetuned",)
        size = fs.create_backbone(name, weights=None, image_size=image_size).preprocess.image_size
    cheap = ["head"] if "head" in fitting else list(fitting)
    wanted = [scorer for scorer in fitting if scorer in scorers] if scorers else cheap
    if not wanted:
        raise StudyError(
            f"{model}, weights {weights}, has no scorer {', '.join(scorers)}; it has {', '.join(fitting)}"
        )
    perceptual = PERCEPTUAL if is_autoencoder else 0.0
    return [Candidate(model, weights, scorer, size, perceptual, training) for scorer in wanted]
