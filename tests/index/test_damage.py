"""Files of an index that are damaged in any way: refused or repaired with a word, never a wrong answer, a crash or a hang."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import warnings

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import codec

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


def wrong_answers(index, held):
    """Return what is wrong with what an index finds, "" for nothing."""
    found = index.search_vectors(VECTORS[:20], k=5)
    exact = index.search_vectors(VECTORS[:20], k=5, exact=True)
    if not set(found.ids.ravel()) <= {None, *(item for item, *_ in held)}:
        return "an item is found that isn't there"
    if (
        not np.allclose(found.similarities, exact.similarities, atol=1e-4, equal_nan=True)
        and fs.metrics.recall_at_k(found.ids, exact.ids) < 0.9
    ):
        return "the graph finds others"
    return ""


def opened_rightly(folder, name, expected, rebuild):
    """Open an index, and return what came of it: one of `VERDICTS`, and a word on it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            open_it = fs.VisualIndex.load if name == "saved" else fs.VisualIndex.open
            index = open_it(folder, rebuild=rebuild, progress=False)
            held = content(index)
            wrong = wrong_answers(index, held)
        except errors.FashionSearchError as error:
            named = str(folder) in str(error)
            return f"refused: {error}" if named else f"no file named: {error}"
    if wrong:
        return f"wrong answers: {wrong}"
    if rebuild:  # what fits is another index, and is to be right in itself
        return is_right(index, held)
    if any("has lost its last" in str(each.message) for each in told):
        return "repaired: what was lost is told"
    if held != expected:
        return f"wrong answers: {len(held)} items are held, and {len(expected)} were, or others"
    return "repaired: told" if told else "as it was"


def is_right(index, held):
    """Return the verdict on an index whose files are not what was written, and fit."""
    if not held:
        return "as it was"
    vectors = np.stack([np.frombuffer(vector, dtype=np.float32) for _, vector, _ in held])
    if not np.isfinite(vectors).all():
        return "wrong answers: a vector isn't finite"
    found = index.search_vectors(VECTORS[:5], k=3, exact=True)
    if index.metric == "cosine":
        unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (vectors, VECTORS[:5])]
        similarities = unit[1] @ unit[0].T
    else:
        similarities = -np.linalg.norm(VECTORS[:5, None] - vectors, axis=2)
    best = -np.sort(-similarities, axis=1)[:, : found.similarities.shape[1]]
    return (
        "as it was"
        if np.allclose(found.similarities, best, atol=1e-3)
        else "wrong answers: others are nearer"
    )


