"""How a network learned and what it sees: curves, augmented photos, reconstructions, predictions, explanations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray

from fashionsearch.images import Images, iterate, read_image
from fashionsearch.images.decoding import Image
from fashionsearch.plots.style import BLUE, expect, finish, new_figure, require, short
from fashionsearch.plots.tiles import Tile, draw_tiles, small
from fashionsearch.results import History
from fashionsearch.training.augmentation import AUGMENTATIONS, Augmentation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORANGE = "#ffa90e"
_GREEN, _RED = "#2f8f5b", "#bd1f01"
_MOST_ROWS = 24


def training_curves(history: History, *, figure: Figure | None = None) -> list[Axes]:
    """Draw what was measured in each epoch: losses, and accuracies where there are some, as the study's Figures 5 and 6.

    The epoch that was kept, the one with the lowest validation loss at the full size, is marked.

    Args:
        history: of a network that learned.
        figure: where to draw; None makes a new one.

    Returns:
        An axes for the losses, and one for the accuracies where there are some.

    Raises:
        InputError: if it isn't a `History` of epochs.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> rows = ({"epoch": 1, "training_loss": 0.9}, {"epoch": 2, "training_loss": 0.5})
        >>> [ax.get_title(loc="left") for ax in training_curves(History(rows), figure=Figure())]
        ['Loss']
    """
    from matplotlib.ticker import MaxNLocator

    columns = expect(history, History, "classifier.history_ or autoencoder.history_").columns
    require(
        "epoch" in columns and "training_loss" in columns,
        f"this history has no epochs, but {', '.join(columns) or 'nothing'}; give that of a network that learned, with "
        "training=FineTuning()",
    )
    shown = [kind for kind in ("loss", "accuracy") if f"training_{kind}" in columns]
    figure = new_figure(figure, (4.6 * len(shown), 3.4))
    panels = []
    epochs = history["epoch"]
    best = _kept_epoch(history)
    for place, kind in enumerate(shown):
        ax = figure.add_subplot(1, len(shown), place + 1)
        for part, colour, style in (("training", BLUE, "--"), ("validation", _ORANGE, "-")):
            if f"{part}_{kind}" in columns:
                ax.plot(epochs, history[f"{part}_{kind}"], style, color=colour, linewidth=1.8, label=part)
        if best is not None:
            ax.axvline(best, color="grey", linewidth=0.8, linestyle=":", label=f"kept: epoch {best:g}")
        ax.grid(color="grey", alpha=0.2, linewidth=0.6)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(frameon=False, fontsize=8)
        finish(
            ax, kind.capitalize(), "training photos are augmented, validation photos are not", "epoch", kind
        )
        panels.append(ax)
    return panels


def augmentation(
    images: Images,
    augmentation: Augmentation | str = "light",
    *,
    copies: int = 6,
    seed: int = 0,
    figure: Figure | None = None,
) -> list[Axes]:
    """Draw photos, framed, with augmented copies beside them, as the study's Figure 2.

    Args:
        images: 1 to 24 images of any form, a row each.
        augmentation: what is done to them: "none", "flips", "light", "strong", "wild", or your own.
        copies: how many of each, from 1 up.
        seed: of the copies, from 0 up.
        figure: where to draw; None makes a new one.

    Returns:
        The axes, row by row.

    Raises:
        InputError: if there are no photos or too many, or the augmentation isn't known.
        ImageError: if a photo can't be read.

    Examples:
        >>> from fashionsearch.datasets import make_catalogue
        >>> from matplotlib.figure import Figure
        >>> len(augmentation(make_catalogue(2).images, copies=3, figure=Figure()))
        8
    """
    chosen = AUGMENTATIONS.get(augmentation) if isinstance(augmentation, str) else augmentation
    require(
        isinstance(chosen, Augmentation),
        f"augmentation is {augmentation!r}, and not one of {', '.join(AUGMENTATIONS)}, or an Augmentation",
    )
    require(copies >= 1, f"copies is {copies!r}; at least 1 is drawn of each photo")
    rows = []
    for row, image in enumerate(_few(images)):
        photo = small(image, row)
        changed = [
            Tile(chosen.apply(photo, seed=seed + row * copies + copy), "")  # type: ignore[union-attr]
            for copy in range(copies)
        ]
        rows.append([Tile(photo, "as it is", framed=True), *changed])
    return draw_tiles(rows, figure)


def reconstructions(images: Images, reconstructed: ArrayLike, *, figure: Figure | None = None) -> list[Axes]:
    """Draw photos with what an autoencoder makes of them under each, and the error.

    Args:
        images: 1 to 24 images of any form.
        reconstructed: (n, H, W, 3) float in [0, 1], as `reconstruct` returns them.
        figure: where to draw; None makes a new one.

    Returns:
        The axes: the photos, then the reconstructions.

    Raises:
        InputError: if there are no photos or too many, or not as many reconstructions.
        ImageError: if a photo can't be read.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> photos = np.zeros((2, 8, 8, 3), np.uint8)
        >>> len(reconstructions(photos, np.zeros((2, 8, 8, 3)), figure=Figure()))
        4
    """
    given = _few(images)
    drawn = np.asarray(reconstructed, dtype=np.float32)
    require(
        drawn.ndim == 4 and len(drawn) == len(given) and drawn.shape[3] == 3,
        f"reconstructions have shape {drawn.shape} for {len(given)} photos; give what reconstruct(images) returns",
    )
    height, width = drawn.shape[1:3]
    photos = [
        np.asarray(PIL.Image.fromarray(read_image(image, position=place)).resize((width, height)))
        for place, image in enumerate(given)
    ]
    wrong = [float(((photo / 255 - row) ** 2).mean()) for photo, row in zip(photos, drawn, strict=True)]
    pixels = np.clip(drawn * 255 + 0.5, 0, 255).astype(np.uint8)
    below = [Tile(row, f"error {error:.4f}") for row, error in zip(pixels, wrong, strict=True)]
    return draw_tiles([[Tile(photo, "") for photo in photos], below], figure)


def predictions(
    images: Images,
    probabilities: ArrayLike,
    classes: Sequence[Any] | NDArray[Any],
    *,
    labels: ArrayLike | None = None,
    most: int = 3,
    figure: Figure | None = None,
) -> list[Axes]:
    """Draw photos with the most probable classes beside each, as the study's Figure 9.

    Args:
        images: 1 to 24 images of any form.
        probabilities: (n, c), as `predict_proba` returns them.
        classes: (c,) what the columns are, `classifier.classes_`.
        labels: (n,) true classes; the bar of the true one is green, and a wrong first one red.
        most: how many classes to draw of each photo, from 1 up.
        figure: where to draw; None makes a new one.

    Returns:
        The axes: a photo, its bars, and so on.

    Raises:
        InputError: if there are no photos or too many, or the shapes don't fit.
        ImageError: if a photo can't be read.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> photos = np.zeros((2, 8, 8, 3), np.uint8)
        >>> axes = predictions(photos, [[0.9, 0.1], [0.4, 0.6]], ["shoe", "tie"], figure=Figure())
        >>> [text.get_text() for text in axes[1].get_yticklabels()]
        ['shoe', 'tie']
    """
    given, shares, names = (
        _few(images),
        np.asarray(probabilities, dtype=float),
        [str(name) for name in classes],
    )
    require(
        shares.shape == (len(given), len(names)),
        f"probabilities have shape {shares.shape}, and {len(given)} photos with {len(names)} classes need "
        f"{(len(given), len(names))}",
    )
    truth = None if labels is None else [str(label) for label in np.asarray(labels).tolist()]
    require(truth is None or len(truth) == len(given), f"give one label for each of {len(given)} photos")
    require(most >= 1, f"most is {most!r}; at least 1 class is drawn")
    across = min(3, len(given))
    down = -(-len(given) // across)
    figure = new_figure(figure, (3.9 * across, 1.7 * down))
    grid = figure.add_gridspec(down, 2 * across, width_ratios=[1.0, 1.3] * across)
    axes = []
    for place, image in enumerate(given):
        row, column = divmod(place, across)
        picture = figure.add_subplot(grid[row, 2 * column])
        picture.imshow(small(image, place))
        picture.set_axis_off()
        bars = figure.add_subplot(grid[row, 2 * column + 1])
        order = np.argsort(-shares[place], kind="stable")[:most]
        colours = [
            _bar_colour(names[i], rank, truth[place] if truth else None) for rank, i in enumerate(order)
        ]
        drawn = bars.barh(range(len(order)), shares[place][order], color=colours, height=0.6)
        bars.set_yticks(range(len(order)), [short(names[i], 16) for i in order], fontsize=8, parse_math=False)
        bars.bar_label(drawn, [f"{shares[place][i]:.0%}" for i in order], padding=3, fontsize=7)
        bars.set(xlim=(0, 1.25), ylim=(max(2, len(order)) - 0.4, -0.6), xticks=[])
        bars.tick_params(length=0)
        bars.spines[:].set_visible(False)
        if truth is not None and truth[place] != names[order[0]]:
            bars.set_title(f"is {short(truth[place], 16)}", fontsize=8, color=_RED, parse_math=False)
        axes += [picture, bars]
    return axes


def explanation(image: Image, heat: NDArray[np.floating], *, figure: Figure | None = None) -> list[Axes]:
    """Draw a photo, and beside it the photo under its attention map.

    Args:
        image: one image of any form.
        heat: (H, W) in [0, 1], as `explain` returns it.
        figure: where to draw; None makes a new one.

    Returns:
        Two axes: the photo, and the overlay.

    Raises:
        InputError: if the map isn't as large as the photo.
        ImageError: if the photo can't be read.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> len(explanation(np.zeros((9, 8, 3), np.uint8), np.zeros((9, 8)), figure=Figure()))
        2
    """
    photo, heat = read_image(image), np.asarray(heat, dtype=np.float32)
    require(
        heat.shape == photo.shape[:2],
        f"the map has shape {heat.shape} and the photo {photo.shape[:2]}; give what classifier.explain(image) returns",
    )
    figure = new_figure(figure, (4.6, 3.2))
    panels = [figure.add_subplot(1, 2, place + 1) for place in range(2)]
    panels[0].imshow(photo)
    panels[1].imshow(photo.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    # The root lifts weak places into sight; where the map is 0 the photo shows through.
    panels[1].imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * np.sqrt(np.clip(heat, 0, 1)))
    for ax, words in zip(panels, ("photo", "where the evidence lies"), strict=True):
        ax.set_title(words, fontsize=8)
        ax.set_axis_off()
    return panels


def _kept_epoch(history: History) -> float | None:
    if "validation_loss" not in history.columns:
        return None
    sizes = history["image_size"] if "image_size" in history.columns else [0.0] * len(history)
    rows = zip(history["validation_loss"], sizes, history["epoch"], strict=True)
    at_full_size = [(loss, epoch) for loss, size, epoch in rows if size == max(sizes) and loss == loss]
    return min(at_full_size)[1] if at_full_size else None


def _few(images: Images) -> list[Image]:
    given = list(itertools.islice(iterate(images), _MOST_ROWS + 1))
    require(
        0 < len(given) <= _MOST_ROWS, f"1 to {_MOST_ROWS} photos can be drawn; give images[:6], for example"
    )
    return given


def _bar_colour(name: str, rank: int, truth: str | None) -> str:
    if truth is None:
        return BLUE
    if name == truth:
        return _GREEN
    return _RED if rank == 0 else "#b9bec6"
