"""What a fork leaves behind: locks that nobody will release, work that nobody goes on with."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something that needs mending in the child of a fork."""

    def after_fork(self) -> None:
        """Renew locks, and forget what other threads were doing."""


_living: weakref.WeakSet[Forked] = weakref.WeakSet()


def register(thing: Forked) -> None:
    """Call `thing.after_fork()` in every forked child, for as long as the thing lives."""
    _living.add(thing)


def _mend() -> None:
    for thing in list(_living):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mend)
