"""A disk that is full at any write of any change, and a folder that may not be written: a clear error, and nothing lost.

strace lets the n-th call by which a process asks for room fail, and some after it, whoever makes it: Python, SQLite or the
library of a graph.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.datasets import load_folder

CALLS = "write,pwrite64,writev,fallocate,mkdir,mkdirat,rename,renameat,renameat2,fsync,fdatasync"
PROGRAM = """
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.datasets import load_folder

root, act, expected = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
V = np.random.default_rng(0).normal(size=(300, 3)).astype("f4")
warnings.simplefilter("ignore")


class Encoder:
    dim = 3

    def __init__(self, shade=0.0):
        self.shade = shade

    def embed(self, images):
        from fashionsearch.images import iterate, read_image

        return np.stack([read_image(each).mean(axis=(0, 1)) for each in iterate(images)]).astype("f4") + 1 + self.shade


def opened(name="opened", **options):
    return fs.VisualIndex.open(root / name, progress=False, **options)


def change(what):
    with opened() as index:
        what(index)


def saved_over():
    index = fs.VisualIndex.load(root / "saved", progress=False)
    index.add_vectors(V[100:103], ids=["x", "y", "p1"])
    index.save(root / "saved")


def close():
    index = opened()
    index._engine._unsaved = 1
    index.close()


def sync():
    with opened("synced", encoder=Encoder()) as index:
        index.sync(root / "photos")


def encoder():
    with opened("synced", encoder=Encoder()) as index:
        index.encoder = Encoder(1e-3)


ACTS = {
    "add": ("opened", lambda: change(lambda index: index.add_vectors(V[100:103], ids=["x", "y", "p1"]))),
    "remove": ("opened", lambda: change(lambda index: [index.remove(item) for item in ["p1", "p2"] if item in index])),
    "update": ("opened", lambda: change(lambda index: index.update("p1", {"n": 7}))),
    "checkpoint": ("opened", lambda: change(lambda index: index._engine.checkpoint())),
    "close": ("opened", close),
    "backup": ("opened", lambda: change(lambda index: index.save(root / "backup"))),
    "save": ("new", lambda: fs.VisualIndex.load(root / "saved", progress=False).save(root / "new")),
    "save over": ("saved", saved_over),
    "create": ("made", lambda: opened("made", dim=3).close()),
    "convert": ("saved", lambda: opened("saved").close()),
    "encoder": ("synced", encoder),
    "sync": ("synced", sync),
    "shards": ("shards", lambda: fs.embed_shards(Encoder(), load_folder(root / "photos", labelled=False), root / "shards",
                                                shard_size=2, progress=False)),
}
STEPWISE = ("remove", "sync", "shards")  # of several changes, each of which may be there


def state(name):
    folder = root / name
    if name == "shards":
        import pyarrow.parquet

        return sorted(len(pyarrow.parquet.read_table(path)) for path in folder.glob("*.parquet"))
    if not (folder / "manifest.json").exists():
        return None
    kind = json.loads((folder / "manifest.json").read_text())["kind"]
    try:
        index = fs.VisualIndex.load(folder, progress=False) if kind == "index" else opened(name, read_only=True)
    except errors.StorageError as error:
        if "for writing once" in str(error):  # it was being made
            return None
        raise
    found = {item: [index.get(item).vector.tolist(), dict(index.get(item).metadata)] for item in index}
    index.close()
    return found


def again(action):
    for _ in range(500):
        try:
            return action()
        except errors.StorageError as error:
            assert str(root) in str(error), error
            told.append(str(error))
    raise SystemExit("it doesn't go on once there is room")


told = []
name, do = ACTS[act]
before = again(lambda: state(name))
after = json.loads(expected.read_text()) if expected.exists() else None
os.environ["BEGUN"] = "1"
os.access("BEGIN", os.F_OK)
failed = 0
while True:
    try:
        do()
        break
    except errors.StorageError as error:
        assert str(root) in str(error), error
        assert failed < 500, "it doesn't go on once there is room"
        failed += 1
        if act not in STEPWISE and after is not None:
            assert again(lambda: state(name)) in (before, after), "neither as before nor as after"
found = again(lambda: state(name))
if after is None and not expected.exists():
    expected.write_text(json.dumps(found))
else:
    assert found == after, (found, after)
if name != "opened":
    assert len(again(lambda: state("opened"))) == 40
os._exit(10 if failed or told else 0)
"""
ACTS = re.findall(r'^    "([a-z ]+)": \("', PROGRAM, re.MULTILINE)
_NUMBER = re.compile(r"^\d+ +(\w+)\(")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an index of each kind, and photos."""
    root = tmp_path_factory.mktemp("disk") / "root"
    vectors = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    index = fs.VisualIndex(dim=3, progress=False)
    index.add_vectors(vectors, ids=[f"p{n}" for n in range(40)], metadata=[{"n": n} for n in range(40)])
    index.save(root / "saved")
    shutil.copytree(root / "saved", root / "opened")
    fs.VisualIndex.open(root / "opened", progress=False).close()
    (root / "photos").mkdir()
    for number in range(5):
        picture = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(picture).save(root / "photos" / f"{number}.png")
    return root


