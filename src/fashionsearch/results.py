"""What the library answers with: frozen, printable, at home in a notebook."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors


def html_table(head: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """Return an HTML table; every cell is escaped."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as aligned text: the first column to the left, the others to the right."""
    cells = [list(head), *[[_cell(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _cell(value: object) -> str:
    if not isinstance(value, float | np.floating):
        return str(value)
    number = float(value)
    return f"{number:.4f}" if number == 0 or not abs(number) < 1e-3 else f"{number:.1e}"


@dataclass(frozen=True)
class ClassRow:
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
            "per_class": [
                {key: _json_number(value) for key, value in vars(row).items()} for row in self.per_class
            ],
            "unscored": list(self.unscored),
            "classes": [str(label) for label in self.classes],
            "confusion": self.confusion.tolist(),
        }

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


@dataclass(frozen=True, repr=False)
class History:
    """What was tried or measured while fitting, row by row.

    Attributes:
        rows: one mapping a step, all with the same keys.

    Examples:
        >>> History(({"C": 1.0, "validation_accuracy": 0.5},))["C"]
        [1.0]
    """

    rows: tuple[Mapping[str, float], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0]) if self.rows else ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        """Return one column as a list.

        Raises:
            InputError: if there is no such column.
        """
        if column not in self.columns:
            raise errors.InputError(f"no column {column!r}; the columns are {', '.join(self.columns)}")
        return [row[column] for row in self.rows]

    def __repr__(self) -> str:
        return (
            text_table(self.columns, [list(row.values()) for row in self.rows])
            if self.rows
            else "History: empty"
        )

    def _repr_html_(self) -> str:
        return html_table(self.columns, [list(row.values()) for row in self.rows])


@dataclass(frozen=True, repr=False, eq=False)
class Matches:
    """The k nearest items of each of n queries, nearest first; also for one query the first axis is there.

    Attributes:
        ids: (n, k) object; None beyond `counts`.
        similarities: (n, k) float32, cosine in [−1, 1] or minus the Euclidean distance; NaN beyond `counts`.
        metadata: (n, k) object, a dict for each item; None beyond `counts`.
        counts: (n,) int64, how many places of each row are filled.
        sources: (n, k) object, the path an item's photo was added from, or None where it had none.
        queries: the queried photos as they were given: of the first ten queries, and None for the others and for vectors.
    """

    ids: NDArray[np.object_]
    similarities: NDArray[np.float32]
    metadata: NDArray[np.object_]
    counts: NDArray[np.int64]
    sources: NDArray[np.object_]
    queries: tuple[Any, ...] = ()
    _thumbnail: Callable[[Any], str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        lines = [f"Matches: {len(self)} queries, up to {self.ids.shape[1]} items each"]
        for query in range(min(len(self), 5)):
            places = range(int(self.counts[query]))
            found = ", ".join(f"{self.ids[query, i]!r} {self.similarities[query, i]:.3f}" for i in places)
            lines.append(f"  {query}: {found or 'nothing'}")
        if len(self) > 5:
            lines.append(f"  … and {len(self) - 5} more")
        return "\n".join(lines)

    def _address(self, photo: Any) -> str | None:
        return self._thumbnail(photo) if self._thumbnail and photo is not None else None

    def _repr_html_(self) -> str:
        rows = []
        for query in range(min(len(self), 10)):
            cells = [
                f"<td>{_figure(self._address(self.queries[query] if self.queries else None), f'query {query}')}</td>"
            ]
            for place in range(int(self.counts[query])):
                picture = self._address(self.sources[query, place])
                words = f"{self.ids[query, place]}<br>{self.similarities[query, place]:.3f}"
                cells.append(f"<td>{_figure(picture, words)}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        more = f"<caption>the first 10 of {len(self)} queries</caption>" if len(self) > 10 else ""
        return f"<table>{more}<tbody>{''.join(rows)}</tbody></table>"


def _figure(address: str | None, words: str) -> str:
    caption = "<br>".join(html.escape(part) for part in words.split("<br>"))
    picture = f"<img alt='' src='{address}'><br>" if address else ""
    return f"{picture}<small>{caption}</small>"


@dataclass(frozen=True, eq=False)
class Item:
    """What an index holds under one id.

    Attributes:
        id: text or integer.
        vector: (dim,) float32, as it was added.
        metadata: field -> value.
        source: the path its photo was added from, or None.
    """

    id: str | int
    vector: NDArray[np.float32] = field(repr=False)
    metadata: Mapping[str, Any]
    source: str | None


@dataclass(frozen=True)
class Added:
    """What `VisualIndex.add` did.

    Attributes:
        ids: the ids that were added or replaced, in the order of the images.
        failures: the images that were left out, each with its position and the reason.
    """

    ids: tuple[str | int, ...]
    failures: tuple[errors.ImageFailure, ...] = ()

    def __repr__(self) -> str:
        left_out = "".join(f"\n  left out: {failure}" for failure in self.failures[:10])
        more = f"\n  … and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        return f"Added {len(self.ids):,} items, left out {len(self.failures):,}{left_out}{more}"


@dataclass(frozen=True)
class Fidelity:
    """How alike the embeddings of a faster encoder are to those of the one it comes from, on the same images.

    Attributes:
        images: how many were compared.
        cosine: mean cosine similarity of an image's two embeddings, in [−1, 1].
        lowest_cosine: the least of them.
        overlap: mean share of an image's 10 nearest others that are among its 10 nearest in the original, in [0, 1].
        accuracy: of a 5-nearest-neighbour vote over the other images, in [0, 1]; None without labels.
        original_accuracy: the same for the original.

    Examples:
        >>> Fidelity(500, 0.9990, 0.9950, 0.97).loss < 0.031
        True
        >>> Fidelity(500, 0.9990, 0.9950, 0.97, accuracy=0.93, original_accuracy=0.92).loss
        0.0
    """

    images: int
    cosine: float
    lowest_cosine: float
    overlap: float
    accuracy: float | None = None
    original_accuracy: float | None = None

    @property
    def loss(self) -> float:
        """What is lost, a fraction: the drop in accuracy with labels, 0 where there is none, else 1 − overlap."""
        if self.accuracy is None or self.original_accuracy is None:
            return 1 - self.overlap
        return max(0.0, self.original_accuracy - self.accuracy)

    def __str__(self) -> str:
        voted = (
            ""
            if self.accuracy is None or self.original_accuracy is None
            else f", k-NN accuracy {self.accuracy:.4f} after {self.original_accuracy:.4f}"
        )
        return (
            f"mean cosine {self.cosine:.4f} (least {self.lowest_cosine:.4f}), {self.overlap:.1%} of the 10 nearest the "
            f"same{voted}, on {self.images:,} images"
        )
