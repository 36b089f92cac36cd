"""How long `fashionsearch tag` takes for 1,000 photos in a fresh process, against embedding them by hand.

By hand means: simplejpeg decodes, Pillow resizes and ONNX Runtime embeds, in batches of 32 and in one loop, with the same
graph; nothing is tagged, checked or written. Both start a process of their own and alternate; the files are in the page
cache, since the first round isn't measured. Seconds are by the clock, and CPU seconds those of the process and its threads.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from options import parser
from timing import alternate, median, ratio, write

import fashionsearch as fs
from fashionsearch.pretrained import graph_of

BY_HAND = """
import sys
from pathlib import Path
import numpy as np, onnxruntime, simplejpeg
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1])
size = session.get_inputs()[0].shape[1:3]
photos, vectors = sorted(Path(sys.argv[2]).iterdir()), []
for start in range(0, len(photos), 32):
    pixels = []
    for path in photos[start : start + 32]:
        rgb = simplejpeg.decode_jpeg(path.read_bytes())
        pixels.append(np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC)))
    vectors.append(session.run(["embeddings"], {"pixels": np.stack(pixels)})[0])
assert np.concatenate(vectors).shape == (len(photos), 256)
"""


def main() -> None:
    """Run the command line."""
    options = parser(__doc__, pairs=7, quick="100 photos and two rounds").parse_args()
    count, pairs = (100, 2) if options.quick else (1000, options.pairs)
    table = fs.datasets.load_fashion_products(options.data)
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "photos", Path(scratch) / "tags.csv"
        folder.mkdir()
        for image in table.images[:count]:
            shutil.copy(image, folder)
        commands = {
            "by hand": ["-c", BY_HAND, str(graph_of("fashion")), str(folder)],
            "fashionsearch tag": ["-m", "fashionsearch", "tag", str(folder), "--out", str(out)],
        }
        spent: dict[str, list[float]] = {name: [] for name in commands}
        surroundings = {
            **os.environ,
            "PYTHONPATH": str(Path(fs.__file__).parents[1]),
            "ORT_DISABLE_TELEMETRY": "1",
        }

        def run(name: str) -> None:
            out.unlink(missing_ok=True)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(  # noqa: S603 - the commands above
                [sys.executable, *commands[name]], check=True, env=surroundings, stdout=subprocess.DEVNULL
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

        seconds = alternate({name: lambda name=name: run(name) for name in commands}, pairs=pairs)  # type: ignore[misc]
    rows: list[dict[str, Any]] = [
        {
            "contender": name,
            "seconds": median(seconds[name]).row(),
            "cpu_seconds": median(spent[name][1:]).row(),
            "times by hand": ratio(seconds[name], seconds["by hand"]).row(),
        }
        for name in commands
    ]
    for row in rows:
        print(row)
    write("tag", rows, folder=options.out, about={"photos": count, "rounds": pairs}, quick=options.quick)


if __name__ == "__main__":
    main()
