"""The first pages that were shown last: the pages after one must leave out what it held, however it was found.

A graph that became ready since, or another `ef_search`, would find another first page now and then, and an item of it would
be shown twice or never.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any, TypeAlias

from fashionsearch.index.filters import Condition
from fashionsearch.index.queries import Term
from fashionsearch.results import Matches

_MOST_PLACES = 50_000  # of all first pages together, of which each counts one at least
Key: TypeAlias = "tuple[Any, ...]"


class FirstPages:
    """Answers by what was asked, the last ones; used by several threads without a lock, which a fork could leave locked."""

    def __init__(self) -> None:
        self._pages: dict[Key, Matches] = {}
        self._places = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return FirstPages, ()

    def note(self, key: Key, found: Matches) -> None:
        """Remember a first page."""
        self._places += _places(found) - self._forget(key)
        self._pages[key] = found
        while self._places > _MOST_PLACES and self._pages:
            # Another thread may have been faster.
            with contextlib.suppress(RuntimeError, StopIteration):
                self._places -= self._forget(next(iter(self._pages)))

    def _forget(self, key: Key) -> int:
        known = self._pages.pop(key, None)
        return 0 if known is None else _places(known)

    def known(self, key: Key) -> Matches | None:
        """Return a first page, if it is remembered."""
        return self._pages.get(key)


def _places(found: Matches) -> int:
    return 1 + found.ids.size


def key_of(
    terms: Sequence[Term], texts: Sequence[str], condition: Condition | None, *rest: object
) -> Key | None:
    """Return what two searches for pages of one answer share; None where it can't be told.

    Args:
        terms: what is said.
        texts: that items' own texts are compared with.
        condition: that items must meet, or None.
        rest: whatever else decides which items come first.
    """
    try:
        asked = repr(condition)  # which tells 1, 1.0 and True apart
    except ValueError:  # a number of thousands of digits
        return None
    # Of vectors a hash: a key is kept with each page, and is not to be larger than that.
    said = ((term.name, hashlib.sha256(term.probes.tobytes()).digest()) for term in terms)
    return (*said, *texts, asked, *rest)
