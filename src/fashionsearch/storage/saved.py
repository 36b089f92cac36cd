"""One generation of a saved folder: its files, each verified before anything is made of it."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fashionsearch import errors
from fashionsearch.files import lock, open_folder, open_regular
from fashionsearch.storage.fields import Fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fashionsearch.storage.arrays import Expected

_BLOCK = 2**20


@dataclass(frozen=True)
class Saved:
    """One generation of a saved folder, its manifest read.

    Attributes:
        folder: the folder the user named.
        kind: what was saved ("backbone", "classifier", "index").
        generation: the folder of the current generation's files.
        files: name -> {"sha256", "bytes"}.
    """

    folder: Path
    kind: str
    generation: Path
    files: Mapping[str, Mapping[str, Any]]

    def hold(self) -> bool:
        """Keep the files from being removed by newer saves for as long as this object lives, if that can be done."""
        with contextlib.suppress(OSError):
            descriptor = open_folder(self.generation)
            weakref.finalize(self, os.close, descriptor)
            lock(descriptor, shared=True)
            # It may have been removed before the lock was held.
            return os.path.samestat(os.fstat(descriptor), self.generation.stat())
        return False

    def path(self, name: str) -> Path:
        """Return a file's path after comparing its size and SHA-256 with the manifest's.

        Raises:
            CorruptFileError: if the file is missing or isn't what was written.
            StorageError: if it may not be read.
        """
        with self._opened(name) as file:
            self._compare(name, sha256(file))
        return self.generation / name

    def content(self, name: str) -> bytes:
        """Return the content of a verified file.

        Raises:
            CorruptFileError: if the file is missing or isn't what was written.
            StorageError: if it may not be read.
        """
        with self._opened(name) as file:
            content = file.read(self.files[name]["bytes"])
        self._compare(name, hashlib.sha256(content).hexdigest())
        return content

    def mapped(self, name: str) -> Mapped:
        """Return a file, mapped and to be read only, of which its size alone has been verified.

        Raises:
            CorruptFileError: if the file is missing or of another size.
            StorageError: if it may not be read.
        """
        with self._opened(name) as file:
            return Mapped(file)

    def held(self, name: str) -> Held:
        """Return a file, kept open to be read and verified later, of which its size alone has been verified.

        Raises:
            CorruptFileError: if the file is missing or of another size.
            StorageError: if it may not be read.
        """
        with self._opened(name) as file:
            return Held(file, self.generation / name, self.files[name]["sha256"])

    def without(self, endings: tuple[str, ...]) -> Saved:
        """Return the folder as if the files of such names weren't in it; it is held for as long as that lives."""
        rest = {name: file for name, file in self.files.items() if not name.endswith(endings)}
        found = replace(self, files=rest)
        found.hold()
        return found

    def json(self, name: str) -> Fields:
        """Return the fields of a verified JSON file.

        Raises:
            CorruptFileError: if it isn't what was written, or isn't a JSON object.
        """
        return Fields.parse(self.generation / name, self.content(name))

    def arrays(self, name: str, expected: Expected | None = None) -> dict[str, NDArray[Any]]:
        """Return the arrays of a verified safetensors file.

        Args:
            name: of the file.
            expected: name -> (dtype, shape) of arrays that must be there, with finite values. A side of a shape is a
                length, None for any, or a name: sides of one name must be equal.

        Raises:
            CorruptFileError: if it isn't what was written, or its arrays aren't as expected.
        """
        from fashionsearch.storage.arrays import check_arrays, parse_arrays

        with self._opened(name) as file:
            content = bytearray(self.files[name]["bytes"])  # arrays that share it can be written to
            file.readinto(content)  # type: ignore[attr-defined]
        self._compare(name, hashlib.sha256(content).hexdigest())
        try:
            arrays = parse_arrays(content)
            check_arrays(arrays, expected or {})
        # What is no safetensors file fails anywhere.
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else repr(error)
            raise errors.CorruptFileError(
                f"{self.generation / name} is damaged: {reason[:300]}; restore it from a copy"
            ) from error
        return arrays

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[BinaryIO]:
        path = self.generation / name
        expected = self.files.get(name)
        if expected is None:
            raise errors.CorruptFileError(
                f"{self.folder}: the manifest lists no file {name!r}; save it again"
            )
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size != expected["bytes"]:
                    raise errors.CorruptFileError(
                        f"{path} is not the file that was saved: it has {size:,} bytes, and {expected['bytes']:,} were "
                        "written; restore it from a copy"
                    )
                yield file
        except errors.StorageError:
            raise
        except PermissionError as error:
            raise errors.StorageError(
                f"{path} can't be read: permission denied; ask its owner to let you read it"
            ) from error
        except OSError as error:
            raise errors.CorruptFileError(
                f"{path} can't be read: {error.strerror or error}; restore it from a copy, or, if it was being saved at "
                "this moment, load it again"
            ) from error

    def _compare(self, name: str, digest: str) -> None:
        _compare(self.generation / name, digest, self.files[name]["sha256"])


