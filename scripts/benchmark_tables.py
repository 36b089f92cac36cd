"""Tables of how fast things are, from what the benchmarks wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
Row = Mapping[str, Any]


def newest(name: str) -> Any:
    """Return the content of the newest file of results of this name."""
    found = sorted(RESULTS.glob(f"{name}-*.json"), key=lambda path: (path.stem[-10:], path.name))
    if not found:
        raise SystemExit(
            f"{RESULTS} holds no results of {name!r}: run its script in benchmarks/ first, without --quick"
        )
    return json.loads(found[-1].read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def cores(*counts: int) -> str:
    """Return numbers of cores, in words."""
    return f"{' or '.join(map(str, sorted(set(counts))))} core{'s' if max(counts) > 1 else ''}"


def times(figure: Row) -> str:
    """Return a ratio and its interval."""
    return f"{figure['value']:.3g}× ({figure['low']:.3g} – {figure['high']:.3g})"


def search(_: Sequence[str]) -> str:
    """Return four tables: building, speed against recall, equal recall, filters."""
    rows = newest("search")["rows"]
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
            for row in newest("startup")["rows"]
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
            for row in newest("memory")["rows"]
        ],
    )


def training(_: Sequence[str]) -> str:
    """Return a table of the time to the target, frozen and fine-tuned."""
    rows = []
    parts = {part: newest(f"training-{part}") for part in ("frozen", "fine-tuned")}
    for content in parts.values():
        for row in content["rows"]:
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
                    ("at least " if row["is_a_bound"] else "") + times(row["ratio"]) if complete else "–",
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
    where = "; ".join(
        f"{part}: {content['environment']['date']}, {content['environment']['processor']}, "
        f"{cores(content['environment']['cores'])}"
        for part, content in parts.items()
    )
    return f"{table(head, rows)}\n\nMeasured {where}."


def throughput(networks: Sequence[str]) -> str:
    """Return what benchmarks/throughput.py measured in its newest runs of these networks."""
    contents = [newest(f"throughput-{network}") for network in networks]
    rows = []
    for row in (row for content in contents for row in content["rows"]):
        weights = ", random weights" if row["weights"] == "random" else ""
        first = [f"`{row['network']}`{weights}", row["data"], row["contender"]]
        if "refused" in row:
            rows.append([*first, "refused", "–", "–", "–"])
            continue
        size = row.get("image_size", [224])[0]
        rows.append(
            [
                *first[:2],
                first[2] + (f", {size} px" if size != 224 else ""),
                f"{row['images_per_second']:.1f}",
                interval(row["ratio"]),
                f"{row['model_alone_images_per_second']:.1f}",
                f"{row['fidelity']['cosine']:.4f}" if row.get("fidelity") else "–",
            ]
        )
    head = (
        "Network",
        "Photos",
        "Contender",
        "Images a second",
        "Times as fast as timm",
        "Network alone",
        "Mean cosine to float32",
    )
    return f"{table(head, rows)}\n\n{measured(contents[-1])}"


def latency(_: Sequence[str]) -> str:
    """Return what benchmarks/latency.py measured in its newest run."""
    content = newest("latency")
    rows = [
        [
            row["contender"],
            *(f"{interval(row[figure], 1)} ms" for figure in ("p50_milliseconds", "p99_milliseconds")),
            interval(row["p99_over_p50"]),
            interval(row["ratio_of_p50"]),
            f"{row['milliseconds']['model']:.1f} ms" if "milliseconds" in row else "–",
        ]
        for row in content["rows"]
    ]
    head = ("Contender", "p50", "p99", "p99 / p50", "p50, times as fast", "Network alone")
    return f"{table(head, rows)}\n\n{measured(content)}{_limits(content)}"


def _limits(content: Row) -> str:
    limits, cosine = content["limits"], content["bf16_cosine"]
    gflop, most = limits["gflop_a_photo"], limits["gflop_a_second_of_a_matrix_product"]
    network = next(row["milliseconds"]["model"] for row in content["rows"] if row["contender"] == "ours")
    return (
        f" A photo takes {gflop:.2f} GFLOP in the network, so in float32 ours does {1000 * gflop / network:.0f} GFLOP a "
        f"second, where a large matrix product reaches {most:.0f}. "
        f"The embeddings in bf16 have a mean cosine of {cosine:.4f} with those in float32."
    )


def interval(figure: dict[str, float], digits: int = 2) -> str:
    """Return a figure of a benchmark with its interval."""
    value, low, high = (f"{figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} – {high})"


def measured(content: dict[str, Any]) -> str:
    """Return a sentence that says where and when a benchmark ran."""
    where = content["environment"]
    versions = ", ".join(
        f"{name} {where[name]}" for name in ("torch", "onnxruntime", "openvino") if name in where
    )
    return (
        f"Measured on {where['date']} on {cores(where['cores'])} ({where['processor']}), with {versions}. In brackets: an "
        f"interval of {100 * content['confidence']:.0f} % from {content['pairs']} alternating rounds."
    )


def autoencoder_losses(_: Sequence[str]) -> str:
    """Return what benchmarks/autoencoder_losses.py measured around `cnn`: a line a loss, the best matches first."""
    every = newest("autoencoder-losses-cnn")
    same = ("epochs", "image_size", "seed", "precision")
    rows = [row for row in every if all(row[name] == every[0][name] for name in same)]
    lines = [
        [
            row["loss"],
            *(f"{100 * row[figure]:.1f}" for figure in ("p_at_5", "accuracy")),
            f"{row['pixel_error']:.4f}",
        ]
        for row in sorted(rows, key=lambda row: -row["p_at_5"])
    ]
    head = (
        "Minimised",
        "P@5, article type, %",
        "5 neighbours right, %",
        "Error of pixels",
    )
    first, where = rows[0], rows[0]["environment"]
    return (
        f"{table(head, lines)}\n\n`{first['backbone']}` at {first['image_size']} px, {first['epochs']} epochs, seed "
        f"{first['seed']}. Measured on {where['date']} on {cores(where['cores'])} "
        f"({where['processor']}), with torch {where['torch']}."
    )


TABLES: dict[str, Callable[[Sequence[str]], str]] = {
    "throughput": throughput,
    "latency": latency,
    "search": search,
    "startup": startup,
    "memory": memory,
    "training": training,
    "autoencoder-losses": autoencoder_losses,
}
