"""`make_catalogue`: product photos of garments drawn by code, so that nothing needs a download."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from fashionsearch import errors
from fashionsearch.datasets import garments
from fashionsearch.datasets.garments import OVERSAMPLE, Part, Sketch

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
SMALLEST_SIDE = 16

Colour = NDArray[np.float64]


@dataclass(frozen=True)
class Garment:
    """An article type: how it is drawn, what it is called, and how often it comes up.

    `genders`, `usages` and `seasons` are words that are equally likely; a word that is repeated is more likely.
    """

    draw: Callable[[Sketch, Generator], None]
    weight: int
    master_category: str
    sub_category: str
    noun: str
    genders: str
    usages: str
    seasons: str


GARMENTS = {
    "Tshirts": Garment(garments.tshirt, 11, "Apparel", "Topwear", "T-shirt", "Men Men Women", "Casual Casual Sports", "Summer Summer Fall"),
    "Shirts": Garment(garments.shirt, 9, "Apparel", "Topwear", "Shirt", "Men Men Women", "Casual Casual Formal", "Summer Fall"),
    "Jeans": Garment(garments.jeans, 6, "Apparel", "Bottomwear", "Jeans", "Men Women", "Casual", "Summer Fall"),
    "Trousers": Garment(garments.trousers, 5, "Apparel", "Bottomwear", "Trousers", "Men Men Women", "Casual Formal", "Summer Fall"),
    "Shorts": Garment(garments.shorts, 5, "Apparel", "Bottomwear", "Shorts", "Men Men Women", "Casual Sports", "Summer"),
    "Skirts": Garment(garments.skirt, 4, "Apparel", "Bottomwear", "Skirt", "Women", "Casual", "Summer Fall"),
    "Dresses": Garment(garments.dress, 6, "Apparel", "Dress", "Dress", "Women", "Casual Party", "Summer Summer Fall"),
    "Casual Shoes": Garment(garments.casual_shoe, 7, "Footwear", "Shoes", "Casual Shoes", "Men Men Women", "Casual", "Summer Fall"),
    "Heels": Garment(garments.heel, 4, "Footwear", "Shoes", "Heels", "Women", "Casual Party", "Winter Winter Summer"),
    "Flip Flops": Garment(garments.flip_flop, 4, "Footwear", "Flip Flops", "Flip Flops", "Men Women", "Casual", "Summer"),
    "Handbags": Garment(garments.handbag, 5, "Accessories", "Bags", "Handbag", "Women", "Casual", "Summer Winter"),
    "Backpacks": Garment(garments.backpack, 4, "Accessories", "Bags", "Backpack", "Unisex", "Casual Sports", "Summer Winter"),
    "Watches": Garment(garments.watch, 5, "Accessories", "Watches", "Watch", "Men Women", "Casual", "Winter"),
    "Sunglasses": Garment(garments.sunglasses, 4, "Accessories", "Eyewear", "Sunglasses", "Men Women", "Casual", "Winter"),
    "Caps": Garment(garments.cap, 3, "Accessories", "Headwear", "Cap", "Unisex Men", "Casual Sports", "Summer Fall"),
    "Belts": Garment(garments.belt, 3, "Accessories", "Belts", "Belt", "Men Men Women", "Casual Formal", "Summer"),
    "Ties": Garment(garments.tie, 3, "Accessories", "Ties", "Tie", "Men", "Formal", "Summer"),
}

COLOURS = {
    "Black": (34, 34, 38),
    "White": (238, 238, 236),
    "Blue": (48, 104, 196),
    "Navy Blue": (34, 44, 92),
    "Brown": (112, 72, 46),
    "Grey": (138, 140, 144),
    "Red": (196, 34, 44),
    "Green": (48, 128, 72),
    "Pink": (236, 134, 172),
    "Purple": (112, 62, 146),
    "Yellow": (242, 206, 64),
    "Orange": (236, 126, 40),
}
_COLOUR_WEIGHTS = np.array([14, 10, 12, 8, 8, 8, 10, 8, 7, 6, 5, 4])


def _plain(fabric: Sketch, rng: Generator) -> None:
    pass


def _stripes(fabric: Sketch, rng: Generator) -> None:
    step = rng.uniform(9, 24)
    across = rng.choice([0, 1, 1])
    for at in np.arange(-140, 140, step):
        ends = np.array([(-150, at), (150, at)])
        fabric.line(ends if across else ends[:, ::-1], 1, width=step * 0.35)


def _checks(fabric: Sketch, rng: Generator) -> None:
    step = rng.uniform(14, 28)
    for at in np.arange(-140, 140, step):
        ends = np.array([(-150, at), (150, at)])
        fabric.line(ends, 1, width=step * 0.3)
        fabric.line(ends[:, ::-1], 2, width=step * 0.3)


def _polka_dots(fabric: Sketch, rng: Generator) -> None:
    step = rng.uniform(13, 24)
    fabric.dots(_grid(step), 1, radius=step * rng.uniform(0.18, 0.28))


def _flowers(fabric: Sketch, rng: Generator) -> None:
    step = rng.uniform(24, 36)
    centres = _grid(step)
    centres = centres + rng.uniform(-0.2, 0.2, centres.shape) * step
    for angle in np.arange(5) * 2 * math.pi / 5:
        petal = 0.2 * step * np.array([math.cos(angle), math.sin(angle)])
        fabric.dots(centres + petal, 1, radius=0.15 * step)
    fabric.dots(centres, 2, radius=0.1 * step)


def _print(fabric: Sketch, rng: Generator) -> None:
    reach, middle = rng.uniform(15, 26), np.array([0, rng.uniform(-25, 0)])
    corners = int(rng.integers(3, 9))
    angles = np.arange(2 * corners) * math.pi / corners
    radii = reach * np.where(np.arange(2 * corners) % 2, rng.uniform(0.4, 1), 1)
    star = np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)
    fabric.polygon(star + middle, 1)
    fabric.polygon(star * 0.5 + middle, 2)
    for row in (1.3, 1.6):
        fabric.line(np.array([(-reach, row * reach), (reach, row * reach)]) + middle, 1, width=3)


def _grid(step: float) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(-105, 105, step), np.arange(-130, 130, step / 2))
    x[1::2] += step / 2
    return np.stack([x.ravel(), y.ravel()], axis=1)


PATTERNS = {
    "Solid": _plain,
    "Striped": _stripes,
    "Checked": _checks,
    "Polka Dot": _polka_dots,
    "Floral": _flowers,
    "Printed": _print,
}
_PATTERN_WEIGHTS = np.array([9, 3, 2, 2, 2, 2])


def _palette(rng: Generator, base: Colour) -> bytes:
    """Return the colours of parts x pattern levels, as the RGB palette of an image of their numbers."""
    bright = float(base.mean()) > 110
    neutral = np.array((244.0, 243, 238) if not bright else (46.0, 48, 58))
    tint = np.array(list(COLOURS.values())[int(rng.choice(12))], dtype=np.float64)
    second = neutral if rng.random() < 0.5 else 0.5 * (tint + neutral)
    third = 0.5 * base + 0.5 * second
    seam = 0.62 * base if bright else 0.75 * base + 45
    plain = {
        Part.SEAM: seam,
        Part.INSIDE: 0.5 * base,
        Part.TRIM: second if rng.random() < 0.6 else tint,
        Part.METAL: rng.choice([(198, 200, 205), (208, 172, 96), (120, 120, 126)]),
        Part.SOLE: rng.choice([(240, 240, 238), (60, 58, 58), (190, 150, 104)]),
        Part.DARK: (42, 40, 42),
        Part.PALE: (240, 238, 232),
        Part.STITCH: (214, 160, 84),
        Part.LENS: 0.25 * base + rng.choice([(20, 20, 24), (70, 50, 30), (60, 70, 90)]),
    }
    table = np.zeros((3, 16, 3))
    for level, colour in enumerate((base, second, third)):
        table[level, Part.FABRIC] = colour
        table[level, Part.SHADE] = 0.8 * colour if bright else 0.85 * colour + 12
        for part, paint in plain.items():
            table[level, part] = paint
    return np.clip(table, 0, 255).astype(np.uint8).tobytes()


def _pose(rng: Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return a random (2, 3) matrix from garment coordinates to the pixels of a photo of `size`."""
    width, height = size
    scale = rng.uniform(0.78, 1) * min(width / 200, height / 255)
    angle = math.radians(rng.uniform(-12, 12))
    mirror = rng.choice([-1, 1])
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = np.array([width, height]) * (0.5 + rng.uniform(-0.07, 0.07, 2))
    return np.column_stack([turn * (mirror, 1), shift])


