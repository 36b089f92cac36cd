"""Checkpoint files: written beside the old one and renamed, and read without unpickling code."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

from fashionsearch import errors


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old file or the new one.

    Raises:
        StorageError: if there is no space; the old file is unchanged.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    # Torch's writer raises a RuntimeError of its own over the system's error.
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise errors.StorageError(
            f"the checkpoint {path} could not be written: {error.__context__ or error}; the one before is unchanged. "
            "Make room and call fit again with the same checkpoints= to go on from it"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint into the CPU's memory.

    Raises:
        CorruptFileError: if it can't be read.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file raises many kinds of errors.
    except Exception as error:
        raise errors.CorruptFileError(
            f"the checkpoint {path} can't be read ({(str(error) or repr(error)).splitlines()[0][:200]}); delete the "
            "folder to train from the start"
        ) from error
    return content
