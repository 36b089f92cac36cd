"""`tune`: which backbone and which training options do best on a validation part."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from fashionsearch import errors

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fashionsearch.images import Images
    from fashionsearch.results import History
    from fashionsearch.tagging.classifier import Classifier
    from fashionsearch.tuning.candidates import Space


@dataclass(frozen=True, repr=False, eq=False)
class Tuning:
    """What `tune` tried and found.

    Attributes:
        best: the fitted `Classifier` that did best; of equals the one that was tried first.
        accuracy: its accuracy on the validation part, in [0, 1]. It was chosen by it, so it flatters: measure on a test part.
        history: a row for each trial: `trial`, `state` ("complete", "stopped" early, or "failed" because the loss was no
            number), `validation_accuracy` (of a stopped one the last that was seen), `backbone`, `training` ("frozen",
            "weights" or "scratch"), the options that were searched (None where they don't apply), and `seconds`.
    """

    best: Classifier
    accuracy: float
    history: History

    def _ranked(self) -> list[Mapping[str, Any]]:
        order = {"complete": 0, "stopped": 1, "failed": 2}
        rows: Sequence[Mapping[str, Any]] = self.history.rows
        return sorted(rows, key=lambda row: (order[row["state"]], -row["validation_accuracy"], row["trial"]))

    def _cells(self) -> list[list[object]]:
        return [["" if value is None else value for value in row.values()] for row in self._ranked()]

    def _title(self) -> str:
        best = self._ranked()[0]
        stopped = sum(row["state"] == "stopped" for row in self._ranked())
        return (
            f"Tuning: {len(self.history)} trials, {stopped} stopped early; best validation accuracy {self.accuracy:.4f} by "
            f"{best['backbone']} in trial {best['trial']}"
        )

    def __repr__(self) -> str:
        from fashionsearch.results import text_table

        return f"{self._title()}\n\n{text_table(self.history.columns, self._cells())}"

    def _repr_html_(self) -> str:
        from fashionsearch.results import html_table

        return html_table(self.history.columns, self._cells(), self._title())


def tune(
    images: Images,
    labels: ArrayLike,
    *,
    validation: tuple[Images, ArrayLike],
    backbones: Sequence[str | Classifier] = ("efficientnet_lite0",),
    space: Space | None = None,
    trials: int = 20,
    folder: str | os.PathLike[str] | None = None,
    random_state: int | None = None,
    on_error: str = "raise",
    progress: bool = True,
) -> Tuning:
    """Choose backbone and training options by their accuracy on a validation part.

    First each backbone with trained weights gets a head on the frozen network, which is the cheapest, then each is trained
    by its recipe; the other trials are drawn by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Akiba et al.
    2019, arXiv:1907.10902). One that is below the median of the others, after the same fifth of its epochs, is stopped.

    Args:
        images: n images in any form, to learn from.
        labels: (n,) their classes.
        validation: images and labels to choose by. Keep a test part back, and measure `best` on it once. Photos that a
            network that ships has learned from are left out with a `DataWarning`, where it is one of the backbones.
        backbones: names, with their default weights if they have any and from scratch otherwise; or unfitted
            `Classifier`s, whose arguments stay as they are, as do the fields that their `training` sets.
        space: field of `FineTuning` -> list of choices or (low, high), which replaces `SPACES`; what is not in it stays as
            in the recipe.
        trials: how many, from 1 up, those that are stopped early included.
        folder: written as the work goes on (`study.db` is Optuna's, and optuna-dashboard reads it); the same call resumes
            from what is there, also with more trials, and ends in the same trials as if it had never been interrupted.
        random_state: of the search, and of trials whose Classifier has none. None draws one.
        on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a `DataWarning` that
            names them.
        progress: show a bar over the trials.

    Returns:
        A `Tuning`: the fitted classifier that did best, and a row for each trial.

    Raises:
        InputError: if the space, the backbones or the trials can't be used, or the folder holds another search.
        DataError: if labels don't fit the images or the validation part, or no validation photo is left.
        MissingPackageError: if Optuna isn't installed.
        TrainingError: if no trial could be trained.
        StorageError: if the folder can't be written, or another process works there.

    Examples:
        >>> import fashionsearch as fs
        >>> train, validation, test = fs.datasets.make_catalogue(60, seed=0).split()
        >>> tuning = fs.tune(
        ...     train.images, train["masterCategory"], validation=(validation.images, validation["masterCategory"]),
        ...     backbones=[fs.Classifier("cnn", weights=None, image_size=32)],
        ...     space={"epochs": [1], "learning_rate": (1e-3, 1e-2)}, trials=2, random_state=0, progress=False)
        >>> len(tuning.history), tuning.best.predict(test.images).shape
        (2, (12,))
    """
    from fashionsearch.estimator import readable
    from fashionsearch.images import repeatable
    from fashionsearch.pretrained import without_learned
    from fashionsearch.targets import checked_labels
    from fashionsearch.training.run_folder import open_run_folder
    from fashionsearch.tuning.candidates import make_candidates
    from fashionsearch.tuning.search import Search, digest_of, import_optuna, opened, quiet

    optuna = import_optuna()
    candidates = make_candidates(backbones, space)
    if not isinstance(trials, Integral) or isinstance(trials, bool) or trials < 1:
        raise errors.InputError(f"trials={trials!r} is not a whole number from 1 up")
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise errors.InputError("validation= takes images and labels, such as (rest.images, rest['label'])")
    images, labels = readable(repeatable(images), labels, on_error)
    held_out = readable(repeatable(validation[0]), validation[1], on_error, "validation labels")
    known, truth = held_out[0], {"labels": checked_labels(*held_out, "validation labels")}
    for candidate in candidates:
        known, truth = without_learned(candidate.classifier.backbone, known, truth, "the choice")
    parts = {
        "training": (images, checked_labels(images, labels, "labels")),
        "validation": (known, truth["labels"]),
    }
    with open_run_folder(folder, random_state, argument="folder") as run:
        if run.kept:
            run.check_same_run(
                {
                    "backbones": [candidate.identity for candidate in candidates],
                    "space": [
                        {name: repr(what) for name, what in candidate.space.items()}
                        for candidate in candidates
                    ],
                    "seed": run.seed,
                    **{name: digest_of(*part) for name, part in parts.items()},
                }
            )
        with quiet(optuna), opened(optuna, run) as study:
            search = Search(optuna, study, candidates, parts["training"], parts["validation"], run)
            search.run_until(int(trials), progress=progress)
            best, accuracy = search.best()
            return Tuning(best, accuracy, search.history())
