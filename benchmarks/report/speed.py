"""Tables of how fast things are, from the newest file of each benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from report.tables import cores, interval, measured_on, newest, table

Row = Mapping[str, Any]


def search(_: Sequence[str]) -> str:
    """Return four tables: equal recall, filters, speed against recall, building."""
    rows = newest("search")["rows"]
    parts = {part: [row for row in rows if row["part"] == part] for part in ("build", "recall", "filter")}
    recall = [
        [
            row["contender"],
            row["ef"] or "–",
            f"{row['recall']:.4f}",
            f"{row['queries_a_second']['value']:,.0f}",
        ]
        for row in sorted(parts["recall"], key=lambda row: row["contender"])
    ]
    equal = [
        [
            row["part"].replace("pairs", "vectors and ids"),
            f"{row['recall']:.4f}",
            row["hnswlib_ef"],
            interval(row["ratio"], ".3g", "×"),
        ]
        for row in rows
        if row["part"].startswith("pairs")
    ]
    filters = [
        [
            row["keeps"],
            row["queries"],
            f"{row['milliseconds_a_query']['value']:.3g}",
            f"{row['recall']:.4f}",
            f"{row['callback_milliseconds_a_query']['value']:.3g}",
            f"{row['callback_recall']:.4f}",
            interval(row["ratio"], ".3g", "×"),
        ]
        for row in parts["filter"]
    ]
    ours = ("A filter that keeps", "Queries", "`where=`, ms a query", "Recall@10")
    build = [[row["contender"], f"{row['seconds']:.1f}"] for row in parts["build"]]
    return "\n\n".join(
        (
            table(("VisualIndex", "Recall@10", "hnswlib's ef", "Speed, hnswlib = 1×"), equal),
            table((*ours, "Callback, ms a query", "Its recall", "Speed, callback = 1×"), filters),
            table(("Contender", "ef", "Recall@10", "Queries a second"), recall),
            table(("Graph", "Seconds to build"), build),
        )
    )


def startup(_: Sequence[str]) -> str:
    """Return a table of starts."""
    rows = []
    for row in newest("startup")["rows"]:
        if "before" not in row:
            name, seconds = row["start"], row["seconds"]
            ends = f"{seconds['low']:.2f} – {seconds['high']:.2f}"
            cpu = f"{row['cpu_seconds']['value']:.2f}"
            rows.append([_in_code(name), f"{seconds['value']:.2f}", ends, cpu])
    return table(("Start", "Seconds", "Interval", "CPU seconds"), rows)


def _in_code(name: str) -> str:
    """Return a start with what is typed of it as code."""
    if name.startswith("load"):
        return name
    typed, said, rest = name.partition(" by id")
    return f"`{typed}`{said}{rest}"


def memory(_: Sequence[str]) -> str:
    """Return a table of the growth of memory."""
    rows = [
        [
            f"{row['backbone']}, {row['image_size'][0]} px",
            f"{row['photos']:,}",
            f"{row['growth_megabytes']:.0f} MB",
            f"{row['growth_after_a_tenth_megabytes']:.0f} MB",
        ]
        for row in newest("memory")["rows"]
    ]
    return table(("Network", "Photos", "Growth", "Of it after the first tenth"), rows)


def training(_: Sequence[str]) -> str:
    """Return a table of the time to the target, frozen and fine-tuned."""
    rows, where = [], []
    for part in ("frozen", "fine-tuned"):
        content = newest(f"training-{part}")
        around = content["environment"]
        where.append(f"{part}: {around['date']}, {around['processor']}, {cores(around['cores'])}")
        for row in (row for row in content["rows"] if "against" in row):
            ours, theirs, speed = "–", "–", "–"
            if "ratio" in row:
                ours, theirs = (f"{row[name]['value']:.0f} s" for name in ("seconds", "fastai_seconds"))
                speed = ("at least " if row["is_a_bound"] else "") + interval(row["ratio"], ".3g", "×")
            reached, their_reached = (
                f"{100 * row[f'{whose}accuracy']['value']:.1f} %, {row[f'{whose}reached']} of {row['rounds']}"
                for whose in ("", "fastai_")
            )
            rows.append([row["contender"], ours, reached, theirs, their_reached, speed])
    own = ("Ours", "Seconds", "Accuracy, rounds at 97.5 % or above")
    lines = table((*own, "fastai", "Its accuracy, likewise", "Speed, fastai = 1×"), rows)
    return f"{lines}\n\nMeasured {'; '.join(where)}."


def throughput(networks: Sequence[str]) -> str:
    """Return what throughput.py measured in its newest runs of these networks."""
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
    figures = ("Images a second", "Times as fast as timm", "Network alone", "Mean cosine to float32")
    return f"{table(('Network', 'Photos', 'Contender', *figures), rows)}\n\n{measured(contents[-1])}"


def latency(_: Sequence[str]) -> str:
    """Return what latency.py measured in its newest run."""
    content = newest("latency")
    rows = [
        [
            row["contender"],
            *(f"{interval(row[figure], '.1f')} ms" for figure in ("p50_milliseconds", "p99_milliseconds")),
            *(interval(row[figure]) for figure in ("p99_over_p50", "ratio_of_p50")),
            f"{row['milliseconds']['model']:.1f} ms" if "milliseconds" in row else "–",
        ]
        for row in content["rows"]
    ]
    head = ("Contender", "p50", "p99", "p99 / p50", "p50, times as fast", "Network alone")
    limits = content["limits"]
    gflop, most = limits["gflop_a_photo"], limits["gflop_a_second_of_a_matrix_product"]
    network = next(row["milliseconds"]["model"] for row in content["rows"] if row["contender"] == "ours")
    return (
        f"{table(head, rows)}\n\n{measured(content)} A photo takes {gflop:.2f} GFLOP in the network, so in float32 ours does "
        f"{1000 * gflop / network:.0f} GFLOP a second, where a large matrix product reaches {most:.0f}. "
        f"The embeddings in bf16 have a mean cosine of {content['bf16_cosine']:.4f} with those in float32."
    )


def measured(content: Row) -> str:
    """Return a sentence that says where and when a benchmark ran."""
    where = content["environment"]
    versions = ", ".join(
        f"{name} {where[name]}" for name in ("torch", "onnxruntime", "openvino") if name in where
    )
    return (
        f"{measured_on(content)}, with {versions}. In brackets: an "
        f"interval of {100 * content['confidence']:.0f} % from {content['pairs']} alternating rounds."
    )


MAKERS: dict[str, Callable[[Sequence[str]], str]] = {
    "throughput": throughput,
    "latency": latency,
    "search": search,
    "startup": startup,
    "memory": memory,
    "training": training,
}
