"""Pictures of data and results: pure functions that draw into matplotlib axes.

A function of one panel takes `ax=` and returns it; one of several takes `figure=` and returns a list of axes.
Without it a new pyplot figure is made, which shows itself in a notebook; with it pyplot is not touched.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.datasets.overview import Overview
from fashionsearch.datasets.table import Table
from fashionsearch.images import RGB, Image, Images, iterate, read_image
from fashionsearch.results import Evaluation, Matches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = TypeVar("Kind")
# A class's truth and scores -> its figure, and the heights of its curve over _GRID.
_Curve: TypeAlias = Callable[[NDArray[np.bool_], NDArray[np.float64]], tuple[float, NDArray[np.float64]]]

# Petroff's ten (arXiv 2107.02270), chosen to be told apart with any colour vision.
_TEN = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
_BLUE, _TILE_GREY = "#3f90da", 228
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
_MOST_BARS, _MOST_PHOTOS, _MOST_WRITTEN = 15, 240, 20
_PHOTO_PIXELS, _TILE_INCHES = 320, 1.4
_GRID = np.linspace(0, 1, 1001)


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

    Example:
        >>> from fashionsearch.datasets import make_catalogue
        >>> from matplotlib.figure import Figure
        >>> panels = overview(make_catalogue(30), columns=["gender"], figure=Figure())
        >>> [ax.get_title(loc="left") for ax in panels]
        ['gender', 'image size', 'colour']
    """
    source = overview_or_table
    seen = source.overview() if isinstance(source, Table) else _expect(source, Overview, "table.overview()")
    chosen = [name for name in _STUDIED if name in seen.classes][:6] if columns is None else columns
    for column in chosen:
        if column not in seen.classes:
            known = f"column {column!r} isn't in the overview, which has {', '.join(seen.classes)}"
            raise errors.InputError(
                f"{known} (of at most 50 values).{errors.did_you_mean(column, seen.classes)}"
            )
    across = min(4, math.ceil((len(chosen) + 2) / 2))
    down = math.ceil((len(chosen) + 2) / across)
    figure = _figure(figure, (3.6 * across, 3.3 * down))
    panels = [figure.add_subplot(down, across, place + 1) for place in range(len(chosen) + 2)]
    for column, ax in zip(chosen, panels, strict=False):
        _bars(ax, column, seen.classes[column], seen.rows, named_colours=column == "baseColour")
    sizes = {f"{width} x {height}": count for (width, height), count in seen.sizes.items()}
    _bars(panels[-2], "image size", sizes, seen.sampled - len(seen.failures))
    _colours(panels[-1], seen)
    return panels


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

    Example:
        >>> from fashionsearch.datasets import make_catalogue
        >>> from matplotlib.figure import Figure
        >>> table = make_catalogue(5)
        >>> len(samples(table.images, titles=table["articleType"], figure=Figure()))
        5
    """
    given = list(itertools.islice(iterate(images), _MOST_PHOTOS + 1))
    _require(columns >= 1, f"columns is {columns!r}; a row holds at least 1 photo")
    _require(
        0 < len(given) <= _MOST_PHOTOS,
        f"1 to {_MOST_PHOTOS} photos can be drawn; give images[:24], for example",
    )
    if titles is not None:
        _require(
            len(titles) == len(given),
            f"{len(titles)} titles for {len(given)} photos; give one title for each",
        )
    captions = [""] * len(given) if titles is None else [_wrapped(str(title)) for title in titles]
    tiles = [_Tile(_small(image, place), captions[place]) for place, image in enumerate(given)]
    return _draw_tiles([tiles[start : start + columns] for start in range(0, len(tiles), columns)], figure)


def confusion(evaluation: Evaluation, *, ax: Axes | None = None, normalize: bool = True) -> Axes:
    """Draw the confusion matrix: rows are true classes, columns predicted ones.

    Up to 20 classes the counts stand in the cells; of very many classes only some are named.

    Args:
        evaluation: of c classes.
        ax: where to draw; None makes a new figure.
        normalize: colour by the share of the true class, in [0, 1]; otherwise by the count.

    Returns:
        The axes, whose one image holds the (c, c) shares or counts.

    Raises:
        InputError: if it isn't an `Evaluation`.

    Example:
        >>> from fashionsearch.metrics import evaluate
        >>> from matplotlib.figure import Figure
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> confusion(evaluation, ax=Figure().subplots()).images[0].get_array().tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    from matplotlib.colors import PowerNorm

    counts = _expect(evaluation, Evaluation, "clf.evaluate(images, labels)").confusion
    values = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) if normalize else counts
    written = len(counts) <= _MOST_WRITTEN
    side = min(10.0, 2.6 + 0.36 * len(counts))
    ax = ax or _figure(None, (side + (0 if written else 0.5), side)).subplots()
    # Most mistakes are a small share of their class: the root lifts them out of the white.
    norm = PowerNorm(0.6, vmin=0, vmax=1 if normalize else max(1, counts.max()))
    image = ax.imshow(values, cmap="Blues", norm=norm, interpolation="nearest")
    if written:
        dark = norm(values) > 0.6
        for row, column in zip(*np.nonzero(counts), strict=True):
            ink = "white" if dark[row, column] else "#1b2a3a"
            ax.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink, fontsize=8)
    else:
        bar = ax.figure.colorbar(image, ax=ax, shrink=0.5, pad=0.02)
        bar.set_label("share of the true class" if normalize else "count", fontsize=9)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=8)
    note = f"{evaluation.accuracy:.1%} of {len(evaluation.labels):,} right"
    _finish(ax, "Confusion", note, "predicted", "true")
    _class_ticks(ax, [str(label) for label in evaluation.classes], steep=not written)
    return ax


