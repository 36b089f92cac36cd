"""Training: options, photos, what is trained, checkpoints, and the two files that know Lightning."""

from __future__ import annotations

from fashionsearch.training.augmentation import Augmentation
from fashionsearch.training.metric import MetricLearning
from fashionsearch.training.options import FineTuning, TrainingOptions

__all__ = ["Augmentation", "FineTuning", "MetricLearning", "TrainingOptions"]
