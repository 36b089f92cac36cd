"""A file is read only if it is a regular one, and written whole or not at all."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fashionsearch import errors, files


def put(path, content):
    files.write_atomically(path, lambda file: file.write(content))


def test_a_file_is_written_in_a_new_folder_and_replaced(tmp_path):
    path = tmp_path / "deep" / "folder" / "a.bin"
    for content in (b"first", b"", b"third"):
        put(str(path), content)
        assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        put(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, MemoryError])
def test_an_error_of_the_writer_passes_through_and_leaves_the_old_file_alone(error, tmp_path):
    put(tmp_path / "a", b"old")

    def fail(file):
        file.write(b"half")
        raise error

    with pytest.raises(error):
        files.write_atomically(tmp_path / "a", fail)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_failing_sync_says_what_is_there(tmp_path, monkeypatch):
    put(tmp_path / "a", b"old")
    original = os.fsync
    for fail_at, message, content in (
        (0, "could not be written: No space left on device; what was there before is unchanged", b"old"),
        (1, "was written, but a power failure may still undo it: No space left", b"new"),
    ):
        left = [fail_at]

        def failing(descriptor, left=left):
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            original(descriptor)

        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(errors.StorageError, match=message):
            put(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_bytes() == content
        monkeypatch.setattr(os, "fsync", original)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_each_new_folder_is_synced_into_the_one_above(tmp_path, monkeypatch):
    synced = []
    original = files.sync
    monkeypatch.setattr(files, "sync", lambda path: (synced.append(path), original(path)))
    put(tmp_path / "one" / "two" / "a", b"x")
    assert {tmp_path, tmp_path / "one", tmp_path / "one" / "two"} <= set(synced)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.StorageError, match=r"could not be written: (Not a directory|File exists)"):
        put(tmp_path / "file" / "a", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.StorageError, match="could not be written: Is a directory"):
        put(tmp_path / "folder", b"x")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


CHILD = """
import sys
from fashionsearch import files
print("ready", flush=True)
for number in range(100_000):
    files.write_atomically(sys.argv[1], lambda file: [file.write(bytes([number % 256]) * 1000) for _ in range(50)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a leftover's owner can't be told")
def test_what_killed_writers_leave_is_removed_by_the_next(tmp_path):
    path = tmp_path / "a.bin"
    dice = random.Random(0)
    left = 0
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(dice.uniform(0, 0.02))
            child.kill()
        left = max(left, len(list(tmp_path.glob(".a.bin.*.new"))))
        assert left <= 1
        if path.exists():
            assert len(path.read_bytes()) == 50_000
            assert len(set(path.read_bytes())) == 1
    (tmp_path / ".a.bin.00000000.new").write_bytes(b"left by a killed process")
    put(path, b"done")
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_writers_at_once_leave_one_whole_file(tmp_path):
    contents = [bytes([number]) * 100_000 for number in range(8)]
    threads = [
        threading.Thread(target=lambda content=content: [put(tmp_path / "a", content) for _ in range(10)])
        for content in contents
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if (tmp_path / "a").exists():
            assert (tmp_path / "a").read_bytes() in contents
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_home_is_what_a_shell_takes_it_for(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert files.as_path("~/m") == files.as_path(Path("~/m")) == tmp_path / "m"
    assert files.as_path("~") == tmp_path
    assert files.as_path("./~/m") == Path("~/m")
    assert files.as_path("a~") == Path("a~")
    assert files.as_path("~nobody-of-this-name/m") == Path("~nobody-of-this-name/m")
    with pytest.raises(errors.InputError, match="None of type NoneType is not a path"):
        files.as_path(None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for odd in (tmp_path / "fifo", "/dev/zero", "/dev/null"):
        with pytest.raises(OSError, match="is not a regular file"):
            files.read_regular(odd, 100)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.read_regular(tmp_path, 100)
    with pytest.raises(FileNotFoundError):
        files.read_regular(tmp_path / "none", 100)


def test_a_file_above_its_limit_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 101)
    assert files.read_regular(tmp_path / "a", 101) == b"x" * 101
    with pytest.raises(OSError, match="has 101 bytes, and at most 100 are read"):
        files.read_regular(tmp_path / "a", 100)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match=r"has 1,099,511,627,776 bytes"):
        files.read_regular(tmp_path / "sparse", 2**20)


def test_the_kind_of_file_system_is_that_of_the_nearest_mount(monkeypatch, tmp_path):
    mounts = (
        f"none / ext4 rw 0 0\nshare {tmp_path}/a\\040b nfs4 rw 0 0\nover {tmp_path}/a\\040b/c tmpfs rw 0 0\n"
    )
    real = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, **options: mounts if self == Path("/proc/self/mounts") else real(self, **options),
    )
    assert files.file_system(tmp_path / "a b" / "index") == "nfs4"
    assert files.file_system(tmp_path / "a b" / "c" / "index") == "tmpfs"
    assert files.file_system(tmp_path / "a bc") == "ext4"

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert files.file_system(tmp_path) is None
