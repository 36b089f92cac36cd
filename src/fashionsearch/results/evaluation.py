"""How predictions compare with labels."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results.frames import data_frame
from fashionsearch.results.shown import ShowsFields
from fashionsearch.results.tables import html_table, text_table

_COLUMNS = {  # of the data frame, each with its dtype; None is whatever its values are
    "label": None,
    "precision": "float64",
    "recall": "float64",
    "f1": "float64",
    "auc": "float64",
    "support": "int64",
}


@dataclass(frozen=True)
class ClassRow(ShowsFields):
    """How one class fared.

    Attributes:
        label: the class.
        precision: of those predicted as the class, the fraction that is; 0 where none was predicted.
        recall: of those that are the class, the fraction predicted as it; 0 where the labels hold none.
        f1: their harmonic mean.
        auc: area under the one-vs-rest ROC curve; NaN where the class is too rare to score.
        support: number of true examples.
    """

    label: str
    precision: float
    recall: float
    f1: float
    auc: float
    support: int


@dataclass(frozen=True, repr=False, eq=False)
class Evaluation:
    """How predictions compare with labels; all figures are fractions in [0, 1].

    Attributes:
        classes: (c,) the classes, sorted: those the classifier knows and those in the labels.
        labels: (n,) true classes.
        predictions: (n,) predicted classes.
        probabilities: (n, c) float64, a column for each of `classes`; 0 for a class the classifier doesn't know.
        accuracy: fraction predicted right.
        precision: macro average over the classes that occur in labels or predictions; likewise `recall` and `f1`.
        recall: macro average.
        f1: macro average.
        weighted_precision: average weighted by the classes' support; likewise `weighted_recall` and `weighted_f1`.
        weighted_recall: equals the accuracy.
        weighted_f1: weighted average.
        auc: one-vs-rest ROC AUC, macro average over the classes that can be scored; NaN where none can.
        weighted_auc: the same, weighted by support.
        confusion: (c, c) int64, rows are true classes and columns predicted ones.
        per_class: a `ClassRow` for each class.
        unscored: classes with too few examples for an AUC.
        intervals: figure's name -> (low, high), its 95 % interval.
    """

    classes: NDArray[Any]
    labels: NDArray[Any]
    predictions: NDArray[Any]
    probabilities: NDArray[np.float64]
    accuracy: float
    precision: float
    recall: float
    f1: float
    weighted_precision: float
    weighted_recall: float
    weighted_f1: float
    auc: float
    weighted_auc: float
    confusion: NDArray[np.int64]
    per_class: tuple[ClassRow, ...]
    unscored: tuple[str, ...]
    intervals: Mapping[str, tuple[float, float]]

    def interval(self, figure: str) -> tuple[float, float]:
        """Return the 95 % interval of a figure, for example `interval("accuracy")`.

        Accuracy has a Wilson interval, AUC a normal one from its influence function (DeLong et al. 1988, extended to
        the mean over classes), and the others a percentile bootstrap of 2,000 resamples.

        Raises:
            InputError: if there is no figure of that name.
        """
        if figure not in self.intervals:
            raise errors.InputError(
                f"no interval for {figure!r}; there is one for {', '.join(self.intervals)}."
                + errors.did_you_mean(figure, self.intervals)
            )
        return self.intervals[figure]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, intervals and per-class rows as JSON holds them (not the single predictions)."""
        return {
            "n": len(self.labels),
            **{name: _json_number(getattr(self, name)) for name in self.intervals},
            "intervals": {name: [_json_number(end) for end in ends] for name, ends in self.intervals.items()},
            "per_class": self.to_rows(),
            "unscored": list(self.unscored),
            "classes": [str(label) for label in self.classes],
            "confusion": self.confusion.tolist(),
        }

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary a class, of plain Python values: what a `ClassRow` holds, with None for NaN."""
        return [{key: _json_number(value) for key, value in vars(row).items()} for row in self.per_class]

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas DataFrame.

        Raises:
            MissingPackageError: if pandas isn't installed.
        """
        return data_frame(self.to_rows(), _COLUMNS)

    def _figures(self) -> list[tuple[object, ...]]:
        return [
            (name, float(getattr(self, name)), f"{low:.4f} – {high:.4f}")
            for name, (low, high) in self.intervals.items()
        ]

    def _class_rows(self) -> list[tuple[object, ...]]:
        return [
            (row.label, row.precision, row.recall, row.f1, row.auc, row.support) for row in self.per_class
        ]

    def __repr__(self) -> str:
        figures = text_table(("figure", "value", "95 % interval"), self._figures())
        rows = text_table(("class", "precision", "recall", "f1", "auc", "support"), self._class_rows())
        return f"Evaluation of {len(self.labels):,} predictions\n\n{figures}\n\n{rows}{self._unscored_note()}"

    def _unscored_note(self) -> str:
        return f"\n\nno AUC (too few examples): {', '.join(self.unscored)}" if self.unscored else ""

    def _repr_html_(self) -> str:
        figures = html_table(
            ("figure", "value", "95 % interval"), self._figures(), f"{len(self.labels):,} predictions"
        )
        rows = html_table(
            ("class", "precision", "recall", "f1", "auc", "support"), self._class_rows(), "by class"
        )
        return f"{figures}{rows}<p>{html.escape(self._unscored_note().strip())}</p>"


def _json_number(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return value
