"""A run's folder: the checkpoints of one training, recognised when it is gone on with.

```text
checkpoints/
  run.json     what decides the result (options, photos, labels, first weights, seed), the arithmetic where it was timed,
               and whether it is finished
  last.ckpt    after the latest epoch: where a killed run goes on
  best.ckpt    the epoch with the lowest validation loss
  *.npy        what photos must be told apart by, while the run isn't finished
```
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors

_RUN, _LOCK = "run.json", ".lock"
_FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """Where one training keeps its checkpoints, and scratch files beside them.

    Attributes:
        folder: of the checkpoints.
        scratch: of files that go when the run ends.
        seed: of everything random in the run.
        kept: whether the user asked for the checkpoints.
        argument: by which they asked.
    """

    folder: Path
    scratch: Path
    seed: int
    kept: bool
    argument: str = "checkpoints"

    @property
    def last(self) -> Path:
        """The checkpoint after the latest epoch."""
        return self.folder / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.folder / "best.ckpt"

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.kept and bool(_read(self.folder).get("finished"))

    def recognise(self, identity: Mapping[str, Any]) -> None:
        """Write down what decides the result, or compare it with what is there.

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
        self.note({"identity": plain})

    def noted(self, name: str) -> Any:
        """Return what was added to run.json under a name, or None."""
        return _read(self.folder).get(name) if self.kept else None

    def remembered(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return an array that is made once for the run, and kept until it ends.

        Made again by another runtime it would be rounded otherwise, and the run would end elsewhere.

        Raises:
            StorageError: if it can't be written, or what is there is damaged.
        """
        path = self.folder / f"{name}.npy"
        if self.kept and path.exists():
            try:
                kept: NDArray[Any] = np.load(path, allow_pickle=False)
            except (ValueError, EOFError, OSError) as error:
                raise errors.CorruptFileError(
                    f"{path} is damaged: {error!r}; delete it, and it is made again"
                ) from error
            return kept
        array = make()
        if self.kept and is_first_process():
            self._replace(path.name, lambda file: np.save(file, array, allow_pickle=False))
        return array

    def finish(self) -> None:
        """Note that the run has ended."""
        self.note({"finished": True})
        if self.kept and is_first_process():
            for path in self.folder.glob("*.npy"):
                path.unlink(missing_ok=True)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add to run.json so that a crash leaves the old file or the new one."""
        if not self.kept or not is_first_process():
            return
        content = {"format_version": _FORMAT, "seed": self.seed, **_read(self.folder), **facts}
        self._replace(_RUN, lambda file: file.write(json.dumps(content, indent=1).encode()))

    def _replace(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        fresh = self.folder / f".{name}.new"
        with _written(self.folder):
            with fresh.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.folder / name)


@contextlib.contextmanager
def open_run(
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
    with tempfile.TemporaryDirectory(prefix="fashionsearch-") as scratch:
        if checkpoints is None:
            yield RunFolder(Path(scratch), Path(scratch), _seed(random_state, {}), kept=False)
            return
        folder = Path(checkpoints)
        with _written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in folder.iterdir()} - {_LOCK, f".{_RUN}.new"}
        there = _read(folder)
        if names and not there and is_first_process():
            raise errors.InputError(
                f"{folder} is not empty ({min(names)!r} is in it) and holds no checkpoints; choose another folder"
            )
        with _locked(folder):
            run = RunFolder(folder, Path(scratch), _seed(random_state, there), kept=True, argument=argument)
            run.note({})
            yield run


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
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
        int(content["seed"])
    except (ValueError, KeyError, TypeError) as error:
        raise errors.CorruptFileError(
            f"{path} is damaged: {error!r}; delete the folder to train from the start"
        ) from error
    if version > _FORMAT:
        raise errors.StorageError(f"{path} was written by a newer fashionsearch; upgrade it")
    return content
