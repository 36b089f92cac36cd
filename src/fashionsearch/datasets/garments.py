"""The garments of the drawn catalogue: a shape for each article type, and the table that lists them.

A new article type takes one function that draws it part by part on a `Sketch`, and one line in `GARMENTS`.

Shapes are drawn in garment coordinates: x from -100 (left) to 100, y from -130 (top) to 130, with the garment's
middle at (0, 0). The sketch turns them into pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

OVERSAMPLE = 3

Points = Sequence[tuple[float, float]] | NDArray[np.float64]


class Part(IntEnum):
    """What a pixel of a garment is made of; the product's palette says which colour that is."""

    BACKGROUND = 0
    FABRIC = 1
    SHADE = 2
    SEAM = 3
    INSIDE = 4
    TRIM = 5
    METAL = 6
    SOLE = 7
    DARK = 8
    PALE = 9


class Sketch:
    """A garment drawn part by part.

    Attributes:
        parts: (3 H, 3 W) image, the `Part` of each pixel; it is larger than the photo so that edges come out smooth.
        light: (H, W) image, how much light falls on each pixel; 128 is no change.
    """

    def __init__(self, size: tuple[int, int], pose: NDArray[np.float64]) -> None:
        """Start an empty sketch of `size` (W, H), with `pose` the (2, 3) matrix from garment to photo pixels."""
        self.parts = Image.new("L", (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE))
        self.light = Image.new("L", size, 128)
        self._pose = pose
        self._unit = OVERSAMPLE * math.sqrt(abs(float(np.linalg.det(pose[:, :2]))))
        self._parts = ImageDraw.Draw(self.parts)
        self._light = ImageDraw.Draw(self.light)

    def fill(self, points: Points, part: int = Part.FABRIC, *, smooth: bool = True) -> None:
        """Fill a polygon; `smooth` rounds its corners, except at points that are given twice."""
        self._parts.polygon(self._place(_rounded(points) if smooth else points), fill=part)

    def line(self, points: Points, part: int = Part.SEAM, *, width: float = 1.5) -> None:
        """Draw an open line of `width` garment units."""
        self._parts.line(self._place(points), fill=part, width=max(1, round(width * self._unit)), joint="curve")

    def dots(self, centres: Points, part: int, *, radius: float) -> None:
        """Fill a circle around each centre."""
        pixels = radius * self._unit
        for x, y in np.reshape(self._place(centres), (-1, 2)).tolist():
            self._parts.ellipse((x - pixels, y - pixels, x + pixels, y + pixels), fill=part)

    def shade(self, points: Points, change: int) -> None:
        """Lighten (`change` > 0) or darken a polygon softly, by `change` 128ths."""
        self._light.polygon(self._place(_rounded(points), scale=1), fill=128 + change)

    def _place(self, points: Points, scale: int = OVERSAMPLE) -> list[float]:
        placed = scale * (np.asarray(points, dtype=np.float64) @ self._pose[:, :2].T + self._pose[:, 2])
        # Whole pixels: the last bit of a float, which differs between machines, must not move an edge.
        pixels: list[float] = np.rint(placed).ravel().tolist()
        return pixels


def _rounded(points: Points) -> NDArray[np.float64]:
    """Cut the corners of a closed polygon (Chaikin's algorithm)."""
    outline = np.asarray(points, dtype=np.float64)
    for _ in range(3):
        following = np.concatenate([outline[1:], outline[:1]])
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1)
        outline = outline.reshape(-1, 2)
    return outline


