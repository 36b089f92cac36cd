"""The tables of what an index costs: engines side by side, a million vectors, filters, small vectors, a billion photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from report.tables import interval, newest, table

Row = Mapping[str, Any]
_ENGINES = {"hnsw, opened": "`hnsw`, opened", "faiss, opened": "`faiss`, opened", "pgvector": "`pgvector`"}
_ENGINES["qdrant, local mode"] = "`qdrant`, local mode"
_BILLION, _SHARD = 1_000_000_000, 50_000_000
_HOURS = 3600


def _short(number: float) -> str:
    """Return a number with two digits that count, and no exponent."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def engines(_: Sequence[str]) -> str:
    """Return the same photos on every engine."""
    rows = [
        (
            _ENGINES[row["engine"]],
            f"{100 * row['same top 5 of 1,000']:.1f}",
            f"{row['items'] / row['load']:,.0f}",
            f"{row['disk'] / row['items']:,.0f}",
            *(
                f"{_short(row[what]['p50 ms'])} / {_short(row[what]['p99 ms'])}"
                for what in ("all", "gender", "rare")
            ),
        )
        for row in newest("engines")["rows"]
    ]
    head = ("Engine", "Same top 5, %", "Items loaded a second", "Bytes of an item on disk")
    return table((*head, "One query, p50 / p99 ms", "by gender", "by three fields"), rows)


def million(names: Sequence[str]) -> str:
    """Return one of the tables of a million vectors."""
    found = newest("million")
    rows: list[Row] = found["rows"]
    if names[0] == "build":
        # The others were built for the table of speeds, with other programs on the machine.
        built = [
            row for row in rows if row["part"] == "build" and row["contender"] in ("hnswlib", "fashionsearch")
        ]
        raw = next(row["add"] for row in built if row["contender"] == "hnswlib")
        return table(
            ("", "Added in, s", "Of hnswlib's rate", "A tenth removed in, s", "Memory, GB", "Disk, GB"),
            [
                (
                    row["contender"],
                    f"{row['add']:.0f}",
                    f"{raw / row['add']:.2f}",
                    f"{row['remove']:.1f}" if "remove" in row else "",
                    f"{row['memory'] / 1e9:.1f}" if "memory" in row else "",
                    f"{row['disk'] / 1e9:.1f}" if "disk" in row else "",
                )
                for row in built
            ],
        )
    if names[0] == "open":
        opened = [row for row in rows if row["part"] == "open"]
        shown = ("open", "first filtered answer", "graph serves", "hash", "hnswlib's load")
        return table(
            tuple(f"{name[0].upper()}{name[1:]}, s" for name in shown),
            [tuple(f"{row[name]:.2f}" for name in shown) for row in opened],
        )
    return table(
        ("Recall@10", "", "`ef`", "Queries a second", "Times hnswlib"),
        [
            (
                f"≥ {row['goal']}",
                row["contender"],
                row["ef"],
                interval(row["qps"], ",.0f"),
                interval(row["times hnswlib"]),
            )
            for row in rows
            if row["part"] == "speed"
        ],
    )


def filters(_: Sequence[str]) -> str:
    """Return filtered search beside hnswlib's callback and Qdrant's local mode."""
    rows = []
    for row in newest("filters")["rows"]:
        name = "callback" if "callback recall" in row else "qdrant local"
        mine, other = row.get("ours ms"), row.get(f"{name} ms")
        rows.append(
            (
                f"{100 * row['share']:g} %",
                row["way"],
                row["queries"],
                f"{row['ours recall']:.3f}" if "ours recall" in row else f"same: {row['same']:.3f}",
                f"{row['callback recall']:.3f}" if "callback recall" in row else "",
                f"{mine['value']:.3g}" if mine else "",
                f"{other['value']:.3g}" if other else "",
                interval(row[f"times {name}"], ".1f") if f"times {name}" in row else "",
            )
        )
    head = (
        "Kept",
        "Which",
        "Queries",
        "Recall@10",
        "Callback's",
        "ms a query",
        "Callback's ms",
        "Times as fast",
    )
    return table(head, rows)


def storage(_: Sequence[str]) -> str:
    """Return what vectors take up in each `storage=`."""
    rows: list[Row] = newest("storage")["rows"]
    whole = rows[0]["memory"]
    return table(
        ("`storage=`", "Memory with the graph, MB", "Of float32's", "Disk, MB", "Recall@10"),
        [
            (
                f"`{row['storage']}`" + (f" ({row['held as']})" if row["storage"] == "auto" else ""),
                f"{row['memory'] / 1e6:.0f}",
                f"{row['memory'] / whole:.2f}",
                f"{row['disk'] / 1e6:.0f}",
                f"{row['recall']:.4f}",
            )
            for row in rows
        ],
    )


def goals(_: Sequence[str]) -> str:
    """Return what a goal for recall gives on queries that are in no index."""
    whole = newest("storage")["rows"][0]
    kept = {name: value for name, value in whole.items() if name.startswith("recall=")}
    return table(tuple(f"`{name}`" for name in kept), [tuple(f"{value:.4f}" for value in kept.values())])


