"""What a fork leaves behind: locks that nobody will release, work that nobody goes on with."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Something that needs mending in the child of a fork."""

    def before_fork(self) -> None:
        """Get ready: what is held now is released after the fork."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork(self) -> None:
        """Renew locks, and forget what other threads were doing."""


_living: weakref.WeakSet[Forked] = weakref.WeakSet()


def register(thing: Forked) -> None:
    """Call `thing.after_fork()` in every forked child, and the others in its parent, for as long as the thing lives."""
    _living.add(thing)


def _prepare() -> None:
    for thing in list(_living):
        thing.before_fork()


def _go_on() -> None:
    for thing in list(_living):
        thing.after_fork_in_parent()


def _mend() -> None:
    for thing in list(_living):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare, after_in_parent=_go_on, after_in_child=_mend)
