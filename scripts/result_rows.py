"""The rows of benchmarks/results/study-*.json as the pages and charts want them: figures by contender, over all seeds."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

import fashionsearch as fs

SCORERS = {"head": "linear head", "finetuned": "fine-tuned", "knn": "5 neighbours", "probe": "linear probe"}
HEAD = ("Model", "Starts from", "Scored by", "Size")  # of a contender's cells
STARTS = {None: "scratch", "default": "ImageNet", "distilled": "scratch, with a teacher"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure over all seeds: means of the values and of the ends of their intervals.

    Attributes:
        value: fraction, or None where there was nothing to measure.
        low: lower end.
        high: upper end.
        seeds: how many.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "–"
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} – {100 * self.high:.1f})"


@dataclass(frozen=True)
class Contender:
    """What a line of a table is about.

    Attributes:
        model: as in the rows; likewise `weights` and `scorer`.
        weights: None, "default", "distilled" or a file.
        scorer: how it is scored.
        size: of its photos.
        is_taught: whether an autoencoder also learns to tell the embedding of a network trained on ImageNet.
    """

    model: str
    weights: str | None
    scorer: str
    size: str
    is_taught: bool

    @classmethod
    def of(cls, row: Row) -> Contender:
        """Return the contender of a row."""
        size = row["image_size"]
        shown = "–" if size is None else f"{size if isinstance(size, int) else '×'.join(map(str, size))} px"
        is_taught = row["configuration"].get("autoencoder", {}).get("perceptual", 0) > 0
        return cls(row["model"], row["weights"], row["scorer"], shown, is_taught)

    @property
    def start(self) -> str:
        """Where its network starts, in words."""
        start = STARTS.get(self.weights, "a file")
        return f"{start}, taught ImageNet embeddings" if self.is_taught else start

    @property
    def scored_by(self) -> str:
        """Its scorer in words; a network from scratch is trained, and not fine-tuned."""
        is_trained = self.scorer == "finetuned" and self.weights in (None, "distilled")
        return "trained" if is_trained else SCORERS[self.scorer]

    @property
    def is_baseline(self) -> bool:
        """Whether no network is in it."""
        return self.model.startswith("baseline-")

    @property
    def title(self) -> str:
        """What a chart calls it."""
        return self.model if self.is_baseline else f"{self.model}, from {self.start}, {self.scored_by}"

    @property
    def cells(self) -> list[str]:
        """The first cells of its line."""
        about = ["–", "–"] if self.is_baseline else [self.start, self.scored_by]
        return [f"`{self.model}`", *about, self.size]


def evaluation(kept: Row, min_support: int = 1) -> fs.Evaluation:
    """Return what the kept probabilities of the study's test part say, as `fs.metrics.evaluate` does."""
    classes = np.array(kept["classes"])
    return fs.metrics.evaluate(
        classes[kept["labels"]], kept["probabilities"], classes, min_support=min_support
    )


Figures = dict[Contender, dict[tuple[str, str, str], Figure]]


@dataclass(frozen=True)
class Results:
    """Everything in a folder of results.

    Attributes:
        rows: by the stems of their files.
        details: likewise: probabilities of the study's test part, and history, of seed 0.
        figures: every contender's, by task, split and metric.
        earlier: likewise, where a test part was measured before by another recipe or version: superseded/ holds the rows.
        trials: rows of trials/, a list for each recipe that was tried on the validation part.
    """

    rows: dict[str, list[Row]]
    details: dict[str, Row]
    figures: Figures
    earlier: Figures
    trials: list[list[Row]]


def load(folder: Path) -> Results:
    """Return what a folder of results holds.

    Raises:
        ValueError: if a figure has two rows of one seed: a folder of trials has several recipes, and no mean.
    """
    rows, details, superseded, trials = (
        {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(where.glob("study-*.json"))
        }
        for where in (folder, *(folder / name for name in ("details", "superseded", "trials")))
    )
    known = {stem: kept for stem, kept in details.items() if stem in rows}
    figures, earlier = _figures(rows.values()), _figures(superseded.values())
    return Results(rows, known, figures, earlier, list(trials.values()))


def _figures(files: Iterable[list[Row]]) -> Figures:
    seeds: dict[Contender, dict[tuple[str, str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in itertools.chain.from_iterable(files):
        seeds[Contender.of(row)][row["task"], row["split"], row["metric"]].append(row)
    return {
        contender: {name: _over_seeds(rows) for name, rows in figures.items()}
        for contender, figures in seeds.items()
    }


def _over_seeds(rows: Sequence[Row]) -> Figure:
    def mean(field: str) -> float | None:
        values = [row[field] for row in rows]
        return None if None in values else fmean(values)

    seeds = [row["seed"] for row in rows]
    if len(set(seeds)) < len(seeds):
        about = ", ".join(
            f"{name} {rows[0][name]}" for name in ("model", "scorer", "task", "split", "metric")
        )
        raise ValueError(f"two rows of {about} have one seed; give a folder with one recipe for each model")
    return Figure(mean("value"), mean("low"), mean("high"), len(rows))
