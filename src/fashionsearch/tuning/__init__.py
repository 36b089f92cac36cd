"""Choosing backbones and training options on a validation part, by Optuna."""

from __future__ import annotations

from fashionsearch.tuning.tuner import Tuning, tune

__all__ = ["Tuning", "tune"]