def _whole(half: Points) -> NDArray[np.float64]:
    """Complete the right half of a symmetric outline, given from its top to its bottom."""
    right = np.asarray(half, dtype=np.float64)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _sides(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points of the right side and their mirror image."""
    right = np.asarray(points, dtype=np.float64)
    return right, right * (-1, 1)


def _arc(
    centre: tuple[float, float], radii: tuple[float, float], start: float = 0, stop: float = 360
) -> NDArray[np.float64]:
    """Return points of an ellipse from `start` to `stop` degrees, clockwise from 3 o'clock."""
    angles = np.radians(np.linspace(start, stop, 25))
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _sleeves(sketch: Sketch, rng: Generator, *, shoulder: float, length: float, cuff: int) -> None:
    for side in (1, -1):
        angle = rng.uniform(1.12, 1.36) if length > 60 else rng.uniform(0.75, 1.15)
        along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
        width = 21 if length > 60 else 29
        top = np.array([shoulder, -66.0])
        end = top + length * along
        inner = end + width * across
        armpit = (shoulder - 6, -22)
        corners = np.array([(shoulder - 16, -72), top, end, end, inner, inner, armpit, (shoulder - 14, -26)])
        sketch.fill(corners * (side, 1))
        band = np.array([end, inner, inner - 6 * along, end - 6 * along])
        sketch.fill(band * (side, 1), cuff, smooth=False)
        sketch.line(np.array([top + (-3, -2), armpit]) * (side, 1))
        sketch.shade(np.array([inner, armpit, armpit, inner - 8 * across]) * (side, 1), -26)


def _body(sketch: Sketch, *, shoulder: float, chest: float, waist: float, hem: float, bottom: float) -> None:
    half = [(0, -78), (18, -81), (18, -81), (shoulder, -69), (shoulder - 2, -60), (chest, -24)]
    half += [(waist, 15), (hem, bottom), (hem, bottom), (0, bottom + 4)]
    sketch.fill(_whole(half))
    for side in _sides([(chest, -20), (waist, 15), (hem, bottom), (hem - 12, bottom), (waist - 9, 15)]):
        sketch.shade(side, -18)


def _tshirt(sketch: Sketch, rng: Generator) -> None:
    shoulder, chest = rng.uniform(42, 52), rng.uniform(38, 48)
    trim = int(rng.choice([Part.FABRIC, Part.SHADE, Part.TRIM]))
    _sleeves(sketch, rng, shoulder=shoulder, length=rng.uniform(26, 44), cuff=trim)
    hem = chest + rng.uniform(-4, 5)
    _body(sketch, shoulder=shoulder, chest=chest, waist=chest - rng.uniform(0, 6), hem=hem, bottom=rng.uniform(68, 88))
    sketch.line([(-hem, 70), (hem, 70)], Part.SHADE)
    neck = rng.choice(["crew", "v", "polo"])
    if neck == "v":
        sketch.fill([(-18, -81), (18, -81), (0, -81 + rng.uniform(24, 36))], Part.INSIDE, smooth=False)
        sketch.line([(-18, -80), (0, -50), (18, -80)], trim, width=4)
        return
    depth = rng.uniform(9, 16)
    sketch.fill(_arc((0, -80), (19, depth)), Part.INSIDE, smooth=False)
    sketch.line(_arc((0, -80), (19, depth), 0, 180), trim, width=5)
    sketch.line(_arc((0, -80), (22, depth + 3), 0, 180), width=1)
    if neck == "polo":
        for side in _sides([(0, -66), (20, -82), (27, -73), (13, -56)]):
            sketch.fill(side, Part.TRIM if trim == Part.TRIM else Part.SHADE, smooth=False)
        sketch.line([(0, -66), (0, -38)], width=5)
        sketch.dots([(0, -58), (0, -46)], Part.PALE, radius=1.6)


def _shirt(sketch: Sketch, rng: Generator) -> None:
    shoulder, chest = rng.uniform(42, 50), rng.uniform(37, 45)
    long = rng.random() < 0.75
    length = rng.uniform(92, 112) if long else rng.uniform(32, 46)
    _sleeves(sketch, rng, shoulder=shoulder, length=length, cuff=Part.SHADE)
    bottom, waist = rng.uniform(70, 88), chest - rng.uniform(0, 7)
    _body(sketch, shoulder=shoulder, chest=chest, waist=waist, hem=chest - 2, bottom=bottom)
    sketch.fill([(-14, -84), (14, -84), (0, -58)], Part.INSIDE, smooth=False)
    collar = int(rng.choice([Part.FABRIC, Part.SHADE, Part.PALE]))
    for side in _sides([(0, -60), (13, -86), (22, -82), (25, -64), (15, -50)]):
        sketch.fill(side, collar, smooth=False)
        sketch.line([*side, side[0]], width=1.2)
    sketch.fill(_box(-4, -57, 4, bottom + 2), Part.SHADE, smooth=False)
    sketch.line([(4, -57), (4, bottom + 2)], width=1.2)
    buttons = [(0, y) for y in np.linspace(-46, bottom - 14, 7)]
    sketch.dots(buttons, Part.SEAM, radius=2.6)
    sketch.dots(buttons, Part.PALE, radius=2)
    for x in (15, -33)[: int(rng.integers(0, 3))]:
        sketch.fill([(x, -30), (x + 18, -30), (x + 18, -12), (x + 9, -6), (x, -12)], Part.FABRIC, smooth=False)
        sketch.line([(x, -30), (x + 18, -30), (x + 18, -12), (x + 9, -6), (x, -12), (x, -30)], width=1.3)


def _top(sketch: Sketch, rng: Generator) -> None:
    chest, flare = rng.uniform(32, 40), rng.uniform(-2, 20)
    strap, low = rng.uniform(14, 26), rng.uniform(-52, -34)
    width, bottom = rng.uniform(4, 13), rng.uniform(48, 72)
    sketch.fill(_whole([(0, low - 16), (strap, -84), (strap + width, -82), (chest - 2, -38), (chest - 4, -20)]), Part.INSIDE)
    half = [(0, low), (strap - 4, low - 10), (strap, -88), (strap, -88), (strap + width, -88), (strap + width, -88)]
    half += [(strap + width + 1, -52), (chest, -36), (chest, -36), (chest - 4, 0), (chest + flare, bottom)]
    sketch.fill(_whole([*half, (chest + flare, bottom), (0, bottom + 7)]))
    sketch.line([(strap - 1, -84), (strap - 5, low - 9), (0, low + 2), (5 - strap, low - 9), (1 - strap, -84)], width=2)
    waist = rng.uniform(-8, 14)
    if rng.random() < 0.5:
        sketch.line([(-chest, waist), (0, waist + 3), (chest, waist)], Part.SHADE, width=6)
        sketch.line([(0, waist), (-7, waist + 24)], Part.SHADE, width=3)
        sketch.line([(0, waist), (8, waist + 22)], Part.SHADE, width=3)
    for x in np.linspace(0.2, 0.9, 3) * chest:
        for side in _sides([(x * 0.8, waist + 8), (x + flare / 2, bottom), (x + flare / 2 - 5, bottom)]):
            sketch.shade(side, -26)


def _sweatshirt(sketch: Sketch, rng: Generator) -> None:
    shoulder, chest = rng.uniform(46, 54), rng.uniform(43, 50)
    bottom = rng.uniform(62, 78)
    hood = rng.random() < 0.7
    if hood:
        sketch.fill(_whole([(0, -116), (22, -112), (34, -88), (30, -66), (0, -60)]), Part.SHADE)
    _sleeves(sketch, rng, shoulder=shoulder, length=rng.uniform(96, 110), cuff=Part.SHADE)
    _body(sketch, shoulder=shoulder, chest=chest, waist=chest, hem=chest - 3, bottom=bottom)
    sketch.fill(_box(3 - chest, bottom - 8, chest - 3, bottom + 4), Part.SHADE, smooth=False)
    for x in np.linspace(5 - chest, chest - 5, 15):
        sketch.line([(x, bottom - 7), (x, bottom + 3)], width=0.8)
    if hood:
        sketch.fill(_whole([(0, -108), (16, -104), (24, -86), (18, -66), (0, -48)]), Part.INSIDE)
        sketch.line(_whole([(0, -110), (20, -105), (27, -86), (20, -64), (0, -46)]), Part.FABRIC, width=7)
        for side in _sides([(8, -52), (9, -26 + rng.uniform(-6, 6))]):
            sketch.line(side, Part.PALE, width=2.4)
    else:
        sketch.fill(_arc((0, -80), (19, 10)), Part.INSIDE, smooth=False)
        sketch.line(_arc((0, -79), (20, 12), 0, 180), Part.SHADE, width=7)
    pocket = [(0, 18), (18, 18), (30, 42), (30, 62), (0, 62)]
    if rng.random() < 0.4:
        sketch.line([(0, -52), (0, bottom + 3)], Part.METAL, width=3)
    if hood:
        sketch.fill(_whole(pocket), Part.FABRIC, smooth=False)
        sketch.line([*_whole(pocket), (0, 18)], width=2)
