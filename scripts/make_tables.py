"""Write the tables of the docs again: recipes from the code, figures from the newest files in benchmarks/results/."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmark_tables import TABLES, cores, newest, table
from result_rows import Contender

from fashionsearch.training.augmentation import AUGMENTATIONS
from fashionsearch.training.options import RECIPES
from fashionsearch.tuning.candidates import SPACES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(
    r"<!-- (recipes|augmentations|spaces|results|views)(?:: ([\w -]+?))? -->\n.*?<!-- end -->", re.DOTALL
)


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


def spaces(_: str) -> str:
    """Return what `tune` searches unless it is told otherwise."""

    def said(what: list[object] | tuple[float, float] | None) -> str:
        if what is None:
            return ""
        return f"{what[0]} – {what[1]}" if isinstance(what, tuple) else ", ".join(str(each) for each in what)

    names = dict.fromkeys(name for space in SPACES.values() for name in space)
    rows = [[f"`{name}`", *(said(space.get(name)) for space in SPACES.values())] for name in names]
    return table(("Field", "from weights", "from scratch"), rows)


def results(names: str) -> str:
    """Return how fast something is, by its question, or how networks learn, by benchmarks/study.py's contenders."""
    question, *of = names.split()
    return TABLES[question](of) if question in TABLES else learning(names.split())


def learning(names: Sequence[str]) -> str:
    """Return what benchmarks/study.py measured of these contenders: means over the seeds, on the study's test part."""
    rows = []
    used: set[int] = set()
    for name in names:
        path = RESULTS / f"study-{name}.json"
        measured: list[dict[str, Any]] = [
            row
            for row in json.loads(path.read_text(encoding="utf-8"))
            if (row["split"], row["metric"]) == ("study-test", "accuracy")
        ]
        first, seeds = measured[0], len(measured)
        value, low, high, seconds, epochs = (
            sum(row[field] for row in measured) / seeds
            for field in ("value", "low", "high", "seconds", "epochs")
        )
        start = Contender.of(first).start
        rows.append(
            [
                f"`{first['model']}`, from {start}",
                f"{first['image_size']} px",
                f"{epochs:g}",
                f"{seconds / 60:.0f} minutes",
                f"{value:.1%} ({low:.1%} – {high:.1%})",
            ]
        )
        used |= {row["environment"]["cores"] for row in measured}
    head = (
        "Network",
        "Size",
        "Epochs",
        f"Training, on {cores(*used)}",
        "Accuracy on the test part (95 % interval)",
    )
    return table(head, rows)


def views(_: str) -> str:
    """Return what benchmarks/augmented_views.py measured in its newest run: means over the rounds."""
    measured: list[dict[str, Any]] = newest("augmented-views")
    rows = []
    for row in measured:
        pairs = [
            tuple(sum(values) / len(values) for values in zip(*row[name], strict=True))
            for name in ("accuracy", "log_loss")
        ]
        rows.append(
            [
                f"`{row['label']}`, {row['classes']} classes",
                row["photos_of_each_class"] or "all",
                row["photos"],
                *(f"{value:.1%}" for value in pairs[0]),
                *(f"{value:.3f}" for value in pairs[1]),
            ]
        )
    head = ("Label", "Photos of a class", "Photos", "Accuracy", "with views", "Log loss", "with views")
    return table(head, rows)


MAKERS: dict[str, Callable[[str], str]] = {
    "recipes": recipes,
    "augmentations": augmentations,
    "spaces": spaces,
    "results": results,
    "views": views,
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
