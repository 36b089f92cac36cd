"""`make_catalogue`: product photos of garments drawn by code, so that nothing needs a download."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from fashionsearch import errors
from fashionsearch.datasets import garments
from fashionsearch.datasets.garments import OVERSAMPLE, Part, Sketch
from fashionsearch.datasets.table import Table

SMALLEST_SIDE = 16
_LARGEST_SIDE = 8192

# A pixel's number is its part plus the level of its pattern: the fabric's own colour is level 0.
_LEVEL = 16
_SECOND, _THIRD = _LEVEL, 2 * _LEVEL

Draw = Callable[[Sketch, Generator], None]


class Garment(NamedTuple):
    """An article type: how it is drawn, how often it comes up, and what it is called.

    The words of `genders` and of `usages` are equally likely; one that is repeated is more likely.
    """

    draw: Draw
    weight: int
    master_category: str
    sub_category: str
    noun: str
    genders: str
    usages: str


GARMENTS = {
    "Tshirts": Garment(
        garments.tshirt, 13, "Apparel", "Topwear", "T-shirt", "Men Men Women", "Casual Sports"
    ),
    "Shirts": Garment(garments.shirt, 10, "Apparel", "Topwear", "Shirt", "Men Men Women", "Casual Formal"),
    "Jeans": Garment(garments.jeans, 7, "Apparel", "Bottomwear", "Jeans", "Men Women", "Casual"),
    "Trousers": Garment(
        garments.trousers, 6, "Apparel", "Bottomwear", "Trousers", "Men Women", "Casual Formal"
    ),
    "Shorts": Garment(
        garments.shorts, 6, "Apparel", "Bottomwear", "Shorts", "Men Men Women", "Casual Sports"
    ),
    "Skirts": Garment(garments.skirt, 5, "Apparel", "Bottomwear", "Skirt", "Women", "Casual"),
    "Dresses": Garment(garments.dress, 8, "Apparel", "Dress", "Dress", "Women", "Casual Casual Party"),
    "Casual Shoes": Garment(
        garments.casual_shoe, 9, "Footwear", "Shoes", "Shoes", "Men Women Unisex", "Casual"
    ),
    "Heels": Garment(garments.heel, 5, "Footwear", "Shoes", "Heels", "Women", "Casual Party"),
    "Flip Flops": Garment(
        garments.flip_flop, 5, "Footwear", "Flip Flops", "Flip Flops", "Men Women", "Casual"
    ),
    "Handbags": Garment(garments.handbag, 6, "Accessories", "Bags", "Handbag", "Women", "Casual"),
    "Backpacks": Garment(garments.backpack, 4, "Accessories", "Bags", "Backpack", "Unisex", "Casual Sports"),
    "Watches": Garment(garments.watch, 6, "Accessories", "Watches", "Watch", "Men Men Women", "Casual"),
    "Sunglasses": Garment(
        garments.sunglasses, 4, "Accessories", "Eyewear", "Sunglasses", "Men Women", "Casual"
    ),
    "Caps": Garment(garments.cap, 3, "Accessories", "Headwear", "Cap", "Unisex Men Women", "Casual Sports"),
    "Ties": Garment(garments.tie, 3, "Accessories", "Ties", "Tie", "Men", "Formal"),
}


class Dye(NamedTuple):
    """A base colour: how often it comes up, and its RGB values in [0, 255]."""

    weight: int
    rgb: tuple[int, int, int]


COLOURS = {
    "Black": Dye(14, (34, 34, 38)),
    "White": Dye(10, (238, 238, 236)),
    "Blue": Dye(12, (48, 104, 196)),
    "Navy Blue": Dye(8, (34, 44, 92)),
    "Brown": Dye(8, (112, 72, 46)),
    "Grey": Dye(8, (138, 140, 144)),
    "Red": Dye(10, (196, 34, 44)),
    "Green": Dye(8, (48, 128, 72)),
    "Pink": Dye(7, (236, 134, 172)),
    "Purple": Dye(6, (112, 62, 146)),
    "Yellow": Dye(5, (242, 206, 64)),
    "Orange": Dye(4, (236, 126, 40)),
}
SEASONS = {"Summer": 49, "Fall": 26, "Winter": 18, "Spring": 7}


def _solid(fabric: Sketch, rng: Generator) -> None:
    """Leave the fabric as it is."""


def _striped(fabric: Sketch, rng: Generator) -> None:
    step, upright = rng.uniform(9, 24), rng.random() < 0.4
    for at in np.arange(-140, 140, step):
        ends = np.array([(-150, at), (150, at)])
        fabric.line(ends[:, ::-1] if upright else ends, _SECOND, width=step * 0.35)


def _checked(fabric: Sketch, rng: Generator) -> None:
    step = rng.uniform(14, 28)
    for at in np.arange(-140, 140, step):
        ends = np.array([(-150, at), (150, at)])
        fabric.line(ends, _SECOND, width=step * 0.3)
        fabric.line(ends[:, ::-1], _THIRD, width=step * 0.3)


def _polka_dot(fabric: Sketch, rng: Generator) -> None:
    step, radius = rng.uniform((16, 0.2), (26, 0.28))
    fabric.dots(_grid(step), _SECOND, radius=step * radius)


def _floral(fabric: Sketch, rng: Generator) -> None:
    step = rng.uniform(24, 36)
    centres = _grid(step)
    centres += rng.uniform(-0.2 * step, 0.2 * step, centres.shape)
    for angle in np.arange(5) * 2 * math.pi / 5:
        petal = 0.2 * step * np.array([math.cos(angle), math.sin(angle)])
        fabric.dots(centres + petal, _SECOND, radius=0.15 * step)
    fabric.dots(centres, _THIRD, radius=0.1 * step)


def _printed(fabric: Sketch, rng: Generator) -> None:
    reach, middle, inner, points = *rng.uniform((15, -25, 0.4), (26, 0, 1)), rng.integers(3, 9)
    angles = np.arange(2 * points) * math.pi / points
    radii = reach * np.where(np.arange(2 * points) % 2, inner, 1)
    star, centre = np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1), np.array([0, middle])
    fabric.polygon(centre + star, _SECOND)
    fabric.polygon(centre + star / 2, _THIRD)
    for y in (middle + 1.3 * reach, middle + 1.6 * reach):
        fabric.line([(-reach, y), (reach, y)], _SECOND, width=3)


def _grid(step: float) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(-105, 105, step), np.arange(-130, 130, step / 2))
    x[1::2] += step / 2
    return np.stack([x.ravel(), y.ravel()], axis=1)


class Pattern(NamedTuple):
    """A pattern: how often it comes up, and how its second and third colours are drawn."""

    weight: int
    draw: Draw


PATTERNS = {
    "Solid": Pattern(12, _solid),
    "Striped": Pattern(3, _striped),
    "Checked": Pattern(2, _checked),
    "Polka Dot": Pattern(1, _polka_dot),
    "Floral": Pattern(1, _floral),
    "Printed": Pattern(2, _printed),
}


def make_catalogue(n: int = 600, *, seed: int = 0, size: tuple[int, int] = (120, 160)) -> Table:
    """Draw a catalogue of garments with the columns of the Kaggle Fashion Product Images data.

    A row depends on `seed`, its position and `size` only, so a small catalogue is the start of a large one.
    Colour and article type are drawn independently of each other.

    Args:
        n: how many products to draw.
        seed: which catalogue to draw.
        size: each photo's (width, height) in pixels.

    Returns:
        n photos, each a (height, width, 3) uint8 array, and ten columns, each an (n,) array of str.

    Raises:
        DataError: if `n` isn't a positive integer, `seed` isn't an integer of at least 0, or `size` isn't two
            integers from 16 to 8,192.

    Examples:
        >>> from fashionsearch.datasets import make_catalogue
        >>> table = make_catalogue(20, seed=0)
        >>> len(table), table.images[0].shape, table.columns[:3]
        (20, (160, 120, 3), ('id', 'gender', 'masterCategory'))
    """
    _check(n, seed, size)
    rows = [_row(seed, position, size) for position in range(n)]
    data = {column: np.array([labels[column] for labels, _, _ in rows]) for column in rows[0][0]}
    return Table(images=[image for _, image, _ in rows], data=data, name="catalogue")


def garment_masks(n: int = 600, *, seed: int = 0, size: tuple[int, int] = (120, 160)) -> NDArray[np.bool_]:
    """Return which pixels of `make_catalogue`'s photos show the garment; its shadow doesn't count.

    Args:
        n: how many products.
        seed: which catalogue.
        size: each photo's (width, height) in pixels.

    Returns:
        (n, height, width) bool array, in the order of the catalogue with the same arguments.

    Raises:
        DataError: as `make_catalogue` does.

    Examples:
        >>> from fashionsearch.datasets.catalogue import garment_masks
        >>> garment_masks(3, seed=0).shape
        (3, 160, 120)
    """
    _check(n, seed, size)
    return np.stack([_row(seed, position, size)[2] for position in range(n)])


def _check(n: int, seed: int, size: tuple[int, int]) -> None:
    if not _is_integer(n, 1):
        raise errors.DataError(
            f"n={n!r} is not a number of products; pass a positive integer, for example 600"
        )
    if not _is_integer(seed, 0):
        raise errors.DataError(f"seed={seed!r} is not a seed; pass an integer of at least 0, for example 0")
    if np.shape(size) != (2,) or not all(
        _is_integer(side, SMALLEST_SIDE) and side <= _LARGEST_SIDE for side in size
    ):
        raise errors.DataError(
            f"size={size!r} is not a photo's size; pass (width, height) as two integers from "
            f"{SMALLEST_SIDE} to {_LARGEST_SIDE}, for example (120, 160)"
        )


def _is_integer(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _row(
    seed: int, position: int, size: tuple[int, int]
) -> tuple[dict[str, str], NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the labels, the (H, W, 3) photo and the (H, W) mask of one product."""
    rng = np.random.default_rng([seed, position])
    # Steps of the golden ratio keep the classes in proportion in every part of the catalogue, however small.
    step = (np.random.default_rng(seed).random() + position * (math.sqrt(5) - 1) / 2) % 1
    article = _weighted(step, {name: garment.weight for name, garment in GARMENTS.items()})
    colour = _weighted(rng.random(), {name: dye.weight for name, dye in COLOURS.items()})
    pattern = _weighted(rng.random(), {name: each.weight for name, each in PATTERNS.items()})
    garment = GARMENTS[article]
    gender = _word(rng, garment.genders)
    labels = {
        "id": str(100_000 + position),
        "gender": gender,
        "masterCategory": garment.master_category,
        "subCategory": garment.sub_category,
        "articleType": article,
        "baseColour": colour,
        "season": _weighted(rng.random(), SEASONS),
        "year": str(rng.integers(2010, 2019)),
        "usage": _word(rng, garment.usages),
        "productDisplayName": f"{gender} {colour} {pattern} {garment.noun}",
    }
    image, mask = _photo(rng, garment.draw, PATTERNS[pattern].draw, COLOURS[colour].rgb, size)
    return labels, image, mask


