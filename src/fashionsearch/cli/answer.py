"""What a command answers: words for a person; or, for programs, JSON or CSV, and nothing else on standard output.

While a command runs that was asked for JSON or CSV, what it tells of its progress goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fashionsearch.cli.console import shown, shown_lines
from fashionsearch.errors import ImageFailure


@dataclass(frozen=True)
class Answer:
    """The result of a command.

    Attributes:
        words: for a person.
        found: the object that --json prints; a sequence of them is a line each.
        rows: what --csv prints, a mapping of columns a row; None is the object itself as one row.
        columns: of the rows, also where there is none; None are those that come up in them.
        code: the exit code.
    """

    words: str
    found: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]] | None = None
    columns: Sequence[str] | None = None
    code: int = 0


@contextlib.contextmanager
def reserved_output(options: argparse.Namespace) -> Iterator[None]:
    """Keep standard output for the answer where a program reads it."""
    if not (options.json or options.csv):
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def show(answer: Answer, options: argparse.Namespace) -> None:
    """Print an answer in the form that the options ask for."""
    found = [answer.found] if isinstance(answer.found, Mapping) else answer.found
    if options.json:
        for each in found:
            print(json.dumps(plain(each), allow_nan=False))
    elif options.csv:
        rows = [flat(row) for row in (found if answer.rows is None else answer.rows)]
        columns = answer.columns
        _print_rows(
            list(dict.fromkeys(name for row in rows for name in row)) if columns is None else columns, rows
        )
    elif answer.words:
        print(shown_lines(answer.words))


def _print_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)


def _cell(value: Any) -> Any:
    """Return a value as a cell holds it: as JSON spells it, but text as it is, and nothing for what is unknown."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Return what JSON holds of a value; NaN and infinity, which it can't, are null.

    Examples:
        >>> plain({"recall": float("nan"), "ids": ("a", 2)})
        {'recall': None, 'ids': ['a', 2]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # NumPy's, which is not imported for this
        return plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime.date):
        return value.isoformat()
    if value is None or isinstance(value, str | int):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a row whose mappings have become columns.

    Examples:
        >>> flat({"id": "a", "metadata": {"year": 2012}})
        {'id': 'a', 'metadata.year': 2012}
    """
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            columns |= flat(value, f"{before}{name}.")
        else:
            columns[f"{before}{name}"] = plain(value)
    return columns


def left_out(failures: Iterable[ImageFailure]) -> list[dict[str, Any]]:
    """Return photos that can't be read as JSON holds them."""
    return [{"position": each.position, "source": each.source, "reason": each.reason} for each in failures]


def tell_left_out(failures: Iterable[ImageFailure]) -> None:
    """Name the photos that can't be read, on standard error."""
    for failure in failures:
        print(f"left out: {shown(failure)}", file=sys.stderr)


def changed_rows(**changes: Iterable[Any]) -> list[dict[str, Any]]:
    """Return a row for each item that was changed, with what was done to it."""
    return [{"id": item, "change": change} for change, items in changes.items() for item in items]
