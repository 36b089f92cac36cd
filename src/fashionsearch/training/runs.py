"""A run's folder: the checkpoints of one training, recognised when it is gone on with.

```text
checkpoints/
  run.json     what decides the result (options, photos, labels, first weights, seed), and whether it is finished
  last.ckpt    after the latest epoch: where a killed run goes on
  best.ckpt    the epoch with the lowest validation loss
```
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from fashionsearch import errors

_RUN = "run.json"
_FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """Where one training keeps its checkpoints, and scratch files beside them.

    Attributes:
        folder: of the checkpoints.
        scratch: of files that go when the run ends.
        seed: of everything random in the run.
    """

    folder: Path
    scratch: Path
    seed: int

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
        return bool(_read(self.folder).get("finished"))

    def recognise(self, identity: Mapping[str, Any]) -> None:
        """Write down what decides the result, or compare it with what is there.

        Raises:
            InputError: if the folder holds the checkpoints of another run.
        """
        plain = json.loads(json.dumps(identity, default=str))
        there = _read(self.folder)
        for name, value in plain.items():
            if "identity" in there and there["identity"].get(name) != value:
                was = str(there["identity"].get(name))
                raise errors.InputError(
                    f"{self.folder} holds the checkpoints of another run: its {name} is {was[:80]}, and now it is "
                    f"{str(value)[:80]}; give checkpoints= another folder, or delete this one"
                )
        self._note({"identity": plain})

    def finish(self) -> None:
        """Note that the run has ended."""
        self._note({"finished": True})

    def _note(self, facts: Mapping[str, Any]) -> None:
        start = {"format_version": _FORMAT, "seed": self.seed}
        write(self.folder / _RUN, {**start, **_read(self.folder), **facts})


@contextlib.contextmanager
def open_run(checkpoints: str | os.PathLike[str] | None, random_state: int | None) -> Iterator[RunFolder]:
    """Open the folder of a run, or a temporary one that goes when the block ends.

    Args:
        checkpoints: a folder, new or of a run that was begun before; None keeps nothing.
        random_state: the seed; None draws one, or takes that of the run that was begun.

    Raises:
        StorageError: if the folder can't be written, or another process trains there.
        InputError: if it holds something else.
    """
    with tempfile.TemporaryDirectory(prefix="fashionsearch-") as scratch:
        if checkpoints is None:
            yield RunFolder(Path(scratch), Path(scratch), _seed(random_state, {}))
            return
        folder = Path(checkpoints)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            there = _read(folder)
            names = {path.name for path in folder.iterdir()} - {".lock"}
            if names and not there:
                raise errors.InputError(
                    f"{folder} is not empty ({min(names)!r} is in it) and holds no checkpoints; choose another folder"
                )
            lock = filelock.FileLock(folder / ".lock", timeout=0)
            # Of several processes that torchrun or SLURM started, the first one holds the lock for all.
            with lock if _is_first_process() else contextlib.nullcontext():
                seed = _seed(random_state, there)
                run = RunFolder(folder, Path(scratch), seed)
                run._note({})
                yield run
        except filelock.Timeout as error:
            raise errors.StorageError(
                f"another process trains with the checkpoints in {folder}; wait, or choose another folder"
            ) from error
        except errors.FashionSearchError:
            raise
        except OSError as error:
            raise errors.StorageError(
                f"{folder} could not be written: {error}; checkpoints that were there are unchanged"
            ) from error


def write(path: Path, content: Any) -> None:
    """Write JSON so that a crash leaves the old file or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(content, indent=1), encoding="utf-8")
    fresh.replace(path)


def _is_first_process() -> bool:
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


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
        if content["format_version"] > _FORMAT:
            raise errors.StorageError(f"{path} was written by a newer fashionsearch; upgrade it")
        return content
    except (ValueError, KeyError, TypeError) as error:
        raise errors.CorruptFileError(
            f"{path} is damaged: {error!r}; delete the folder to train from the start"
        ) from error
