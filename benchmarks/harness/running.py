"""Measures what is missing and writes each figure at once, so that a run that was stopped is resumed."""

from __future__ import annotations

import functools
import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from environment import environment

import fashionsearch as fs
from fashionsearch.device import resolve_placement
from harness.candidates import Candidate, by_todays_names
from harness.data import SEED
from harness.figures import Figure
from harness.fitting import Fitted
from harness.rows import Row, StudyError, add, key, number, read
from harness.tasks import Bench, Measurement, labels_of, learned, plan

DETAILS = "details"


def measure(
    bench: Bench,
    candidate: Candidate,
    seeds: Iterable[int],
    steps: Sequence[str],
    *,
    out: Path,
    validation_only: bool = False,
    splits: Container[tuple[str, str]] | None = None,
) -> None:
    """Measure what a candidate's file in the folder `out` lacks, for each seed of training.

    `validation_only` leaves everything out that looks at a test part, to choose a recipe; `splits` are the pairs of task and
    split to measure, of all that the steps have.

    Raises:
        StudyError: if the file holds figures by another recipe or of other data, of whichever seed.
    """
    path = rows_file(out, candidate, validation_only=validation_only)
    learning = candidate.learning
    there = 0
    for seed in seeds:
        for measurement in plan(bench, candidate, seed, steps):
            left_out = validation_only and measurement.looks_at_test
            if left_out or (splits is not None and (measurement.task, measurement.split) not in splits):
                continue
            configuration = _configuration(bench, measurement.step, measurement.data, learning)
            check = functools.partial(_check, path, configuration)
            known = read(path)
            check(known)
            named = {"task": measurement.task, "split": measurement.split, **candidate.fields(), "seed": seed}
            wanted = {key({**named, "metric": metric}) for metric in measurement.metrics}
            if wanted <= {key(row) for row in known}:
                there += len(wanted)
                if validation_only:
                    _tell(path, named, [row for row in known if key(row) in wanted])
                continue
            figures, fitted = measurement.measure()
            rows = [_row(named, measurement, figure, fitted, configuration) for figure in figures]
            add(path, rows, check=check)
            _tell(path, named, rows)
        bench.forget()
    if there:
        print(f"{path.stem}: {there} figures were measured before", flush=True)


def _tell(path: Path, named: Row, rows: Sequence[Row]) -> None:
    told = ", ".join(f"{row['metric']} {shown(row['value'])}" for row in rows[:3])
    print(f"{path.stem} seed {named['seed']}: {named['task']} {named['split']}: {told}", flush=True)


def shown(value: float | None) -> str:
    """Return a figure as the command line tells it."""
    return "nothing" if value is None else f"{value:.4f}"


def _configuration(bench: Bench, step: str, data: str, learning: Mapping[str, Any]) -> dict[str, Any]:
    return {"step": step, "data": data, "rows": len(bench.table), "split_seed": SEED, **learning}


def _check(path: Path, configuration: Mapping[str, Any], there: Sequence[Row]) -> None:
    for row in there:
        then = row["configuration"]
        # The teacher of another step knows another label.
        may_differ = () if then["step"] == configuration["step"] else ("step", "data", "teacher")
        difference = _difference(then, configuration, may_differ)
        if difference:
            raise StudyError(
                f"{path} holds {key(row)} by another recipe or of other data: {difference}; write to another folder (--out), "
                "or move the file away"
            )


def _difference(then: Mapping[str, Any], now: Mapping[str, Any], may_differ: Container[str] = ()) -> str:
    """Return the first thing in which two configurations differ, in words; "" if there is none."""
    for name in {**then, **now}:
        before, here = then.get(name), now.get(name)
        if name == "training" and before and here:
            before, here = by_todays_names(before), by_todays_names(here)
        if name in may_differ or before == here:
            continue
        if name in ("network", "layers"):
            return "the network had other layers or other first weights"
        if isinstance(before, dict) and isinstance(here, dict):
            inner = _difference(before, here, may_differ)
            if inner:
                return f"of {name}, {inner}"
            continue
        return f"{name} was {before}, and is {here} here"
    return ""


