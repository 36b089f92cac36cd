"""The study's picture of a data set: class proportions, image sizes, colours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionsearch import errors
from fashionsearch.datasets.overview import MOST_CLASSES, Overview
from fashionsearch.datasets.table import Table
from fashionsearch.plots.style import BLUE, expect, finish, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHANNELS = {"red": "#d55e00", "green": "#009e73", "blue": "#0072b2"}
_STUDIED = (
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "gender",
    "season",
    "usage",
    "label",
)
_MOST_BARS = 15


def overview(
    overview_or_table: Overview | Table, *, columns: Sequence[str] | None = None, figure: Figure | None = None
) -> list[Axes]:
    """Draw what a table holds: class proportions, image sizes and colours.

    Args:
        overview_or_table: an `Overview`, or a `Table` to make one of.
        columns: whose 15 most frequent values to draw; None takes the first six in the overview of masterCategory,
            subCategory, articleType, baseColour, gender, season, usage and label.
        figure: where to draw, about 14 inches wide; None makes a new one.

    Returns:
        An axes for each column, one for the sizes and one for the colours.

    Raises:
        InputError: if it is neither form, or a column isn't in the overview.

    Examples:
        >>> from fashionsearch.datasets import make_catalogue
        >>> from matplotlib.figure import Figure
        >>> panels = overview(make_catalogue(30), columns=["gender"], figure=Figure())
        >>> [ax.get_title(loc="left") for ax in panels]
        ['gender', 'image size', 'colour']
    """
    source = overview_or_table
    seen = source.overview() if isinstance(source, Table) else expect(source, Overview, "table.overview()")
    chosen = [name for name in _STUDIED if name in seen.classes][:6] if columns is None else columns
    for column in chosen:
        if column not in seen.classes:
            known = f"column {column!r} isn't in the overview, which has {', '.join(seen.classes)}"
            raise errors.InputError(
                f"{known} (of at most {MOST_CLASSES} values).{errors.did_you_mean(column, seen.classes)}"
            )
    across = min(4, math.ceil((len(chosen) + 2) / 2))
    down = math.ceil((len(chosen) + 2) / across)
    figure = new_figure(figure, (3.6 * across, 3.3 * down))
    panels = [figure.add_subplot(down, across, place + 1) for place in range(len(chosen) + 2)]
    for column, ax in zip(chosen, panels, strict=False):
        _bars(ax, column, seen.classes[column], seen.rows, named_colours=column == "baseColour")
    sizes = {f"{width} x {height}": count for (width, height), count in seen.sizes.items()}
    _bars(panels[-2], "image size", sizes, seen.sampled - len(seen.failures))
    _colours(panels[-1], seen)
    return panels


def _bars(
    ax: Axes, title: str, counts: Mapping[str, int], total: int, *, named_colours: bool = False
) -> None:
    from matplotlib.colors import is_color_like

    shown = dict(itertools.islice(counts.items(), _MOST_BARS))
    bars = ax.barh(range(len(shown)), list(shown.values()), color=BLUE, height=0.72)
    for bar, value in zip(bars, shown if named_colours else (), strict=False):
        forms = (value.lower().replace(" ", ""), f"xkcd:{value.lower()}")
        colour = next(filter(is_color_like, forms), BLUE)
        bar.set(facecolor=colour, edgecolor="#8a8f98", linewidth=0.6)
    words = [f"{count:,} ({count / total:.0%})" for count in shown.values()]
    ax.bar_label(bars, words, padding=3, fontsize=7, alpha=0.7)
    names = [short(value, 22) or "(unknown)" for value in shown]
    ax.set_yticks(range(len(shown)), names, parse_math=False)
    # Room for at least eight keeps the bars of a column with two values from growing into slabs.
    ax.set(xticks=[], xlim=(0, 1.4 * max([1, *shown.values()])), ylim=(max(8, len(shown)) - 0.4, -0.6))
    some = f"{len(shown)} of " if len(shown) < len(counts) else ""
    finish(ax, title, f"{some}{len(counts)} different, of {total:,}")
    ax.spines[:].set_visible(False)


def _colours(ax: Axes, seen: Overview) -> None:
    from matplotlib.ticker import PercentFormatter

    for channel, (name, colour) in enumerate(_CHANNELS.items()):
        heights, edges = seen.colours[channel], np.linspace(0, 256, 33)
        ax.stairs(heights, edges, baseline=None, color=colour, linewidth=1.6, label=name)
    # The white background of most product photos is a peak that would flatten all else.
    ax.set_yscale("symlog", linthresh=0.01)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(xlim=(0, 256), ylim=(0, 1), xticks=[0, 64, 128, 192, 255])
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    note = f"{seen.sampled:,} opened, {seen.grey:,} grey, {len(seen.failures):,} unreadable"
    finish(ax, "colour", note, "pixel value", "share of pixels")
