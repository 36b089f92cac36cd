"""Tables of the library's recipes, from its code, and of how networks learn by them, from the newest results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from harness.candidates import Candidate
from harness.rows import read

from fashionsearch.training.augmentation import AUGMENTATIONS
from fashionsearch.training.options import RECIPES
from fashionsearch.tuning.candidates import SPACES
from report.tables import RESULTS, cores, measured_on, newest, percent, table


def recipes(_: Sequence[str]) -> str:
    """Return every field that is set in a recipe."""
    head = ("Field", "from weights", "from scratch", "autoencoder")
    fields = _fields([dataclasses.asdict(recipe) for recipe in RECIPES.values()])
    return table(head, [row for row in fields if set(row[1:]) != {"None"}])


def augmentations(_: Sequence[str]) -> str:
    """Return the augmentations that have a name."""
    named = {name: value for name, value in AUGMENTATIONS.items() if name != "none"}
    return table(("Field", *named), _fields([dataclasses.asdict(each) for each in named.values()]))


def _fields(each: Sequence[Mapping[str, object]]) -> list[list[str]]:
    def plain(value: object) -> str:
        return f"{value:g}" if isinstance(value, float) else str(value)

    return [[f"`{name}`", *(plain(fields[name]) for fields in each)] for name in each[0]]


def spaces(_: Sequence[str]) -> str:
    """Return what `tune` searches unless it is told otherwise."""

    def said(what: list[object] | tuple[float, float]) -> str:
        return f"{what[0]} – {what[1]}" if isinstance(what, tuple) else ", ".join(str(each) for each in what)

    names = dict.fromkeys(name for space in SPACES.values() for name in space)
    rows = [[f"`{name}`", *(said(space.get(name, [])) for space in SPACES.values())] for name in names]
    return table(("Field", "from weights", "from scratch"), rows)


def learning(names: Sequence[str]) -> str:
    """Return what study.py measured of these candidates: means over the seeds, on the study's test part."""
    rows: list[list[str]] = []
    used: set[int] = set()
    for name in names:
        measured = [
            row
            for row in read(RESULTS / f"study-{name}.json")
            if (row["split"], row["metric"]) == ("study-test", "accuracy")
        ]
        value, low, high, seconds, epochs = (
            fmean(row[field] for row in measured) for field in ("value", "low", "high", "seconds", "epochs")
        )
        candidate = Candidate.of(measured[0])
        accuracy = percent({"value": value, "low": low, "high": high})
        network = f"`{candidate.model}`, from {candidate.start}"
        rows.append([network, candidate.cells[-1], f"{epochs:g}", f"{seconds / 60:.0f} minutes", accuracy])
        used |= {row["environment"]["cores"] for row in measured}
    accuracy = "Accuracy on the test part, % (95 % interval)"
    return table(("Network", "Size", "Epochs", f"Training, on {cores(*used)}", accuracy), rows)


def views(_: Sequence[str]) -> str:
    """Return what augmented views did for heads on a frozen network: means over the rounds."""
    rows = []
    for row in newest("augmented-views"):
        accuracy, loss = (
            [fmean(values) for values in zip(*row[name], strict=True)] for name in ("accuracy", "log_loss")
        )
        rows.append(
            [
                f"`{row['label']}`, {row['classes']} classes",
                row["photos_of_each_class"] or "all",
                row["photos"],
                *(f"{100 * value:.1f}" for value in accuracy),
                *(f"{value:.3f}" for value in loss),
            ]
        )
    head = ("Label", "Photos of a class", "Photos", "Accuracy, %", "with views", "Log loss", "with views")
    return table(head, rows)


def autoencoder_losses(_: Sequence[str]) -> str:
    """Return what autoencoders around `cnn` minimised: a line a loss, the best matches first."""
    every: list[dict[str, Any]] = newest("autoencoder-losses-cnn")
    first = every[0]
    same = ("epochs", "image_size", "seed", "precision")
    rows = [row for row in every if all(row[name] == first[name] for name in same)]
    lines = [
        [
            row["loss"],
            f"{100 * row['p_at_5']:.1f}",
            f"{100 * row['accuracy']:.1f}",
            f"{row['pixel_error']:.4f}",
        ]
        for row in sorted(rows, key=lambda row: -row["p_at_5"])
    ]
    head = ("Minimised", "P@5, article type, %", "5 neighbours right, %", "Error of pixels")
    return (
        f"{table(head, lines)}\n\n`{first['backbone']}` at {first['image_size']} px, {first['epochs']} epochs, seed "
        f"{first['seed']}. {measured_on(first)}, with torch {first['environment']['torch']}."
    )


MAKERS: dict[str, Callable[[Sequence[str]], str]] = {
    "recipes": recipes,
    "augmentations": augmentations,
    "spaces": spaces,
    "views": views,
    "autoencoder-losses": autoencoder_losses,
}
