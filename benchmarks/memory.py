"""Whether memory stays level: a generator of 100,000 drawn photos is embedded in pieces, and resident memory is sampled.

The photos are JPEG bytes, each drawn and encoded when it is asked for, so no two are the same and none is kept. What is
measured is the pipeline (decoding, resizing, batches, embeddings), so the network is a single convolution, which is
fast; `--backbone efficientnet_lite0` measures a real one, with its export to ONNX. Growth counts from just before the
first photo, with the backbone made, to the highest sample. The embedding cache is empty at first.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from options import empty_cache, parser
from timing import write

import fashionsearch as fs

STATUS = Path("/proc/self/statm")
SAMPLES = 200


def resident_megabytes() -> float:
    """Return this process's resident memory, in millions of bytes."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def drawn_photos(count: int, height: int, width: int) -> Iterator[bytes]:
    """Yield JPEGs of a coloured rectangle on a shaded ground, with some noise, each another."""
    rng = np.random.default_rng(0)
    shade = np.linspace(0, 60, height, dtype=np.float32)[:, None, None]
    grain = rng.normal(0, 8, (height, width, 3)).astype(np.float32)
    for _ in range(count):
        photo = shade + rng.integers(60, 180, 3) + np.roll(grain, int(rng.integers(width)), axis=1)
        top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
        photo[top : top + height // 2, left : left + width // 2] += rng.integers(-100, 100, 3)
        yield simplejpeg.encode_jpeg(np.clip(photo, 0, 255).astype(np.uint8), quality=85)


def one_convolution() -> fs.Backbone:
    """Return a backbone that costs next to nothing."""
    layers = torch.nn.Conv2d(3, 64, 8, stride=8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return fs.Backbone(torch.nn.Sequential(*layers), fs.Preprocess((64, 64)), name="one convolution")


def measure(backbone: fs.Backbone, count: int, height: int, width: int) -> dict[str, object]:
    """Embed the photos; return the curve of memory and what it says."""
    start, began = resident_megabytes(), time.perf_counter()
    curve = [{"photos": 0, "megabytes": round(start, 1)}]
    total, done = np.zeros(backbone.dim), 0
    for batch in backbone.embed_batches(drawn_photos(count, height, width)):
        total += batch.vectors.sum(axis=0)
        done += len(batch.vectors)
        if done - curve[-1]["photos"] >= max(1, count // SAMPLES) or done == count:
            curve.append({"photos": done, "megabytes": round(resident_megabytes(), 1)})
    seconds = time.perf_counter() - began
    if done != count or not np.isfinite(total).all():
        raise RuntimeError(f"{done} of {count} photos were embedded, and their sum is {total.sum()}")
    later = [sample["megabytes"] for sample in curve if sample["photos"] >= count / 10]
    return {
        "photos": count,
        "photo_size": [height, width],
        "backbone": backbone.name,
        "image_size": list(backbone.preprocess.image_size),
        "runtime": backbone.runtime,
        "seconds": round(seconds, 1),
        "megabytes_at_the_start": round(start, 1),
        "growth_megabytes": round(max(sample["megabytes"] for sample in curve) - start, 1),
        "growth_after_a_tenth_megabytes": round(max(later) - later[0], 1),
        "curve": curve,
    }


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, data=False, quick="2,000 photos")
    made.add_argument("--photos", type=int, default=100_000, help="how many (%(default)s)")
    height = "of a photo, in pixels; its width is three quarters (%(default)s)"
    made.add_argument("--height", type=int, default=320, help=height)
    made.add_argument("--backbone", help="any name create_backbone knows, with its default weights")
    made.add_argument("--image-size", type=int, help="of that backbone, in pixels")
    options = made.parse_args()
    if not STATUS.exists():
        sys.exit(f"{STATUS} is missing: memory is read from it, so this benchmark runs on Linux only")
    with empty_cache():
        backbone = one_convolution()
        if options.backbone:
            backbone = fs.create_backbone(options.backbone, image_size=options.image_size)
        count = 2000 if options.quick else options.photos
        row = measure(backbone, count, options.height, options.height * 3 // 4)
    print(
        f"{row['photos']:,} photos in {row['seconds']} s: resident memory grew by {row['growth_megabytes']} MB, by "
        f"{row['growth_after_a_tenth_megabytes']} MB after the first tenth"
    )
    question = f"memory-{options.backbone}" if options.backbone else "memory"
    write(question, [row], folder=options.out, about={}, quick=options.quick)


if __name__ == "__main__":
    main()
