"""Photos side by side, each with words under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import PIL.Image

from fashionsearch.images import read_image
from fashionsearch.images.decoding import RGB, Image
from fashionsearch.plots.style import BLUE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE_GREY = 228
_PHOTO_PIXELS = 320
_TILE_INCHES = 1.4


class Tile(NamedTuple):
    """A photo, or a grey tile with words on it, and the text under it."""

    photo: RGB | None
    caption: str
    words: str = ""
    framed: bool = False


def draw_tiles(rows: Sequence[Sequence[Tile]], figure: Figure | None) -> list[Axes]:
    """Draw rows of tiles; where the first is framed, it stands apart from the others of its row."""
    photos = [tile.photo for row in rows for tile in row if tile.photo is not None]
    ratio = min(1.5, max((photo.shape[0] / photo.shape[1] for photo in photos), default=1.0))
    lines = max(len(tile.caption.splitlines()) for row in rows for tile in row)
    across, apart = max(map(len, rows)), rows[0][0].framed
    height = _TILE_INCHES * ratio + 0.2 + 0.15 * lines
    figure = new_figure(figure, (_TILE_INCHES * max(3, across), height * len(rows)))
    widths = [1.0, 0.08, *[1.0] * (across - 1)] if apart else [1.0] * across
    grid = figure.add_gridspec(len(rows), len(widths), width_ratios=widths)
    axes = []
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            axes.append(figure.add_subplot(grid[i, j + (apart and j > 0)]))
            _draw_tile(axes[-1], tile, ratio)
    return axes


def _draw_tile(ax: Axes, tile: Tile, ratio: float) -> None:
    # A box of one shape for all photos, whatever theirs, so that rows and captions align.
    photo = np.full((16, 16, 3), _TILE_GREY, np.uint8) if tile.photo is None else tile.photo
    shape = ratio if tile.photo is None else photo.shape[0] / photo.shape[1]
    width, height = min(ratio, shape) / shape, min(ratio, shape)
    ax.imshow(photo, extent=((1 - width) / 2, (1 + width) / 2, (ratio - height) / 2, (ratio + height) / 2))
    ax.set(xlim=(0, 1), ylim=(0, ratio), xticks=[], yticks=[])
    ax.set_xlabel(tile.caption, fontsize=8, linespacing=1.3, parse_math=False)
    if tile.photo is None:
        text = ax.text(0.5, ratio / 2, tile.words, ha="center", va="center", fontsize=8, color="#5b616b")
        text.set_parse_math(False)
    ax.spines[:].set(visible=tile.framed, color=BLUE, linewidth=2.5)


def small(image: Image, position: int) -> RGB:
    """Return a photo small enough to draw; errors name its position."""
    photo = PIL.Image.fromarray(read_image(image, position=position))
    photo.thumbnail((_PHOTO_PIXELS, _PHOTO_PIXELS))
    return np.asarray(photo)
