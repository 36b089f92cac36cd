"""Tables of search, startup, memory and training, from what their benchmarks wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
Row = Mapping[str, Any]


def read(question: str) -> dict[str, Any]:
    """Return the newest results of a benchmark."""
    found = sorted(RESULTS.glob(f"{question}-cpu-*.json"))
    if not found:
        raise SystemExit(
            f"{RESULTS} holds no results of {question!r}: run its script in benchmarks/ first, without --quick"
        )
    content: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return content


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def times(figure: Row) -> str:
    """Return a ratio and its interval."""
    return f"{figure['value']:.3g}× ({figure['low']:.3g} – {figure['high']:.3g})"


def search(_: Sequence[str]) -> str:
    """Return four tables: building, speed against recall, equal recall, filters."""
    rows = read("search")["rows"]
    parts = {part: [row for row in rows if row["part"] == part] for part in ("build", "recall", "filter")}
    recall = table(
        ("Contender", "ef", "Recall@10", "Queries a second"),
        [
            [
                row["contender"],
                row["ef"] or "–",
                f"{row['recall']:.4f}",
                f"{row['queries_a_second']['value']:,.0f}",
            ]
            for row in sorted(parts["recall"], key=lambda row: row["contender"])
        ],
    )
    build = table(
        ("Graph", "Seconds to build"), [[row["contender"], f"{row['seconds']:.1f}"] for row in parts["build"]]
    )
    equal = table(
        ("VisualIndex", "Recall@10", "hnswlib's ef", "Speed, hnswlib = 1×"),
        [
            [
                row["part"].replace("pairs", "vectors and ids"),
                f"{row['recall']:.4f}",
                row["hnswlib_ef"],
                times(row["ratio"]),
            ]
            for row in rows
            if row["part"].startswith("pairs")
        ],
    )
    filters = table(
        (
            "A filter that keeps",
            "Queries",
            "`where=`, ms a query",
            "Recall@10",
            "Callback, ms a query",
            "Its recall",
            "Speed, callback = 1×",
        ),
        [
            [
                row["keeps"],
                row["queries"],
                f"{row['milliseconds_a_query']['value']:.3g}",
                f"{row['recall']:.4f}",
                f"{row['callback_milliseconds_a_query']['value']:.3g}",
                f"{row['callback_recall']:.4f}",
                times(row["ratio"]),
            ]
            for row in parts["filter"]
        ],
    )
    return "\n\n".join((equal, filters, recall, build))


def startup(_: Sequence[str]) -> str:
    """Return a table of starts."""
    return table(
        ("Start", "Seconds", "Interval"),
        [
            [
                f"`{row['start']}`" if " a" not in row["start"] else row["start"],
                f"{row['seconds']['value']:.2f}",
                f"{row['seconds']['low']:.2f} – {row['seconds']['high']:.2f}",
            ]
            for row in read("startup")["rows"]
        ],
    )


def memory(_: Sequence[str]) -> str:
    """Return a table of the growth of memory."""
    return table(
        ("Network", "Photos", "Growth", "Of it after the first tenth"),
        [
            [
                f"{row['backbone']}, {row['image_size'][0]} px",
                f"{row['photos']:,}",
                f"{row['growth_megabytes']:.0f} MB",
                f"{row['growth_after_a_tenth_megabytes']:.0f} MB",
            ]
            for row in read("memory")["rows"]
        ],
    )


def training(_: Sequence[str]) -> str:
    """Return a table of the time to the target, frozen and fine-tuned."""
    rows = []
    for part in ("frozen", "fine-tuned"):
        for row in read(f"training-{part}")["rows"]:
            if "against" not in row:
                continue
            complete = "ratio" in row
            rows.append(
                [
                    row["contender"],
                    f"{row['seconds']['value']:.0f} s" if complete else "–",
                    f"{row['accuracy']['value']:.1%}, {row['reached']} of {row['rounds']}",
                    f"{row['fastai_seconds']['value']:.0f} s" if complete else "–",
                    f"{row['fastai_accuracy']['value']:.1%}, {row['fastai_reached']} of {row['rounds']}",
                    times(row["ratio"]) if complete else "–",
                ]
            )
    head = (
        "Ours",
        "Seconds",
        "Accuracy, rounds at 97.5 % or above",
        "fastai",
        "Its accuracy, likewise",
        "Speed, fastai = 1×",
    )
    return table(head, rows)


TABLES: dict[str, Callable[[Sequence[str]], str]] = {
    "search": search,
    "startup": startup,
    "memory": memory,
    "training": training,
}
