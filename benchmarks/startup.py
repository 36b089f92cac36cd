"""How long a start takes: importing the library, its help, and a saved index to its first answer, in fresh processes.

The contenders alternate, each in a process of its own from start to end; the files are in the page cache, since the
first round isn't measured. The saved index holds 12,000 vectors of the default backbone's length and the backbone; the
answer is the top 5 to one drawn photo. `python -c pass` is what Python itself takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
from options import parser
from timing import alternate, median, ratio, write

import fashionsearch as fs

FIRST_SEARCH = """
import sys, fashionsearch as fs
index = fs.VisualIndex.load(sys.argv[1], progress=False)
matches = index.search(sys.argv[2], k=5)
assert matches.counts.tolist() == [5]
"""


def prepare(folder: Path, items: int) -> tuple[Path, Path]:
    """Save an index and a photo; return where."""
    backbone = fs.create_backbone("efficientnet_lite0")
    index = fs.VisualIndex(backbone, progress=False)
    rng = np.random.default_rng(0)
    # As embeddings are: not negative, and alike within clusters.
    centres = rng.random((200, backbone.dim), dtype=np.float32)
    vectors = centres[rng.integers(200, size=items)] + 0.3 * rng.random(
        (items, backbone.dim), dtype=np.float32
    )
    index.add_vectors(vectors, metadata={"number": list(range(items))})
    index.save(folder / "catalogue")
    photo = fs.datasets.make_catalogue(1, seed=0).images[0]
    PIL.Image.fromarray(photo).save(folder / "photo.jpg")
    return folder / "catalogue", folder / "photo.jpg"


def main() -> None:
    """Run the command line."""
    options = parser(__doc__, data=False, pairs=7).parse_args()
    items, pairs = (2000, 2) if options.quick else (12_000, options.pairs)
    with tempfile.TemporaryDirectory() as scratch:
        index, photo = prepare(Path(scratch), items)
        commands = {
            "python -c pass": ["-c", "pass"],
            "import torch": ["-c", "import torch"],
            "import fashionsearch": ["-c", "import fashionsearch"],
            "fashionsearch --help": ["-m", "fashionsearch", "--help"],
            "load an index and search": ["-c", FIRST_SEARCH, str(index), str(photo)],
        }
        surroundings = {**os.environ, "FASHIONSEARCH_CACHE": str(Path(scratch) / "cache")}

        def run(arguments: list[str]) -> None:
            subprocess.run(  # noqa: S603 - the commands above
                [sys.executable, *arguments], check=True, env=surroundings, stdout=subprocess.DEVNULL
            )

        seconds = alternate(
            {name: lambda arguments=arguments: run(arguments) for name, arguments in commands.items()},
            pairs=pairs,
        )
    rows = [
        {
            "start": name,
            "seconds": median(measured).row(),
            "import_torch_takes_times_as_long": ratio(seconds["import torch"], measured).row(),
        }
        for name, measured in seconds.items()
    ]
    for row in rows:
        print(f"{row['start']}: {row['seconds']['value']:.3f} s")
    write("startup", rows, folder=options.out, about={"items": items}, quick=options.quick)


if __name__ == "__main__":
    main()
