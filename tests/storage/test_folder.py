"""A saved folder is the old one or the new one, never a mixture; damage is named, never loaded."""

import json
import os
import random
import subprocess
import sys
import textwrap
import time

import filelock
import numpy as np
import pytest

from fashionsearch import errors, storage


def put(folder, value, kind="index"):
    storage.save(
        folder,
        kind,
        {
            "fields.json": storage.write_json({"value": value}),
            "parts/vectors.safetensors": storage.write_arrays({"v": np.full((200, 8), value, np.float32)}),
        },
    )


def read(folder):
    saved = storage.open_saved(folder, "index")
    return saved.json("fields.json")["value"], saved.arrays("parts/vectors.safetensors")["v"]


def holds(folder, value):
    found, vectors = read(folder)
    return found == value and (vectors == value).all() and vectors.shape == (200, 8)


def generations(folder):
    return sorted(path.name for path in folder.glob("generation-*"))


def test_round_trip(tmp_path):
    folder = tmp_path / "deep" / "catalogue"
    arrays = {
        "a": np.arange(6, dtype=np.int64).reshape(2, 3)[:, ::2],
        "b": np.array([True]),
        "c": np.zeros((0, 4), "f2"),
    }
    storage.save(
        str(folder),
        "thing",
        {"x.json": storage.write_json({"x": ["ü\udcff", None]}), "y": storage.write_arrays(arrays)},
    )
    saved = storage.open_saved(folder, "thing")
    assert saved.kind == "thing"
    assert saved.json("x.json") == {"x": ["ü\udcff", None]}
    for name, array in saved.arrays("y").items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == arrays[name].dtype
    with pytest.raises(errors.CorruptFileError, match="lists no file 'z'"):
        saved.path("z")


def test_the_previous_generation_stays_for_readers(tmp_path):
    for value in range(5):
        put(tmp_path / "s", value)
        reader = storage.open_saved(tmp_path / "s")
        put(tmp_path / "s", value + 0.5)
        assert reader.json("fields.json")["value"] == value
        del reader
        assert holds(tmp_path / "s", value + 0.5)
        assert len(generations(tmp_path / "s")) == 2


