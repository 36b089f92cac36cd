"""Write the tables of the docs again: recipes from the code, figures from the newest files in benchmarks/results/."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmark_tables import TABLES, table

from fashionsearch.training.augmentation import AUGMENTATIONS
from fashionsearch.training.options import RECIPES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"<!-- (recipes|augmentations|results)(?:: ([\w -]+?))? -->\n.*?<!-- end -->", re.DOTALL)


def recipes(_: str) -> str:
    """Return every field that differs or is set in a recipe."""
    fields = [field.name for field in dataclasses.fields(RECIPES["weights"])]
    rows = [[f"`{name}`", *(_plain(getattr(recipe, name)) for recipe in RECIPES.values())] for name in fields]
    head = ("Field", "from weights", "from scratch", "autoencoder")
    return table(head, [row for row in rows if set(row[1:]) != {"None"}])


def augmentations(_: str) -> str:
    """Return the augmentations that have a name."""
    named = {name: value for name, value in AUGMENTATIONS.items() if name != "none"}
    fields = [field.name for field in dataclasses.fields(AUGMENTATIONS["light"])]
    rows = [[f"`{name}`", *(_plain(getattr(each, name)) for each in named.values())] for name in fields]
    return table(("Field", *named), rows)


def results(names: str) -> str:
    """Return what was measured: how networks learn, by the names of runs, or how fast something is, by its question."""
    question, *of = names.split()
    return SPEED[question](of) if question in SPEED else learning(names.split())


def newest(name: str) -> Any:
    """Return the content of the newest file of results of this name."""
    path = max(RESULTS.glob(f"{name}-*.json"), key=lambda path: (path.stem[-10:], path.name))
    return json.loads(path.read_text(encoding="utf-8"))


def learning(names: Sequence[str]) -> str:
    """Return what benchmarks/learning.py measured in its newest runs of these names."""
    rows = []
    for name in names:
        for row in newest(f"learning-{name}"):
            if row["split"] == "study-test" and row["metric"] == "accuracy":
                start = "ImageNet weights" if row["weights"] else "scratch"
                rows.append(
                    [
                        f"`{row['model']}`, from {start}",
                        f"{row['image_size']} px",
                        row["epochs"],
                        f"{row['seconds'] / 60:.0f} minutes",
                        f"{row['value']:.1%} ({row['low']:.1%} – {row['high']:.1%})",
                    ]
                )
                cores = row["environment"]["cores"]
    head = (
        "Network",
        "Size",
        "Epochs",
        f"Training, on {cores} cores",
        "Accuracy on the test part (95 % interval)",
    )
    return table(head, rows)


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
        ]
        for row in content["rows"]
    ]
    head = ("Contender", "p50", "p99", "p99 / p50", "p50, times as fast")
    return f"{table(head, rows)}\n\n{measured(content)}"


SPEED: dict[str, Callable[[Sequence[str]], str]] = {
    "throughput": throughput,
    "latency": latency,
    **TABLES,
}


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
        f"Measured on {where['date']} on {where['cores']} cores ({where['processor']}), with {versions}. In brackets: an "
        f"interval of {100 * content['confidence']:.0f} % from {content['pairs']} alternating rounds."
    )


MAKERS: dict[str, Callable[[str], str]] = {
    "recipes": recipes,
    "augmentations": augmentations,
    "results": results,
}


def filled(text: str) -> str:
    """Return a page with its tables made again."""

    def fill(match: re.Match[str]) -> str:
        opening = match[0].splitlines()[0]
        return f"{opening}\n\n{MAKERS[match[1]](match[2] or '')}\n\n<!-- end -->"

    return BLOCK.sub(fill, text)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command line."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            page.write_text(filled(text), encoding="utf-8")
            print(f"written: {page}")


if __name__ == "__main__":
    main()
