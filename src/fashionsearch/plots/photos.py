"""Grids of photos: samples of a data set, and queries beside their matches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import PIL.Image

from fashionsearch import errors
from fashionsearch.decoding import RGB, Image
from fashionsearch.images import Images, iterate, read_image
from fashionsearch.plots.style import expect, new_figure, require, short, wrapped
from fashionsearch.results import Matches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE = "#3f90da"
_TILE_GREY = 228
_MOST_PHOTOS = 240
_PHOTO_PIXELS = 320
_TILE_INCHES = 1.4


def samples(
    images: Images, *, titles: Sequence[str] | None = None, columns: int = 6, figure: Figure | None = None
) -> list[Axes]:
    """Draw a grid of photos.

    Args:
        images: 1 to 240 images of any form.
        titles: n texts, one under each photo.
        columns: how many photos a row holds, at least 1.
        figure: where to draw; None makes a new one.

    Returns:
        An axes for each photo.

    Raises:
        InputError: if there are no photos or too many, the titles aren't as many, or `columns` is below 1.
        ImageError: if a photo can't be read.

    Examples:
        >>> from fashionsearch.datasets import make_catalogue
        >>> from matplotlib.figure import Figure
        >>> table = make_catalogue(5)
        >>> len(samples(table.images, titles=table["articleType"], figure=Figure()))
        5
    """
    given = list(itertools.islice(iterate(images), _MOST_PHOTOS + 1))
    require(columns >= 1, f"columns is {columns!r}; a row holds at least 1 photo")
    require(
        0 < len(given) <= _MOST_PHOTOS,
        f"1 to {_MOST_PHOTOS} photos can be drawn; give images[:24], for example",
    )
    if titles is not None:
        require(
            len(titles) == len(given),
            f"{len(titles)} titles for {len(given)} photos; give one title for each",
        )
    captions = [""] * len(given) if titles is None else [wrapped(str(title)) for title in titles]
    tiles = [_Tile(_small(image, place), captions[place]) for place, image in enumerate(given)]
    return _draw_tiles([tiles[start : start + columns] for start in range(0, len(tiles), columns)], figure)


def matches(
    matches: Matches,
    *,
    images: Mapping[Any, Image] | Sequence[Image] | None = None,
    queries: Images | None = None,
    titles: Mapping[Any, str] | str | None = None,
    most: int = 6,
    figure: Figure | None = None,
) -> list[Axes]:
    """Draw each query, framed, with its matches beside it, nearest first.

    A match's photo is the file it was added from, else the one in `images`, else a grey tile with its id.

    Args:
        matches: n queries with up to k matches each.
        images: id -> photo, or a sequence in which integer ids are positions.
        queries: the n photos that were searched with; None takes those in `matches.queries`.
        titles: id -> a text under the match, or the metadata field that holds it.
        most: how many queries to draw, at least 1.
        figure: where to draw; None makes a new one.

    Returns:
        The axes, row by row: a query, then its matches.

    Raises:
        InputError: if there is nothing to draw, `queries` aren't as many, no match has the field, or `images` is
            a sequence and an id isn't an integer.
        ImageError: if one of `images` or `queries` can't be read.

    Examples:
        >>> from fashionsearch.results import Matches
        >>> from matplotlib.figure import Figure
        >>> ids, nothing = np.array([["a", "b"]], dtype=object), np.full((1, 2), None)
        >>> found = Matches(ids, np.array([[1, 0.7]], np.float32), nothing, np.array([2]), nothing)
        >>> [ax.get_xlabel().split() for ax in matches(found, figure=Figure())]
        [['query'], ['a', '1.000'], ['b', '0.700']]
    """
    expect(matches, Matches, "index.search(images)")
    require(
        most >= 1 and len(matches) > 0,
        f"nothing to draw: most is {most!r}, and there are {len(matches)} queries",
    )
    asked = list(matches.queries or [None] * len(matches)) if queries is None else list(iterate(queries))
    require(
        len(asked) == len(matches), f"queries holds {len(asked)} photos for {len(matches)}; give one for each"
    )
    texts = _field_texts(matches, titles) if isinstance(titles, str) else titles or {}
    rows = []
    for query in range(min(most, len(matches))):
        given = asked[query]
        photo = None if given is None else _small(given, query)
        row = [_Tile(photo, f"query {query}" if len(matches) > 1 else "query", "no photo", framed=True)]
        for place in range(int(matches.counts[query])):
            item, similarity = matches.ids[query, place], matches.similarities[query, place]
            photo = _match_photo(matches.sources[query, place], item, {} if images is None else images)
            caption = (
                f"{short(str(item), 20)}\n{similarity:.3f}\n{wrapped(str(texts.get(item, '')))}".rstrip()
            )
            row.append(_Tile(photo, caption, short(str(item), 14)))
        rows.append(row)
    axes = _draw_tiles(rows, figure)
    if most < len(matches):
        axes[0].set_title(f"{most} of {len(matches):,} queries", loc="left", fontsize=8, alpha=0.7)
    return axes


class _Tile(NamedTuple):
    """A photo, or a grey tile with words on it, and the text under it."""

    photo: RGB | None
    caption: str
    words: str = ""
    framed: bool = False


def _draw_tiles(rows: Sequence[Sequence[_Tile]], figure: Figure | None) -> list[Axes]:
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


def _draw_tile(ax: Axes, tile: _Tile, ratio: float) -> None:
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
    ax.spines[:].set(visible=tile.framed, color=_BLUE, linewidth=2.5)


def _small(image: Image, position: int) -> RGB:
    photo = PIL.Image.fromarray(read_image(image, position=position))
    photo.thumbnail((_PHOTO_PIXELS, _PHOTO_PIXELS))
    return np.asarray(photo)


def _match_photo(
    source: Image | None, item: Any, images: Mapping[Any, Image] | Sequence[Image]
) -> RGB | None:
    # The file may have moved since it was indexed; a picture without it is still worth having.
    if source is not None:
        with contextlib.suppress(errors.ImageError):
            return _small(source, 0)
    if isinstance(images, Mapping):
        return _small(images[item], 0) if item in images else None
    numbered = isinstance(item, int | np.integer)
    require(numbered, f"id {item!r} is no position in a sequence; give images as a mapping id -> photo")
    return _small(images[int(item)], int(item)) if 0 <= item < len(images) else None


def _field_texts(matches: Matches, name: str) -> dict[Any, str]:
    pairs = zip(matches.ids.ravel().tolist(), matches.metadata.ravel().tolist(), strict=True)
    found = {item: fields for item, fields in pairs if fields}
    names = sorted({field for fields in found.values() for field in fields})
    hint = f"the fields are: {', '.join(names) or 'none'}.{errors.did_you_mean(name, names)}"
    require(name in names or not matches.counts.any(), f"no match has the metadata field {name!r}; {hint}")
    return {item: str(fields[name]) for item, fields in found.items() if fields.get(name) is not None}
