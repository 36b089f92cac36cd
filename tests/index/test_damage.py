"""Files of an index that are damaged in any way: refused or repaired with a word, never a wrong answer, a crash or a hang."""

import os
import shutil
import signal
import warnings

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each case runs in a fork of its own")

VECTORS = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
SECONDS = 20


def content(index):
    return [(item, index.get(item).vector.tobytes(), dict(index.get(item).metadata)) for item in index]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A saved index, an opened one that was closed, and one whose writer was killed; each with a graph."""
    patch = pytest.MonkeyPatch()
    patch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 5000)
    folder = tmp_path_factory.mktemp("indexes")
    index = fs.VisualIndex(dim=8, progress=False)
    index.add_vectors(VECTORS, metadata=[{"n": n, "kind": "ab"[n % 2]} for n in range(400)])
    index.save(folder / "saved")
    shutil.copytree(folder / "saved", folder / "closed")
    with fs.VisualIndex.open(folder / "closed", progress=False) as opened:
        opened.remove([7, 9])
        expected = content(opened)
    index.remove([7, 9])
    index.save(folder / "saved")
    shutil.copytree(folder / "closed", folder / "busy")
    busy = fs.VisualIndex.open(folder / "busy", progress=False)
    busy.remove([11])
    busy.update(12, {"n": -1})
    busy.add_vectors(VECTORS[:1] + 1, ids=[1000])
    later = content(busy)
    shutil.copytree(folder / "busy", folder / "killed")
    busy.close()
    yield folder, {"saved": content(index), "closed": expected, "killed": later}
    patch.undo()


def damaged(folder, rng):
    """Damage one file of a folder, and return what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[rng.integers(len(files))]
    size = path.stat().st_size
    kind = rng.choice(
        ["flip", "flip", "flip", "cut", "zero", "gone", "swap", "fifo", "device", "folder", "empty"]
    )
    data = bytearray(path.read_bytes())
    at = int(rng.integers(size))
    if kind == "flip":
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
    elif kind == "cut":
        path.write_bytes(data[:at])
    elif kind == "zero":
        data[at : at + 512] = bytes(len(data[at : at + 512]))
        path.write_bytes(data)
    elif kind == "swap":
        other = files[rng.integers(len(files))]
        path.write_bytes(other.read_bytes())
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
    return f"{kind} {path.relative_to(folder)} at {at} of {size}"


def opened_rightly(folder, name, expected):
    """Open an index; return "" where all is as it was or told, else what is wrong."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            if name == "saved":
                index = fs.VisualIndex.load(folder, progress=False)
            else:
                index = fs.VisualIndex.open(folder, progress=False)
            held = content(index)
            found = index.search_vectors(VECTORS[:20], k=5)
            exact = index.search_vectors(VECTORS[:20], k=5, exact=True)
        except errors.FashionSearchError as error:
            return "" if str(folder) in str(error) else f"the message names no file: {error}"
    if not set(found.ids.ravel()) <= {item for item, *_ in held}:
        return "an item is found that isn't there"
    if (
        not np.allclose(found.similarities, exact.similarities, atol=1e-4)
        and fs.metrics.recall_at_k(found.ids, exact.ids) < 0.9
    ):
        return "the graph finds others"
    lost = any("has lost its last" in str(each.message) for each in told)
    return (
        "" if held == expected or lost else f"{len(held)} items are held, and {len(expected)} were, or others"
    )


def verdict(folder, name, expected):
    """Return what `opened_rightly` says in a process of its own, which may crash or hang."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        try:
            said = opened_rightly(folder, name, expected)
        except BaseException as error:
            said = f"outside the errors' tree: {error!r}"
        os.write(writing, said.encode()[:2000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    return said or ("" if not status else f"the process ended by {status}: a crash, or a hang")


def run_cases(made, tmp_path, seeds):
    folder, expected = made
    wrong = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        name = ("saved", "closed", "killed")[seed % 3]
        copy = tmp_path / f"case{seed}"
        shutil.copytree(folder / name, copy)
        done = damaged(copy, rng)
        said = verdict(copy, name, expected[name])
        if said:
            wrong.append(f"{seed} {name}, {done}: {said}")
        shutil.rmtree(copy)
    assert wrong == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_some_damage_is_refused_or_repaired(made, tmp_path):
    run_cases(made, tmp_path, range(60))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_much_damage_is_refused_or_repaired(made, tmp_path):
    run_cases(made, tmp_path, range(1000, 1600))


def test_what_is_not_damaged_opens_as_it_was(made, tmp_path):
    folder, expected = made
    for name, held in expected.items():
        shutil.copytree(folder / name, tmp_path / name)
        assert verdict(tmp_path / name, name, held) == ""
