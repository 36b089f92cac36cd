"""Rows as text and as HTML."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

import numpy as np


def html_table(head: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """Return an HTML table; every cell is escaped."""
    import html  # here, as below: a program that shows no table needs none of it

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


def write_csv(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> None:
    """Write rows to a CSV file in UTF-8, atomically; booleans are "yes" and "no", and None is empty.

    Raises:
        StorageError: if the file can't be written.
    """
    import csv

    from fashionsearch.files import write_atomically

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, header)
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _csv_cell(value) for key, value in row.items()})
        text.detach()

    write_atomically(path, write)


def _csv_cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value
