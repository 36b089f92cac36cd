"""The rows of benchmarks/results/study-*.json as pages and charts want them: figures by candidate, over all seeds."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness.candidates import Candidate
from harness.figures import Figure
from harness.rows import Row, StudyError, read_folder

import fashionsearch as fs

Name = tuple[str, str, str]  # task, split and metric
Figures = dict[Candidate, dict[Name, Figure]]


@dataclass(frozen=True)
class Results:
    """Everything in some folders of results.

    Attributes:
        rows: by the stems of their files.
        details: likewise: probabilities of the study's test part, and history, of seed 0.
        figures: every candidate's, by task, split and metric.
        earlier: likewise, where a test part was measured before by another recipe or version: superseded/ holds the rows.
        trials: rows of trials/, a list for each recipe that was tried on the validation part.
    """

    rows: dict[str, list[Row]]
    details: dict[str, dict[str, Any]]
    figures: Figures
    earlier: Figures
    trials: list[list[Row]]


def load(*folders: Path) -> Results:
    """Return what folders of results hold.

    Raises:
        StudyError: if a file holds anything but whole rows, or a figure has two rows of one seed.
    """
    rows: dict[str, list[Row]] = {}
    earlier: dict[str, list[Row]] = {}
    details: dict[str, dict[str, Any]] = {}
    trials: list[list[Row]] = []
    for folder in folders:
        found = read_folder(folder)
        if both := sorted(rows.keys() & found.keys()):
            raise StudyError(
                f"{folder} holds rows of what is in {folders[0]}, too: {', '.join(both)}; move them away, and compare them "
                "with study.py --rerun"
            )
        rows |= found
        earlier |= read_folder(folder / "superseded")
        trials += read_folder(folder / "trials", recipes=True).values()
        kept = {path.stem: path for path in sorted((folder / "details").glob("study-*.json"))}
        details |= {stem: json.loads(path.read_text(encoding="utf-8")) for stem, path in kept.items()}
    known = {stem: kept for stem, kept in details.items() if stem in rows}
    return Results(rows, known, _figures(rows.values()), _figures(earlier.values()), trials)


def _figures(files: Iterable[list[Row]]) -> Figures:
    seeds: dict[Candidate, dict[Name, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in itertools.chain.from_iterable(files):
        seeds[Candidate.of(row)][row["task"], row["split"], row["metric"]].append(row)
    return {
        candidate: {name: Figure.over_seeds(rows) for name, rows in figures.items()}
        for candidate, figures in seeds.items()
    }


def evaluation(kept: dict[str, Any], min_support: int = 1) -> fs.Evaluation:
    """Return what the kept probabilities of the study's test part say, as `fs.metrics.evaluate` does."""
    classes = np.array(kept["classes"])
    return fs.metrics.evaluate(
        classes[kept["labels"]], kept["probabilities"], classes, min_support=min_support
    )