class Held:
    """A file that is kept open: it can be read also when its folder has been removed or saved to again.

    Where the system can't remove an open file it is read at once.

    Args:
        file: an open one; it may be closed then.
        path: of the file, for an error.
        digest: the SHA-256 it is to have.
    """

    def __init__(self, file: BinaryIO, path: Path, digest: str) -> None:
        self._path, self._digest = path, digest
        self._read: bytes | None = None
        if not hasattr(os, "pread"):
            self._read = file.read()
            return
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def content(self) -> bytes:
        """Return what it holds, verified.

        Raises:
            CorruptFileError: if it can't be read or isn't what was written.
        """
        try:
            content = b"".join(self._blocks()) if self._read is None else self._read
        except OSError as error:
            raise errors.CorruptFileError(
                f"{self._path} can't be read: {error.strerror or error}; restore it from a copy"
            ) from error
        _compare(self._path, hashlib.sha256(content).hexdigest(), self._digest)
        return content

    def _blocks(self) -> Iterator[bytes]:
        place, size = 0, os.fstat(self._descriptor).st_size
        while block := os.pread(self._descriptor, size - place, place):  # which gives 2 GiB at most
            yield block
            place += len(block)

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_digest": self._digest, "_read": self.content()}


def _compare(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise errors.CorruptFileError(
            f"{path} is not the file that was saved: its SHA-256 differs; restore it from a copy"
        )


class Mapped:
    """A mapped file.

    A page of a map that the disk can't give, or that was cut off, ends the process (SIGBUS) when it is touched. So a part
    is asked for by `read` first, which raises; then the system has it in memory.

    Args:
        file: an open one; it may be closed then.

    Attributes:
        content: of the whole file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._bytes = self.size()
        mapped = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) if self._bytes else b""
        self.content = memoryview(mapped)

    def size(self) -> int:
        """Return how many bytes the file has now."""
        return os.fstat(self._descriptor).st_size

    def check(self) -> None:
        """Raise OSError if the file isn't as long as it was."""
        if self.size() < self._bytes:
            raise OSError(f"it has {self.size():,} bytes, and had {self._bytes:,}")

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return some of the content, fewer bytes at its end.

        Raises:
            OSError: if the disk can't give them, or the file is shorter than it was.
        """
        self.check()
        if not hasattr(os, "pread"):  # Windows, which cuts off no file that is mapped
            return self.content[start:stop]
        return os.pread(self._descriptor, stop - start, start)


def write_copy(saved: Saved, name: str) -> Callable[[Path], None]:
    """Return a writer of a copy of a saved file, which raises CorruptFileError if that isn't what was written."""

    def write(path: Path) -> None:
        shutil.copyfile(saved.path(name), path)

    return write


def sha256(file: BinaryIO) -> str:
    """Return the SHA-256 of what is left to read of a file."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
