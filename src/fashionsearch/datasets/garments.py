"""How each garment of the drawn catalogue looks: one function an article type, and the sketch they draw on.

Shapes are given in garment coordinates: x from -100 (left) to 100, y from -130 (top) to 130, around the
garment's middle at (0, 0). The sketch turns them into pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import IntEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

OVERSAMPLE = 3

Outline = NDArray[np.float64]
Points = Sequence[tuple[float, float]] | Outline


# What a pixel is made of; the product's palette says which colour that is.
Part = IntEnum("Part", "BACKGROUND FABRIC SHADE SEAM INSIDE TRIM METAL SOLE DARK PALE STITCH LENS", start=0)


class Sketch:
    """A garment drawn part by part; with `both`, a part is drawn together with its mirror image.

    Args:
        size: the photo's (W, H) in pixels.
        pose: (2, 3) matrix from garment coordinates to the photo's pixels.

    Attributes:
        parts: (3 H, 3 W) image, the `Part` of each pixel; larger than the photo, so that edges are smooth.
        light: (H, W) image, the light that falls on each pixel; 128 is no change.
        unit: how many of the photo's pixels one garment unit is.
    """

    def __init__(self, size: tuple[int, int], pose: NDArray[np.float64]) -> None:
        self.parts = Image.new("L", (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE))
        self.light = Image.new("L", size, 128)
        self.unit = math.hypot(*pose[:, 0])
        self._pose = pose
        self._parts = ImageDraw.Draw(self.parts)
        self._light = ImageDraw.Draw(self.light)

    def polygon(self, points: Points, part: int = Part.FABRIC, *, both: bool = False) -> None:
        """Fill a polygon."""
        for pixels in self._pixels(points, both):
            self._parts.polygon(pixels, fill=part)

    def shape(self, points: Points, part: int = Part.FABRIC, *, both: bool = False) -> None:
        """Fill a polygon with rounded corners; a point that is given twice keeps a sharp corner."""
        self.polygon(_rounded(points), part, both=both)

    def line(self, points: Points, part: int = Part.SEAM, *, width: float = 1.5, both: bool = False) -> None:
        """Draw an open line that is `width` garment units wide."""
        thickness = max(1, round(width * self.unit * OVERSAMPLE))
        for pixels in self._pixels(points, both):
            self._parts.line(pixels, fill=part, width=thickness, joint="curve")

    def dots(self, centres: Points, part: int, *, radius: float) -> None:
        """Fill a circle around each centre."""
        reach = max(1, round(radius * self.unit * OVERSAMPLE))
        for pixels in self._pixels(centres, both=False):
            for x, y in zip(pixels[::2], pixels[1::2], strict=True):
                self._parts.ellipse((x - reach, y - reach, x + reach, y + reach), fill=part)

    def shade(self, points: Points, change: int, *, both: bool = False) -> None:
        """Softly lighten (`change` > 0) or darken a polygon, by `change` 128ths."""
        for pixels in self._pixels(points, both, scale=1):
            self._light.polygon(pixels, fill=128 + change)

    def _pixels(self, points: Points, both: bool, scale: int = OVERSAMPLE) -> Iterator[list[float]]:
        for side in (1, -1)[: 1 + both]:
            placed = (np.asarray(points) * (side, 1)) @ self._pose[:, :2].T + self._pose[:, 2]
            # Whole pixels: the last bit of a float, which differs between machines, must not move an edge.
            pixels: list[float] = np.rint(scale * placed).ravel().tolist()
            yield pixels


def _rounded(points: Points) -> Outline:
    """Cut the corners of a closed polygon (Chaikin's algorithm)."""
    outline = np.asarray(points, dtype=np.float64)
    for _ in range(3):
        following = np.concatenate([outline[1:], outline[:1]])
        cut = np.concatenate([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1)
        outline = cut.reshape(-1, 2)
    return outline


def _whole(half: Points) -> Outline:
    """Complete the right half of a symmetric outline, given from its top to its bottom."""
    right = np.asarray(half, dtype=np.float64)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _arc(x: float, y: float, across: float, down: float, start: int = 0, stop: int = 360) -> Outline:
    """Return 25 points of the ellipse around (x, y), `start` to `stop` degrees clockwise from the right."""
    angles = np.radians(np.linspace(start, stop, 25))
    return np.stack([x + across * np.cos(angles), y + down * np.sin(angles)], axis=1)


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _pick(rng: Generator, *parts: Part) -> Part:
    return parts[rng.integers(len(parts))]


def _sleeves(sketch: Sketch, rng: Generator, shoulder: float, length: float, cuff: Part) -> None:
    angle, width = (rng.uniform(1.12, 1.32), 20) if length > 60 else (rng.uniform(0.75, 1.15), 29)
    along, across = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    top, armpit = np.array([(shoulder, -66), (shoulder - 6, -22)])
    end, inner = top + length * along, top + length * along + width * across
    corners = [(shoulder - 16, -72), top, end, end, inner, inner, armpit, (shoulder - 14, -26)]
    sketch.shape(np.array(corners), both=True)
    sketch.polygon(np.array([end, inner, inner - 7 * along, end - 7 * along]), cuff, both=True)
    sketch.line(np.array([top - (3, 2), armpit]), both=True)
    sketch.shade(np.array([inner, armpit, inner - 8 * across]), -30, both=True)


def _torso(sketch: Sketch, rng: Generator, shoulder: float, bottom: float) -> None:
    chest, hem = shoulder + rng.uniform((-7, -8), (-2, 1))
    half = [(0, -78), (18, -81), (18, -81), (shoulder, -69), (shoulder - 2, -60), (chest, -24)]
    sketch.shape(_whole([*half, (chest - 4, 15), (hem, bottom), (hem, bottom), (0, bottom + 4)]))
    sketch.shade([(chest, -20), (hem, bottom), (hem - 12, bottom), (chest - 11, 15)], -20, both=True)
    sketch.line([(0, bottom - 4), (hem - 1, bottom - 7)], both=True)


def tshirt(sketch: Sketch, rng: Generator) -> None:
    """Draw a T-shirt with a crew neck, a V-neck or a polo collar."""
    shoulder, bottom, sleeve, depth = rng.uniform((42, 68, 26, 9), (54, 92, 44, 16))
    trim, neck = _pick(rng, Part.FABRIC, Part.SHADE, Part.TRIM), rng.integers(3)
    _sleeves(sketch, rng, shoulder, sleeve, trim)
    _torso(sketch, rng, shoulder, bottom)
    opening = np.array([(-18, -81), (0, -50), (18, -81)]) if neck == 0 else _arc(0, -80, 19, depth)
    sketch.polygon(opening, Part.INSIDE)
    sketch.line(opening[:13], trim, width=5)
    sketch.line((opening[:13] - (0, -80)) * 1.15 + (0, -80), width=1)
    if neck == 1:
        sketch.polygon([(0, -66), (20, -82), (27, -73), (13, -56)], Part.SHADE, both=True)
        sketch.line([(0, -66), (0, -38)], width=5)
        sketch.dots([(0, -58), (0, -46)], Part.PALE, radius=1.6)


def shirt(sketch: Sketch, rng: Generator) -> None:
    """Draw a shirt with a collar, buttons, up to two pockets, and long or short sleeves."""
    shoulder, bottom, long, short = rng.uniform((42, 68, 106, 32), (51, 90, 126, 46))
    _sleeves(sketch, rng, shoulder, long if rng.random() < 0.75 else short, Part.SHADE)
    _torso(sketch, rng, shoulder, bottom)
    sketch.polygon([(-14, -84), (14, -84), (0, -58)], Part.INSIDE)
    collar = [(0, -60), (13, -86), (22, -82), (25, -64), (15, -50)]
    sketch.polygon(collar, _pick(rng, Part.FABRIC, Part.SHADE, Part.PALE), both=True)
    sketch.line([*collar, (0, -60)], width=1.2, both=True)
    sketch.line([(4, -55), (4, bottom)])
    buttons = [(0, y) for y in np.linspace(-46, bottom - 14, 7)]
    sketch.dots(buttons, Part.SEAM, radius=2.6)
    sketch.dots(buttons, Part.PALE, radius=2)
    for x in (14, -32)[: rng.integers(3)]:
        sketch.line([(x, -30), (x + 18, -30), (x + 18, -12), (x + 9, -6), (x, -12), (x, -30)])


def _legs(sketch: Sketch, waist: float, top: float, stance: float, hem: float, bottom: float) -> None:
    outer, inner = stance + hem, stance - hem
    leg = [(0, top), (waist, top), (waist, top), (waist + 9, top + 42), (outer, bottom), (outer, bottom)]
    leg += [(inner, bottom + 2), (inner, bottom + 2), (3, top + 68), (0, top + 62), (0, top + 62)]
    sketch.shape(leg, both=True)
    sketch.shade([(inner, bottom), (0, top + 60), (waist * 0.3, top + 60), (stance, bottom)], -22, both=True)
    sketch.polygon(_whole([(0, top - 4), (waist, top - 2), (waist, top + 9), (0, top + 9)]), Part.SHADE)
    sketch.line([(0, top + 9), (0, top + 62)])


def jeans(sketch: Sketch, rng: Generator) -> None:
    """Draw jeans with coloured stitching, belt loops and a faded thigh."""
    waist, hem, bottom, gap, cuff = rng.uniform((34, 12, 90, 5, 4), (42, 18, 114, 22, 14))
    stance = hem + gap
    _legs(sketch, waist, -100, stance, hem, bottom)
    sketch.shade([(waist - 10, -60), (waist, -60), (stance + 8, 30), (stance - 6, 30)], 55, both=True)
    sketch.line([(waist - 22, -91), (waist - 18, -76), (waist + 3, -70)], Part.STITCH, width=1.8, both=True)
    sketch.line([(7, -91), (7, -58), (0, -48)], Part.STITCH, width=1.8)
    sketch.dots([(0, -96)], Part.METAL, radius=3)
    sketch.line([(waist / 2, -106), (waist / 2, -88)], Part.FABRIC, width=4, both=True)
    sketch.line([(waist + 6, -55), (stance + hem - 2, bottom)], Part.STITCH, both=True)
    sketch.line([(gap, bottom - cuff), (stance + hem, bottom - cuff)], Part.STITCH, both=True)


def trousers(sketch: Sketch, rng: Generator) -> None:
    """Draw trousers with a crease and sometimes a belt."""
    waist, hem, bottom, gap = rng.uniform((32, 14, 92, 3), (40, 21, 114, 14))
    stance = hem + gap
    _legs(sketch, waist, -100, stance, hem, bottom)
    sketch.line([(waist * 0.5, -88), (waist * 0.55, -40), (stance, bottom)], both=True)
    sketch.shade([(waist / 2, -88), (stance, bottom), (stance - 8, bottom), (waist / 3, -88)], 26, both=True)
    sketch.line([(waist - 12, -90), (waist + 4, -58)], width=2, both=True)
    if rng.random() < 0.6:
        sketch.polygon(_box(-waist, -104, waist, -92), Part.DARK)
        sketch.polygon(_box(-7, -106, 7, -90), Part.METAL)
        sketch.polygon(_box(-4, -103, 4, -93), Part.DARK)


def shorts(sketch: Sketch, rng: Generator) -> None:
    """Draw shorts with a drawstring."""
    waist, hem, bottom, gap = rng.uniform((42, 26, 18, 3), (54, 34, 62, 8))
    _legs(sketch, waist, -62, hem + gap, hem, bottom)
    sketch.line([(waist - 18, -52), (waist + 4, -22)], width=2, both=True)
    sketch.line([(gap, bottom - 7), (gap + 2 * hem, bottom - 7)], both=True)
    sketch.line([(2, -54), (7, -22)], Part.PALE, width=2.6, both=True)


def _folds(sketch: Sketch, count: int, waist: float, hem: float, top: float, bottom: float) -> None:
    for x in np.linspace(-0.9, 0.9, count):
        end = bottom + 7 * (1 - x * x)
        sketch.line([(x * waist, top), (x * hem, end)], width=1)
        sketch.shade([(x * waist, top), (x * hem, end), ((x - 1 / count) * hem, end)], -30)


def skirt(sketch: Sketch, rng: Generator) -> None:
    """Draw a skirt, from a short pleated one to a long straight one."""
    waist, hem, bottom = rng.uniform((28, 44, 20), (38, 82, 80))
    half = [(0, -74), (waist, -76), (waist, -76), (waist + 12, -45), (hem, bottom), (hem, bottom)]
    sketch.shape(_whole([*half, (0, bottom + 9)]))
    _folds(sketch, int(rng.integers(3, 10)), waist, hem, -64, bottom)
    sketch.polygon(_box(-waist, -78, waist, -66), _pick(rng, Part.SHADE, Part.TRIM))
    if rng.random() < 0.4:
        sketch.line(_arc(0, bottom - 12, hem - 3, 9, 5, 175), Part.TRIM, width=4)


def dress(sketch: Sketch, rng: Generator) -> None:
    """Draw a dress with straps or short sleeves."""
    chest, waist, hem, strap, bottom, low = rng.uniform((27, 21, 34, 12, 62, -92), (34, 28, 74, 20, 112, -76))
    edge = strap + 6
    sketch.shape(_whole([(0, low - 12), (strap, -115), (chest - 2, -72), (0, -60)]), Part.INSIDE)
    if rng.random() < 0.4:
        edge = chest + 3
        sleeve = [(edge - 12, -114), (edge, -112), (edge + 20, -84), (edge + 6, -74), (chest - 4, -78)]
        sketch.shape(sleeve, both=True)
        sketch.line([(edge, -112), (chest, -78)], both=True)
    half = [(0, low), (strap - 3, low - 8), (strap, -116), (strap, -116), (edge, -114), (edge, -114)]
    half += [(chest, -74), (chest, -74), (waist, -22), (waist, -22), (waist + 10, 0)]
    sketch.shape(_whole([*half, (hem, bottom), (hem, bottom), (0, bottom + 8)]))
    _folds(sketch, int(rng.integers(3, 8)), waist, hem, -18, bottom)
    sketch.polygon(_box(-waist - 1, -26, waist + 1, -18), _pick(rng, Part.SHADE, Part.TRIM, Part.SEAM))


def casual_shoe(sketch: Sketch, rng: Generator) -> None:
    """Draw a laced shoe from the side, low or over the ankle."""
    toe, sole, top, stripe = rng.uniform((-2, 46, -66, 2), (8, 54, -32, 9))
    sketch.polygon(_arc(40, top + 5, 26, 9), Part.INSIDE)
    upper = [(-88, 36), (-92, 14 + toe), (-74, toe), (-42, -8), (2, top), (10, top - 10), (22, top)]
    upper += [(42, top + 12), (60, top + 2), (68, top - 8), (76, top), (76, -10), (82, 36), (82, 36)]
    sketch.shape(upper)
    cap = [(-89, 36), (-91, 14 + toe), (-74, 2 + toe), (-62, 2), (-50, 18), (-48, 36), (-48, 36)]
    sketch.shape(cap, _pick(rng, Part.PALE, Part.SHADE, Part.FABRIC))
    sketch.line([(-62, 0), (-52, 12), (-48, 36)], width=1.8)
    sketch.shape([(58, 36), (60, 4), (78, -8), (81, 36), (81, 36)], _pick(rng, Part.SHADE, Part.TRIM))
    sketch.line([(-26, 32), (6, 6), (50, top / 3)], Part.TRIM, width=stripe)
    for x, y in zip(np.linspace(-42, 8, 5), np.linspace(0.1, 1, 5) * (top + 10), strict=True):
        sketch.line([(x, y - 6), (x + 12, y + 8)], Part.PALE, width=4)
    bottom = [(-95, 34), (-95, 34), (84, 34), (86, sole), (80, sole), (-86, sole), (-97, sole - 4)]
    sketch.shape(bottom, Part.SOLE)
    sketch.line([(-92, sole - 6), (84, sole - 6)])


def heel(sketch: Sketch, rng: Generator) -> None:
    """Draw a heeled shoe from the side: a pump, an open toe or an ankle strap."""
    seat, width, style = *rng.uniform((-32, 4), (15, 15)), rng.integers(3)
    arch = 28 + 0.54 * seat
    sketch.shape([(-40, 24), (0, seat / 2), (58, seat - 34), (8, arch), (-26, 46)], Part.INSIDE)
    sketch.polygon([(46, seat), (71, seat - 6), (68, 61), (68 - width, 61)], Part.SHADE)
    upper = [(-92, 60), (-86, 48), (-60, 34), (-42, 20), (-42, 20), (-28, 40), (8, arch - 20)]
    upper += [(42, seat - 16), (56, seat - 38), (68, seat - 38), (73, seat - 8), (68, seat + 3)]
    sketch.shape([*upper, (46, seat + 8), (8, arch + 4), (-30, 60), (-60, 62)])
    sketch.line([(-88, 60), (-40, 61), (-28, 57), (8, arch + 2), (46, seat + 5)], Part.SOLE, width=3)
    if style == 0:
        sketch.line([(66, seat - 30), *_arc(46, seat - 50, 20, 7)], Part.FABRIC, width=4)
    elif style == 1:
        sketch.shape([(-92, 58), (-87, 47), (-72, 41), (-74, 57)], Part.INSIDE)


def flip_flop(sketch: Sketch, rng: Generator) -> None:
    """Draw a pair of flip-flops from above."""
    spread, tilt, width = rng.uniform((36, -0.05, 6), (42, 0.18, 10))
    turn = np.array([(math.cos(tilt), math.sin(tilt)), (-math.sin(tilt), math.cos(tilt))])
    foot = [(2, -96), (24, -88), (33, -50), (23, -4), (25, 50), (17, 86), (0, 94), (-17, 86), (-23, 50)]
    sole = np.array([*foot, (-20, -4), (-28, -50), (-20, -88)]) @ turn
    sketch.shape(sole + np.array([spread, 6]), Part.SOLE, both=True)
    sketch.shape(0.96 * sole + (spread, 0), both=True)
    strap = np.array([(26, 12), (26, 4), (15, -34), (-6, -56), (-14, -34), (-24, 4), (-23, 12)])
    sketch.line(strap @ turn + (spread, 0), _pick(rng, Part.TRIM, Part.SEAM), width=width, both=True)


def handbag(sketch: Sketch, rng: Generator) -> None:
    """Draw a handbag with a flap, an outer pocket or a darker base."""
    top, base, bottom, arch = rng.uniform((50, 62, 42, 40), (76, 84, 82, 72))
    style, handle = rng.integers(3), _pick(rng, Part.SHADE, Part.DARK)
    sketch.line(_arc(0, -18, top * 0.55, arch, 180, 360), width=6)
    half = [(0, -22), (top, -22), (top, -22), (base, bottom - 8), (base - 6, bottom), (0, bottom + 2)]
    sketch.shape(_whole(half))
    if style == 0:
        sketch.shape(_whole([(0, -24), (top, -23), (top, -23), (top * 0.9, 8), (0, 28)]), Part.SHADE)
        sketch.polygon(_box(-7, 12, 7, 28), Part.METAL)
    elif style == 1:
        sketch.line([(0, -12), (top - 8, -12)], Part.METAL, width=3, both=True)
        sketch.line([(0, 14), (top * 0.6, 14), (top * 0.6, bottom), (0, bottom)], width=2, both=True)
    else:
        sketch.shape(_whole([(0, bottom - 24), *half[3:]]), Part.SHADE)
    sketch.line(_arc(0, -12, top * 0.6, arch, 180, 360), handle, width=8)
    sketch.dots([(-top * 0.6, -10), (top * 0.6, -10)], Part.METAL, radius=5)
    sketch.shade(_whole([(0, -10), (top * 0.6, -6), (top * 0.6, 20), (0, 30)]), 20)


def backpack(sketch: Sketch, rng: Generator) -> None:
    """Draw a backpack from the front, its straps showing at the sides."""
    width, top, pocket = rng.uniform((48, -92, 8), (64, -76, 26))
    sketch.line(_arc(0, top + 2, 16, 20, 180, 360), Part.SHADE, width=7)
    sketch.line(_arc(width - 8, 20, 26, 70, -80, 80), width=9, both=True)
    sketch.shape(
        [(width - 6, 20), (width + 14, 26), (width + 14, 76), (width - 6, 86)], Part.SHADE, both=True
    )
    side = [(width, top + 36), (width, 0), (width + 4, 92), (width + 4, 92)]
    sketch.shape(_whole([(0, top), (width * 0.7, top + 2), *side, (0, 97)]))
    sketch.line(_arc(0, top + 52, width - 5, 44, 180, 360), Part.DARK, width=3)
    front = [(0, pocket), (width * 0.7, pocket), (width * 0.82, pocket + 16), (width * 0.85, 88), (0, 90)]
    sketch.shape(_whole(front), _pick(rng, Part.FABRIC, Part.SHADE, Part.TRIM))
    sketch.line(_arc(0, pocket + 14, width * 0.74, 12, 180, 360), Part.DARK, width=3)
    sketch.polygon(_box(-13, -34, 13, -18), _pick(rng, Part.TRIM, Part.PALE, Part.SHADE))
    sketch.shade(_whole([(0, top + 12), (width * 0.5, top + 20), (width * 0.5, -10), (0, -5)]), 28)


def watch(sketch: Sketch, rng: Generator) -> None:
    """Draw a round or square watch on an open strap."""
    strap, case, gap, round_case = *rng.uniform((17, 36, 8), (25, 46, 30)), rng.random() < 0.7
    for end in (-112, 112):
        sketch.polygon([(-strap, 0), (strap, 0), (strap * 0.8, end), (-strap * 0.8, end)])
        for y in np.arange(44, 110, gap) * np.sign(end):
            sketch.line([(-strap * 0.9, y), (strap * 0.9, y)], width=2)
    sketch.polygon(_box(case - 4, -6, case + 9, 6), Part.METAL)
    face, hands = (Part.PALE, Part.DARK) if rng.random() < 0.6 else (Part.DARK, Part.PALE)
    rim = _arc(0, 0, 1, 1) if round_case else 0.9 * _rounded(np.repeat(_box(-1, -1, 1, 1), 2, axis=0))
    for radius, part in ((case, Part.METAL), (case - 4, Part.FABRIC), (case - 10, face)):
        sketch.polygon(radius * rim, part)
    for tick in _arc(0, 0, case - 15, case - 15)[::2]:
        sketch.line(np.array([tick, 0.85 * tick]), hands, width=2.4)
    for length, width, hour in ((0.4, 4, rng.integers(12)), (0.6, 2.6, rng.integers(12))):
        sketch.line([(0, 0), (case - 6) * length * _arc(0, 0, 1, 1)[2 * hour]], hands, width=width)


def sunglasses(sketch: Sketch, rng: Generator) -> None:
    """Draw sunglasses from the front with pilot, square or round lenses."""
    rim, lift, style = *rng.uniform((4, -52), (9, -32)), rng.integers(3)
    pilot = [(10, -22), (10, -22), (52, -28), (84, -24), (84, -10), (66, 32), (40, 38), (16, 18)]
    square = [(8, -22), (8, -22), (84, -28), (84, -28), (82, 10), (74, 28), (26, 28), (12, 14)]
    circle = [(14, -10), (28, -32), (52, -34), (76, -28), (84, 0), (72, 28), (44, 34), (20, 20)]
    lens = np.array((pilot, square, circle)[style])
    x, y = lens.mean(axis=0)
    sketch.line([(90, -20), (74, lift), (50, lift - 8)], Part.SHADE, width=6, both=True)
    sketch.line(_arc(0, -8, 14, 8, 190, 350), Part.FABRIC, width=rim)
    sketch.shape((lens - (x, y)) * (1 + rim / 36) + (x, y), both=True)
    sketch.shape(lens, Part.LENS, both=True)
    sketch.polygon(_box(84, -28, 94, -14), both=True)
    sketch.shade([(x - 12, y - 18), (x + 6, y - 20), (x - 14, y + 14)], 60, both=True)


def cap(sketch: Sketch, rng: Generator) -> None:
    """Draw a cap from the side with a badge."""
    top, brim, badge = rng.uniform((-56, -104, 9), (-36, -88, 15))
    dome = [(-62, 26), (-62, 26), (-60, top + 26), (-24, top - 4), (30, top - 2), (70, top + 26), (76, 22)]
    sketch.shape([*dome, (76, 22), (20, 40)])
    sketch.line(_arc(6, 30, 40, 29 - top, 180, 270), width=1.8)
    sketch.line(_arc(6, 32, 44, 31 - top, 270, 360), width=1.8)
    sketch.line(_arc(8, 18, 66, 16, 0, 180), Part.SHADE, width=5)
    sketch.dots([(6, top), (-44, top + 32), (58, top + 34)], Part.SEAM, radius=3)
    sketch.dots([(6, top / 2 + 8)], Part.TRIM, radius=badge)
    peak = [(-54, 20), (brim, 40), (brim - 4, 48), (-20, 52), (30, 34)]
    sketch.shape(peak, _pick(rng, Part.FABRIC, Part.SHADE, Part.TRIM))
    sketch.line(_arc(-20, 46, 70, 20, 190, 320))


def tie(sketch: Sketch, rng: Generator) -> None:
    """Draw a knotted tie."""
    width, knot, bend, tip = rng.uniform((20, 12, -10, 94), (30, 16, 10, 116))
    sketch.polygon([(knot - 4, -104), (knot + 12, -122), (knot + 4, -126), (0, -112)], Part.INSIDE, both=True)
    sketch.polygon([(-6, -80), (8, -80), (12 - bend, tip - 34), (2 - bend, tip - 22)], Part.SHADE)
    blade = [
        (5 - knot, -84),
        (knot - 5, -84),
        (bend + width, tip - 24),
        (bend, tip),
        (bend - width, tip - 24),
    ]
    sketch.polygon(blade)
    half = [(0, -112), (knot, -112), (knot, -112), (knot - 6, -82), (knot - 6, -82), (0, -80)]
    sketch.shape(_whole(half))
    sketch.line([(6 - knot, -82), (0, -79), (knot - 6, -82)], width=3)
    sketch.shade([(0, -80), (8, -80), (bend + width, tip - 24), (bend + width * 0.4, tip - 24)], -26)
