"""Pure functions on arrays: how good predictions and rankings are."""

from __future__ import annotations

from fashionsearch.metrics.average_precision import average_precision_at_k
from fashionsearch.metrics.classification import calibration_error, evaluate
from fashionsearch.metrics.encoder_fidelity import fidelity
from fashionsearch.metrics.intervals import bootstrap_interval, wilson_interval
from fashionsearch.metrics.precision import precision_at_k
from fashionsearch.metrics.recall import recall_at_k

__all__ = [
    "average_precision_at_k",
    "bootstrap_interval",
    "calibration_error",
    "evaluate",
    "fidelity",
    "precision_at_k",
    "recall_at_k",
    "wilson_interval",
]
