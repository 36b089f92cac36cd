"""Measures what is missing and writes each figure at once, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from environment import environment

import fashionsearch as fs
from fashionsearch.device import place
from harness.contenders import Contender, Fitted
from harness.data import SEED
from harness.figures import Figure
from harness.rows import Row, add, key, number, read
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
        OtherConfigurationError: if the file holds a figure that was measured by another recipe, or of other data.
    """
    path = rows_file(out, contender, validation_only=validation_only)
    learning = contender.learning()
    for seed in seeds:
        for measurement in plan(bench, contender, seed, steps):
            if validation_only and measurement.looks_at_test:
                continue
            known = {key(row): row for row in read(path)}
            configuration = {
                "step": measurement.step,
                "data": measurement.data,
                "rows": len(bench.table),
                "split_seed": SEED,
                **learning,
            }
            named = {"task": measurement.task, "split": measurement.split, **contender.fields(), "seed": seed}
            wanted = [key({**named, "metric": metric}) for metric in measurement.metrics]
            for each in wanted:
                if each in known and not _same(known[each]["configuration"], configuration):
                    raise OtherConfigurationError(
                        f"{path} holds {each} by another recipe or of other data; write to another folder (--out), or move "
                        "the file away"
                    )
            if all(each in known for each in wanted):
                continue
            figures, fitted = measurement.measure()
            add(path, [_row(named, measurement, figure, fitted, configuration) for figure in figures])
            told = ", ".join(f"{figure.metric} {figure.value:.4f}" for figure in figures[:3])
            print(f"{path.stem} seed {seed}: {measurement.task} {measurement.split}: {told}", flush=True)
        bench.forget()


def rows_file(out: Path, contender: Contender, *, validation_only: bool) -> Path:
    """Return the file of a contender's rows; while a recipe is chosen, each has a file of its own."""
    ending = f"-{contender.digest}" if validation_only else ""
    return out / f"{contender.stem}{ending}.json"


def _same(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    def given(configuration: Mapping[str, Any]) -> dict[str, Any]:
        training = configuration["training"] or {}
        # A field that a later version of the library brings is None where it isn't used.
        fields = {name: value for name, value in training.items() if value is not None}
        return {**configuration, "training": fields}

    return given(then) == given(now)


def _row(
    named: Row, measurement: Measurement, figure: Figure, fitted: Fitted, configuration: dict[str, Any]
) -> Row:
    return {
        "task": named["task"],
        "split": named["split"],
        "model": named["model"],
        "weights": named["weights"],
        "scorer": named["scorer"],
        "metric": figure.metric,
        "value": number(figure.value),
        "low": number(figure.low),
        "high": number(figure.high),
        "seed": named["seed"],
        "image_size": named["image_size"],
        "seconds": round(fitted.seconds, 1),
        "examples": figure.examples,
        "classes": figure.classes,
        "photos": measurement.photos,
        "epochs": None if fitted.arithmetic is None else len(fitted.history),
        "arithmetic": fitted.arithmetic,
        "environment": {**environment(), "device": place().device.type},
        "configuration": configuration,
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
    if not before:
        raise ValueError(f"{path} holds no rows; give a file that the same script wrote")
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
    files = {rows_file(out, contender, validation_only=False) for contender, _, _ in runs.values()}
    now = {key(row): row for file in files for row in read(file)}
    return [(row, now.get(key(row))) for row in before]
