"""The same product first among all 12,000 photos, from a photo of it in a cluttered place, with `background="fuse"`.

A product is cut out by the mask of `harness.distortions.clutter` (white that reaches the border is ground) and laid, itself
60 % of the scene's height (or as wide as the scene), at a place drawn by seed on a photographed scene: a corner, a quarter of
each side, of a photo of `clothing-dataset-small` that shows another kind of garment (its validation part for the test
products, its train part while things are chosen). Corners show floors, carpets, beds and walls, and seldom a piece of that
other garment. The corner is made 256 pixels high.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from fashion import mean
from PIL import Image
from scipy import ndimage

import fashionsearch as fs
from buying.data import Data, encoder
from fashionsearch.background import fuse
from fashionsearch.images import read_image

Pixels = npt.NDArray[np.uint8]

HEIGHT = 256
_PRODUCTS, _CHOSEN_ON = 1000, 600
_CORNER = 0.25
_SHARE = 0.6
_WHITE = 235
_TOPS, _LEGS = {"dress", "longsleeve", "outwear", "shirt", "t-shirt"}, {"pants", "shorts", "skirt"}
_KINDS = {
    "Topwear": _TOPS,
    "Dress": _TOPS,
    "Saree": _TOPS,
    "Bottomwear": _LEGS,
    "Innerwear": _TOPS | _LEGS,
    "Loungewear and Nightwear": _TOPS | _LEGS,
    "Apparel Set": _TOPS | _LEGS,
    "Shoes": {"shoes"},
    "Sandal": {"shoes"},
    "Flip Flops": {"shoes"},
    "Headwear": {"hat"},
}


def cut_out(photo: Pixels) -> npt.NDArray[np.bool_]:
    """Return what is not white that reaches the border, as `clutter` has it."""
    regions, _ = ndimage.label((photo >= _WHITE).all(axis=2))
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    kept: npt.NDArray[np.bool_] = ~np.isin(regions, border[border > 0])
    return kept


def scene(kind: str, scenes: fs.datasets.Table, rng: np.random.Generator) -> Pixels:
    """Return a corner of a photo that shows another kind of garment than a subCategory's."""
    others = np.flatnonzero(~np.isin(scenes["label"], sorted(_KINDS.get(kind, ()))))
    photo = read_image(scenes.images[int(rng.choice(others))])
    height, width = (int(_CORNER * side) for side in photo.shape[:2])
    top, left = (
        int(rng.integers(2)) * (side - part) for side, part in zip(photo.shape, (height, width), strict=False)
    )
    corner = photo[top : top + height, left : left + width]
    scale = HEIGHT / height
    return np.asarray(
        Image.fromarray(corner).resize(
            (round(width * scale), round(height * scale)), Image.Resampling.BICUBIC
        )
    )


def composed(photo: Pixels, ground: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay a product on a scene, 60 % of its height, or as wide as the scene where it would be wider."""
    kept = cut_out(photo)
    if not kept.any():
        kept[:] = True  # no ground at all: the photo as it is
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    product, mask = Image.fromarray(photo[box]), Image.fromarray(kept[box].astype(np.uint8) * 255)
    height, width = ground.shape[:2]
    scale = min(_SHARE * height / product.height, width / product.width)
    size = round(scale * product.width), round(scale * product.height)
    place = int(rng.integers(width - size[0] + 1)), int(rng.integers(height - size[1] + 1))
    whole = Image.fromarray(ground)
    whole.paste(
        product.resize(size, Image.Resampling.BICUBIC), place, mask.resize(size, Image.Resampling.BILINEAR)
    )
    return np.asarray(whole)


def measure(data: Data, name: str, *, validation: bool) -> list[dict[str, Any]]:
    """Return how often the product itself is first, for photos in scenes and clean ones, with backgrounds kept and fused."""
    own = data.is_validation[: len(data.gallery)]
    images = [*data.gallery.images, *([] if validation else data.test.images)]
    places = np.flatnonzero(own) if validation else len(data.gallery) + np.arange(_PRODUCTS)
    if validation:
        places = np.sort(np.random.default_rng(3).choice(places, _CHOSEN_ON, replace=False))
    table = fs.datasets.load_fashion_products(data.folder / "fashion-product-images-small")
    scenes = fs.datasets.load_folder(
        data.folder / "clothing-dataset-small" / ("train" if validation else "validation")
    )
    clean = [read_image(images[place]) for place in places]
    cluttered = []
    for place, photo in zip(places, clean, strict=True):
        rng = np.random.default_rng([0, int(place)])
        cluttered.append(composed(photo, scene(table["subCategory"][place], scenes, rng), rng))
    began = time.process_time()
    vectors = {("in scenes", "fuse"): fuse(encoder(name), cluttered)}
    seconds = (time.process_time() - began) / len(places)
    vectors["in scenes", "keep"] = encoder(name).embed(cluttered)
    vectors |= {("clean", "keep"): encoder(name).embed(clean), ("clean", "fuse"): fuse(encoder(name), clean)}
    rows: list[dict[str, Any]] = []
    for indexed in ("keep", "fuse"):
        index = fs.VisualIndex(encoder(name), engine="exact", background=indexed)
        index.add(images, cache=fs.EmbeddingCache())
        for (what, asked), some in vectors.items():
            first = index.search_vectors(some, k=1).ids[:, 0].astype(np.int64) == places
            rows.append(
                mean(f"the same product first, {what}: {indexed} in the index, {asked} in the search", first)
            )
    return [*rows, {"measure": "CPU seconds a query in a scene", "value": seconds, "form": ".2f"}]
