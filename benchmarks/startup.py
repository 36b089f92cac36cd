"""How long a start takes: importing the library, its commands, and a saved index to its first answer, in fresh processes.

The contenders alternate, each in a process of its own from start to end; the files are in the page cache, since the
first round isn't measured. The saved index holds 12,000 vectors as `fashion` makes them; the answer is the top 5 to one
drawn photo. `python -c pass` is what Python itself takes, and `import numpy` what no command that looks at vectors can do
without. Seconds are by the clock, and CPU
seconds those of the process and its threads. `remove` takes out an id that isn't there, which is all of a removal but the
writing of one row; it and "an opened index" are of the same items in a folder that `VisualIndex.open` made.

With --before, the folder of another checkout, each start is also that of its library, alternating in the same run:

    git worktree add ../before HEAD~20
    python benchmarks/startup.py --before ../before --pairs 5
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

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
# Not of the library; and an older one reads no newer index.
NOT_BEFORE = (
    "python -c pass",
    "import torch",
    "import numpy",
    "load an index and search",
    "fashionsearch search by id",
    "fashionsearch search by id, an opened index",
    "fashionsearch remove",
    "fashionsearch info",
    "fashionsearch facets",
)


def prepare(folder: Path, items: int) -> tuple[Path, Path]:
    """Save an index and a photo; return where."""
    backbone = fs.create_backbone("fashion", progress=False)
    index = fs.VisualIndex(backbone, progress=False)
    rng = np.random.default_rng(0)
    # As embeddings are: not negative, and alike within clusters.
    centres = rng.random((200, backbone.dim), dtype=np.float32)
    noise = 0.3 * rng.random((items, backbone.dim), dtype=np.float32)
    index.add_vectors(centres[rng.integers(200, size=items)] + noise, metadata={"number": list(range(items))})
    index.save(folder / "catalogue")
    index.save(folder / "opened")
    fs.VisualIndex.open(folder / "opened", index.encoder, progress=False).close()
    PIL.Image.fromarray(fs.datasets.make_catalogue(1, seed=0).images[0]).save(folder / "photo.jpg")
    return folder / "catalogue", folder / "photo.jpg"


def commands(index: Path, photo: Path) -> dict[str, list[str]]:
    """Return what is started, by its name: the words after `python`, of which a wrong path ends in an error."""
    opened = str(index.parent / "opened")
    return {
        "python -c pass": ["-c", "pass"],
        "import torch": ["-c", "import torch"],
        "import numpy": ["-c", "import numpy"],
        "import fashionsearch": ["-c", "import fashionsearch"],
        "fs.VisualIndex": ["-c", "import fashionsearch as fs; fs.VisualIndex"],
        "fs.Classifier": ["-c", "import fashionsearch as fs; fs.Classifier"],
        "fashionsearch --help": ["-m", "fashionsearch", "--help"],
        "fashionsearch search missing photo.jpg": ["-m", "fashionsearch", "search", "missing", str(photo)],
        "fashionsearch search by id": ["-m", "fashionsearch", "search", str(index), "--id", "7"],
        "fashionsearch search by id, an opened index": ["-m", "fashionsearch", "search", opened, "--id", "7"],
        "fashionsearch remove": ["-m", "fashionsearch", "remove", opened, "missing"],
        "fashionsearch info": ["-m", "fashionsearch", "info", opened],
        "fashionsearch facets": ["-m", "fashionsearch", "facets", opened, "number"],
        "load an index and search": ["-c", FIRST_SEARCH, str(index), str(photo)],
    }


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, data=False, pairs=7, quick="2,000 vectors and two rounds")
    made.add_argument(
        "--before", type=Path, metavar="FOLDER", help="another checkout, whose starts alternate"
    )
    options = made.parse_args()
    if options.before is not None and not (options.before / "src" / "fashionsearch").is_dir():
        made.error(f"--before {options.before} holds no src/fashionsearch: give the folder of a checkout")
    items, pairs = (2000, 2) if options.quick else (12_000, options.pairs)
    sources = {"": Path(fs.__file__).parents[1]}
    if options.before is not None:
        sources["before"] = options.before.resolve() / "src"
    used: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:

        def start(name: str, words: list[str], source: Path) -> None:
            # Compiled once, as an installation is, whatever this environment says of bytecode.
            paths = {
                "FASHIONSEARCH_CACHE": str(Path(scratch) / "cache"),
                "PYTHONPATH": str(source),
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPYCACHEPREFIX": str(Path(scratch) / "bytecode"),
            }
            began = resource.getrusage(resource.RUSAGE_CHILDREN)
            quiet = subprocess.DEVNULL
            done = subprocess.run(  # noqa: S603 - the commands above
                [sys.executable, *words], env={**os.environ, **paths}, stdout=quiet, stderr=quiet, cwd=scratch
            )
            if (done.returncode == 0) == ("missing" in words):
                raise SystemExit(f"{name} ended with {done.returncode}: {words}")
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
            used.setdefault(name, []).append(seconds)

        runs: dict[str, Any] = {}
        for name, words in commands(*prepare(Path(scratch), items)).items():
            for when, source in sources.items():
                if not when or name not in NOT_BEFORE:
                    title = f"{name}, {when}" if when else name
                    runs[title] = lambda title=title, words=words, source=source: start(title, words, source)
        seconds = alternate(runs, pairs=pairs)
    rows = [
        {
            "start": name.removesuffix(", before"),
            **({"before": True} if name.endswith(", before") else {}),
            "seconds": median(measured).row(),
            "cpu_seconds": median(used[name][-pairs:]).row(),
            "import_torch_takes_times_as_long": ratio(seconds["import torch"], measured).row(),
        }
        for name, measured in seconds.items()
    ]
    for name, row in zip(seconds, rows, strict=True):
        print(f"{name}: {row['seconds']['value']:.3f} s, {row['cpu_seconds']['value']:.3f} CPU seconds")
    write("startup", rows, folder=options.out, about={"items": items}, quick=options.quick)


if __name__ == "__main__":
    main()
