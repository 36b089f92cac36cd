"""Markdown, and words that tables share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def newest(name: str) -> Any:
    """Return the content of the newest file of results of this name."""
    found = sorted(RESULTS.glob(f"{name}-*.json"), key=lambda path: (path.stem[-10:], path.name))
    if not found:
        raise SystemExit(
            f"{RESULTS} holds no results of {name!r}: run its script in benchmarks/ first, without --quick"
        )
    return json.loads(found[-1].read_text(encoding="utf-8"))


def cores(*counts: int) -> str:
    """Return numbers of cores, in words."""
    return f"{' or '.join(map(str, sorted(set(counts))))} core{'s' if max(counts) > 1 else ''}"


def measured_on(content: Mapping[str, Any]) -> str:
    """Return when and where a benchmark ran: the beginning of a sentence."""
    where = content["environment"]
    return f"Measured on {where['date']} on {cores(where['cores'])} ({where['processor']})"


def interval(figure: Mapping[str, float], form: str = ".2f", unit: str = "") -> str:
    """Return a figure of a benchmark with its interval."""
    value, low, high = (f"{figure[name]:{form}}" for name in ("value", "low", "high"))
    return f"{value}{unit} ({low} – {high})"


def percent(row: Mapping[str, Any]) -> str:
    """Return a share in %, with its interval where it has one."""
    bounds = f" ({100 * row['low']:.1f} – {100 * row['high']:.1f})" if "low" in row else ""
    return f"{100 * row['value']:.1f}{bounds}"
