"""The command `fashionsearch`: the library's names, thin, for the shell."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from fashionsearch import errors
from fashionsearch.cli.answer import Answer, reserved_output, show
from fashionsearch.cli.console import any_encoding, shown
from fashionsearch.cli.parser import make_parser

__all__ = ["main", "run"]


def run() -> int:
    """Run the command line in a process of its own; return the exit code."""
    # What imports make stays. To look among it for garbage, again and again and at the end, was 8 % of a search by a photo.
    gc.set_threshold(10_000)
    code = main()
    gc.freeze()
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    with any_encoding():
        options = _parsed(list(sys.argv[1:] if arguments is None else arguments))
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return _run(options)
        except errors.FashionSearchError as error:
            print(f"fashionsearch: {shown(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("fashionsearch: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            # The reader (head, less) has seen enough; a second error on closing would only confuse.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


def _run(options: argparse.Namespace) -> int:
    """Run a command, whose file is imported only now, and print what it answers."""
    file, function = options.run.split(":")  # from the parser's own table, never from what the user typed
    with reserved_output(options):
        if options.plugin:
            from fashionsearch.cli.plugins import run_plugins

            run_plugins(options.plugin)
        done: Answer | int = getattr(importlib.import_module(f"fashionsearch.cli.{file}"), function)(options)
    if isinstance(done, int):
        return done
    show(done, options)
    return done.code


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = make_parser(arguments[0] if arguments else None)
    if arguments[:1] != ["evaluate"]:
        return parser.parse_args(arguments)
    arguments, file = _without_json_file(arguments, parser)
    options = parser.parse_args(arguments)
    options.json_file = file
    options.json = options.json and file is None
    return options


def _without_json_file(
    arguments: list[str], parser: argparse.ArgumentParser
) -> tuple[list[str], Path | None]:
    """Take the name of a file away from --json, which until the next minor version may have one."""
    arguments = [
        word
        for each in arguments
        for word in (["--json", each[7:]] if each.startswith("--json=") else [each])
    ]
    if "--json" not in arguments or {"-h", "--help"} & set(arguments):
        return arguments, None
    place = arguments.index("--json") + 1
    if place == len(arguments) or arguments[place].startswith("-"):
        return arguments, None
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            too_many = bool(parser.parse_known_args(arguments)[1])
    except SystemExit:
        return arguments, None
    if not too_many:
        return arguments, None
    file = arguments[place]
    print(
        f"warning: --json prints to standard output, and will take no file's name from the next minor version on; write "
        f"--json > {file}",
        file=sys.stderr,
    )
    return arguments[:place] + arguments[place + 1 :], Path(file)


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
        print(f"warning: {shown(message)}", file=sys.stderr)
