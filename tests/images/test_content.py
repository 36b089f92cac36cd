"""Bytes come from any path and any file object, or the reason why they can't be had."""

import io
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionsearch import errors
from fashionsearch.images import check_images, read_image


def encode(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def why(image):
    with pytest.raises(errors.ImageError) as caught:
        read_image(image, position=7)
    (failure,) = caught.value.failures
    assert failure.position == 7
    assert str(caught.value).startswith("image 7 (")
    return failure.reason


def test_missing_empty_folder_fifo_and_odd_paths(tmp_path):
    assert why(tmp_path / "none.jpg") == why("") == "there is no such file"
    (tmp_path / "empty.jpg").touch()
    assert why(tmp_path / "empty.jpg") == why(b"") == why(io.BytesIO()) == "the file is empty"
    assert why(tmp_path).startswith("is a folder; list its files")
    assert why("a\0b.jpg").startswith("can't be opened")
    assert why("x" * 5000).startswith("can't be opened")
    (tmp_path / "loop").symlink_to("loop")
    assert why(tmp_path / "loop").startswith("can't be opened")
    assert "regular file" in why("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    assert why(tmp_path / "fifo.jpg") == "is not a regular file (a FIFO, socket or device)"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path, photo):
    path = tmp_path / "secret.jpg"
    path.write_bytes(photo())
    path.chmod(0)
    assert why(path) == "can't be opened: Permission denied"


def test_file_objects_that_fail():
    closed = io.BytesIO(b"x")
    closed.close()
    assert why(closed) == "can't be read: I/O operation on closed file."
    assert why(io.StringIO("x")) == "the file object is open as text; open it with mode 'rb'"


class Reader:
    """A file object that knows only what it must."""

    def __init__(self, answer, sized=True):
        self.answer = answer
        if sized:
            self.read = lambda size=-1: self._read()
        else:
            self.read = lambda: self._read()

    def _read(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("sized", [True, False])
def test_file_objects_may_return_any_bytes_and_know_no_size(kind, sized, photo):
    data = photo("PNG")
    np.testing.assert_array_equal(read_image(Reader(kind(data), sized)), read_image(data))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("text", "the file object is open as text; open it with mode 'rb'"),
        (None, "its read() gave a NoneType and not bytes; open it blocking, with mode 'rb'"),
        (7, "its read() gave a int and not bytes; open it blocking, with mode 'rb'"),
        (b"", "the file is empty"),
        (ZeroDivisionError("by zero"), "can't be read: by zero"),
        (EOFError(), "can't be read: EOFError"),
        (ConnectionResetError(104, "reset by peer"), "can't be read: [Errno 104] reset by peer"),
        (
            UnicodeDecodeError("utf-8", b"x", 0, 1, "odd"),
            "can't be read: 'utf-8' codec can't decode byte 0x78",
        ),
    ],
)
def test_whatever_a_file_object_does_is_named(answer, reason):
    assert why(Reader(answer)).startswith(reason)


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        MemoryError(),
        RecursionError(),
        OSError(24, "Too many open files"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_what_says_nothing_of_the_image_is_raised_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        check_images([Reader(error)])
    assert not isinstance(caught.value, errors.FashionSearchError)


def test_a_slow_file_object_holds_up_no_other(photo):
    data, held = photo("PNG"), threading.Event()

    class Slow:
        def read(self, size=-1):
            held.wait(10)
            return data

    thread = threading.Thread(target=read_image, args=(Slow(),))
    thread.start()
    begin = time.monotonic()
    for other in (io.BytesIO(data), Reader(data), Image.open(io.BytesIO(data))):
        read_image(other)
    assert time.monotonic() - begin < 5
    held.set()
    thread.join()


def test_too_many_open_files_is_no_damage(tmp_path, photo):
    (tmp_path / "a.jpg").write_bytes(photo())
    code = """
        import resource, sys
        from fashionsearch.images import check_images
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        files = []
        try:
            while True:
                files.append(open(sys.argv[1], "rb"))
        except OSError:
            pass
        try:
            check_images([sys.argv[1]])
        except OSError as error:
            files.clear()
            print(type(error).__name__, error.strerror)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "a.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "OSError Too many open files\n"


def test_a_home_is_what_a_shell_takes_it_for(monkeypatch, tmp_path, photo):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.jpg").write_bytes(photo())
    assert read_image("~/a.jpg").shape == read_image(Path("~/a.jpg")).shape == (32, 48, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_was_forked_while_a_file_was_read_reads_on(photo):
    code = """
        import io, os, sys, threading, warnings
        from fashionsearch.images import read_image
        warnings.simplefilter("ignore")
        begun, go = threading.Event(), threading.Event()
        class Slow:
            def read(self, size=-1):
                begun.set(); go.wait(); return b""
        slow = Slow()
        threading.Thread(target=lambda: read_image(slow), daemon=True).start()
        begun.wait()
        child = os.fork()
        if not child:
            go.set()
            try:
                read_image(slow)
            except Exception as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "the file is empty" in done.stdout
