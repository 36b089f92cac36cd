"""ONNX Runtime on the CPU, several times faster there than eager torch."""

from __future__ import annotations

import copy
import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.runtimes import sessions

THREADS, SPIN = "FASHIONSEARCH_THREADS", "FASHIONSEARCH_SPIN"


class OnnxRuntime:
    """Runs an ONNX graph with ONNX Runtime.

    Args:
        graph: maps "pixels", (n, H, W, 3) uint8, to (n, dim) float32; a path, where its weights lie in a file beside it.
        threads: that share one run; None is what the environment variable `FASHIONSEARCH_THREADS` says, or else one a core,
            which costs a small network more than it gains. They wait for each other spinning, unless the environment variable
            `FASHIONSEARCH_SPIN` is 0: one photo is embedded a tenth sooner by that, and whatever else runs meanwhile, as in
            a service, has that much less of the processor.

    Raises:
        RuntimeUnavailableError: if ONNX Runtime can't open it.
        InputError: if the first variable is not a whole number from 1 up, or the second is neither 0 nor 1.
    """

    name = "onnx"

    def __init__(self, graph: bytes | Path, *, threads: int | None = None) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or _threads()
        options.log_severity_level = 4  # its errors are raised anyway
        # Its threads would go on spinning after a run, and a network in torch took twice as long for as long as 75 ms.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", _spin())
        try:
            self._session: Any = onnxruntime.InferenceSession(
                graph if isinstance(graph, bytes) else os.fspath(graph),
                options,
                providers=["CPUExecutionProvider"],
            )
        # ONNX Runtime's exceptions have no common base but Exception.
        except Exception as error:
            raise errors.RuntimeUnavailableError(
                f"ONNX Runtime can't open the exported network: {error}; use runtime='torch'"
            ) from error
        self._outputs: list[str] | None = None  # the first
        sessions.opened(self)

    def giving(self, output: str) -> OnnxRuntime:
        """Return a runtime of the same session, for another output.

        Raises:
            RuntimeUnavailableError: if the graph has no such output.
        """
        known = [each.name for each in self._session.get_outputs()]
        if output not in known:
            raise errors.RuntimeUnavailableError(
                f"the exported network gives {', '.join(known)[:80]!r} and not {output!r}; use runtime='torch'"
            )
        other = copy.copy(self)
        other._outputs = [output]
        sessions.opened(other)
        return other

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map (n, H, W, 3) uint8 pixels to (n, dim) float32."""
        try:
            result: NDArray[np.float32] = self._session.run(self._outputs, {"pixels": pixels})[0]
        # ONNX Runtime says by words alone that memory ran out, and callers go on with a smaller batch.
        except Exception as error:
            if "Failed to allocate memory" in str(error) or "bad_alloc" in str(error):
                raise MemoryError(f"out of memory in ONNX Runtime with {len(pixels)} images") from error
            raise
        return result

    def expect(self, images: int) -> None:
        """The graph is ready already."""


def _threads() -> int:
    text = os.environ.get(THREADS, "")
    if not text:
        return 0  # one a core
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise errors.InputError(
            f"the environment variable {THREADS} is {text!r:.40}, not a whole number from 1 up; set or unset it: "
            "it says in how many threads a network runs"
        )
    return int(text)


def _spin() -> str:
    text = os.environ.get(SPIN) or "1"
    if text not in ("0", "1"):
        raise errors.InputError(
            f"the environment variable {SPIN} is {text!r:.40}, and neither 0 nor 1; set or unset it: it says whether the "
            "threads of a network wait for each other spinning"
        )
    return text


def import_onnxruntime(part: str = "") -> Any:
    """Return ONNX Runtime, or a module of it, which then sends nothing to its maker: the only place that imports it.

    From 1.29 on it writes an identifier to the user's cache from the moment it is imported, and starts threads of its own
    that send events and have crashed the processes they run in, unless this is set before. Who wants that sets it to 0.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module(f"onnxruntime.{part}" if part else "onnxruntime")
