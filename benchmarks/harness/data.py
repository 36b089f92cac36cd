"""Which photos are learned from, chosen on and measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fashionsearch as fs
from harness.names import CLOTHING_LABEL, STUDY_TEST

SEED = 42


@dataclass(frozen=True)
class Parts:
    """One way to divide photos: to learn from, to choose on, to measure once, and what the rows call these three."""

    name: str
    train: fs.datasets.Table
    validation: fs.datasets.Table
    test: fs.datasets.Table
    splits: tuple[str, str, str]


def study_parts(table: fs.datasets.Table) -> Parts:
    """Return the study's own division: the first 5,000 rows by scikit-learn's rule, 3,200 / 800 / 1,000."""
    train, validation, test = table[:5000].split(test=0.2, validation=0.2, seed=SEED)
    return Parts("study", train, validation, test, ("train", "validation", STUDY_TEST))


def larger_parts(table: fs.datasets.Table) -> Parts:
    """Return the division for the harder tasks: all rows, and no product's name in two parts.

    The catalogue lists one product several times, under one name: in other colours, from other sides, or the same photo
    again. Rows of one name stay together, so that no test photo has its twin among the training photos.
    """
    train, validation, test = table.split(test=0.2, validation=0.2, seed=SEED, group="productDisplayName")
    return Parts("larger", train, validation, test, ("train", "validation", "test"))


def parts_by_photo(table: fs.datasets.Table) -> Parts:
    """Return a division of all rows that takes no heed of products' names: what it costs a measurement to have twins."""
    train, validation, test = table.split(test=0.2, validation=0.2, seed=SEED)
    return Parts(
        "by-photo", train, validation, test, ("train-by-photo", "validation-by-photo", "test-by-photo")
    )


def clothing_parts(root: Path) -> Parts:
    """Return that of clothing-dataset-small: a fifth of its train part is for tuning, its validation part is measured."""
    learned, measured = (fs.datasets.load_folder(root / part) for part in ("train", "validation"))
    train, tuning, _ = learned.split(test=0, validation=0.2, seed=SEED, stratify=CLOTHING_LABEL)
    return Parts("clothing", train, tuning, measured, ("train", "tuning", "validation"))


def labelled(table: fs.datasets.Table, column: str) -> fs.datasets.Table:
    """Return the rows whose label is known."""
    rows: fs.datasets.Table = table[np.flatnonzero(table[column] != "")]
    return rows


def of_known_classes(table: fs.datasets.Table, column: str, learned: fs.datasets.Table) -> fs.datasets.Table:
    """Return the rows whose class is also among the learned ones: a choice can't be made on others."""
    rows: fs.datasets.Table = table[np.flatnonzero(np.isin(table[column], learned[column]))]
    return rows