def verdict(folder, name, expected, rebuild=False):
    """Return what `opened_rightly` says in a process of its own, which may crash or hang."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        try:
            said = opened_rightly(folder, name, expected, rebuild)
        except BaseException as error:
            said = f"outside the tree: {error!r}"
        os.write(writing, said.encode()[:2000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    return f"crashes or hangs: the process ended by {status}" if status else said


VERDICTS = (
    "as it was",
    "repaired",
    "refused",
    "no file named",
    "wrong answers",
    "outside the tree",
    "crashes or hangs",
)


def run_cases(made, tmp_path, seeds, damage, rebuild=False):
    """Damage so many folders, and return how many cases ended how, and what was wrong."""
    folder, expected = made
    counts, wrong = dict.fromkeys(VERDICTS, 0), []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        name = ("saved", "closed", "killed")[seed % 3]
        copy = tmp_path / f"case{seed}"
        shutil.copytree(folder / name, copy)
        done = damage(copy, rng)
        said = verdict(copy, name, expected[name], rebuild)
        counts[said.partition(":")[0]] += 1
        if said.partition(":")[0] not in VERDICTS[:3]:
            wrong.append(f"{seed} {name}, {done}: {said}")
        shutil.rmtree(copy)
    return {"cases": len(seeds), **counts}, wrong


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(1000, 1600), marks=pytest.mark.slow)])
def test_damage_is_refused_or_repaired(made, tmp_path, seeds, tally):
    counts, wrong = run_cases(made, tmp_path, seeds, damaged)
    tally("a file is damaged", **counts)
    assert not wrong, "\n".join(wrong)


OTHERS = [None, -1, 2**63, 1e308, "x", "", [], {}, True, [[1]], "\0", float("nan")]


def fitted(folder, rng):
    """Damage a folder as an attacker does, who makes all hashes fit; return what was done."""
    if (folder / "journal.sqlite").exists() and rng.random() < 0.6:
        return damaged_rows(folder / "journal.sqlite", rng)
    root = folder / "checkpoint" if (folder / "checkpoint").exists() and rng.random() < 0.5 else folder
    manifest = json.loads((root / "manifest.json").read_text())
    names = sorted(manifest["files"])
    name = names[rng.integers(len(names))]
    path = root / manifest["generation"] / name
    if path.suffix == ".json" and rng.random() < 0.8:
        done = damaged_json(path, rng)
    else:
        data, at = bytearray(path.read_bytes()), int(rng.integers(path.stat().st_size))
        kind = rng.choice(["flip", "noise", "cut", "more", "zero"])
        if kind == "flip":
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == "noise":
            data[at : at + 64] = rng.bytes(len(data[at : at + 64]))
        elif kind == "cut":
            del data[at:]
        elif kind == "more":
            data += rng.bytes(64)
        else:
            data[at : at + 512] = bytes(len(data[at : at + 512]))
        path.write_bytes(data)
        done = f"{kind} at {at}"
    content = path.read_bytes()
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return f"{done} in {path.relative_to(folder)}"


def damaged_json(path, rng):
    value = json.loads(path.read_text())
    part, way = value, []
    while True:
        keys = list(part) if isinstance(part, dict) else range(len(part))
        if not keys:
            break
        key = keys[int(rng.integers(len(keys)))]
        way.append(key)
        if not isinstance(part[key], dict | list) or not part[key] or rng.random() < 0.2:
            part[key] = OTHERS[int(rng.integers(len(OTHERS)))]
            break
        part = part[key]
    path.write_text(json.dumps(value))
    return f"another value at {way}"


def damaged_rows(path, rng):
    """Change a row of the journal, or what is noted of all, with a digest that fits."""
    with sqlite3.connect(path) as connection:
        if rng.random() < 0.3:
            facts = dict(connection.execute("SELECT name, value FROM facts"))
            del facts["digest"]
            name = sorted(facts)[int(rng.integers(len(facts)))]
            facts[name] = [None, -1, 10**12, "x", "", 1.5, b"\0"][int(rng.integers(7))]
            noted = {**facts, "digest": codec.digest_of_facts(facts)}
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", noted.items())
            done = f"{name} of the facts is {facts[name]!r}"
        else:
            places = [place for (place,) in connection.execute("SELECT place FROM items")]
            place = places[int(rng.integers(len(places)))]
            query = "SELECT id, vector, metadata, source, change FROM items WHERE place = ?"
            row = list(connection.execute(query, (place,)).fetchone())
            column = int(rng.integers(4))
            if column == 1:
                row[1] = [
                    b"",
                    bytes(32),
                    rng.bytes(32),
                    rng.bytes(31),
                    rng.bytes(64),
                    np.full(8, np.nan, "f4").tobytes(),
                    np.full(8, np.inf, "f4").tobytes(),
                    np.full(8, 1e-30, "f4").tobytes(),
                    "text",
                ][int(rng.integers(9))]
            else:
                row[column] = [
                    *("null", "5", "1e999", "NaN", "[]", "{}", '"x"', "true", '{"a": [1]}', '{"a": NaN}'),
                    *('{"": 1}', '{"n": 1e999}', "no json", "", "[" * 100_000),
                ][int(rng.integers(15))]
            connection.execute(
                "UPDATE OR IGNORE items SET id = ?, vector = ?, metadata = ?, source = ?, digest = ? WHERE place = ?",
                (*row[:4], codec.digest(*row), place),
            )
            done = f"row {place}, column {column} is {row[column]!r:.60}"
    connection.close()
    return done


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(1000, 1300), marks=pytest.mark.slow)])
def test_damage_whose_hashes_fit_is_refused_or_an_index_of_its_own(made, tmp_path, seeds, tally):
    counts, wrong = run_cases(made, tmp_path, seeds, fitted, rebuild=True)
    tally("a file is damaged, and its hashes fit", **counts)
    assert not wrong, "\n".join(wrong)


def test_what_is_not_damaged_opens_as_it_was(made, tmp_path):
    folder, expected = made
    for name, held in expected.items():
        shutil.copytree(folder / name, tmp_path / name)
        assert verdict(tmp_path / name, name, held) == "as it was"
