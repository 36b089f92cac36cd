"""Training: options, photos, what is trained, checkpoints, and the one file that knows Lightning."""

from __future__ import annotations

from fashionsearch.training.augmentation import Augmentation
from fashionsearch.training.options import FineTuning

__all__ = ["Augmentation", "FineTuning"]
