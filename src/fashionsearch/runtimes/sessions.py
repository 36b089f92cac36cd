"""What a forked child does with the sessions of its parent: nothing, for it has their memory but not their threads.

A session of ONNX Runtime or OpenVINO that is freed in the child waits there for threads that don't exist, also at the end
of the program. So the child never frees it; `Backbone` opens another one.
"""

from __future__ import annotations

import ctypes
import os
import weakref

_open: weakref.WeakSet[object] = weakref.WeakSet()


def opened(runtime: object) -> None:
    """Remember what holds a session, for the case of a fork."""
    _open.add(runtime)


def _keep_for_ever() -> None:
    for runtime in list(_open):
        # One reference that nobody gives back: a list would be emptied when the interpreter ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)
