"""The power goes at any moment of any change: what was acknowledged is there, and nothing else than what was asked for."""

import importlib.util
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import fashionsearch as fs

# The folder of tests is no package, and this file has no tests of its own.
_SPEC = importlib.util.spec_from_file_location("power", Path(__file__).with_name("power.py"))
power = sys.modules.setdefault("power", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(power)

PROGRAM = """
import os, sys
import numpy as np
import fashionsearch as fs

def done():
    os.write(2, b"DONE .\\n")

V = np.random.default_rng(0).normal(size=(400, 4)).astype("f4")
with fs.VisualIndex.open(sys.argv[1], dim=4, progress=False) as index:
    done()
    index.add_vectors(V[:5], ids=[f"p{n}" for n in range(5)], metadata=[{"n": n} for n in range(5)])
    done()
    index.update("p1", {"n": "other", "title": "x" * 3000})
    done()
    index.remove(["p0", "p3"])
    done()
    index.add_vectors(V[5:300], ids=[f"q{n}" for n in range(295)], metadata=[{"text": "y" * 200}] * 295)
    done()
    index._engine.checkpoint()
    done()
    index.add_vectors(V[300:302], ids=["p0", "p1"])
    done()
    index.remove([f"q{n}" for n in range(0, 295, 2)])
    done()
done()
with fs.VisualIndex.open(sys.argv[1], progress=False) as index:
    done()
    index.update("p2", {"n": None})
    done()
done()
"""


def states():
    """Return what the index holds after each mark: id -> (row of V, metadata)."""
    held, found = {}, [{}]

    def note(times=1):
        found.extend(dict(held) for _ in range(times))

    held |= {f"p{n}": (n, {"n": n}) for n in range(5)}
    note()
    held["p1"] = (1, {"n": "other", "title": "x" * 3000})
    note()
    del held["p0"], held["p3"]
    note()
    held |= {f"q{n}": (5 + n, {"text": "y" * 200}) for n in range(295)}
    note(2)
    held |= {"p0": (300, {}), "p1": (301, {})}
    note()
    for n in range(0, 295, 2):
        del held[f"q{n}"]
    note(3)
    held["p2"] = (2, {"n": None})
    note(2)
    return found


STATES = states()


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    root = tmp_path_factory.mktemp("power") / "catalogue"
    return power.operations(power.traced(PROGRAM, root), root), root


def is_state(index, state):
    if set(index) != set(state):
        return False
    vectors = np.random.default_rng(0).normal(size=(400, 4)).astype("f4")
    return all(
        (index.get(item).vector == vectors[row]).all() and index.get(item).metadata == fields
        for item, (row, fields) in state.items()
    )


def test_everything_was_recorded(asked):
    recorded, _ = asked
    kinds = Counter(operation.kind for operation in recorded)
    assert kinds["mark"] == len(STATES)
    assert kinds["sync"] > 20
    assert kinds["rename"] >= 3
    assert any(operation.path.endswith("journal.sqlite-wal") for operation in recorded)


def after_failures(recorded, root, tmp_path, count):
    """Let the power go so many times, and return what is wrong after that."""
    rng = np.random.default_rng(count)
    wrong = {name: [] for name in ("lost", "returned", "not opened", "wrong answers")}
    for number in range(count):
        moment = int(rng.integers(len(recorded) + 1))
        disk = power.Disk(root)
        for operation in recorded[:moment]:
            disk.do(operation)
        folder = tmp_path / str(number)
        disk.fail(rng, folder)
        done = STATES[max(disk.marks - 1, 0)]
        # What was under way may be there or not, wholly.
        begun = STATES[min(max(disk.marks - 1, 0) + 1, len(STATES) - 1)]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                with fs.VisualIndex.open(folder, dim=4, progress=False) as index:
                    if not (is_state(index, done) or is_state(index, begun)):
                        held = set(index)
                        kind = (
                            "lost"
                            if (set(done) & set(begun)) - held
                            else "returned"
                            if held - set(done) - set(begun)
                            else "wrong answers"
                        )
                        wrong[kind].append((number, moment, disk.marks))
                    if any("has lost" in str(each.message) for each in told):
                        wrong["lost"].append((number, moment, disk.marks))
                    index.add_vectors([[1, 2, 3, 4]], ids=["new"])
                with fs.VisualIndex.open(folder, read_only=True, progress=False) as again:
                    if "new" not in again:
                        wrong["lost"].append((number, moment, "new"))
            except fs.errors.StorageError as error:
                wrong["not opened"].append((number, moment, str(error)))
        shutil.rmtree(folder)
    return wrong


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_acknowledged_change_is_lost(asked, tmp_path, count, tally):
    wrong = after_failures(*asked, tmp_path, count)
    tally("the power goes", cases=count, **{name: len(found) for name, found in wrong.items()})
    assert not any(wrong.values()), wrong


def test_a_disk_that_forgets_what_was_synced_is_noticed(asked, tmp_path):
    """The test above can fail: without the syncs of the database changes are lost."""
    recorded, root = asked
    without = [each for each in recorded if not (each.kind == "sync" and "journal.sqlite" in each.path)]
    rng, lost = np.random.default_rng(1), 0
    for number in range(30):
        disk = power.Disk(root)
        for operation in without:
            disk.do(operation)
        folder = tmp_path / str(number)
        disk.fail(rng, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with fs.VisualIndex.open(folder, dim=4, progress=False) as index:
                    lost += not is_state(index, STATES[-1])
            except fs.errors.StorageError:
                lost += 1
    assert lost
