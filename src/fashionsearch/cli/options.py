"""What the options of several commands share."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

DATA_HELP = (
    "a folder with styles.csv and images/ (the Kaggle layout), a folder of class folders, a folder of photos, "
    "or a CSV file with a column of image paths"
)
EXIT_CODES = """
exit codes: 0 done; 1 something could not be done, and the message says what; 2 the command line is wrong;
130 interrupted
"""


def command(subcommands: Any, name: str, run: Any, summary: str, examples: str) -> argparse.ArgumentParser:
    """Add a command that a function runs, and return its parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + textwrap.indent(examples, "  ") + "\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_data(parser: argparse.ArgumentParser, *, skips: bool = True) -> None:
    """Add where a table of photos is read from."""
    parser.add_argument("data", type=Path, help=DATA_HELP)
    add_reading(parser, skips=skips)


def add_reading(parser: argparse.ArgumentParser, *, skips: bool = True) -> None:
    """Add how tables of photos are read."""
    parser.add_argument(
        "--image-column", default="image", help="the CSV file's column of image paths (%(default)s)"
    )
    parser.add_argument(
        "--image-root", type=Path, help="the folder those paths start from; default: the CSV file's own"
    )
    if skips:
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave out photos that can't be read, and name them"
        )


def add_encoder(parser: Any, default: str = "fashion") -> None:
    """Add what embeds photos."""
    parser.add_argument(
        "--encoder",
        default=default,
        help="a network's name, or a saved classifier, tagger, autoencoder or backbone (%(default)s)",
    )


def add_label(parser: argparse.ArgumentParser) -> None:
    """Add the column to learn."""
    parser.add_argument(
        "--label", help="the column to learn; default: masterCategory, or the class folder's name"
    )
