"""The tables of what a buyer says: each part with `fashion` and with a frozen EfficientNet-Lite0 side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from report.tables import RESULTS, interval, newest, table

Row = Mapping[str, Any]
_ENCODERS = {"fashion": "`fashion`", "efficientnet_lite0": "Frozen Lite0"}


def part(names: Sequence[str]) -> str:
    """Return a part's rows, one column an encoder that was measured; the first name is the part."""
    found = {
        words: {_named(row): row for row in newest(f"buyer-{names[0]}-{encoder}")["rows"]}
        for encoder, words in _ENCODERS.items()
        if list(RESULTS.glob(f"buyer-{names[0]}-{encoder}-*.json"))
    }
    lines = []
    for measure in dict.fromkeys(measure for rows in found.values() for measure in rows):
        cells = [rows.get(measure) for rows in found.values()]
        examples = next(row.get("examples", "") for row in cells if row is not None)
        lines.append((measure, *map(_cell, cells), f"{examples:,}" if examples else ""))
    return table(("", *found, "Queries"), lines)


def _named(row: Row) -> str:
    """Return what a row is called: its measure, and how the other colour of a slider was drawn."""
    measure: str = row["measure"]
    return measure[0].upper() + measure[1:] + (f", drawn by {row['drawn']}" if "drawn" in row else "")


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    form = row.get("form", ".3f")
    return interval(row, form) if "low" in row else format(row["value"], form)


MAKERS = {"buyer": part}
