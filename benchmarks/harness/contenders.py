"""A contender is a model, its weights and its scorer, and how it learns."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fashionsearch as fs
from fashionsearch.backbones.registry import has_default_weights
from fashionsearch.training.objectives import is_normalised
from fashionsearch.training.options import recipe_for, teacher_fingerprint
from harness import rows
from harness.rows import StudyError

AUTOENCODER = "autoencoder-"
DISTILLED = "distilled"
LATENTS = 16  # the study's number
PERCEPTUAL = 1.0
SUITABLE = "suitable"  # trained weights where a backbone has them, and none for an autoencoder
MAJORITY = "baseline-majority"
PIXELS = {"baseline-pixels-pca-16-knn": 16, "baseline-pixels-pca-64-knn": 64}
PIXEL_SIZE = (32, 24)
BASELINES = {
    MAJORITY: "head",
    **dict.fromkeys(PIXELS, "knn"),
}  # the majority class is a head that is all bias
SCORERS = ("head", "finetuned", "knn", "probe")


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
        return recipe_for(self.start)

    def fields(self) -> dict[str, Any]:
        """Return what the rows say of it."""
        return {
            "model": self.model,
            "weights": self.weights,
            "scorer": self.scorer,
            "image_size": None if self.image_size is None else _saved(self.image_size),
        }

    def configuration(self) -> dict[str, Any]:
        """Return everything that makes it again, as JSON holds it: the fields of its rows, and `learning`."""
        return {**self.fields(), **self.learning}

    @functools.cached_property
    def learning(self) -> dict[str, Any]:
        """What its rows' fields don't say: the network, the recipe in full, an autoencoder's terms, the teacher.

        Raises:
            FashionSearchError: if a teacher, or a file of weights, can't be read.
            StudyError: if a backbone has no default weights.
        """
        settings: dict[str, Any] = {"training": None}
        if self.model.startswith("baseline-"):
            return settings
        network = self._network()
        if self.start is None:
            # First weights that are drawn have no name; the layers they are drawn for have.
            settings["layers"] = hashlib.sha256(repr(network.module).encode()).hexdigest()
        else:
            settings["network"] = network.fingerprint
        if not self.learns:
            return settings
        given = self.training or fs.FineTuning()
        settings["training"] = _given(given.recipe(self.recipe, normalised=is_normalised(network.module)))
        if self.model.startswith(AUTOENCODER):
            settings["autoencoder"] = {"latent_dim": LATENTS, "perceptual": PERCEPTUAL}
        if self.teacher is not None:
            # Where it lies is a matter of one machine.
            settings["training"].pop("teacher")
            settings["teacher"] = _about(self.teacher)
        return settings

    @functools.cached_property
    def teacher(self) -> fs.Classifier | None:
        """The tagger it learns from beside the labels."""
        given = None if self.training is None else self.training.teacher
        return given if given is None or isinstance(given, fs.Classifier) else fs.Classifier.load(given)

    def _network(self) -> fs.Backbone:
        name = self.model.removeprefix(AUTOENCODER)
        try:
            return fs.create_backbone(name, weights=self.start, image_size=self.image_size, progress=False)
        except fs.errors.WeightsError as error:
            if self.start != "default":
                raise
            raise StudyError(f"{error}; or train it from scratch: --weights none") from error

    @classmethod
    def from_configuration(cls, saved: Mapping[str, Any], teacher: str | None = None) -> Contender:
        """Return what `configuration` wrote; a teacher's folder, which it doesn't hold, is given again."""
        size, training = saved["image_size"], saved["training"]
        if training is not None and "teacher" in saved:
            training = {**training, "teacher": teacher}
        return cls(
            saved["model"],
            saved["weights"],
            saved["scorer"],
            None if size is None else (size, size) if isinstance(size, int) else tuple(size),
            None if training is None else fs.FineTuning.from_dict(training),
        )


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
        name = model.removeprefix(AUTOENCODER)
        fitting = ("knn", "probe") if is_autoencoder else ("head", "finetuned", "knn")
        if weights == SUITABLE:
            weights = "default" if has_default_weights(name) and not is_autoencoder else None
        if not is_autoencoder and weights in (None, DISTILLED):
            fitting = ("finetuned",)
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
