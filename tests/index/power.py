"""A disk whose power goes: what a process asked of it is replayed, and what was not synced is dropped, reordered and torn.

The calls of a process are recorded by strace. A file's content is safe once the file was synced, and an entry of a folder
(a new file, a rename, a removal) once the folder was: nothing else is promised by POSIX. Of what is pending at the moment
of the failure any part may have reached the disk: of writes any, each torn at any sector; of a folder's entries the first
few, as a file system with a journal keeps them in order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = (
    "openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "ftruncate,mkdir,mkdirat,lseek"
)
_LINE = re.compile(rb"^(\d+) +(.*)$", re.DOTALL)
_CALL = re.compile(rb"^(\w+)\((.*)\) += (-?\d+)", re.DOTALL)
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(rb"(\d+)<((?:\\x[0-9a-f]{2})*)>")


def _text(escaped: bytes) -> bytes:
    return bytes.fromhex(escaped.replace(b"\\x", b"").decode())


@dataclass
class Operation:
    """One thing that was asked of the disk: `kind` is "create", "write", "truncate", "sync", "rename", "unlink" or "mark"."""

    kind: str
    path: str = ""
    offset: int = 0
    data: bytes = b""
    other: str = ""


def traced(program: str, root: Path) -> Path:
    """Return the record of a Python program that is given a folder."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed (apt-get install strace); scripts/setup.sh dev does that"
    trace = root.parent / "trace"
    recording = [strace, "-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    subprocess.run([*recording, sys.executable, "-c", program, str(root)], check=True, capture_output=True)
    return trace


def operations(trace: Path, root: Path) -> list[Operation]:
    """Return what a recorded process asked of the disk below a folder, and where it said that it was done with something."""
    found: list[Operation] = []
    positions: dict[int, int] = {}
    started: dict[bytes, bytes] = {}
    inside = str(root)
    for line in trace.read_bytes().splitlines():
        pid, rest = _LINE.match(line).groups()  # type: ignore[union-attr]
        if rest.endswith(b"<unfinished ...>"):
            started[pid] = rest[: -len(b"<unfinished ...>")]
            continue
        if rest.startswith(b"<... "):
            rest = started.pop(pid) + rest.partition(b"resumed>")[2]
        call = _CALL.match(rest)
        if call is None or int(call[3]) < 0:
            continue
        name, arguments, result = call[1].decode(), call[2], int(call[3])
        strings = [_text(each) for each in _STRING.findall(arguments)]
        descriptor = _DESCRIPTOR.search(arguments)
        paths = [each.decode(errors="surrogateescape") for each in strings]
        if name == "openat":
            positions[result] = 0
            path = paths[0]
            if path.startswith(inside) and b"O_DIRECTORY" not in arguments and b"O_TMPFILE" not in arguments:
                if b"O_CREAT" in arguments:
                    found.append(Operation("create", path))
                if b"O_TRUNC" in arguments:
                    found.append(Operation("truncate", path))
            continue
        if name in ("mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2"):
            if paths[0].startswith(inside):
                kind = (
                    "create"
                    if name.startswith("mkdir")
                    else "rename"
                    if name.startswith("rename")
                    else "unlink"
                )
                data = b"folder" if name.startswith("mkdir") else b""
                found.append(
                    Operation(kind, paths[0], data=data, other=paths[-1] if kind == "rename" else "")
                )
            continue
        if descriptor is None:
            continue
        number, path = int(descriptor[1]), _text(descriptor[2]).decode()
        data = b"".join(strings)
        if name == "lseek":
            positions[number] = result
        elif number == 2 and data.startswith(b"DONE "):
            found.append(Operation("mark", data=data[5:].strip()))
        elif name in ("write", "writev"):
            at = positions.get(number, 0)
            positions[number] = at + result
            if path.startswith(inside):
                found.append(Operation("write", path, at, data[:result]))
        elif not path.startswith(inside):
            continue
        elif name == "pwrite64":
            found.append(Operation("write", path, int(arguments.rsplit(b",", 1)[1]), data[:result]))
        elif name in ("fsync", "fdatasync"):
            found.append(Operation("sync", path))
        elif name == "ftruncate":
            found.append(Operation("truncate", path, int(arguments.rsplit(b",", 1)[1])))
    return found


@dataclass
class _File:
    is_folder: bool = False
    content: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list)

    def apply(self, operation: Operation) -> None:
        if operation.kind == "truncate":
            missing = operation.offset - len(self.content)
            self.content[operation.offset :] = bytes(max(0, missing))
        else:
            end = operation.offset + len(operation.data)
            self.content.extend(bytes(max(0, operation.offset - len(self.content))))
            self.content[operation.offset : end] = operation.data