def check_teacher(bench: Bench, candidate: Candidate, steps: Sequence[str]) -> None:
    """Check that a teacher, if there is one, knows every class of what is asked for, before hours are spent on a part of it.

    Raises:
        StudyError: if it doesn't.
    """
    if candidate.teacher is None:
        return
    for step in steps:
        parts, label = labels_of(bench, step)
        strangers = sorted({*learned(parts, label)[label].tolist()} - {*candidate.teacher.classes_.tolist()})
        if strangers:
            raise StudyError(
                f"the teacher doesn't know {len(strangers)} classes of the task {step}, such as {strangers[0]!r}; name with "
                "--tasks those of the label it learned"
            )


def rows_file(out: Path, candidate: Candidate, *, validation_only: bool) -> Path:
    """Return the file of a candidate's rows; while a recipe is chosen, each has a file of its own."""
    ending = f"-{candidate.digest}" if validation_only else ""
    return out / f"{candidate.stem}{ending}.json"


def _row(
    named: Row, measurement: Measurement, figure: Figure, fitted: Fitted, configuration: dict[str, Any]
) -> Row:
    return {
        **named,
        "metric": figure.metric,
        "value": number(figure.value),
        "low": number(figure.low),
        "high": number(figure.high),
        "seconds": round(fitted.encoder.seconds, 1),
        "examples": figure.examples,
        "classes": figure.classes,
        "photos": measurement.photos,
        "epochs": None if fitted.encoder.arithmetic is None else len(fitted.encoder.history),
        "arithmetic": fitted.encoder.arithmetic,
        "environment": {**environment(), "device": resolve_placement().device.type},
        "configuration": configuration,
    }


def keep_details(
    folder: Path, candidate: Candidate, seed: int, fitted: Fitted, evaluation: fs.Evaluation
) -> None:
    """Write the history of seed 0 and its probabilities of the study's test photos, from which the charts are drawn."""
    if seed != 0:
        return
    path = folder / DETAILS / f"{candidate.stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    places = {str(label): place for place, label in enumerate(evaluation.classes)}
    content = {
        **candidate.fields(),
        "seed": seed,
        "classes": list(places),
        "labels": [places[str(label)] for label in evaluation.labels],
        "probabilities": evaluation.probabilities.round(5).tolist(),
        "history": [dict(row) for row in fitted.encoder.history.rows],
        "environment": environment(),
    }
    path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def rerun(bench: Bench, path: Path, *, out: Path, teacher: str | None = None) -> list[tuple[Row, Row | None]]:
    """Measure a file's rows again, each from its own configuration; return pairs of the row then and now.

    Raises:
        StudyError: if `out` is the folder of the file, or a row is of what can't be made again here: other data or a task
            whose photos aren't given, another network, another teacher's recipe, or an autoencoder that minimised
            something else.
    """
    if out.resolve() == path.parent.resolve():
        raise StudyError(f"{out} holds the file itself; give another folder for the new rows")
    before = read(path)
    if not before:
        raise StudyError(f"{path} holds no rows; give a file that the same script wrote")
    runs: dict[str, tuple[Candidate, int, str]] = {}
    for row in before:
        then = row["configuration"]
        if "teacher" in then and teacher is None:
            raise StudyError(
                f'{path}: {key(row)} had a teacher; give the folder of that Classifier as "teacher" in --training'
            )
        candidate = Candidate.again(row, teacher)
        run = candidate, row["seed"], then["step"]
        if repr(run) not in runs:
            labels_of(bench, then["step"])  # raises now, and not after hours, if its photos aren't given
            now = _configuration(bench, then["step"], then["data"], candidate.learning)
            # Another processor's arithmetic changes what a teacher is, and not how it was made.
            difference = _difference(then, now, may_differ=("fingerprint",))
            if difference:
                raise StudyError(f"{path}: {key(row)} can't be measured again so: {difference}")
            if _difference(then, now):
                print(
                    "the teacher has the recipe of then, and other weights: expect other figures", flush=True
                )
            runs[repr(run)] = run
    splits = {(row["task"], row["split"]) for row in before}
    for candidate, seed, step in runs.values():
        measure(bench, candidate, [seed], [step], out=out, splits=splits)
    files = {rows_file(out, candidate, validation_only=False) for candidate, _, _ in runs.values()}
    again = {key(row): row for file in files for row in read(file)}
    return [(row, again.get(key(row))) for row in before]