def test_folders_of_others_are_refused(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("precious")
    with pytest.raises(errors.StorageError, match=r"not empty \('thesis.txt' is in it\)"):
        put(tmp_path / "notes", 1)
    (tmp_path / "runs" / "generation-1").mkdir(parents=True)
    (tmp_path / "runs" / "generation-1" / "mine").touch()
    with pytest.raises(errors.StorageError, match="'generation-1' is in it"):
        put(tmp_path / "runs", 1)
    assert (tmp_path / "runs" / "generation-1" / "mine").exists()
    with pytest.raises(errors.StorageError, match="could not be written"):
        put(tmp_path / "notes" / "thesis.txt", 1)
    with pytest.raises(errors.StorageError, match="can't be read"):
        storage.open_saved(tmp_path / "notes" / "thesis.txt")


def test_other_kinds_and_nothing_are_refused(tmp_path):
    put(tmp_path / "s", 1)
    with pytest.raises(
        errors.StorageError, match="holds a saved index, which something of kind 'backbone' would replace"
    ):
        put(tmp_path / "s", 2, kind="backbone")
    with pytest.raises(errors.StorageError, match="holds a saved index, not a backbone"):
        storage.open_saved(tmp_path / "s", "backbone")
    assert holds(tmp_path / "s", 1)
    for nothing, message in (
        (tmp_path, r"it has no manifest\.json"),
        (tmp_path / "no", "there is no such folder"),
    ):
        with pytest.raises(errors.StorageError, match=message):
            storage.open_saved(nothing)


def test_leftovers_of_killed_saves_are_cleaned(tmp_path):
    first = tmp_path / "first"
    (first / "generation-1").mkdir(parents=True)
    (first / ".lock").touch()
    (first / ".manifest.json.new").write_text("{")
    put(first, 1)
    assert holds(first, 1)
    assert generations(first) == ["generation-2"]
    (first / "generation-7").mkdir()
    (first / ".manifest.json.new").write_text("{")
    put(first, 2)
    assert holds(first, 2)
    assert generations(first) == ["generation-2", "generation-8"]
    assert not (first / ".manifest.json.new").exists()


def test_a_writer_that_fails_leaves_the_old_state(tmp_path):
    def fail(path):
        path.write_bytes(b"half")
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            storage.save(tmp_path / "new", "index", {"a": fail})
    put(tmp_path / "new", 1)
    with pytest.raises(ZeroDivisionError):
        storage.save(tmp_path / "new", "index", {"ok": storage.write_json({}), "a": fail})
    assert holds(tmp_path / "new", 1)
    assert len(generations(tmp_path / "new")) == 1


def test_every_failing_sync_leaves_the_old_state_or_the_new(tmp_path, monkeypatch):
    put(tmp_path / "s", 1)
    original = os.fsync
    for fail_at in range(20):
        left = [fail_at]

        def failing(descriptor, left=left):
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            original(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            if fail_at == 7:  # two files, three folders, the manifest, and the root again
                put(tmp_path / "s", 2)
                break
            with pytest.raises(errors.StorageError, match="No space left on device"):
                put(tmp_path / "s", 2)
        assert holds(tmp_path / "s", 2 if fail_at == 6 else 1)
        put(tmp_path / "s", 1)
    assert holds(tmp_path / "s", 2)


CHILD = """
import sys
import numpy as np
from fashionsearch import storage

folder, start = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
for value in range(start, start + 100_000):
    storage.save(folder, "index", {
        "fields.json": storage.write_json({"value": value}),
        "parts/vectors.safetensors": storage.write_arrays({"v": np.full((200, 8), value, np.float32)}),
    })
    print(value, flush=True)
"""


def test_kill_at_any_moment(tmp_path):
    folder = tmp_path / "s"
    dice = random.Random(0)
    value = -1
    for _ in range(25):
        command = [sys.executable, "-c", CHILD, str(folder), str(value + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            child.stdout.readline()
            time.sleep(dice.uniform(0, 0.06))
            child.kill()
            done = child.stdout.read().split()
        last = int(done[-1]) if done else value
        if last < 0 and not (folder / "manifest.json").exists():
            continue
        found, vectors = read(folder)
        assert found in (last, last + 1)
        assert (vectors == found).all()
        value = found
    put(folder, 5)
    assert holds(folder, 5)
    assert len(generations(folder)) <= 2


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
@pytest.mark.parametrize("limit", [0, 100, 5000])
def test_a_full_disk(tmp_path, limit):
    put(tmp_path / "s", 1)
    script = f"""
        import resource
        import numpy as np
        from fashionsearch import errors, storage
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            storage.save({str(tmp_path / "s")!r}, "index", {{
                "fields.json": storage.write_json({{"value": 2}}),
                "parts/vectors.safetensors": storage.write_arrays({{"v": np.full((200, 8), 2, np.float32)}}),
            }})
        except errors.StorageError as error:
            print(error)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert "could not be written" in result.stdout, result.stderr
    assert "what was saved there before is unchanged" in result.stdout
    assert holds(tmp_path / "s", 1)
    assert generations(tmp_path / "s") == ["generation-1"]


def test_two_writers_at_once(tmp_path):
    put(tmp_path / "s", 1)
    with filelock.FileLock(tmp_path / "s" / ".lock"):
        with pytest.raises(errors.StorageError, match="is being saved to by another process; wait"):
            put(tmp_path / "s", 2)
        assert holds(tmp_path / "s", 1)  # reading needs no lock
    put(tmp_path / "s", 2)


def test_two_processes_at_once(tmp_path):
    script = """
        import random, sys, time
        from fashionsearch import errors, storage
        saved = 0
        while saved < 30:
            try:
                storage.save(sys.argv[1], "index", {f"{sys.argv[2]}.json": storage.write_json({"n": saved})})
                saved += 1
            except errors.StorageError as error:
                assert "is being saved to by another process" in str(error), error
            time.sleep(random.uniform(0, 0.005))
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "s"), name],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for child in children:
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
    saved = storage.open_saved(tmp_path / "s")
    (name,) = saved.files
    assert saved.json(name)["n"] == 29


# --- damage ---


@pytest.fixture
def saved_folder(tmp_path):
    put(tmp_path / "s", 1)
    return tmp_path / "s"


def use_everything(folder):
    saved = storage.open_saved(folder, "index")
    for name in ("fields.json", "parts/vectors.safetensors"):
        saved.path(name)
    return read(folder)


def test_a_truncated_manifest(saved_folder):
    manifest = saved_folder / "manifest.json"
    whole = manifest.read_bytes()
    for percent in range(0, 100, 5):
        manifest.write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(errors.CorruptFileError, match=r"manifest\.json is damaged"):
            use_everything(saved_folder)


def test_flipped_bytes_of_the_manifest(saved_folder):
    manifest = saved_folder / "manifest.json"
    whole = manifest.read_bytes()
    dice = random.Random(1)
    refused = 0
    for _ in range(600):
        damaged = bytearray(whole)
        for _ in range(dice.choice([1, 1, 3])):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        manifest.write_bytes(damaged)
        try:
            value, vectors = use_everything(saved_folder)
        except errors.StorageError:
            refused += 1
        else:  # white space and unused fields may change
            assert value == 1
            assert (vectors == 1).all()
    assert refused > 450


FILE = {"sha256": "0" * 64, "bytes": 5}


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": "1x"},
        {"format_version": float("inf")},
        {"format_version": float("nan")},
        {"format_version": -1},
        {"format_version": 0},
        {"format_version": True},
        {"format_version": None},
        {"format_version": [1]},
        {"kind": ["index"]},
        {"kind": None},
        {"generation": 1},
        {"generation": ".."},
        {"generation": "../other/generation-1"},
        {"generation": "/etc"},
        {"generation": "generation-1/.."},
        {"generation": "generation-99"},
        {"files": None},
        {"files": []},
        {"files": [["fields.json", FILE]]},
        {"files": {}},
        {"files": {"fields.json": None}},
        {"files": {"fields.json": "abc"}},
        {"files": {"fields.json": []}},
        {"files": {"fields.json": {}}},
        {"files": {"fields.json": {"sha256": "", "bytes": 0}}},
        {"files": {"fields.json": {"sha256": "", "bytes": 99}}},
        {"files": {"fields.json": {"sha256": "0" * 64, "bytes": "x"}}},
        {"files": {"fields.json": {"sha256": "0" * 64, "bytes": [1]}}},
        {"files": {"fields.json": {"sha256": [], "bytes": 5}}},
        {"files": {"fields.json": FILE}},
        {"files": {"../fields.json": FILE}},
        {"files": {"parts/../../x": FILE}},
        {"files": {"/etc/passwd": FILE}},
        {"files": {"a\0": FILE}},
        {"files": {"": FILE}},
    ],
)
def test_wrong_values_in_the_manifest(change, saved_folder):
    manifest = json.loads((saved_folder / "manifest.json").read_text())
    (saved_folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(errors.CorruptFileError):
        use_everything(saved_folder)


@pytest.mark.parametrize("version", [2, 10**400])
def test_newer_versions_are_refused(version, saved_folder):
    manifest = json.loads((saved_folder / "manifest.json").read_text())
    (saved_folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": version}))
    with pytest.raises(errors.StorageError, match="this fashionsearch reads up to 1; upgrade it") as caught:
        use_everything(saved_folder)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"3",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format_version":' + b"9" * 5000 + b"}",
    ],
)
def test_a_manifest_that_is_something_else(text, saved_folder):
    (saved_folder / "manifest.json").write_bytes(text)
    with pytest.raises(errors.CorruptFileError, match="is damaged"):
        use_everything(saved_folder)
    with pytest.raises(errors.CorruptFileError, match="is damaged"):
        put(saved_folder, 2)


@pytest.mark.parametrize("name", ["fields.json", "parts/vectors.safetensors"])
def test_damaged_data_files(name, saved_folder):
    path = saved_folder / "generation-1" / name
    whole = path.read_bytes()
    dice = random.Random(2)
    damages = [whole[:-1], whole + b"\0", b"", whole[: len(whole) // 2]]
    for _ in range(60):
        place, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
        damages.append(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    for damaged in damages:
        path.write_bytes(damaged)
        with pytest.raises(errors.CorruptFileError, match="is not the file that was saved"):
            storage.open_saved(saved_folder).path(name)
    path.unlink()
    with pytest.raises(errors.CorruptFileError, match="can't be read"):
        storage.open_saved(saved_folder).path(name)
    path.mkdir()
    with pytest.raises(errors.CorruptFileError):
        storage.open_saved(saved_folder).path(name)
