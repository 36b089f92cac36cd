"""The options that benchmarks share, and what all of them begin with."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def parser(
    description: str | None, *, pairs: int | None = None, data: bool = True, quick: str = ""
) -> argparse.ArgumentParser:
    """Return a parser with `--out`, and as asked `--data`, `--pairs` (so many) and `--quick` (which is so small)."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    if data:
        add("--data", type=Path, required=True, help="Fashion Product Images (Small), as Kaggle ships it")
    add("--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)")
    if pairs is not None:
        rounds = "rounds in which every contender runs once (%(default)s)"
        add("--pairs", type=int, default=pairs, help=rounds)
    if quick:
        add("--quick", action="store_true", help=f"a smoke run: {quick}; its figures mean little")
    return made


@contextlib.contextmanager
def empty_cache() -> Iterator[Path]:
    """Let embeddings and exports go to a folder of their own, which is empty at first and goes at the end."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FASHIONSEARCH_CACHE"] = folder
        yield Path(folder)
