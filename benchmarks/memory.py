"""Whether memory stays level: a generator of 100,000 drawn photos is embedded in pieces, and resident memory is sampled.

The photos are JPEG bytes, each drawn and encoded when it is asked for, so no two are the same and none is kept. What is
measured is the pipeline (decoding, resizing, batches, embeddings), so the backbone is the small untrained `cnn` at 32
pixels, which is fast; `--backbone efficientnet_lite0 --image-size 224` measures a real one, with its export to ONNX.
Growth counts from just before the first photo, with the backbone made, to the highest sample.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
from timing import write_results

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


def measure(backbone: fs.Backbone, count: int, height: int, width: int) -> dict[str, object]:
    """Embed the photos; return the curve of memory and what it says."""
    every = max(1, count // SAMPLES)
    start = resident_megabytes()
    curve = [{"photos": 0, "megabytes": round(start, 1)}]
    began = time.perf_counter()
    total = np.zeros(backbone.dim)
    done = 0
    for batch in backbone.embed_batches(drawn_photos(count, height, width)):
        total += batch.vectors.sum(axis=0)
        done += len(batch.vectors)
        if done - curve[-1]["photos"] >= every or done == count:
            curve.append({"photos": done, "megabytes": round(resident_megabytes(), 1)})
    seconds = time.perf_counter() - began
    if done != count or not np.isfinite(total).all():
        raise RuntimeError(f"{done} of {count} photos were embedded, with a sum of {total.sum()}")
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument(
        "--photo-size", type=int, nargs=2, default=(320, 240), metavar=("HEIGHT", "WIDTH"), help="320 240"
    )
    parser.add_argument("--backbone", default="cnn", help="any name create_backbone knows (%(default)s)")
    parser.add_argument("--image-size", type=int, default=32, help="of the backbone, in pixels (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="2,000 photos, to see that it runs")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)"
    )
    options = parser.parse_args()
    if not STATUS.exists():
        sys.exit(
            f"{STATUS} is missing: resident memory is read from it, so this benchmark runs on Linux only"
        )
    weights = None if options.backbone in ("cnn", "cnn_grid") else "default"
    backbone = fs.create_backbone(options.backbone, weights=weights, image_size=options.image_size)
    row = measure(backbone, 2000 if options.quick else options.photos, *options.photo_size)
    print(
        f"{row['photos']:,} photos in {row['seconds']} s: resident memory grew by {row['growth_megabytes']} MB, "
        f"{row['growth_after_a_tenth_megabytes']} MB of it after the first tenth"
    )
    print(f"written to {write_results('memory', [row], options.out)}")


if __name__ == "__main__":
    main()
