"""A figure is a row, and rows live in JSON files: one file for a model, its weights, its scorer and size, one row a line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import filelock


class StudyError(ValueError):
    """The study can't go on: what it was given, or what it finds in a file, can't be used."""


Row: TypeAlias = "dict[str, Any]"

KEY = ("task", "split", "model", "weights", "scorer", "metric", "seed", "image_size")
FIELDS = (*KEY, "value", "low", "high", "seconds", "environment", "configuration")


def stem(model: str, weights: str | None, scorer: str, image_size: int | list[int] | None) -> str:
    """Return the name of a candidate's file, without its ending.

    Examples:
        >>> stem("timm:resnet18", None, "finetuned", 64), stem("baseline-majority", None, "head", None)
        ('study-timm-resnet18-scratch-finetuned-64px', 'study-baseline-majority')
    """
    if model.startswith("baseline-"):
        return f"study-{model}"
    start = Path(weights).stem if weights else "scratch"
    size = image_size if isinstance(image_size, int) else "x".join(map(str, image_size or ()))
    return "-".join(["study", *model.replace("/", ":").split(":"), start, scorer, f"{size}px"])


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what names a row: two rows of one key are the same figure."""
    values = (row[field] for field in KEY)
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def number(value: float) -> float | None:
    """Return a figure as JSON holds it: None where it is not a number."""
    return None if math.isnan(value) else float(value)


def read(path: Path) -> list[Row]:
    """Return the rows of a file; none where there is no file.

    Raises:
        StudyError: if it holds anything but whole rows.
    """
    if not path.exists():
        return []
    try:
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StudyError(f"{path} is no JSON: {error}; mend it, or move it away") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise StudyError(f"{path} is no list of rows; mend it, or move it away")
    for row in rows:
        missing = [field for field in FIELDS if field not in row]
        if missing:
            raise StudyError(f"{path}: a row lacks {', '.join(missing)}: {str(row)[:200]}")
    return rows


def read_folder(folder: Path, *, recipes: bool = False) -> dict[str, list[Row]]:
    """Return the rows of all files of the study in a folder, by the stems of the files' names, in their order.

    Args:
        folder: of the files.
        recipes: whether there may be several recipes of one model, as in a folder of trials.

    Raises:
        StudyError: if a file holds anything but whole rows, or two rows have one key where there is one recipe.
    """
    files = {path.stem: read(path) for path in sorted(folder.glob("study-*.json"))}
    seen: dict[tuple[Any, ...], str] = {}
    for name, rows in files.items():
        for row in rows:
            if seen.setdefault(key(row), name) != name and not recipes:
                raise StudyError(f"{folder / name}.json: the row {key(row)} is also in {seen[key(row)]}.json")
    return files


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, one a line, so that the file is either the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, allow_nan=False, ensure_ascii=False) for row in rows)
    beside = path.with_suffix(".writing")
    beside.write_text(f"[\n{lines}\n]\n" if lines else "[]\n", encoding="utf-8")
    beside.replace(path)


def add(path: Path, rows: Iterable[Row], check: Callable[[list[Row]], None] = lambda there: None) -> None:
    """Add the rows that a file lacks, once `check` is content with those there; other processes may add meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")):
        there = read(path)
        check(there)
        known = {key(row): row for row in there}
        for row in rows:
            known.setdefault(key(row), row)
        write(path, known.values())
