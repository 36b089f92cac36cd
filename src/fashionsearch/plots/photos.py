"""Grids of photos: samples of a data set, and queries beside their matches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionsearch import errors
from fashionsearch.images import Images, iterate
from fashionsearch.images.decoding import RGB, Image
from fashionsearch.plots.style import expect, require, short, wrapped
from fashionsearch.plots.tiles import Tile, draw_tiles, small
from fashionsearch.results import Matches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PHOTOS = 240


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
    tiles = [Tile(small(image, place), captions[place]) for place, image in enumerate(given)]
    return draw_tiles([tiles[start : start + columns] for start in range(0, len(tiles), columns)], figure)


def matches(
    matches: Matches,
    *,
    images: Mapping[Any, Image] | Sequence[Image] | None = None,
    queries: Images | None = None,
    titles: Mapping[Any, str] | str | None = None,
    query_titles: Sequence[str] | None = None,
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
        query_titles: a text under each of the n queries, such as its tags; None numbers them.
        most: how many queries to draw, at least 1.
        figure: where to draw; None makes a new one.

    Returns:
        The axes, row by row: a query, then its matches.

    Raises:
        InputError: if there is nothing to draw, `queries` or `query_titles` aren't as many, no match has the field, or
            `images` is a sequence and an id isn't an integer.
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
    numbers = [f"query {query}" if len(matches) > 1 else "query" for query in range(len(matches))]
    captions = numbers if query_titles is None else [wrapped(text) for text in query_titles]
    require(
        len(captions) == len(matches),
        f"query_titles holds {len(captions)} texts for {len(matches)} queries; give one for each",
    )
    rows = []
    for query, (given, hits) in enumerate(zip(asked, matches[:most], strict=False)):
        photo = None if given is None else small(given, query)
        row = [Tile(photo, captions[query], "no photo", framed=True)]
        for match in hits:
            photo = _match_photo(match.source, match.id, {} if images is None else images)
            words = wrapped(str(texts.get(match.id, "")))
            caption = f"{short(str(match.id), 20)}\n{match.similarity:.3f}\n{words}".rstrip()
            row.append(Tile(photo, caption, short(str(match.id), 14)))
        rows.append(row)
    axes = draw_tiles(rows, figure)
    if most < len(matches):
        axes[0].set_title(f"{most} of {len(matches):,} queries", loc="left", fontsize=8, alpha=0.7)
    return axes


def _match_photo(
    source: Image | None, item: Any, images: Mapping[Any, Image] | Sequence[Image]
) -> RGB | None:
    # The file may have moved since it was indexed; a picture without it is still worth having.
    if source is not None:
        with contextlib.suppress(errors.ImageError):
            return small(source, 0)
    if isinstance(images, Mapping):
        return small(images[item], 0) if item in images else None
    numbered = isinstance(item, int | np.integer)
    require(numbered, f"id {item!r} is no position in a sequence; give images as a mapping id -> photo")
    return small(images[int(item)], int(item)) if 0 <= item < len(images) else None


def _field_texts(matches: Matches, name: str) -> dict[Any, str]:
    found = {match.id: match.metadata for hits in matches for match in hits}
    names = sorted({field for fields in found.values() for field in fields})
    hint = f"the fields are: {', '.join(names) or 'none'}.{errors.did_you_mean(name, names)}"
    require(name in names or not matches.counts.any(), f"no match has the metadata field {name!r}; {hint}")
    return {item: str(fields[name]) for item, fields in found.items() if fields.get(name) is not None}