def roc(evaluation: Evaluation, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw one-vs-rest ROC curves with their AUC: the macro average and the largest classes.

    The legend is to the right of the axes; in your own figure, `layout="constrained"` makes room for it.

    Args:
        evaluation: classes it couldn't score are left out, and named in the legend.
        ax: where to draw; None makes a new figure.
        most: how many classes to draw, those with most examples first; at least 0.

    Returns:
        The axes.

    Raises:
        InputError: if it isn't an `Evaluation`, no class can be scored, or `most` is negative.

    Example:
        >>> from fashionsearch.metrics import evaluate
        >>> from matplotlib.figure import Figure
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> [text.get_text() for text in roc(evaluation, ax=Figure().subplots()).get_legend().get_texts()]
        ['1.000  macro average', '1.000  b', '1.000  a']
    """
    from sklearn.metrics import auc, roc_curve

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        false, true, _ = roc_curve(positive, scores)
        # The first point is the origin, where a good class's curve rises straight up.
        return float(auc(false, true)), np.append(0, np.interp(_GRID[1:], false, true))

    ax = _one_vs_rest(ax, evaluation, most, curve, "ROC", "AUC", "false positive rate", "true positive rate")
    ax.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", zorder=1)
    return ax


def precision_recall(evaluation: Evaluation, *, ax: Axes | None = None, most: int = 10) -> Axes:
    """Draw one-vs-rest precision-recall curves with their average precision, macro and of the largest classes.

    The legend is to the right of the axes; in your own figure, `layout="constrained"` makes room for it.

    Args:
        evaluation: classes it couldn't score are left out, and named in the legend.
        ax: where to draw; None makes a new figure.
        most: how many classes to draw, those with most examples first; at least 0.

    Returns:
        The axes.

    Raises:
        InputError: if it isn't an `Evaluation`, no class can be scored, or `most` is negative.

    Example:
        >>> from fashionsearch.metrics import evaluate
        >>> from matplotlib.figure import Figure
        >>> evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", "b"])
        >>> precision_recall(evaluation, ax=Figure().subplots()).get_legend().get_texts()[0].get_text()
        '1.000  macro average'
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        precision, recall, _ = precision_recall_curve(positive, scores)
        # Average precision is the area under steps: straight lines between the points would promise more.
        steps = precision[::-1][np.searchsorted(recall[::-1], _GRID)]
        return float(average_precision_score(positive, scores)), steps

    title, score_name = "Precision and recall", "average precision"
    return _one_vs_rest(ax, evaluation, most, curve, title, score_name, "recall", "precision")


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
        queries: the n photos that were searched with; None takes the small ones in `matches.queries`.
        titles: id -> a text under the match, or the metadata field that holds it.
        most: how many queries to draw, at least 1.
        figure: where to draw; None makes a new one.

    Returns:
        The axes, row by row: a query, then its matches.

    Raises:
        InputError: if there is nothing to draw, `queries` aren't as many, no match has the field, or `images` is
            a sequence and an id isn't an integer.
        ImageError: if one of `images` or `queries` can't be read.

    Example:
        >>> from fashionsearch.results import Matches
        >>> from matplotlib.figure import Figure
        >>> ids, nothing = np.array([["a", "b"]], dtype=object), np.full((1, 2), None)
        >>> found = Matches(ids, np.array([[1, 0.7]], np.float32), nothing, np.array([2]), nothing)
        >>> [ax.get_xlabel().split() for ax in matches(found, figure=Figure())]
        [['query'], ['a', '1.000'], ['b', '0.700']]
    """
    _expect(matches, Matches, "index.search(images)")
    _require(
        most >= 1 and len(matches) > 0,
        f"nothing to draw: most is {most!r}, and there are {len(matches)} queries",
    )
    asked = list(matches.queries or [None] * len(matches)) if queries is None else list(iterate(queries))
    _require(
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
                f"{_short(str(item), 20)}\n{similarity:.3f}\n{_wrapped(str(texts.get(item, '')))}".rstrip()
            )
            row.append(_Tile(photo, caption, _short(str(item), 14)))
        rows.append(row)
    axes = _draw_tiles(rows, figure)
    if most < len(matches):
        axes[0].set_title(f"{most} of {len(matches):,} queries", loc="left", fontsize=8, alpha=0.7)
    return axes


def _figure(figure: Figure | None, size: tuple[float, float]) -> Figure:
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=size)
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.06)
    return figure


# Sizes are set on each text, never in rcParams, so that axes made elsewhere come to look alike. Names are never
# parsed as formulas: "$x$" is a class like any other.
def _finish(ax: Axes, title: str, note: str, x: str = "", y: str = "") -> None:
    ax.set_title(title, loc="left", pad=17, fontsize=11, fontweight="bold", parse_math=False)
    above = ax.annotate(
        note, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=8
    )
    above.set(alpha=0.7, parse_math=False)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.tick_params(length=0, labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def _bars(
    ax: Axes, title: str, counts: Mapping[str, int], total: int, *, named_colours: bool = False
) -> None:
    from matplotlib.colors import is_color_like

    shown = dict(itertools.islice(counts.items(), _MOST_BARS))
    bars = ax.barh(range(len(shown)), list(shown.values()), color=_BLUE, height=0.72)
    for bar, value in zip(bars, shown if named_colours else (), strict=False):
        forms = (value.lower().replace(" ", ""), f"xkcd:{value.lower()}")
        colour = next(filter(is_color_like, forms), _BLUE)
        bar.set(facecolor=colour, edgecolor="#8a8f98", linewidth=0.6)
    words = [f"{count:,} ({count / total:.0%})" for count in shown.values()]
    ax.bar_label(bars, words, padding=3, fontsize=7, alpha=0.7)
    names = [_short(value, 22) or "(unknown)" for value in shown]
    ax.set_yticks(range(len(shown)), names, parse_math=False)
    # Room for at least eight keeps the bars of a column with two values from growing into slabs.
    ax.set(xticks=[], xlim=(0, 1.4 * max([1, *shown.values()])), ylim=(max(8, len(shown)) - 0.4, -0.6))
    some = f"{len(shown)} of " if len(shown) < len(counts) else ""
    _finish(ax, title, f"{some}{len(counts)} different, of {total:,}")
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
    _finish(ax, "colour", note, "pixel value", "share of pixels")


def _class_ticks(ax: Axes, names: Sequence[str], *, steep: bool) -> None:
    box = ax.get_window_extent()
    room = 72 * min(box.width, box.height) / ax.figure.get_dpi()
    places = range(0, len(names), math.ceil(len(names) * 9 / room))
    shown = [_short(names[place], 24) for place in places]
    turn: dict[str, Any] = (
        {"rotation": 90} if steep else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    )
    ax.set_xticks(places, shown, parse_math=False, **turn)
    ax.set_yticks(places, shown, parse_math=False)
    ax.tick_params(labelsize=7 if steep else 8)
    ax.spines[:].set_visible(False)


def _one_vs_rest(
    ax: Axes | None,
    evaluation: Evaluation,
    most: int,
    curve: _Curve,
    title: str,
    score_name: str,
    x: str,
    y: str,
) -> Axes:
    import matplotlib

    rows = _expect(evaluation, Evaluation, "clf.evaluate(images, labels)").per_class
    scored = [place for place, row in enumerate(rows) if not math.isnan(row.auc)]
    _require(most >= 0, f"most is {most!r}; it is a number of classes, at least 0")
    _require(bool(scored), "no class can be scored; evaluate on more examples, of at least two classes")
    truth, shares = evaluation.labels, evaluation.probabilities
    curves = {place: curve(truth == evaluation.classes[place], shares[:, place]) for place in scored}
    ax = ax or _figure(None, (7.2, 4.8)).subplots()
    # The score comes first: numbers align, and matplotlib hides labels that begin with an underscore.
    mean = f"{np.mean([score for score, _ in curves.values()]):.3f}  macro average"
    average = np.mean([heights for _, heights in curves.values()], axis=0)
    ax.plot(_GRID, average, color=matplotlib.rcParams["text.color"], linewidth=2.4, zorder=3, label=mean)
    for rank, place in enumerate(sorted(scored, key=lambda place: -rows[place].support)[:most]):
        score, heights = curves[place]
        colour, dashes = _TEN.split()[rank % 10], ("-", "--", "-.", ":")[rank // 10 % 4]
        name = f"{score:.3f}  {_short(rows[place].label, 30)}"
        ax.plot(_GRID, heights, color=colour, linestyle=dashes, linewidth=1.3, label=name)
    heading = [score_name, f"{min(most, len(scored))} of {len(scored)} classes, by size"]
    if evaluation.unscored:
        named = f"too few examples: {len(evaluation.unscored)} ({', '.join(evaluation.unscored)})"
        heading += textwrap.wrap(named, 42, max_lines=3, placeholder=" …")
    legend = ax.legend(
        title="\n".join(heading), title_fontsize=8, fontsize=8, frameon=False, alignment="left"
    )
    legend.set_loc("upper left")
    legend.set_bbox_to_anchor((1.0, 1.03))
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    ax.grid(color="grey", alpha=0.2, linewidth=0.6)
    _finish(ax, title, "one class against the rest", x, y)
    return ax


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
    figure = _figure(figure, (_TILE_INCHES * max(3, across), height * len(rows)))
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
    if isinstance(image, str) and image.startswith("data:"):
        image = base64.b64decode(image.partition(",")[2])
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
    _require(numbered, f"id {item!r} is no position in a sequence; give images as a mapping id -> photo")
    return _small(images[int(item)], int(item)) if 0 <= item < len(images) else None


def _field_texts(matches: Matches, name: str) -> dict[Any, str]:
    pairs = zip(matches.ids.ravel().tolist(), matches.metadata.ravel().tolist(), strict=True)
    found = {item: fields for item, fields in pairs if fields}
    names = sorted({field for fields in found.values() for field in fields})
    hint = f"the fields are: {', '.join(names) or 'none'}.{errors.did_you_mean(name, names)}"
    _require(name in names or not matches.counts.any(), f"no match has the metadata field {name!r}; {hint}")
    return {item: str(fields[name]) for item, fields in found.items() if fields.get(name) is not None}


def _expect(value: Any, kind: type[Kind], source: str) -> Kind:
    _require(isinstance(value, kind), f"can't draw a {type(value).__name__}; give what {source} returns")
    return cast(Kind, value)


def _require(fine: bool, message: str) -> None:
    if not fine:
        raise errors.InputError(message)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 20, max_lines=2, placeholder="…"))