class Disk:
    """What has been asked of a disk, and what of it is safe."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._now: dict[str, _File] = {self._root: _File(is_folder=True)}
        self._safe: dict[str, dict[str, _File]] = {}  # folder -> the entries of it that are safe
        self._entries: dict[str, list[tuple[str, _File | None]]] = {}  # and what is pending of it, in order
        self.marks = 0

    def do(self, operation: Operation) -> None:
        """Take over one operation."""
        kind, path = operation.kind, operation.path
        if kind == "mark":
            self.marks += 1
        elif kind == "create":
            if path not in self._now:
                self._now[path] = _File(is_folder=operation.data == b"folder")
                self._enter(path, self._now[path])
        elif kind == "unlink":
            self._now.pop(path, None)
            self._enter(path, None)
        elif kind == "rename":
            moved = self._now.pop(path)
            self._now[operation.other] = moved
            self._enter(path, None)
            self._enter(operation.other, moved)
        elif path in self._now:  # others have been removed, and are open still
            file = self._now[path]
            if kind == "sync" and file.is_folder:
                for name, entry in self._entries.pop(path, []):
                    self._keep(path, name, entry)
            elif kind == "sync":
                for each in file.pending:
                    file.apply(each)
                file.pending.clear()
            else:
                file.pending.append(operation)

    def _enter(self, path: str, file: _File | None) -> None:
        folder, _, name = path.rpartition("/")
        self._entries.setdefault(folder, []).append((name, file))

    def _keep(self, folder: str, name: str, entry: _File | None) -> None:
        entries = self._safe.setdefault(folder, {})
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry

    def fail(self, rng: object, target: Path) -> None:
        """Write to a folder what is on the disk after the power has gone at this moment; the disk is of no use then."""
        for folder, pending in self._entries.items():
            for name, entry in pending[: rng.integers(len(pending) + 1)]:  # type: ignore[attr-defined]
                self._keep(folder, name, entry)
        self._write(self._root, target, rng)

    def _write(self, folder: str, target: Path, rng: object) -> None:
        target.mkdir()
        for name, file in self._safe.get(folder, {}).items():
            if file.is_folder:
                self._write(f"{folder}/{name}", target / name, rng)
            else:
                (target / name).write_bytes(_after_failure(file, rng))


def _after_failure(file: _File, rng: object) -> bytes:
    """Return a file's content: what was safe, and any part of what was pending."""
    left = _File(content=bytearray(file.content))
    chance = rng.choice([0.0, 0.5, 1.0])  # type: ignore[attr-defined]
    for operation in file.pending:
        if rng.random() >= chance:  # type: ignore[attr-defined]
            continue
        if operation.kind == "write" and len(operation.data) > SECTOR and rng.random() < 0.5:  # type: ignore[attr-defined]
            start, end = sorted(SECTOR * rng.integers(0, len(operation.data) // SECTOR + 1, 2))  # type: ignore[attr-defined]
            operation = Operation(
                "write", "", operation.offset + int(start), operation.data[int(start) : int(end)]
            )
        left.apply(operation)
    return bytes(left.content)
