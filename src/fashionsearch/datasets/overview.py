"""A table summarised as the study does it: class proportions, image sizes, colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.images import ordered_map, read_image
from fashionsearch.images.decoding import Image
from fashionsearch.results import html_table, text_table

MOST_CLASSES = 250


@dataclass(frozen=True, repr=False, eq=False)
class Overview:
    """What a table holds.

    Attributes:
        name: the table's.
        rows: how many it has.
        classes: column -> {value: count}, most frequent first, for columns with at most 250 values.
        sampled: how many images were opened for what follows.
        sizes: (width, height) in pixels -> count, most frequent first.
        grey: how many of the opened images hold grey values only.
        colours: (3, 32) fractions of red, green and blue pixel values in 32 equal bins of [0, 255].
        failures: opened images that can't be read.
    """

    name: str
    rows: int
    classes: Mapping[str, Mapping[str, int]]
    sampled: int
    sizes: Mapping[tuple[int, int], int]
    grey: int
    colours: NDArray[np.float64]
    failures: tuple[errors.ImageFailure, ...]

    def _size_rows(self) -> list[tuple[object, ...]]:
        return [(f"{width}×{height}", count) for (width, height), count in list(self.sizes.items())[:8]]

    def _class_rows(self, column: str) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = [
            (value or "(unknown)", count, f"{100 * count / self.rows:.1f} %")
            for value, count in list(self.classes[column].items())[:12]
        ]
        left = len(self.classes[column]) - 12
        return [*rows, (f"… and {left} more", "", "")] if left > 0 else rows

    def _notes(self) -> str:
        means = self.colours @ np.arange(4, 256, 8)
        return (
            f"of {self.sampled:,} photos opened, {self.grey} are grey and {len(self.failures)} can't be read; "
            f"mean red, green, blue: {means[0]:.0f}, {means[1]:.0f}, {means[2]:.0f}"
        )

    def __repr__(self) -> str:
        parts = [
            f"{self.name}: {self.rows:,} rows",
            self._notes(),
            text_table(("size", "photos"), self._size_rows()),
        ]
        parts += [text_table((column, "rows", "share"), self._class_rows(column)) for column in self.classes]
        parts += [str(failure) for failure in self.failures]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        tables = [html_table(("size", "photos"), self._size_rows(), self._notes())]
        tables += [html_table((column, "rows", "share"), self._class_rows(column)) for column in self.classes]
        return "".join(tables)


def summarise(
    name: str, images: Sequence[Image], data: Mapping[str, NDArray[np.str_]], *, sample: int, seed: int
) -> Overview:
    """Count the classes of all rows, and the sizes and colours of a sample of the images."""
    if sample < 1:
        raise errors.DataError(f"sample={sample!r} must be at least 1")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:sample])
    sizes: dict[tuple[int, int], int] = {}
    histogram = np.zeros((3, 32))
    failures = []
    grey = 0
    for outcome in ordered_map(lambda position: _look(int(position), images[position]), chosen):
        if isinstance(outcome, errors.ImageFailure):
            failures.append(outcome)
            continue
        size, colours, is_grey = outcome
        sizes[size] = sizes.get(size, 0) + 1
        histogram += colours
        grey += is_grey
    return Overview(
        name=name,
        rows=len(images),
        classes={column: counts for column, values in data.items() if (counts := _counted(values))},
        sampled=len(chosen),
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
        grey=grey,
        colours=histogram / max(1, len(chosen) - len(failures)),
        failures=tuple(failures),
    )


def _look(
    position: int, image: Image
) -> tuple[tuple[int, int], NDArray[np.float64], bool] | errors.ImageFailure:
    try:
        rgb = read_image(image, position=position)
    except errors.ImageError as error:
        return error.failures[0]
    # Each photo counts alike, whatever its size.
    colours = np.stack([np.bincount(rgb[..., channel].ravel() >> 3, minlength=32) for channel in range(3)])
    spread = rgb.max(axis=2).astype(np.int16) - rgb.min(axis=2)
    return (rgb.shape[1], rgb.shape[0]), colours / (rgb.shape[0] * rgb.shape[1]), bool(spread.max() <= 8)


def _counted(values: NDArray[np.str_]) -> dict[str, int]:
    names, counts = np.unique(values, return_counts=True)
    if len(names) > MOST_CLASSES:
        return {}
    order = np.argsort(-counts, kind="stable")
    return {str(names[i]): int(counts[i]) for i in order}
