"""What runs a network: one class a file, all with the same small interface; `choice.py` decides which.

A runtime maps (n, H, W, 3) uint8 pixels to (n, dim) float32; scaling to [0, 1] and normalisation are part of the
network it runs, so an exported graph equals what was trained.
"""

from __future__ import annotations

from fashionsearch.runtimes.base import Runtime
from fashionsearch.runtimes.low_precision import LowPrecision, probe_pixels

__all__ = ["LowPrecision", "Runtime", "probe_pixels"]
