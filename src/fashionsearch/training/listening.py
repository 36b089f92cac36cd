"""A Lightning logger that tells a function how the validation part fared after every epoch."""

from __future__ import annotations

from collections.abc import Callable

from lightning.pytorch.loggers.logger import DummyLogger


class EpochListener(DummyLogger):
    """Calls a function after every epoch; what the function raises ends the training.

    Args:
        hear: takes the number of epochs that are done, and the epoch's validation accuracy.
    """

    def __init__(self, hear: Callable[[int, float], None]) -> None:
        super().__init__()
        self._hear = hear

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Pick the validation accuracy from what Lightning logs."""
        if "validation_accuracy" in metrics:
            self._hear(int(metrics["epoch"]) + 1, float(metrics["validation_accuracy"]))
