"""What it takes to search and to tag once from a saved folder, in fresh processes without torch, beside the same by hand.

The saved index holds 12,000 items with metadata, of the network `fashion`; the saved tagger is the one that ships. The
contenders alternate, each in a process of its own, compiled to bytecode before; `by_hand.py` checks the same hashes, and
both use as many threads. Figures are CPU seconds of the process and its threads, seconds by the clock, and the most memory
that was resident. With --slim and --service, folders of environments by scripts/slim.sh, the sizes of their packages are
written too.

    bash scripts/slim.sh /tmp/slim
    bash scripts/slim.sh /tmp/service requirements-service.txt
    python benchmarks/serving_start.py --slim /tmp/slim --service /tmp/service
"""

from __future__ import annotations

import csv
import os
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

SEARCH = """
import sys, fashionsearch as fs
matches = fs.VisualIndex.load(sys.argv[1]).search(sys.argv[2], k=5)
for match in matches[0]: print(match)
"""
TAG = """
import sys, fashionsearch as fs
for row in fs.Tagger.load(sys.argv[1]).tag(sys.argv[2]).to_rows(): print(row)
"""
_TOOLS = ("pip", "setuptools", "_distutils", "distutils-precedence")
BY_HAND = str(Path(__file__).parent / "by_hand.py")
# Of a process of its own: what the system notes of a child holds its parent's memory too.
MOST_RESIDENT = """
import runpy, sys
words = sys.argv[1:]
sys.argv[1:] = words[2:] if words[0] == "-m" else words[1:]
try:
    runpy.run_module(words[1], run_name="__main__") if words[0] == "-m" else runpy.run_path(words[0], run_name="__main__")
except SystemExit:
    pass
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def prepare(folder: Path, items: int) -> tuple[str, str, str]:
    """Save an index, a tagger and a photo; return where."""
    backbone = fs.create_backbone("fashion", progress=False)
    table = fs.datasets.make_catalogue(600, seed=0)
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(table), size=items)
    noise = 0.05 * rng.standard_normal((items, backbone.dim), dtype=np.float32)
    columns = {name: table[name][chosen].tolist() for name in table.metadata if name != "id"}
    index = fs.VisualIndex(backbone, progress=False)
    ids = [f"item-{number}" for number in range(items)]
    index.add_vectors(backbone.embed(table.images)[chosen] + noise, ids=ids, metadata=columns)
    index.save(folder / "catalogue")
    fs.Tagger.from_pretrained("fashion").save(folder / "tagger")
    photo = folder / "photo.jpg"
    PIL.Image.fromarray(fs.datasets.make_catalogue(1, seed=1).images[0]).save(photo)
    return str(folder / "catalogue"), str(folder / "tagger"), str(photo)


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, data=False, pairs=5, quick="9,000 items and two rounds")
    made.add_argument("--slim", type=Path, metavar="FOLDER", help="an environment made by scripts/slim.sh")
    made.add_argument("--service", type=Path, metavar="FOLDER", help="one with requirements-service.txt too")
    options = made.parse_args()
    items, pairs = (9000, 2) if options.quick else (12_000, options.pairs)
    used: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        index, tagger, photo = prepare(Path(scratch), items)
        surroundings = {**os.environ, "PYTHONPYCACHEPREFIX": f"{scratch}/bytecode"}
        surroundings.pop("PYTHONDONTWRITEBYTECODE", None)
        surroundings["PYTHONPATH"] = str(Path(fs.__file__).parents[1])

        def start(name: str, words: list[str]) -> None:
            quiet = os.open(os.devnull, os.O_WRONLY)
            process = os.posix_spawn(
                sys.executable,
                [sys.executable, *words],
                surroundings,
                file_actions=[(os.POSIX_SPAWN_DUP2, quiet, 1)],
            )
            _, status, usage = os.wait4(process, 0)
            os.close(quiet)
            if status:
                raise SystemExit(f"{name} ended with {status}: {words}")
            used.setdefault(name, []).append(usage.ru_utime + usage.ru_stime)

        for name, program in (("search.py", SEARCH), ("tag.py", TAG)):
            (Path(scratch) / name).write_text(program, encoding="utf-8")
        commands = {
            "search by hand": [BY_HAND, "search", index, photo],
            "fashionsearch search": ["-m", "fashionsearch", "search", index, photo],
            "VisualIndex.load and search": [f"{scratch}/search.py", index, photo],
            "tag by hand": [BY_HAND, "tag", tagger, photo],
            "Tagger.load and tag": [f"{scratch}/tag.py", tagger, photo],
        }
        runs: dict[str, Any] = {
            name: lambda name=name, words=words: start(name, words) for name, words in commands.items()
        }
        seconds = alternate(runs, pairs=pairs)
        resident = {name: most_resident(words, surroundings) for name, words in commands.items()}
    cpu = {name: np.array(measured[-pairs:]) for name, measured in used.items()}
    rows = []
    for name, measured in seconds.items():
        hand = "tag by hand" if "ag" in name else "search by hand"
        row = {
            "start": name,
            "seconds": median(measured).row(),
            "cpu_seconds": median(cpu[name]).row(),
            "times_by_hand": ratio(cpu[name], cpu[hand]).row(),
            "most_resident_bytes": resident[name],
        }
        print(
            f"{name}: {row['cpu_seconds']['value']:.3f} CPU seconds, {row['times_by_hand']['value']:.2f} times by hand, "
            f"{row['seconds']['value']:.3f} s, {resident[name] / 1e6:.0f} MB"
        )
        rows.append(row)
    about: dict[str, Any] = {"items": items}
    for name, folder in (("slim", options.slim), ("service", options.service)):
        if folder is not None:
            about[f"{name}_bytes"], about[f"{name}_packages"] = size_of(folder), packages_of(folder)
            print(f"{name} environment: {about[f'{name}_bytes'] / 1e6:.0f} MB without pip")
    write("serving-start", rows, folder=options.out, about=about, quick=options.quick)


def most_resident(words: list[str], surroundings: dict[str, str]) -> int:
    """Return the most bytes of memory that one start had at a time."""
    command = [sys.executable, "-c", MOST_RESIDENT, *words]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return 1024 * int(done.stdout.split()[-1])


def size_of(folder: Path) -> int:
    """Return what the packages of an environment take up, without pip, setuptools and bytecode."""
    ours = [path for path in packages_folder(folder).iterdir() if not path.name.startswith(_TOOLS)]
    return sum(
        map(_bytes, (file for path in ours for file in ([path] if path.is_file() else path.rglob("*"))))
    )


def packages_of(folder: Path) -> dict[str, int]:
    """Return what each package of an environment takes up, the largest first, counted as by `size_of`."""
    where = packages_folder(folder)
    sizes = {
        record.parent.name.split("-")[0]: sum(
            _bytes(where / row[0]) for row in csv.reader(record.read_text(encoding="utf-8").splitlines())
        )
        for record in where.glob("*.dist-info/RECORD")
        if not record.parent.name.startswith(_TOOLS)
    }
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def packages_folder(environment: Path) -> Path:
    """Return where an environment has its packages."""
    (found,) = environment.glob("lib/python*/site-packages")
    return found


def _bytes(file: Path) -> int:
    return file.stat().st_size if file.is_file() and file.suffix != ".pyc" else 0


if __name__ == "__main__":
    main()
