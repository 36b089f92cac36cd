"""What a client is told when something can't be done: one table of the library's errors, and no path of the server."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fashionsearch import errors

log = logging.getLogger("fashionsearch.service")

AGAIN = 1  # seconds after which a client that found no room may come again
# The first that fits counts. The words are told where a message names a path of the server, or is of its storage.
TABLE: tuple[tuple[type[BaseException], int, str], ...] = (
    (errors.UnknownIdError, 404, "no item has this id"),
    (errors.ImageError, 422, "the photo can't be read"),
    (errors.InputError, 422, "the request can't be used"),
    (errors.NotFittedError, 422, "the tagger has not learned yet"),
    (errors.MissingPackageError, 422, "the service lacks a package that this needs"),
    (errors.RuntimeUnavailableError, 422, "the service has no runtime for this"),
    (errors.StorageError, 503, "the catalogue can't be read or written at the moment"),
    (MemoryError, 503, "there is no memory left for this at the moment"),
    (TimeoutError, 504, "this took too long"),
)
_PATH = re.compile(r"(?<![\w.:/])~?/[^\s/]|[A-Za-z]:\\|\\\\\w|file:")


@dataclass
class RefusedError(Exception):
    """A request that is answered by a failure.

    Attributes:
        status: of HTTP.
        message: a sentence.
        details: what of the request is wrong, place by place.
        headers: beside those of every answer.
        close: whether the connection ends, because the rest of the request is not read.
    """

    status: int
    message: str
    details: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False

    def content(self) -> dict[str, Any]:
        """Return what is told as JSON holds it."""
        told: dict[str, Any] = {"error": self.message}
        return {**told, "details": list(self.details)} if self.details else told


def no_room(message: str = "too many requests at the moment; come again") -> RefusedError:
    """Return what tells a client to come again."""
    return RefusedError(503, message, headers={"retry-after": str(AGAIN)})


def refused(error: BaseException) -> RefusedError | None:
    """Return what a client is told of an error; None of one that the library doesn't raise."""
    if isinstance(error, RefusedError):
        return error
    for kind, status, words in TABLE:
        if isinstance(error, kind):
            # A message of another's error may say anything, and one of storage names databases and their users.
            message = str(error) if isinstance(error, errors.FashionSearchError) else words
            if isinstance(error, errors.StorageError):
                log.warning("%s", error)
                message = words
            if isinstance(error, errors.ImageError):
                message = f"the photo {error.failures[0].reason}" if len(error.failures) == 1 else words
            headers = {"retry-after": str(AGAIN)} if status == 503 else {}
            return RefusedError(status, words if _PATH.search(message) else message, headers=headers)
    return None
