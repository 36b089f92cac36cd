"""Pictures of data and results: pure functions that draw into matplotlib axes.

A function of one panel takes `ax=` and returns it; one of several takes `figure=` and returns a list of axes.
Without it a new pyplot figure is made, which shows itself in a notebook; with it pyplot is not touched.
"""

from __future__ import annotations

from fashionsearch.plots.curves import confusion, precision_recall, roc
from fashionsearch.plots.learning import (
    augmentation,
    explanation,
    predictions,
    reconstructions,
    training_curves,
)
from fashionsearch.plots.likeness import why
from fashionsearch.plots.photos import matches, samples
from fashionsearch.plots.tables import overview

__all__ = [
    "augmentation",
    "confusion",
    "explanation",
    "matches",
    "overview",
    "precision_recall",
    "predictions",
    "reconstructions",
    "roc",
    "samples",
    "training_curves",
    "why",
]
