"""Write the tables of the docs again: recipes from the code, figures from the newest files in benchmarks/results/."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fashionsearch.training.augmentation import AUGMENTATIONS
from fashionsearch.training.options import RECIPES
from fashionsearch.tuning.contenders import SPACES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(
    r"<!-- (recipes|augmentations|spaces|results)(?:: ([\w -]+?))? -->\n.*?<!-- end -->", re.DOTALL
)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


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
    """Return what benchmarks/learning.py measured in its newest runs of these names."""
    rows = []
    for name in names.split():
        path = max(RESULTS.glob(f"learning-{name}-*.json"), key=lambda path: (path.stem[-10:], path.name))
        measured: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        for row in measured:
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


MAKERS: dict[str, Callable[[str], str]] = {
    "recipes": recipes,
    "augmentations": augmentations,
    "spaces": spaces,
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
