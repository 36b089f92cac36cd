"""Why two photos match: where they are alike, and the attributes they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.images import read_image
from fashionsearch.images.decoding import RGB, Image
from fashionsearch.plots.style import BLUE, new_figure, require, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fashionsearch.index import VisualIndex
    from fashionsearch.tagging.likeness import Place

_MOST_LINES = 10
_FADED = 0.3  # of the strongest likeness: what is weaker keeps no colour
_SHARED, _OTHER = "#2f8f5b", "#8a919c"


class _Line(NamedTuple):
    """What an attribute is in the photo and in the item."""

    name: str
    one: str
    other: str


def why(
    index: VisualIndex,
    photo: Image,
    id: str | int,
    *,
    item_photo: Image | None = None,
    metadata: Mapping[str, Any] | None = None,
    figure: Figure | None = None,
) -> list[Axes]:
    """Draw why a photo and an item match: where they are alike, and what they have in common.

    Light places are like some place of the other photo and unlike an empty ground; the numbers join places that are each
    other's likest. By the index's network, one forward pass of each photo.

    Args:
        index: whose encoder has a convolutional network, such as "fashion", a `Tagger` or a `Classifier`.
        photo: the photo that was searched with, in any form.
        id: of the item that was found.
        item_photo: the item's photo; None is the file it was added from, which is opened where `index.show_photos` is True.
        metadata: what is known of the photo, field -> value, to compare with the item's; None compares what the index's
            encoder tells of both, where that is a `Tagger` or "fashion".
        figure: where to draw; None makes a new one.

    Returns:
        The axes: the photo, the item, and their attributes where there are some.

    Raises:
        UnknownIdError: if there is no item of the id.
        InputError: if there is no photo of the item that may be opened, or the index's encoder has no convolutional network.
        ImageError: if a photo can't be read.

    Examples:
        >>> import fashionsearch as fs
        >>> from matplotlib.figure import Figure
        >>> table = fs.datasets.make_catalogue(4, seed=0)
        >>> index = fs.VisualIndex("fashion", progress=False)
        >>> _ = index.add(table.images[:3], ids=["a", "b", "c"])
        >>> axes = fs.plots.why(index, table.images[3], "a", item_photo=table.images[0], figure=Figure())
        >>> len(axes)
        3
    """
    from fashionsearch.index import encoders
    from fashionsearch.tagging.likeness import correspondence

    item, encoder = index.get(id), cast("Any", index.encoder)
    require(
        encoder is not None,
        "this index has no encoder that could say where two photos are alike; load it with the one its vectors came from",
    )
    backbone = getattr(encoder, "backbone_", encoder)
    require(
        hasattr(backbone, "module") and hasattr(backbone, "preprocess"),
        f"{type(encoder).__name__} has no network whose feature maps could be compared; this works with a backbone, "
        "a Classifier or a Tagger",
    )
    photos = read_image(photo), read_image(_photo_of(index, item, item_photo))
    found = correspondence(backbone, *photos)
    vectors = encoders.embed_queries(encoder, [photos[0]])[0], item.vector
    lengths = np.linalg.norm(vectors[0]) * np.linalg.norm(vectors[1])
    lines = _lines(index, vectors, item.metadata, metadata)
    figure = new_figure(figure, (6.4 if lines else 4.4, 3.4))
    widths = [1.0, 1.0, 1.1][: 3 if lines else 2]
    grid = figure.add_gridspec(1, len(widths), width_ratios=widths)
    axes = [figure.add_subplot(grid[0, place]) for place in range(len(widths))]
    words = "photo", f"{short(str(id), 18)}: {float(vectors[0] @ vectors[1]) / lengths:.3f}"
    for side in (0, 1):
        places = [pair[side] for pair in found.pairs]
        _draw_photo(axes[side], photos[side], found.maps[side], words[side], places)
    if lines:
        _draw_lines(axes[2], lines)
    return axes


def _photo_of(index: VisualIndex, item: Any, given: Image | None) -> Image:
    """Return the photo of an item, as far as it may be opened."""
    if given is not None:
        return given
    if item.source is None:
        raise errors.InputError(f"item {item.id!r} was added without a file; give its photo as item_photo=")
    if not index.show_photos:
        raise errors.InputError(
            f"the index was loaded, and its folder names {item.source!r} as the photo of {item.id!r}, which could be any "
            "file; give item_photo=, or set index.show_photos = True if you trust the folder"
        )
    return str(item.source)


def _lines(
    index: VisualIndex,
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    item: Mapping[str, Any],
    metadata: Mapping[str, Any] | None,
) -> list[_Line]:
    """Return the attributes of both, those that they share first."""
    from fashionsearch.index.attributes import tagger_of

    if metadata is not None:
        names = [name for name in metadata if item.get(name) is not None]
        lines = [_Line(str(name), str(metadata[name]), str(item[name])) for name in names]
    else:
        tagger = tagger_of(index.encoder)
        if tagger is None:
            return []
        tags = tagger.tag_embeddings(np.stack(vectors))
        lines = [
            _Line(name, str(values[0]), str(values[1]))
            for name, values in tags.value.items()
            if values[0] is not None and values[1] is not None
        ]
    return sorted(lines, key=lambda line: line.one != line.other)[:_MOST_LINES]


def _draw_photo(ax: Axes, photo: RGB, heat: NDArray[np.float32], words: str, places: list[Place]) -> None:
    # What is unlike fades into white, so that colours stay what they are where the photos are alike.
    strength = np.sqrt(np.clip((heat - _FADED) / (1 - _FADED), 0, 1))[:, :, None]
    faded = 255 - (255 - photo.mean(axis=2, keepdims=True)) * 0.25
    ax.imshow((photo * strength + faded * (1 - strength)).astype(np.uint8))
    for number, (x, y) in enumerate(places, start=1):
        ax.plot(x, y, "o", markersize=13, markerfacecolor="white", markeredgecolor=BLUE, markeredgewidth=1.6)
        ax.annotate(str(number), (x, y), ha="center", va="center", fontsize=8, fontweight="bold", color=BLUE)
    ax.set_title(words, fontsize=9, parse_math=False)
    ax.set_axis_off()


def _draw_lines(ax: Axes, lines: list[_Line]) -> None:
    ax.set(xlim=(0, 1), ylim=(len(lines) + 0.2, -0.8))
    for row, line in enumerate(lines):
        shared = line.one == line.other
        value = line.one if shared else f"{short(line.one, 14)} / {short(line.other, 14)}"
        name = ax.text(0, row - 0.16, line.name, fontsize=6.5, color=_OTHER, va="bottom")
        said = ax.text(
            0,
            row - 0.12,
            f"{'=' if shared else '≠'} {short(value, 32)}",
            fontsize=8.5,
            va="top",
            color=_SHARED if shared else _OTHER,
            fontweight="bold" if shared else "normal",
        )
        name.set_parse_math(False)
        said.set_parse_math(False)
    ax.set_axis_off()
