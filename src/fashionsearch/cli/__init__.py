"""The command `fashionsearch`: the library's names, thin, for the shell."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from fashionsearch import errors
from fashionsearch.cli.parser import make_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = options.run(options)
    except errors.FashionSearchError as error:
        print(f"fashionsearch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fashionsearch: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a second error on closing would only confuse.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show the library's own warnings as sentences; those of its dependencies are not the user's business."""
    if issubclass(category, errors.DataWarning):
        print(f"warning: {message}", file=sys.stderr)
