"""A figure is a row, and rows live in JSON files: one file for a model, its weights and its scorer, one row a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = "dict[str, Any]"

FIELDS = (
    "task",
    "split",
    "model",
    "weights",
    "scorer",
    "metric",
    "value",
    "low",
    "high",
    "seed",
    "image_size",
    "seconds",
    "environment",
)
KEY = ("task", "split", "model", "weights", "scorer", "metric", "seed", "image_size")


def stem(model: str, weights: str | None, scorer: str) -> str:
    """Return the name of a contender's file, without its ending.

    Examples:
        >>> stem("timm:resnet18", None, "finetuned"), stem("baseline-majority", None, "head")
        ('study-timm-resnet18-scratch-finetuned', 'study-baseline-majority')
    """
    if model.startswith("baseline-"):
        return f"study-{model}"
    start = Path(weights).stem if weights else "scratch"
    return "-".join(["study", *model.replace("/", ":").split(":"), start, scorer])


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what names a row: two rows of one key are the same figure."""
    return tuple(_hashable(row[field]) for field in KEY)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def number(value: float | None) -> float | None:
    """Return a figure as JSON holds it: None where it is not a number."""
    return None if value is None or math.isnan(value) else float(value)


def read(path: Path) -> list[Row]:
    """Return the rows of a file; none where there is no file."""
    if not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, one a line, so that the file is either the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, allow_nan=False, ensure_ascii=False) for row in rows)
    beside = path.with_suffix(".writing")
    beside.write_text(f"[\n{lines}\n]\n" if lines else "[]\n", encoding="utf-8")
    beside.replace(path)


def read_folder(folder: Path) -> list[Row]:
    """Return the rows of all files of the study in a folder, in the order of the files' names.

    Raises:
        ValueError: if a row lacks a field, or two rows have one key.
    """
    rows: list[Row] = []
    seen: dict[tuple[Any, ...], Path] = {}
    for path in sorted(folder.glob("study-*.json")):
        for row in read(path):
            missing = [field for field in FIELDS if field not in row]
            if missing:
                raise ValueError(f"{path}: a row lacks {', '.join(missing)}: {row}")
            if key(row) in seen:
                raise ValueError(f"{path}: the row {key(row)} is also in {seen[key(row)]}")
            seen[key(row)] = path
            rows.append(row)
    return rows