def billion(_: Sequence[str]) -> str:
    """Return what a billion photos need, by what was measured."""
    found, stored = newest("engines"), newest("storage")
    of = {row["engine"]: row for row in found["rows"]}
    kinds = {row["storage"]: row for row in stored["rows"]}
    dim = found["dim"]
    by_hand = next(row for row in newest("tag")["rows"] if row["contender"] == "by hand")
    photos = 1000 / by_hand["cpu_seconds"]["value"]
    memory = {name: row["memory"] / stored["items"] * dim / stored["dim"] for name, row in kinds.items()}
    shards = _BILLION // _SHARD

    def row(what: str, figure: str, how: str) -> tuple[str, str, str]:
        return what, figure, how

    hours = _BILLION / photos / _HOURS
    load = of["pgvector"]["items"] / of["pgvector"]["load"]
    return table(
        ("What", "A billion photos", "From"),
        [
            row("Embedding once", f"{hours:,.0f} core-hours", f"{photos:,.0f} photos a second on a core"),
            row("… on 64 cores", f"{hours / 64 / 24:,.1f} days", "the same"),
            row("Vectors alone, float32", f"{4 * dim * _BILLION / 1e12:.2f} TB", f"{dim} numbers"),
            row(
                "Tables and indexes in PostgreSQL",
                f"{of['pgvector']['disk'] / of['pgvector']['items'] * _BILLION / 1e12:.1f} TB a replica",
                f"{of['pgvector']['disk'] / of['pgvector']['items']:,.0f} bytes an item, with its metadata",
            ),
            row(
                "Loading one PostgreSQL shard of 50 million",
                f"{_SHARD / load / _HOURS:,.1f} hours",
                f"{load:,.0f} items a second, by one connection, with a graph of 12,000",
            ),
            row(
                "Memory of graphs, float32",
                f"{memory['float32'] * _BILLION / 1e12:.2f} TB a replica",
                f"{memory['float32']:,.0f} bytes an item",
            ),
            row(
                "Memory of graphs, int8",
                f"{memory['int8'] * _BILLION / 1e12:.2f} TB a replica",
                f"{memory['int8']:,.0f} bytes an item",
            ),
            row(
                f"Machines, {shards} shards of 50 million",
                f"{shards} a replica, of {memory['float32'] * _SHARD / 1e9:,.0f} GB of memory each",
                "float32 graphs in memory",
            ),
        ],
    )


_WRONG = ("lost", "returned", "not opened", "wrong answers", "outside the tree", "crashes or hangs")
_FULL = "the disk is full: "
# What some tests can't meet is left empty: a kill is no exception, and a damaged file may be refused.
_DONE = {
    "a writer is killed": "Writer killed",
    "the power goes": "Power gone",
    "a file is damaged": "File damaged",
    "a file is damaged, and its hashes fit": "File damaged, its hashes made to fit, `rebuild=True`",
    "a run of embedding is killed": "Run of `embed_shards` killed",
    "threads are interrupted, in memory": "Change or search by one of eight threads that are interrupted, in memory",
    "threads are interrupted, opened": "Likewise, opened",
}


def reliability(_: Sequence[str]) -> str:
    """Return what was left after kills, power failures, damage, full disks and interruptions."""
    of: dict[str, Row] = {row["what"]: row for row in newest("reliability")["rows"]}
    full = [row for what, row in of.items() if what.startswith(_FULL)]
    shown = [(words, of[what]) for what, words in _DONE.items() if what in of]
    if full:
        total = {name: sum(row[name] for row in full) for name in ("cases", "wrong answers")}
        shown.append(("Disk full at a write", total))
    head = ("What", "Cases", "Acknowledged items lost", "Removed items found", "Not opened", "Wrong answers")
    return table(
        (*head, "Errors outside the tree", "Crashes, hangs"),
        [(words, f"{row['cases']:,}", *(row.get(name, "") for name in _WRONG)) for words, row in shown],
    )


def killed(_: Sequence[str]) -> str:
    """Return what writers were about when they were killed, what damage led to, and how often threads were interrupted."""
    of: dict[str, Row] = {row["what"]: row for row in newest("reliability")["rows"]}
    about = of["a writer is killed"]["about"]
    damage = [of[what] for what in ("a file is damaged", "a file is damaged, and its hashes fit")]
    threads = [row for what, row in of.items() if what.startswith("threads")]
    full = [row for what, row in of.items() if what.startswith(_FULL)]
    rows = [
        ("Killed while", ", ".join(f"{what} {count}" for what, count in about.items())),
        *(
            (
                words,
                f"as it was {row['as it was']}, repaired {row['repaired']}, refused {row['refused']}"
                + (f", refused without a file's name {row['no file named']}" if row["no file named"] else ""),
            )
            for words, row in zip(("Damage", "Damage whose hashes fit"), damage, strict=True)
        ),
        (
            "Interruptions of threads",
            f"{sum(row['interrupted'] for row in threads):,} in {sum(row['seconds'] for row in threads)} s",
        ),
        (
            "Full disks that a call was told of",
            f"{sum(row['met'] for row in full)}, in {len(full)} kinds of calls",
        ),
    ]
    return table(("", ""), rows)


def syncing(_: Sequence[str]) -> str:
    """Return what a sync embeds, and how long it takes."""
    rows = newest("syncing")["rows"]
    names = ("photos", "added", "changed", "removed", "embedded")
    return table(
        ("Sync", "Photos", "Added", "Changed", "Removed", "Embedded", "CPU seconds"),
        [
            (row["what"].capitalize(), *(f"{row[name]:,}" for name in names), f"{row['cpu seconds']:.1f}")
            for row in rows[:3]
        ],
    )


MAKERS = {
    "reliability": reliability,
    "killed": killed,
    "syncing": syncing,
    "engines": engines,
    "million": million,
    "filters": filters,
    "storage": storage,
    "goals": goals,
    "billion": billion,
}
