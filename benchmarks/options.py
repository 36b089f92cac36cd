"""The options that benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser(
    description: str | None, *, pairs: int | None = None, data: bool = True
) -> argparse.ArgumentParser:
    """Return a parser with `--out`; with `--data`, and with `--pairs` and `--quick` where a benchmark is timed.

    Args:
        description: the script's docstring.
        pairs: the default number of pairs, or None where nothing is timed in pairs.
        data: whether the benchmark needs the Kaggle photos.
    """
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if data:
        made.add_argument(
            "--data", type=Path, required=True, help="Fashion Product Images (Small), as Kaggle ships it"
        )
    made.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)"
    )
    if pairs is not None:
        made.add_argument(
            "--pairs", type=int, default=pairs, help="rounds in which every contender runs once (%(default)s)"
        )
        made.add_argument(
            "--quick",
            action="store_true",
            help="a smoke run with few photos and pairs; its figures mean little",
        )
    return made
