"""A run's folder: its checkpoints, and where a run that was interrupted resumes (`RunFolder.resume_point`).

```text
checkpoints/
  run.json     what decides the result (options, photos, labels, first weights, seed), the compute mode where it was timed,
               whether the run is finished, and the size and SHA-256 of each file below
  last.ckpt    after the latest epoch: where an interrupted run resumes
  best.ckpt    after the epoch with the lowest validation loss
  *.npy        arrays that were made once for the run, while it isn't finished
```

The digests of a file's old and new content are both in run.json while the new one is renamed over the old one, so a kill at
any moment leaves files that are recognised. A file that isn't is not used: the run resumes from what is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO, cast

import filelock
import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.files import as_path, open_regular, read_regular, write_atomically
from fashionsearch.training.digests import HashingWriter, is_one_of
from fashionsearch.training.scratch import scratch_folder

_RUN, _LOCK, _LAST, _BEST = "run.json", ".lock", "last.ckpt", "best.ckpt"
_FORMAT = 2
_LARGEST_RUN = 2**26  # bytes of run.json, which holds a few numbers a class
_SCRATCH = ".scratch-"


@dataclass(frozen=True)
class RunFolder:
    """Where one run keeps its checkpoints, and scratch files for as long as it is trained.

    Attributes:
        folder: of the checkpoints.
        scratch: folder of files that go when the run ends.
        seed: of everything random in the run.
        kept: whether the user asked for the checkpoints.
        argument: the name of the argument by which they asked.
    """

    folder: Path
    scratch: Path
    seed: int
    kept: bool
    argument: str = "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint after the latest epoch."""
        return self.folder / _LAST

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.folder / _BEST

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.kept and bool(_read(self.folder).get("finished"))

    def check_same_run(self, identity: Mapping[str, Any]) -> None:
        """Compare what decides the result with what the folder's run began with; a new run writes it down.

        Raises:
            InputError: if the folder holds the checkpoints of another run.
            StorageError: if it can't be written.
        """
        plain = json.loads(json.dumps(identity, default=str))
        there = _read(self.folder).get("identity", plain) if self.kept else plain
        for name, was, now in _differences(there, plain):
            raise errors.InputError(
                f"{self.folder} holds the checkpoints of another run: its {name} is {str(was)[:80]}, and now it is "
                f"{str(now)[:80]}; give {self.argument}= another folder, or delete this one"
            )
        self.set_meta(identity=plain)

    def resume_point(self, *, validated: bool) -> Path | None:
        """Return the checkpoint from which the run resumes; None is the start.

        That is the last one, with the best one beside it where there is a validation part. Where one of them is damaged, the
        run resumes from what is whole, and ends as if nothing had happened; a warning says so.

        Args:
            validated: whether epochs are compared on a validation part.
        """
        if not self.kept:
            return None
        last, best = self._is_whole(self.last), self._is_whole(self.best)
        if last and (best or not validated):
            return self.last
        # What led to the best epoch is in its checkpoint; later ones don't hold its weights.
        start = self.best if best else None
        whole = {self.last: last, self.best: best}
        damaged = [path.name for path in whole if path.exists() and not whole[path]]
        if damaged or last:
            what = " and ".join(damaged) or f"{_BEST}, which is missing,"
            warnings.warn(
                f"{self.folder}: {what} can't be used, because it isn't what was written (its SHA-256 is in {_RUN}); the "
                f"run {f'resumes from {start.name}' if start else 'starts again'}",
                errors.DataWarning,
                stacklevel=2,
            )
        self.set_meta(finished=False)
        return start

    def read_checkpoint(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint into the CPU's memory, without unpickling code.

        Raises:
            CorruptFileError: if it isn't what was written, or can't be read.
        """
        try:
            with self._open_whole(path) as file:
                content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise  # which says nothing of the file
        # A damaged file raises many kinds of errors.
        except Exception as error:
            raise errors.CorruptFileError(
                f"the checkpoint {path} can't be read ({(str(error) or repr(error)).splitlines()[0][:200]}); call fit again "
                "to train from what is whole, or delete the folder to train from the start"
            ) from error
        return content

    def write_checkpoint(self, path: Path, content: dict[str, Any]) -> None:
        """Write a checkpoint so that a crash leaves the old one or the new one.

        Raises:
            StorageError: if there is no space; the old one is unchanged.
        """
        try:
            self._publish(path, lambda file: torch.save(content, cast(Any, file)))
        # Torch's writer raises a RuntimeError of its own over the system's error.
        except (OSError, RuntimeError) as error:
            cause = error.__cause__ or error.__context__ or error
            todo = (
                "the one before is unchanged. Make room and call fit again with the same checkpoints= to resume from it"
                if self.kept
                else "make room there, or name another folder with the environment variable TMPDIR"
            )
            raise errors.StorageError(
                f"the checkpoint {path} could not be written: {cause}; {todo}"
            ) from error

    def cached_array(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return an array that is made once for the run, and kept until it ends.

        Made again by another runtime it would be rounded otherwise, and the run would end elsewhere.

        Raises:
            StorageError: if it can't be written.
        """
        path = self.folder / f"{name}.npy"
        if self.kept and path.exists():
            try:
                with self._open_whole(path) as file:
                    kept: NDArray[Any] = np.load(file, allow_pickle=False)
                return kept
            except (ValueError, EOFError, OSError) as error:
                warnings.warn(
                    f"{path} is damaged ({error}), and is made again", errors.DataWarning, stacklevel=2
                )
        array = make()
        if self.kept and is_first_process():
            self._publish(path, lambda file: np.save(file, array, allow_pickle=False))
        return array

    def finish(self) -> None:
        """Note that the run has ended."""
        self.set_meta(finished=True)
        if self.kept and is_first_process():
            for path in self.folder.glob("*.npy"):
                path.unlink(missing_ok=True)

    def get_meta(self, name: str) -> Any:
        """Return what `set_meta` wrote under a name, or None."""
        return _read(self.folder).get(name) if self.kept else None

    def set_meta(self, **facts: Any) -> None:
        """Add to run.json so that a crash leaves the old file or the new one.

        Raises:
            StorageError: if it can't be written.
        """
        if not self.kept or not is_first_process():
            return
        content = {"format_version": _FORMAT, "seed": self.seed, **_read(self.folder), **facts}
        write_atomically(self.folder / _RUN, lambda file: file.write(json.dumps(content, indent=1).encode()))

    def _publish(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        """Write a file of the run, and its digest into run.json."""
        if not self.kept:  # no crash is to be survived
            with path.open("wb") as plain:
                write(plain)
            return
        fresh: list[dict[str, Any]] = []

        def hashed(file: BinaryIO) -> None:
            hashing = HashingWriter(file)
            write(cast(BinaryIO, hashing))
            fresh.append(hashing.digest)
            self._set_digests(path.name, [*self._digests(path.name), *fresh])

        write_atomically(path, hashed)
        self._set_digests(path.name, fresh)

    def _digests(self, name: str) -> list[Any]:
        return list((self.get_meta("files") or {}).get(name, ()))

    def _set_digests(self, name: str, digests: list[Any]) -> None:
        self.set_meta(files={**(self.get_meta("files") or {}), name: digests})

    @contextlib.contextmanager
    def _open_whole(self, path: Path) -> Iterator[BinaryIO]:
        """Open a file of the run after comparing its size and digest.

        Raises:
            OSError: if it can't be opened, or isn't what was written.
        """
        with open_regular(path) as file:
            if self.kept and not is_one_of(file, self._digests(path.name)):
                raise OSError("its SHA-256 is not that in run.json")
            yield file

    def _is_whole(self, path: Path) -> bool:
        try:
            with self._open_whole(path):
                return True
        except OSError:
            return False


@contextlib.contextmanager
def open_run_folder(
    checkpoints: str | os.PathLike[str] | None, random_state: int | None, *, argument: str = "checkpoints"
) -> Iterator[RunFolder]:
    """Open the folder of a run, or a temporary one that goes when the block ends.

    Args:
        checkpoints: a folder, new or of a run that was begun before; None keeps nothing.
        random_state: the seed; None draws one, or takes that of the run that was begun.
        argument: what the user knows the folder by.

    Raises:
        StorageError: if the folder can't be written, or another process trains there.
        InputError: if it holds something else, the seed is none, or several processes were started without a seed and a
            folder that they share.
    """
    if random_state is not None and not (
        isinstance(random_state, Integral) and 0 <= int(random_state) < 2**32
    ):
        raise errors.InputError(
            f"random_state={random_state!r} is not a whole number from 0 to {2**32 - 1}, or None"
        )
    if was_started_for_many() and (checkpoints is None or random_state is None):
        raise errors.InputError(
            f"torchrun or SLURM started several processes, which must agree: give random_state=, and {argument}= a folder "
            "that all of them see"
        )
    temporary = Path(tempfile.gettempdir())
    if checkpoints is None:
        with _scratch(temporary, "fashionsearch-") as scratch:
            yield RunFolder(scratch, scratch, _seed(random_state, {}), kept=False)
        return
    folder = as_path(checkpoints)
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if path.name != _LOCK and not _is_leftover(path.name)}
    there = _read(folder)
    if names and not there and is_first_process():
        raise errors.InputError(
            f"{folder} is not empty ({min(names)!r} is in it) and holds no checkpoints; choose another folder"
        )
    # Several machines share the folder, perhaps by a slow network; each has a disk of its own for scratch.
    near = (temporary, "fashionsearch-") if was_started_for_many() else (folder, _SCRATCH)
    with _locked(folder), _scratch(*near) as scratch:
        run = RunFolder(folder, scratch, _seed(random_state, there), kept=True, argument=argument)
        run.set_meta()
        yield run


def _is_leftover(name: str) -> bool:
    """Return whether a killed run leaves files of such names."""
    return name.startswith(_SCRATCH) or (name.startswith(f".{_RUN}.") and name.endswith(".new"))


@contextlib.contextmanager
def _scratch(root: Path, prefix: str) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        with _written(root):
            scratch = stack.enter_context(scratch_folder(root, prefix))
        yield scratch


def is_first_process() -> bool:
    """Return whether this process writes for all that torchrun or SLURM started."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def was_started_for_many() -> bool:
    """Return whether torchrun or SLURM started this process as one of several."""
    return any(
        os.environ.get(name, "1") not in ("", "1")
        for name in (("WORLD_SIZE",) if "TORCHELASTIC_RUN_ID" in os.environ else ("SLURM_NTASKS",))
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if not is_first_process():  # the first process holds the lock for all
        yield
        return
    lock = filelock.FileLock(folder / _LOCK, timeout=0)
    try:
        with _written(folder):
            lock.acquire()
    except filelock.Timeout as error:
        raise errors.StorageError(
            f"another process trains with the checkpoints in {folder}; wait, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except filelock.Timeout:  # an OSError too
        raise
    except OSError as error:
        raise errors.StorageError(
            f"{folder} could not be written: {error}; checkpoints that were there are unchanged"
        ) from error


def _differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in {**there, **now}:
        was, is_now = there.get(name), now.get(name)
        if was == is_now:
            continue
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            yield from _differences(was, is_now)
        else:
            yield name, was, is_now


def _seed(random_state: int | None, there: Mapping[str, Any]) -> int:
    if random_state is not None:
        return int(random_state)
    return int(there["seed"]) if "seed" in there else int(np.random.SeedSequence().generate_state(1)[0])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _RUN
    try:
        content: dict[str, Any] = json.loads(read_regular(path, _LARGEST_RUN))
        version = content["format_version"]
        int(content["seed"])
        if version < _FORMAT:
            raise errors.StorageError(
                f"{path} was written by an earlier fashionsearch; delete the folder to train from the start"
            )
        for digests in content.get("files", {}).values():
            for each in digests:
                int(each["bytes"]), str(each["sha256"])
    except FileNotFoundError:
        return {}
    except errors.StorageError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise errors.CorruptFileError(
            f"{path} is damaged: {error!r}; delete the folder to train from the start"
        ) from error
    if version > _FORMAT:
        raise errors.StorageError(f"{path} was written by a newer fashionsearch; upgrade it")
    return content