def _weighted(point: float, weights: Mapping[str, int]) -> str:
    """Return the name whose share of the weights, laid end to end on [0, 1), holds `point`."""
    ends = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(ends, point * ends[-1], side="right"))]


def _word(rng: Generator, words: str) -> str:
    choices = words.split()
    return choices[rng.integers(len(choices))]


def _photo(
    rng: Generator, draw: Draw, draw_pattern: Draw, rgb: tuple[int, int, int], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pose = _pose(rng, size)
    sketch, fabric = Sketch(size, pose), Sketch(size, pose)
    draw(sketch, rng)
    draw_pattern(fabric, rng)
    for x, y, lean, change in rng.uniform((-60, -60, -25, -30), (60, 60, 25, 30), (5, 4)):
        crease = [(x - 3, y - 35), (x + 3, y - 35), (x + lean + 4, y + 35), (x + lean - 4, y + 35)]
        sketch.shade(crease, round(change))
    numbers = ImageChops.add(sketch.parts, fabric.parts)
    numbers.putpalette(_palette(rng, np.array(rgb) * rng.uniform(0.9, 1.08) + rng.uniform(-10, 10, 3)))
    paint = _pixels(numbers.convert("RGB").reduce(OVERSAMPLE))
    cover = sketch.parts.point([0] + [255] * 255).reduce(OVERSAMPLE)
    alpha = _pixels(cover) / 255
    light = _light(rng, sketch, cover)
    photo = paint * light + alpha * np.maximum(40 * (light - 1), 0)
    photo += (1 - alpha) * _background(rng, sketch, cover)
    photo += rng.uniform(0, 1) * rng.integers(-6, 7, (size[1], size[0], 1), dtype=np.int8)
    finished = Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
    blur = rng.uniform(-0.6, 0.7)
    if blur > 0:
        finished = finished.filter(ImageFilter.GaussianBlur(blur))
    return np.array(finished), alpha[..., 0] >= 0.5


def _pose(rng: Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return a (2, 3) matrix from garment coordinates to pixels: turned, scaled, moved, mirrored."""
    angle, scale, right, down = rng.uniform((-12, 0.82, 0.45, 0.45), (12, 1, 0.55, 0.55))
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = scale * min(size[0] / 200, size[1] / 255) * np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn * (rng.choice([-1, 1]), 1), (right * size[0], down * size[1])])


def _palette(rng: Generator, base: NDArray[np.float64]) -> bytes:
    """Return the RGB colours of all numbers of a pixel, given the fabric's (3,) colour."""
    bright = base.mean() > 110
    neutral = np.array((46, 48, 58) if bright else (244, 243, 238))
    other = np.array([dye.rgb for dye in COLOURS.values()][rng.integers(len(COLOURS))])
    second = neutral if rng.random() < 0.6 else (neutral + other) / 2
    table = np.zeros((256, 3))
    table[:_SECOND] = base
    table[_SECOND:_THIRD] = second
    table[_THIRD:] = (base + second) / 2
    table[Part.SHADE :: _LEVEL] *= 0.8
    for part, colour in {
        Part.SEAM: 0.62 * base if bright else 0.75 * base + 45,
        Part.INSIDE: 0.5 * base,
        Part.TRIM: second if rng.random() < 0.6 else other,
        Part.METAL: ((198, 200, 205), (208, 172, 96), (120, 120, 126))[rng.integers(3)],
        Part.SOLE: ((240, 240, 238), (60, 58, 58), (190, 150, 104))[rng.integers(3)],
        Part.DARK: (42, 40, 42),
        Part.PALE: (240, 238, 232),
        Part.STITCH: (214, 160, 84),
        Part.LENS: 0.25 * base + ((20, 20, 24), (70, 50, 30), (60, 70, 90))[rng.integers(3)],
        Part.BACKGROUND: (0, 0, 0),
    }.items():
        table[part::_LEVEL] = colour
    return np.clip(table, 0, 255).astype(np.uint8).tobytes()


def _light(rng: Generator, sketch: Sketch, cover: Image.Image) -> NDArray[np.float32]:
    """Return the (H, W, 1) light: less at the garment's edges, in its folds, and away from the lamp."""
    width, height = cover.size
    down, right = rng.uniform(-0.09, 0.09, 2).astype(np.float32)
    lamp = down * np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    lamp = lamp + right * np.linspace(-1, 1, width, dtype=np.float32)[:, None]
    inner = _pixels(cover.filter(ImageFilter.GaussianBlur(7 * sketch.unit))) / 255
    folds = _pixels(sketch.light.filter(ImageFilter.GaussianBlur(3.5 * sketch.unit))) / 128
    light: NDArray[np.float32] = folds * (0.76 + 0.3 * inner + lamp)
    return light


def _background(rng: Generator, sketch: Sketch, cover: Image.Image) -> NDArray[np.float32]:
    """Return the (H, W, 3) background: white, cream, grey or tinted, with the garment's soft shadow."""
    kind = rng.choice(4, p=(0.4, 0.15, 0.2, 0.25))
    top = ((255,) * 3, (248, 245, 238), (rng.uniform(190, 235),) * 3, rng.uniform(185, 245, 3))[kind]
    fall = np.linspace(0, rng.uniform(-35, 5) if kind else 0, cover.size[1], dtype=np.float32)
    right, down, depth = rng.uniform((-7, 3, 0.12), (7, 10, 0.35))
    shadow = Image.new("L", cover.size)
    shadow.paste(cover, (round(right * sketch.unit), round(down * sketch.unit)))
    shadow = shadow.filter(ImageFilter.GaussianBlur(6 * sketch.unit))
    back: NDArray[np.float32] = np.array(top, dtype=np.float32) + fall[:, None, None]
    return back * (1 - np.float32(depth / 255) * _pixels(shadow))


def _pixels(image: Image.Image) -> NDArray[np.float32]:
    """Return an image as (H, W, channels) floats."""
    return np.asarray(image, dtype=np.float32).reshape(image.size[1], image.size[0], -1)
