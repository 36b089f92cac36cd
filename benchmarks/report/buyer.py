"""The tables of what a buyer says: each part with `fashion` and with a frozen EfficientNet-Lite0 side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from report.tables import interval, newest, table

Row = Mapping[str, Any]
_ENCODERS = {"fashion": "`fashion`", "efficientnet_lite0": "Frozen Lite0"}
_SHARES = ".1%"


def part(names: Sequence[str]) -> str:
    """Return a part's rows, one column an encoder; the first name is the part."""
    found = {encoder: newest(f"buyer-{names[0]}-{encoder}")["rows"] for encoder in _ENCODERS}
    measures = list(dict.fromkeys(row["measure"] for rows in found.values() for row in rows))
    lines = []
    for measure in measures:
        cells = [next((row for row in rows if row["measure"] == measure), None) for rows in found.values()]
        examples = next(row.get("examples", "") for row in cells if row is not None)
        lines.append(
            (measure[0].upper() + measure[1:], *map(_cell, cells), f"{examples:,}" if examples else "")
        )
    return table(("", *_ENCODERS.values(), "Queries"), lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    form = row.get("form", ".3f")
    return interval(row, form) if "low" in row else format(row["value"], form)


MAKERS = {"buyer": part}
