"""The tokens that clients show: read from the environment or a file, and compared in constant time."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from fashionsearch import errors
from fashionsearch.files import read_regular

TOKEN, READ_TOKEN = "FASHIONSEARCH_TOKEN", "FASHIONSEARCH_READ_TOKEN"
_SHORTEST, _LONGEST = 16, 4096


@dataclass(frozen=True)
class Tokens:
    """What clients must show.

    Attributes:
        write: to change items, and good for reading too; None where nobody may.
        read: to search; None where everybody may.
    """

    write: str | None = field(default=None, repr=False)
    read: str | None = field(default=None, repr=False)

    def may(self, shown: bytes | None, *, write: bool) -> bool:
        """Return whether a client that shows a token, or none, may read or write."""
        if not write and self.read is None:
            return True
        given = b"" if shown is None else shown
        # Both are compared whatever the first says: how long it takes tells nothing.
        writes, reads = _same(given, self.write), _same(given, self.read)
        return writes or (reads and not write)


def _same(given: bytes, expected: str | None) -> bool:
    return hmac.compare_digest(given, (expected or "").encode()) and expected is not None


def read_token(variable: str, file: Path | None) -> str | None:
    """Return the token of a file, or else of an environment variable; None where there is neither.

    Raises:
        InputError: if it is too short to be one, or holds blanks or other than ASCII.
        DataError: if the file can't be read.
    """
    if file is None:
        given = os.environ.get(variable)
        if given is None:
            return None
        place = variable
    else:
        place = str(file)
        try:
            given = read_regular(file.expanduser(), _LONGEST).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.DataError(f"the token in {file} can't be read: {error}") from error
    token = given.strip()
    if not (len(token) >= _SHORTEST and token.isascii() and token.isprintable() and " " not in token):
        raise errors.InputError(
            f"the token in {place} is not {_SHORTEST} or more ASCII characters without blanks; make one by: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return token
