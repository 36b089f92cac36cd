"""Whatever a saved file holds, reading it gives what was written or CorruptFileError, even where its hash fits."""

import gc
import hashlib
import json
import os
import random
import stat
import struct
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import safetensors.numpy

from fashionsearch import errors, storage
from fashionsearch.storage.arrays import parse_arrays, write_arrays

ARRAYS = {
    "vectors": np.arange(12, dtype=np.float32).reshape(4, 3),
    "ids": np.arange(4),
    "kept": np.array([True, False, True, True]),
    "half": np.ones((2, 2), np.float16),
    "empty": np.zeros((0, 5), np.float64),
    "scalar": np.array(7, np.uint16),
    "big endian": np.arange(3, dtype=">i4"),
    "every other": np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],
}


@pytest.fixture
def folder(tmp_path):
    storage.save(
        tmp_path / "s",
        "index",
        {"config.json": storage.write_json({"dim": 3}), "a.safetensors": storage.write_arrays(ARRAYS)},
    )
    return tmp_path / "s"


def rewrite(folder, name, content):
    """Change a file and make its hash fit, as whoever can write the folder can."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / manifest["generation"] / name).write_bytes(content)


# --- arrays ---


def test_arrays_are_what_the_safetensors_package_reads_and_writes(tmp_path):
    write_arrays(ARRAYS)(tmp_path / "ours")
    for name, array in safetensors.numpy.load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype.newbyteorder("<")
        assert array.shape == ARRAYS[name].shape
    theirs = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in ARRAYS.items()})
    read = parse_arrays(bytearray(theirs))
    assert set(read) == set(ARRAYS)
    for name, array in read.items():
        np.testing.assert_array_equal(array, ARRAYS[name].reshape(array.shape))
        array[...] = 0  # can be written to


def test_a_dtype_that_a_file_cannot_hold_is_refused_before_anything_is_written():
    for odd in (np.array(["text"]), np.array([None]), np.ones(2, np.complex64)):
        with pytest.raises(TypeError, match=r"'x' has dtype .*, which can't be saved"):
            write_arrays({"x": odd})


def test_flipped_bytes_of_a_tensor_file_never_raise_anything_else(folder):
    whole = (folder / "generation-1" / "a.safetensors").read_bytes()
    dice = random.Random(0)
    (header,) = struct.unpack_from("<Q", whole)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(dice.choice([1, 1, 3])):
            damaged[dice.randrange(8 + header)] = dice.randrange(256)
        rewrite(
            folder, "a.safetensors", bytes(damaged[: dice.choice([None, None, dice.randrange(len(whole))])])
        )
        try:
            arrays = storage.open_saved(folder).arrays("a.safetensors")
        except errors.CorruptFileError:
            continue
        assert sum(array.nbytes for array in arrays.values()) <= len(whole)


def header(**entries):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 1) + b"7",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 4) + b"\xff\xfe\xff\xfe",
        header(a=None),
        header(a=7),
        header(a=[]),
        header(a={}),
        header(a=ONE),
        header(a=ONE) + bytes(7),
        header(a=ONE) + bytes(9),
        header(a={**ONE, "dtype": "BF16"}) + bytes(8),
        header(a={**ONE, "dtype": []}) + bytes(8),
        header(a={**ONE, "dtype": None}) + bytes(8),
        header(a={**ONE, "shape": 2}) + bytes(8),
        header(a={**ONE, "shape": [-2]}) + bytes(8),
        header(a={**ONE, "shape": [2.0]}) + bytes(8),
        header(a={**ONE, "shape": [True, 2]}) + bytes(8),
        header(a={**ONE, "shape": [2**62, 4]}) + bytes(8),
        header(a={**ONE, "shape": [1] * 100 + [2]}) + bytes(8),
        header(a={**ONE, "shape": [0, 2**70], "data_offsets": [0, 0]}),
        header(a={**ONE, "data_offsets": [0]}) + bytes(8),
        header(a={**ONE, "data_offsets": [8, 0]}) + bytes(8),
        header(a={**ONE, "data_offsets": [-8, 0]}) + bytes(8),
        header(a={**ONE, "data_offsets": ["0", "8"]}) + bytes(8),
        header(a={**ONE, "data_offsets": None}) + bytes(8),
        header(a=ONE, b=ONE) + bytes(8),
        header(a=ONE, b={**ONE, "data_offsets": [4, 12]}) + bytes(12),
        header(a=ONE, b={**ONE, "data_offsets": [16, 24]}) + bytes(24),
    ],
)
def test_what_is_no_tensor_file_is_named(content, folder):
    rewrite(folder, "a.safetensors", content)
    with pytest.raises(
        errors.CorruptFileError, match=r"a\.safetensors is damaged: .*; restore it from a copy"
    ) as caught:
        storage.open_saved(folder).arrays("a.safetensors")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"missing": ("f4", ())}, "the array 'missing' is missing"),
        ({"vectors": ("f8", (4, 3))}, "'vectors' has dtype float32, and float64 is needed"),
        ({"vectors": ("f4", (4,))}, r"'vectors' has shape \(4, 3\), and \(4,\) is needed"),
        ({"vectors": ("f4", (4, 5))}, r"'vectors' has shape \(4, 3\), and \(4, 5\) is needed"),
        (
            {"vectors": ("f4", ("n", 3)), "half": ("f2", ("n", 2))},
            r"'half' has shape .* is needed, n being 4",
        ),
    ],
)
def test_arrays_that_are_not_as_expected_are_named(expected, message, folder):
    with pytest.raises(errors.CorruptFileError, match=message):
        storage.open_saved(folder).arrays("a.safetensors", expected)


def test_arrays_as_expected_are_returned_and_others_with_them(folder):
    expected = {"vectors": (np.float32, ("n", 3)), "ids": ("i8", ("n",)), "empty": ("f8", (None, 5))}
    assert set(storage.open_saved(folder).arrays("a.safetensors", expected)) == set(ARRAYS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_named(value, folder):
    rewrite(folder, "a.safetensors", safetensors.numpy.save({"v": np.float32([[1, value]])}))
    with pytest.raises(errors.CorruptFileError, match="'v' holds NaN or infinity"):
        storage.open_saved(folder).arrays("a.safetensors", {"v": ("f4", (None, 2))})


# --- JSON ---


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"3", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_what_is_no_json_object_is_named(content, folder):
    rewrite(folder, "config.json", content)
    with pytest.raises(errors.CorruptFileError, match=r"config\.json is damaged"):
        storage.open_saved(folder).json("config.json")


FIELDS = {
    "whole": 3, "true": True, "number": 0.5, "nan": float("nan"), "text": "hnsw", "list": [1, "a"], "none": None,
    "inner": {"m": 16, "deeper": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda f: f["gone"], "lacks the field 'gone'"),
        (lambda f: f["inner"]["deeper"]["gone"], "lacks the field 'gone'"),
        (lambda f: f.whole("gone"), "lacks the field 'gone'"),
        (lambda f: f.whole("whole", least=4), "'whole' is 3, and a whole number of at least 4 is needed"),
        (lambda f: f.whole("whole", most=2), "a whole number from 0 to 2"),
        (lambda f: f.whole("true"), "'true' is True"),
        (lambda f: f.whole("number"), "'number' is 0.5"),
        (lambda f: f.whole("none"), "'none' is None"),
        (lambda f: f.number("nan"), "'nan' is nan"),
        (lambda f: f.number("true"), "'true' is True"),
        (lambda f: f.number("number", least=1, most=2), "a number from 1 to 2"),
        (lambda f: f.text("whole"), "and text is needed"),
        (lambda f: f.text("text", among=("exact", "flat")), "one of exact, flat"),
        (lambda f: f.text("list", among=("exact", "flat")), "one of exact, flat"),
        (lambda f: f.flag("whole"), "true or false"),
        (lambda f: f.items_of("text"), "a list is needed"),
        (lambda f: f.items_of("list", length=3), "a list of 3 values"),
        (lambda f: f.items_of("list", str), "a list of str"),
        (lambda f: f.fields("whole"), "an object"),
        (lambda f: f.fields("list"), "an object"),
    ],
)
def test_a_field_that_is_not_what_is_needed_is_named(ask, message, folder):
    rewrite(folder, "config.json", json.dumps(FIELDS).encode())
    fields = storage.open_saved(folder).json("config.json")
    with pytest.raises(errors.CorruptFileError, match=message) as caught:
        ask(fields)
    assert "config.json" in str(caught.value)


def test_fields_are_returned_as_they_are(folder):
    rewrite(folder, "config.json", json.dumps(FIELDS).encode())
    fields = storage.open_saved(folder).json("config.json")
    assert (fields.whole("whole", least=3, most=3), fields.number("number"), fields.number("whole")) == (
        3,
        0.5,
        3.0,
    )
    assert (fields.text("text", among=("hnsw",)), fields.flag("true")) == ("hnsw", True)
    assert fields.items_of("list", (int, str), length=2) == [1, "a"]
    assert fields.fields("inner").whole("m") == 16
    assert fields.get("gone", 5) == 5
    assert {**fields}["inner"] == {"m": 16, "deeper": {}}


# --- the files themselves ---


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
@pytest.mark.parametrize("name", ["manifest.json", "generation-1/config.json", "generation-1/a.safetensors"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_what_could_be_read_for_ever_is_refused_at_once(name, kind, folder):
    path = folder / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    for read in (use_content, use_paths):
        with pytest.raises(
            errors.StorageError, match="is a folder" if kind == "folder" else "is not a regular"
        ):
            read(folder)


def use_content(folder):
    saved = storage.open_saved(folder)
    return saved.json("config.json"), saved.arrays("a.safetensors")


def use_paths(folder):
    saved = storage.open_saved(folder)
    return saved.path("config.json"), saved.path("a.safetensors")


def test_a_manifest_of_gigabytes_is_not_read(folder):
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(
        errors.StorageError, match=r"has 1,099,511,627,776 bytes, and at most 16,777,216 are read"
    ):
        storage.open_saved(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_each_file(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        files = {
            "c.json": storage.write_json({}),
            "a": storage.write_arrays(ARRAYS),
            "b": storage.write_bytes(b"x"),
        }
        storage.save(tmp_path / "s", "index", files)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "s").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    assert modes == dict.fromkeys(("manifest.json", "c.json", "a", "b"), mode)


def test_a_file_that_may_not_be_read_is_not_called_damaged(folder, monkeypatch):
    # Root reads everything, so the system's refusal is played.
    original = os.open

    def denied(path, *args, **options):
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *args, **options)

    monkeypatch.setattr(os, "open", denied)
    for name in ("manifest.json", "a.safetensors"):
        with pytest.raises(
            errors.StorageError, match=f"{name} can't be read: permission denied; ask its owner"
        ) as caught:
            storage.open_saved(folder).arrays("a.safetensors")
        assert not isinstance(caught.value, errors.CorruptFileError)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_folder_whose_name_is_not_utf8_is_saved_and_read(tmp_path):
    folder = str(tmp_path / os.fsdecode(b"gr\xfcn"))
    storage.save(folder, "index", {"c.json": storage.write_json({"a": 1}), "a": storage.write_arrays(ARRAYS)})
    saved = storage.open_saved(folder)
    assert saved.json("c.json") == {"a": 1}
    assert set(saved.arrays("a")) == set(ARRAYS)


def test_a_home_is_what_a_shell_takes_it_for(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    storage.save("~/m", "index", {"c.json": storage.write_json({})})
    assert (tmp_path / "m" / "manifest.json").exists()
    assert storage.open_saved("~/m").folder == tmp_path / "m"


# --- reading while somebody saves ---


@pytest.mark.skipif(sys.platform == "win32", reason="needs locks of folders")
def test_what_was_opened_stays_readable_until_it_is_let_go(folder):
    saved = storage.open_saved(folder)
    for _ in range(5):
        storage.save(folder, "index", {"config.json": storage.write_json({"dim": 4})})
    assert saved.json("config.json")["dim"] == 3
    assert set(saved.arrays("a.safetensors")) == set(ARRAYS)
    assert (folder / "generation-1").exists()
    del saved
    gc.collect()
    storage.save(folder, "index", {"config.json": storage.write_json({"dim": 4})})
    assert sorted(path.name for path in folder.glob("generation-*")) == ["generation-6", "generation-7"]


def test_reading_while_another_process_saves_finds_one_whole_generation(tmp_path):
    script = """
        import sys, numpy as np
        from fashionsearch import storage
        number = 0
        while True:
            number += 1
            storage.save(sys.argv[1], "index", {
                "config.json": storage.write_json({"dim": number}),
                "a.safetensors": storage.write_arrays({"v": np.full(100, number)}),
            })
            print(flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        threading.Thread(target=child.stdout.read, daemon=True).start()
        found = set()
        ends = time.monotonic() + 60  # a busy machine may give the other process little
        while len(found) <= 10 and time.monotonic() < ends:
            saved = storage.open_saved(tmp_path / "s")
            number = saved.json("config.json").whole("dim", least=1)
            assert (saved.arrays("a.safetensors")["v"] == number).all()
            found.add(number)
        child.kill()
    assert len(found) > 10


@pytest.mark.skipif(os.name == "nt", reason="nothing is held there")
def test_a_folder_without_some_files_is_held_by_itself(folder):
    rest = storage.open_saved(folder).without((".safetensors",))
    assert list(rest.files) == ["config.json"]
    gc.collect()
    for dim in range(4):
        storage.save(folder, "index", {"config.json": storage.write_json({"dim": dim})})
    assert rest.json("config.json")["dim"] == 3
