"""A page of the documentation as a notebook: its prose, and its Python blocks as cells."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PRINTED = re.compile(r"^\s*#> ?(.*)$")
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
_SAVED = re.compile(r'savefig\("([^"]+)"\)')
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*images/([^)/]+)\)$")


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook.

    Attributes:
        source: Markdown or Python.
        printed: what the page says that the Python prints, line by line; None for Markdown.
    """

    source: str
    printed: tuple[str, ...] | None = None


def cells(page: Path, notebook: Path) -> list[Cell]:
    """Return the cells of a page.

    Links are made to lead on from where the notebook lies. What a block prints is left to the cell, and a picture that a
    block above has drawn is left out, since the cell shows it. The link to the notebook itself is left out too.

    Args:
        page: in Markdown.
        notebook: where it will lie.
    """
    made: list[Cell] = []
    prose: list[str] = []
    drawn: set[str] = set()
    lines = iter(page.read_text(encoding="utf-8").splitlines())

    def end_of_prose() -> None:
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip()
        prose.clear()
        if text:
            made.append(Cell(text))

    for line in lines:
        picture = _PICTURE.match(line)
        if line == "```python":
            end_of_prose()
            block = list(iter(lambda: next(lines), "```"))
            source = "\n".join(each for each in block if not _PRINTED.match(each))
            drawn |= set(_SAVED.findall(source))
            made.append(Cell(source.strip(), tuple(m[1] for m in map(_PRINTED.match, block) if m)))
        elif line.startswith("```"):
            prose += [line, *iter(lambda: next(lines), "```"), "```"]
        elif f"({os.path.relpath(notebook, page.parent)})" in line:
            continue
        elif not (picture and picture[1] in drawn):
            prose.append(_LINK.sub(lambda link: link[1] + _from(notebook, page, link[2]) + link[3], line))
    end_of_prose()
    return made


def _from(notebook: Path, page: Path, target: str) -> str:
    """Return how a notebook names what a page names."""
    path, mark, anchor = target.partition("#")
    if re.match(r"https?://", target):
        return target
    aim = page.parent / path if path else page
    return os.path.relpath(aim, notebook.parent).replace(os.sep, "/") + mark + anchor


def notebook_of(page: Path, notebook: Path) -> dict[str, Any]:
    """Return a page as a notebook, as JSON holds it, with nothing run yet."""
    where = os.path.relpath(page, notebook.parent).replace(os.sep, "/")
    note = f"*Made from [this page]({where}). Run it where fashionsearch is installed; it needs no network.*"
    first, *rest = cells(page, notebook)
    title, _, below = first.source.partition("\n")
    return {
        "cells": [
            _as_json(cell, number) for number, cell in enumerate([Cell(f"{title}\n\n{note}\n{below}"), *rest])
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _as_json(cell: Cell, number: int) -> dict[str, Any]:
    shared = {"id": f"cell-{number}", "metadata": {}, "source": cell.source.splitlines(keepends=True)}
    if cell.printed is None:
        return {"cell_type": "markdown", **shared}
    return {"cell_type": "code", "execution_count": None, "outputs": [], **shared}


def text_of(notebook: dict[str, Any]) -> str:
    """Return the file of a notebook."""
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
