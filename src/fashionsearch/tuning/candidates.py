"""Who takes part in `tune`: backbones, and the training options that are searched for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

from sklearn.base import clone

from fashionsearch import errors
from fashionsearch.backbones.architectures import has_default_weights
from fashionsearch.results import ShowsFields
from fashionsearch.saved_options import options_to_json
from fashionsearch.tagging.classifier import Classifier
from fashionsearch.training import FineTuning
from fashionsearch.training.old_names import current_name
from fashionsearch.training.options import RECIPES, recipe_for, with_fields

Space: TypeAlias = "Mapping[str, list[Any] | tuple[float, float]]"

SPACES: Mapping[str, Space] = {
    "weights": {
        "epochs": (3, 12),
        "learning_rate": (2e-4, 5e-3),
        "weight_decay": (1e-3, 0.2),
        "dropout": (0.0, 0.5),
        "label_smoothing": (0.0, 0.2),
        "mixup": [0.0, 0.2, 0.4],
        "augment": ["flips", "light", "strong"],
        "unfreeze": ["last", "all"],
    },
    "scratch": {
        "epochs": (20, 60),
        "learning_rate": (5e-4, 1e-2),
        "weight_decay": (5e-3, 0.5),
        "dropout": (0.0, 0.5),
        "label_smoothing": (0.0, 0.2),
        "mixup": [0.0, 0.2, 0.4],
        "augment": ["flips", "light", "strong"],
    },
}
PLACED = ("device", "precision", "runtime", "batch_size", "progress")
_WHOLE = ("epochs", "batch_size", "patience")
_NOT_SEARCHED = ("devices", "nodes", "workers", "autotune", "class_weights", "teacher")
_WIDE = 10  # a range whose ends are so many times apart is searched by its logarithm


@dataclass(frozen=True)
class Candidate(ShowsFields):
    """A backbone with what is searched for it.

    Attributes:
        label: tells it from the others.
        classifier: unfitted.
        regime: the name of its recipe, "weights" or "scratch".
        space: what is searched.
    """

    label: str
    classifier: Classifier
    regime: str
    space: Space

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its results, as JSON holds it."""
        options = options_to_json(self.classifier)
        return {name: value for name, value in options.items() if name not in PLACED}

    @property
    def base(self) -> FineTuning:
        """The fields that stay."""
        return self.classifier.training or FineTuning()

    def key(self, name: str) -> str:
        """Return the name of an option in Optuna's records; what is best from scratch says nothing about trained weights."""
        return name if self.regime == "weights" else f"{name} from scratch"

    def default_params(self) -> dict[str, Any]:
        """Return the recipe by Optuna's names, as far as it lies in the space."""
        params: dict[str, Any] = {"backbone": self.label}
        for name, what in self.space.items():
            value = getattr(RECIPES[self.regime], name)
            if value in what if isinstance(what, list) else what[0] <= value <= what[1]:
                params[self.key(name)] = _recorded(value)
        return params

    def suggested(self, trial: Any, prepare: Callable[[int], None]) -> FineTuning:
        """Return the options of an Optuna trial; `prepare` hears the number of each before it is drawn, from 1 up."""
        options: dict[str, Any] = {}
        for number, (name, what) in enumerate(self.space.items(), start=1):
            prepare(number)
            if isinstance(what, list):
                recorded = [_recorded(choice) for choice in what]
                options[name] = what[recorded.index(trial.suggest_categorical(self.key(name), recorded))]
            else:
                low, high = what
                suggest = trial.suggest_int if name in _WHOLE else trial.suggest_float
                options[name] = suggest(self.key(name), low, high, log=low > 0 and high >= _WIDE * low)
        return with_fields(self.base, **options)


def _recorded(choice: Any) -> Any:
    """Return a choice as Optuna can write it down."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else repr(choice)


def make_candidates(backbones: Sequence[str | Classifier], space: Space | None) -> list[Candidate]:
    """Return each backbone with what is searched for it.

    Raises:
        InputError: if backbones or space can't be used.
        UnknownBackboneError: if a name isn't known.
    """
    if isinstance(backbones, str | Classifier) or not len(backbones):
        raise errors.InputError(f"backbones={backbones!r} is not a list of one backbone or more")
    found: list[Candidate] = []
    for given in backbones:
        if isinstance(given, Classifier):
            classifier = clone(given)
        else:
            classifier = Classifier(given, weights="default" if has_default_weights(given) else None)
        training = classifier.training or FineTuning()
        if training.devices * training.nodes > 1:
            raise errors.InputError("tune trains each trial on one device; leave devices= and nodes= out")
        regime = recipe_for(classifier.weights)
        searched = {
            name: what
            for name, what in (SPACES[regime] if space is None else _checked(space)).items()
            if getattr(training, name) is None and not (name == "unfreeze" and regime == "scratch")
        }
        taken = sum(other.classifier.backbone == classifier.backbone for other in found)
        label = classifier.backbone + (f" ({taken + 1})" if taken else "")
        found.append(Candidate(label, classifier, regime, searched))
    return found


def _checked(space: Space) -> Space:
    if not isinstance(space, Mapping):
        raise errors.InputError(
            f"space={space!r:.80} is not a mapping of FineTuning's fields to choices or ranges"
        )
    space = {
        current_name(name, stacklevel=5) if isinstance(name, str) else name: what
        for name, what in space.items()
    }
    known = [field.name for field in dataclasses.fields(FineTuning) if field.name not in _NOT_SEARCHED]
    for name, what in space.items():
        if name not in known:
            raise errors.InputError(
                f"space names {name!r}, which is no option to search; those are {', '.join(known)}."
                + errors.did_you_mean(name, known)
            )
        span = isinstance(what, tuple) and len(what) == 2
        if span and not (all(isinstance(end, Real) for end in what) and what[0] < what[1]):
            raise errors.InputError(
                f"space[{name!r}]={what!r} is not (low, high), two numbers; for choices write a list: {list(what)!r}"
            )
        if not span and not (isinstance(what, list) and what):
            raise errors.InputError(f"space[{name!r}]={what!r} is neither a list of choices nor (low, high)")
        for value in what:
            one: dict[str, Any] = {name: value}
            FineTuning(**one)  # which refuses what it can't use
    return space
