"""Measures what is missing and writes each figure at once, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from environment import environment

import fashionsearch as fs
from fashionsearch.device import place
from harness.contenders import Contender, Fitted
from harness.data import SEED
from harness.figures import Figure
from harness.rows import Row, key, number, read, write
from harness.tasks import Bench, Measurement, plan

DETAILS = "details"


class OtherConfigurationError(Exception):
    """A figure was measured already, and by another configuration: the test part is measured once."""


def measure(
    bench: Bench,
    contender: Contender,
    seeds: Iterable[int],
    steps: Sequence[str],
    *,
    out: Path,
    validation_only: bool = False,
) -> None:
    """Measure what a contender's file lacks.

    Args:
        bench: the data.
        contender: what is measured.
        seeds: of training, each a set of rows.
        steps: of `TASKS`.
        out: folder of the files.
        validation_only: leave everything out that looks at a test part, to choose a recipe.

    Raises:
        OtherConfigurationError: if the file holds a figure that was measured by another recipe.
    """
    path = out / f"{contender.stem}.json"
    rows = read(path)
    known = {key(row): row for row in rows}
    training = contender.configuration()["training"]
    for seed in seeds:
        for measurement in plan(bench, contender, seed, steps):
            if validation_only and measurement.looks_at_test:
                continue
            wanted = {
                metric: key({**_named(measurement, contender, seed), "metric": metric})
                for metric in measurement.metrics
            }
            for each in wanted.values():
                if each in known and _given(known[each]["configuration"]["training"]) != _given(training):
                    raise OtherConfigurationError(
                        f"{path} holds {each} by another recipe; write to another folder (--out), or move the file away"
                    )
            if all(each in known for each in wanted.values()):
                continue
            figures, fitted = measurement.measure()
            for figure in figures:
                if wanted[figure.metric] not in known:
                    row = _row(measurement, contender, seed, figure, fitted, training, len(bench.table))
                    known[wanted[figure.metric]] = row
                    rows.append(row)
            write(path, rows)
            told = ", ".join(f"{figure.metric} {figure.value:.4f}" for figure in figures[:3])
            print(f"{contender.stem} seed {seed}: {measurement.task} {measurement.split}: {told}", flush=True)
        bench.forget()


def _given(training: dict[str, Any] | None) -> dict[str, Any]:
    # A field that a later version of the library brings is None where it isn't used.
    return {name: value for name, value in (training or {}).items() if value is not None}


def _named(measurement: Measurement, contender: Contender, seed: int) -> Row:
    return {"task": measurement.task, "split": measurement.split, **contender.fields(), "seed": seed}


def _row(
    measurement: Measurement,
    contender: Contender,
    seed: int,
    figure: Figure,
    fitted: Fitted,
    training: dict[str, Any] | None,
    photos: int,
) -> Row:
    fields = contender.fields()
    return {
        "task": measurement.task,
        "split": measurement.split,
        "model": fields["model"],
        "weights": fields["weights"],
        "scorer": fields["scorer"],
        "metric": figure.metric,
        "value": number(figure.value),
        "low": number(figure.low),
        "high": number(figure.high),
        "seed": seed,
        "image_size": fields["image_size"],
        "seconds": round(fitted.seconds, 1),
        "examples": figure.examples,
        "classes": figure.classes,
        "photos": measurement.photos,
        "epochs": len(fitted.history) if training is not None else None,
        "environment": {**environment(), "device": place().device.type},
        "configuration": {
            "step": measurement.step,
            "data": measurement.data,
            "rows": photos,
            "split_seed": SEED,
            "training": training,
        },
    }


def keep_details(
    folder: Path, contender: Contender, seed: int, fitted: Fitted, evaluation: fs.Evaluation
) -> None:
    """Write the history of seed 0 and its probabilities of the study's test photos, from which the charts are drawn."""
    if seed != 0:
        return
    path = folder / DETAILS / f"{contender.stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    places = {str(label): place for place, label in enumerate(evaluation.classes)}
    content = {
        **contender.fields(),
        "seed": seed,
        "classes": list(places),
        "labels": [places[str(label)] for label in evaluation.labels],
        "probabilities": evaluation.probabilities.round(5).tolist(),
        "history": [dict(row) for row in fitted.history.rows],
        "environment": environment(),
    }
    path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def rerun(bench: Bench, path: Path, *, out: Path) -> list[tuple[Row, Row | None]]:
    """Measure a file's rows again, each from its own configuration; return pairs of the row then and now.

    Args:
        bench: the data.
        path: of the file.
        out: folder for the new rows; it must not be the file's own.

    Raises:
        ValueError: if `out` is the folder of the file, or the data has another number of rows.
    """
    if out.resolve() == path.parent.resolve():
        raise ValueError(f"{out} holds the file itself; give another folder for the new rows")
    before = read(path)
    runs = {}
    for row in before:
        settings = row["configuration"]
        if settings["rows"] != len(bench.table):
            raise ValueError(
                f"{path} was measured on {settings['rows']:,} rows, and the data has {len(bench.table):,}"
            )
        contender = Contender.from_configuration({**row, "training": settings["training"]})
        runs[repr((contender, row["seed"], settings["step"]))] = contender, row["seed"], settings["step"]
    for contender, seed, step in runs.values():
        measure(bench, contender, [seed], [step], out=out)
    files = {out / f"{contender.stem}.json" for contender, _, _ in runs.values()}
    now = {key(row): row for file in files for row in read(file)}
    return [(row, now.get(key(row))) for row in before]
