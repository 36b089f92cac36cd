"""Printing on any console: what its encoding lacks is spelled with plain characters, and never an error."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Iterator

_HANDLER = "fashionsearch.plain"
_PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "…": "...", "\u2019": "'", "→": "->"})


@contextlib.contextmanager
def any_encoding() -> Iterator[None]:
    """Let standard output and standard error take every text while the block runs."""
    codecs.register_error(_HANDLER, _spelled_plainly)
    changed: list[tuple[io.TextIOWrapper, str]] = []
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            changed.append((stream, stream.errors or "strict"))
            stream.reconfigure(errors=_HANDLER)
    try:
        yield
    finally:
        for stream, before in changed:
            with contextlib.suppress(ValueError, OSError):  # closed meanwhile, or its reader went away
                stream.reconfigure(errors=before)


def _spelled_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def shown(text: object) -> str:
    r"""Return a text for one line of a console; a file's name may hold what moves the cursor or changes colours.

    Examples:
        >>> shown("red\x1b[31m shoe\n.jpg")
        'red\\x1b[31m shoe\\n.jpg'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in str(text)
    )


def shown_lines(text: str) -> str:
    r"""Return a text of several lines, each as `shown` gives it.

    Examples:
        >>> shown_lines("a\x1b\nb")
        'a\\x1b\nb'
    """
    return "\n".join(map(shown, text.split("\n")))