def run(made, folder, act, call="", number=0, log=None):
    """Run the program on a copy, such that a call fails from its n-th time on; return its exit code and its last words."""
    shutil.copytree(made, folder / "root")
    strace = shutil.which("strace")
    assert strace, "strace is not installed (apt-get install strace); scripts/setup.sh dev does that"
    command = [
        strace,
        "-f",
        "--seccomp-bpf",
        "-o",
        str(log or folder / "log"),
        "-e",
        f"trace={CALLS},access,faccessat2",
    ]
    command += ["-e", f"inject={call}:error=ENOSPC:when={number}..{number + 3}"] if call else []
    command += [sys.executable, "-c", PROGRAM, str(folder / "root"), act, str(made.parent / f"{act}.json")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        shutil.rmtree(folder / "root")
    return done.returncode, done.stderr[-2000:]


def calls_of(made, folder, act):
    """Return the numbers of the calls that an act makes, of each kind of call, when nothing fails."""
    code, told = run(made, folder, act, log=folder / "calls")
    assert code == 0, told
    counts, first = {}, None
    for line in (folder / "calls").read_text(errors="replace").splitlines():
        found = _NUMBER.match(line)
        if found is None:
            continue
        if "BEGIN" in line:
            first = dict(counts)
        elif found[1] in CALLS.split(","):
            counts[found[1]] = counts.get(found[1], 0) + 1
    return [(call, number) for call in counts for number in range(first.get(call, 0) + 1, counts[call] + 1)]


@pytest.mark.parametrize("most", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("act", ACTS)
def test_a_full_disk_loses_nothing(made, tmp_path, act, most, tally):
    moments = calls_of(made, tmp_path, act)
    rng = np.random.default_rng(len(act))
    chosen = [moments[place] for place in sorted(rng.permutation(len(moments))[:most])]
    assert chosen
    wrong, met = [], 0
    for call, number in chosen:
        code, told = run(made, tmp_path, act, call, number)
        met += code == 10
        if code not in (0, 10):
            wrong.append(f"{call} {number}: {code}: {told}")
    tally(f"the disk is full: {act}", cases=len(chosen), met=met, **{"wrong answers": len(wrong)})
    assert not wrong, "\n".join(wrong)


class Own:
    """An encoder of a user's own."""

    dim = 3

    def embed(self, images):
        return np.ones((len(list(images)), 3), np.float32)


def allow(root, writing):
    """Let a folder and all in it be written, or not."""
    for path in [*root.rglob("*"), root]:
        path.chmod((0o755 if writing else 0o555) if path.is_dir() else (0o644 if writing else 0o444))


def opened(folder, **options):
    return fs.VisualIndex.open(folder, progress=False, **options)


READ_ONLY = {
    "open": lambda root: opened(root / "opened"),
    "create": lambda root: opened(root / "new", dim=3),
    "convert": lambda root: opened(root / "saved"),
    "save": lambda root: fs.VisualIndex.load(root / "saved", progress=False).save(root / "new"),
    "save over": lambda root: fs.VisualIndex.load(root / "saved", progress=False).save(root / "saved"),
    "backup": lambda root: opened(root / "opened", read_only=True).save(root / "backup"),
    "shards": lambda root: fs.embed_shards(
        Own(), load_folder(root / "photos", labelled=False), root / "shards", progress=False
    ),
}


def content(index):
    return {item: (index.get(item).vector.tolist(), dict(index.get(item).metadata)) for item in index}


def without_right_to_write(root):
    """Return what is wrong with what is done in a folder that may not be written; the process gives up its rights."""
    for name, act in READ_ONLY.items():  # which imports all that they need
        twin = root.with_name(name)
        shutil.copytree(root, twin)
        act(twin)
    wrong = []
    if os.getuid() == 0:  # who may write everywhere
        for path in [*root.rglob("*"), root]:
            os.chown(path, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    whole = content(fs.VisualIndex.load(root / "saved", progress=False))
    allow(root, False)
    for name, act in READ_ONLY.items():
        try:
            act(root)
            wrong.append(f"{name}: no error")
        except errors.StorageError as error:
            if str(root) not in str(error) or "ermission denied" not in str(error):
                wrong.append(f"{name}: {error}")
        if {path: path.stat().st_mtime_ns for path in root.rglob("*")} != before:
            wrong.append(f"{name}: something was written")
        if content(fs.VisualIndex.load(root / "saved", progress=False)) != whole:
            wrong.append(f"{name}: the saved index is another")
        with opened(root / "opened", read_only=True) as reader:
            if content(reader) != whole:
                wrong.append(f"{name}: the opened index is another")
    allow(root, True)
    with opened(root / "opened") as index:
        allow(root, False)
        index.add_vectors([[1, 2, 3]], ids=["late"])
        try:
            index._engine.checkpoint()
            wrong.append("a checkpoint: no error")
        except errors.StorageError as error:
            if "ermission denied" not in str(error):
                wrong.append(f"a checkpoint: {error}")
        allow(root, True)
        index._engine.checkpoint()
    with opened(root / "opened") as index:
        if "late" not in index:
            wrong.append("what was added while the folder could not be written is lost")
    return wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process gives up its rights in a fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_folder_that_may_not_be_written_is_left_as_it_is(made):
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are its user's alone
        Path(place).chmod(0o755)
        root = Path(place, "root")
        shutil.copytree(made, root)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                said = "\n".join(without_right_to_write(root))
            except BaseException:
                said = traceback.format_exc()
            os.write(writing, said.encode()[-5000:])
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode()
        assert os.waitpid(child, 0)[1] == 0
        allow(root, True)
        assert said == ""
