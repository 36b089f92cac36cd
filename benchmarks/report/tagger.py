"""The tables of what a `Tagger` does with a network that stays as it is, and of what an audit finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from report.fashion import UNKNOWN
from report.tables import newest, percent, table

Row = Mapping[str, Any]
_TYPE, _BOTH = "precision@5 by articleType", "precision@5 by articleType and baseColour"
_ATTRIBUTES = ("articleType", "subCategory", "masterCategory", "baseColour", "gender", "usage", "season")


def _rows(question: str) -> list[Row]:
    rows: list[Row] = newest(f"tagger-{question}")["rows"]
    return rows


def _frozen() -> str:
    found = {row["measure"]: row for row in _rows("frozen")}
    measured = [*(f"{name} accuracy" for name in _ATTRIBUTES), _TYPE, _BOTH]
    shown = [*(f"`{name}` accuracy, %" for name in _ATTRIBUTES), f"{_TYPE}, %", f"{_BOTH}, %"]
    return table(
        ("Measure", "All", "Names in no training row"),
        [
            ("CPU seconds beyond embedding", f"{found['CPU seconds beyond embedding']['value']:.0f}", ""),
            *(
                (words, percent(found[name]), percent(found[name + UNKNOWN]))
                for words, name in zip(shown, measured, strict=True)
            ),
        ],
    )


def _classes() -> str:
    rows = _rows("classes")
    return table(
        ("Photos", "Accuracy on the new classes, %", "On the others before, %", "After, %"),
        [
            (name, *(percent(row) for row in rows[start : start + 3]))
            for name, start in (("all", 0), ("names in no training row", 3))
        ],
    )


def _losses() -> str:
    found: dict[str, dict[str, Row]] = {}
    for row in _rows("losses"):
        found.setdefault(row["loss"], {})[row["measure"]] = row
    shown = (_TYPE, _BOTH, "articleType accuracy", "baseColour accuracy")
    return table(
        ("Loss", "Precision@5, type, %", "Type and colour, %", "`articleType`, %", "`baseColour`, %"),
        [
            (loss if loss == "none" else f"`{loss}`", *(percent(rows[name]) for name in shown))
            for loss, rows in found.items()
        ],
    )


def _shop() -> str:
    rows = _rows("shop")
    counts = sorted({row["photos"] for row in rows})
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    found = {(row["encoder"], row["photos"]): row for row in rows}
    return table(
        ("Photos of the shop", *(f"`{name}`, %" for name in encoders)),
        [(f"{count:,}", *(percent(found[name, count]) for name in encoders)) for count in counts],
    )


def _curve() -> str:
    found: dict[tuple[int, int], dict[str, Row]] = {}
    for row in _rows("curve"):
        found.setdefault((row["size"], row["photos"]), {})[row["measure"]] = row
    attributes = ("articleType", "baseColour", "gender", "season")
    return table(
        ("Pixels", "Photos", *(f"`{name}`, %" for name in attributes), "P@5 type, %", "P@5 both, %"),
        [
            (
                size,
                f"{count:,}",
                *(f"{100 * rows[f'{name} accuracy']['value']:.1f}" for name in attributes),
                *(f"{100 * rows[name]['value']:.1f}" for name in (_TYPE, _BOTH)),
            )
            for (size, count), rows in found.items()
        ],
    )


_PARTS: dict[str, Callable[[], str]] = {
    "frozen": _frozen,
    "losses": _losses,
    "classes": _classes,
    "shop": _shop,
    "curve": _curve,
}


def tagger(names: Sequence[str]) -> str:
    """Return one of the tables."""
    return _PARTS[names[0]]()


def _bounded(value: float, bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{value:.3f} ({low:.3f} – {high:.3f})"


def audit(_: Sequence[str]) -> str:
    """Return what an audit found of what had been planted."""
    found = newest("audit")
    rows = []
    for row in found["rows"]:
        copies = row.get("exact_duplicates")
        rows.append(
            (
                f'`group="{row["products"]}"`' if row["products"] else "without `group=`",
                _bounded(row["average_precision"], row["average_precision_interval"]),
                f"{row['precision_at_the_planted_count']:.3f}",
                f"{copies['f1']:.2f}" if copies else "",
                f"{row['cpu_seconds_after_embedding']:.0f}",
            )
        )
    return table(
        (
            "Audit",
            "Average precision",
            "Precision of the first as many as planted",
            "F1 of exact copies",
            "CPU seconds",
        ),
        rows,
    )


MAKERS = {"tagger": tagger, "audit": audit}
