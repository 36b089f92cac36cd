"""The tables of the model card of `fashion`, the network that ships."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from report.tables import interval, newest, percent, table

Row = Mapping[str, Any]
_ATTRIBUTES = ("articleType", "subCategory", "masterCategory", "baseColour", "gender", "usage", "season")
_HEADINGS = {
    "crop": "Crop",
    "rotation": "Rotation",
    "blur": "Blur",
    "colour-cast": "Colour cast",
    "jpeg": "JPEG",
    "clutter": "Clutter",
}
UNKNOWN = ", names in no training row"


def _figures() -> dict[str, Row]:
    return {row["measure"]: row for row in newest("fashion")["rows"]}


def _tags(found: Mapping[str, Row]) -> str:
    rows = []
    for name in _ATTRIBUTES:
        accuracy = found[f"{name} accuracy"]
        rows.append(
            (
                f"`{name}`",
                percent(accuracy),
                percent(found[f"{name} accuracy{UNKNOWN}"]),
                percent(found[f"{name} agrees in pairs of one product name"]),
                f"{accuracy['examples']:,}",
            )
        )
    return table(
        ("Attribute", "Accuracy, %", "Names in no training row, %", "Pairs of one name agree, %", "Photos"),
        rows,
    )


def _calibration(found: Mapping[str, Row]) -> str:
    return table(
        ("Attribute", "Calibration error", "By chance alone", "Names in no training row", "By chance alone"),
        [
            (
                f"`{name}`",
                *(
                    interval(found[f"{name} calibration error{chance}{which}"], ".3f")
                    for which in ("", UNKNOWN)
                    for chance in ("", " by chance")
                ),
            )
            for name in _ATTRIBUTES
        ],
    )


def _retrieval(found: Mapping[str, Row]) -> str:
    names = [
        name
        for name in found
        if (name.startswith("precision@5") or "surest" in name) and not name.endswith(UNKNOWN)
    ]
    names.sort(key=lambda name: "surest" in name)
    return table(
        ("Measure", "All, %", "Names in no training row, %"),
        [
            (name.replace("85%", "85 %"), percent(found[name]), percent(found[name + UNKNOWN]))
            for name in names
        ],
    )


def _distortions(found: Mapping[str, Row]) -> str:
    names = [
        name for name in found if name.startswith("the same product first") and not name.endswith(UNKNOWN)
    ]
    return table(
        ("Photos", *(_HEADINGS[name.partition(", ")[2]] for name in names)),
        [
            (which, *(percent(found[name + ending]) for name in names))
            for which, ending in (("all", ""), ("names in no training row", UNKNOWN))
        ],
    )


def _clothing(found: Mapping[str, Row]) -> str:
    encoders = ("fashion", "efficientnet_lite0")
    return table(
        ("Encoder", "Precision@5, %", "A linear head's accuracy, %"),
        [
            (
                f"`{name}`",
                percent(found[f"clothing precision@5, {name}"]),
                percent(found[f"clothing linear head, {name}"]),
            )
            for name in encoders
        ],
    )


def _worn(found: Mapping[str, Row]) -> str:
    names = _ATTRIBUTES[:3]
    rows = [found[f"worn photos, {name} accuracy"] for name in names]
    return table(
        [f"`{name}`, %" for name in names],
        [[f"{percent(row)} of {row['examples']}" for row in rows]],
    )


def _speed(_: Mapping[str, Row]) -> str:
    return table(
        ("1,000 photos", "Seconds", "CPU seconds", "Times by hand"),
        [
            (
                row["contender"],
                *(interval(row[name], ".2f") for name in ("seconds", "cpu_seconds", "times by hand")),
            )
            for row in newest("tag")["rows"]
        ],
    )


_PARTS: dict[str, Callable[[Mapping[str, Row]], str]] = {
    "tags": _tags,
    "calibration": _calibration,
    "retrieval": _retrieval,
    "distortions": _distortions,
    "clothing": _clothing,
    "worn": _worn,
    "speed": _speed,
}


def card(names: Sequence[str]) -> str:
    """Return a table of the model card."""
    return _PARTS[names[0]](_figures())


MAKERS = {"fashion": card}