def _photo(
    rng: Generator, garment: Garment, pattern: str, colour: str, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pose = _pose(rng, size)
    unit = math.sqrt(abs(float(np.linalg.det(pose[:, :2]))))
    sketch, fabric = Sketch(size, pose), Sketch(size, pose)
    garment.draw(sketch, rng)
    PATTERNS[pattern](fabric, rng)
    for _ in range(5):
        x, y, lean = rng.uniform((-60, -60, -25), (60, 60, 25))
        sketch.shade([(x - 3, y - 35), (x + 3, y - 35), (x + lean + 4, y + 35), (x + lean - 4, y + 35)], int(rng.integers(-30, 30)))
    base = np.array(COLOURS[colour]) * rng.uniform(0.9, 1.08) + rng.uniform(-10, 10, 3)
    numbers = ImageChops.add(sketch.parts, fabric.parts.point([16 * min(i, 15) for i in range(256)]))
    numbers.putpalette(_palette(rng, base))
    paint = np.asarray(numbers.convert("RGB").reduce(OVERSAMPLE), dtype=np.float32)
    cover = sketch.parts.point([0] + [255] * 255).reduce(OVERSAMPLE)
    alpha = np.asarray(cover, dtype=np.float32)[..., None] / 255
    inner = np.asarray(cover.filter(ImageFilter.GaussianBlur(7 * unit)), dtype=np.float32)[..., None] / 255
    light = np.asarray(sketch.light.filter(ImageFilter.GaussianBlur(3.5 * unit)), dtype=np.float32)[..., None] / 128
    down, right = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j].astype(np.float32)[..., None]
    tilt = rng.uniform(-0.09, 0.09, 2).astype(np.float32)
    light = light * (0.76 + 0.3 * inner + tilt[0] * down + tilt[1] * right)
    paint = paint * light + alpha * 40 * np.maximum(light - 1, 0)
    photo = paint + (1 - alpha) * _background(rng, cover, unit, down, right)
    grain = rng.integers(-6, 7, (size[1], size[0], 1)) * rng.uniform(0, 1) + 0.5
    finished = Image.fromarray(np.clip(photo + grain, 0, 255).astype(np.uint8))
    blur = rng.uniform(-0.6, 0.7)
    if blur > 0:
        finished = finished.filter(ImageFilter.GaussianBlur(blur))
    return np.array(finished), np.asarray(alpha[..., 0] >= 0.5)


def _background(rng, cover, unit, down, right):
    kind = rng.choice(4, p=[0.4, 0.15, 0.2, 0.25])
    top = [np.full(3, 255), np.array([248, 245, 238]), np.full(3, rng.uniform(190, 235)), rng.uniform(185, 245, 3)][kind]
    fall = rng.uniform(-22, 6) if kind else 0
    back = top + np.float32(fall) * (down + rng.uniform(-0.5, 0.5) * right)
    shift = (round(rng.uniform(-7, 7) * unit), round(rng.uniform(3, 10) * unit))
    shadow = ImageChops.offset(cover.filter(ImageFilter.GaussianBlur(6 * unit)), *shift)
    return back * (1 - rng.uniform(0.12, 0.35) * np.asarray(shadow, dtype=np.float32)[..., None] / 255)
