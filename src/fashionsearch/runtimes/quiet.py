"""Silence for the exporters and converters, which print notes about their own insides; other threads stay heard."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

_LOGGERS = ("torch", "onnxscript", "onnx_ir", "onnxruntime")
_one_at_a_time = threading.RLock()  # torch's exporter isn't made for two threads


def _renew_in_child() -> None:
    global _one_at_a_time
    _one_at_a_time = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep this thread's prints, warnings and log lines below an error off the user's screen."""
    thread = threading.get_ident()
    with _one_at_a_time, _prints(thread), _log_lines(thread), _warnings(thread):
        yield


class _AllButOneThread:
    """A stream that drops what one thread writes."""

    def __init__(self, stream: TextIO, thread: int) -> None:
        self._stream, self._thread = stream, thread

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _prints(thread: int) -> Iterator[None]:
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}
    stand_ins = {name: _AllButOneThread(stream, thread) for name, stream in streams.items() if stream}
    for name, stand_in in stand_ins.items():
        setattr(sys, name, stand_in)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if getattr(sys, name) is stand_in:  # another thread may have set its own meanwhile
                setattr(sys, name, streams[name])


@contextlib.contextmanager
def _log_lines(thread: int) -> Iterator[None]:
    def heard(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno >= logging.ERROR

    handlers = [handler for name in ("", *_LOGGERS) for handler in logging.getLogger(name).handlers]
    handlers += [logging.lastResort] if logging.lastResort else []
    for handler in handlers:
        handler.addFilter(heard)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(heard)


@contextlib.contextmanager
def _warnings(thread: int) -> Iterator[None]:
    class OfThread(type):
        """Makes a category that holds every warning of one thread, since filters know categories and no threads."""

        def __subclasscheck__(cls, category: type) -> bool:
            return threading.get_ident() == thread

    class Muted(Warning, metaclass=OfThread):
        pass

    warnings.filterwarnings("ignore", category=Muted)
    try:
        yield
    finally:
        warnings.filters[:] = [entry for entry in warnings.filters if entry[2] is not Muted]  # type: ignore[index]
