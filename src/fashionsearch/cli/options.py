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
ENGINES = "hnsw, faiss, exact, qdrant or pgvector"


def command(
    subcommands: Any,
    name: str,
    run: str,
    summary: str,
    examples: str,
    *,
    answers: bool = True,
    plugins: bool = True,
) -> argparse.ArgumentParser:
    """Add a command, and return its parser.

    Args:
        subcommands: of the whole parser.
        name: of the command.
        run: "file:function" of this folder, imported only when the command runs.
        summary: what it does.
        examples: command lines.
        answers: whether it prints a result, which --json and --csv give to programs.
        plugins: whether it may run a network, which may be of a plug-in.
    """
    parser: argparse.ArgumentParser = subcommands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + textwrap.indent(examples, "  ") + "\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, json=False, csv=False, plugin=[])
    if answers:
        forms = parser.add_mutually_exclusive_group()
        forms.add_argument(
            "--json", action="store_true", help="print the result as JSON, and nothing else there"
        )
        forms.add_argument("--csv", action="store_true", help="print it as CSV with a header, likewise")
    if plugins:
        parser.add_argument(
            "--plugin",
            action="append",
            type=Path,
            metavar="FILE",
            help="a Python file of yours that registers backbones; it is run. May be given several times",
        )
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
        add_skip_bad(parser)


def add_skip_bad(parser: argparse.ArgumentParser) -> None:
    """Add what is done about photos that can't be read."""
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out photos that can't be read, and name them"
    )


def add_id_column(parser: argparse.ArgumentParser) -> None:
    """Add where ids come from."""
    parser.add_argument(
        "--id-column", help="the column of ids; default: id, or the photos' paths where there is none"
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


def add_random_state(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """Add what everything random begins with: `random_state` in Python."""
    parser.add_argument("--random-state", "--seed", type=int, default=default, help=f"{what} (%(default)s)")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add where an index on a server is."""
    parser.add_argument(
        "--url",
        help="address of the server, with qdrant (its key: QDRANT_API_KEY in the environment) and pgvector",
    )
    parser.add_argument("--collection", help="name of the items' collection or table there")
