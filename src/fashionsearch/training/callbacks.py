"""What watches a run for Lightning: the bar, checkpoints with early stopping, averaged weights, and a listener."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from lightning.pytorch.loggers.logger import DummyLogger

from fashionsearch.progress import open_bar
from fashionsearch.training.options import FineTuning
from fashionsearch.training.run_folder import RunFolder
from fashionsearch.training.schedules import RunningAverage


def callbacks(
    folder: RunFolder, options: FineTuning, *, validated: bool, steps: int, bar: str | None
) -> list[Callback]:
    """Return what watches a run.

    Args:
        folder: where checkpoints go.
        options: a filled recipe.
        validated: whether there is a validation part to choose the best epoch by.
        steps: how many an epoch has.
        bar: what its bar is called, or None for no bar.
    """
    watching: list[Callback] = [] if bar is None else [_Bar(bar)]
    watching.append(_BestAndLast(folder, patience=(options.patience or 1) if validated else None))
    if options.ema:
        watching.append(WeightAveraging(multi_avg_fn=RunningAverage(1 / max(10, steps))))
    return watching


def figures_of(trainer: Trainer) -> dict[str, float]:
    """Return what was measured in the epoch."""
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


class _BestAndLast(Checkpoint):
    """Writes best.ckpt after the best epoch and last.ckpt after every one, and ends a run that gets no better.

    An epoch on larger photos is better than one on smaller ones, and of two on photos of one size the one with the lower
    validation loss. Only epochs at the full size count for the patience.

    Args:
        folder: where checkpoints go.
        patience: after how many epochs without a better one the run ends; None where nothing is validated.
    """

    def __init__(self, folder: RunFolder, *, patience: int | None) -> None:
        self._folder, self._patience = folder, patience
        self._best: tuple[int, float] | None = None  # pixels of a photo, and minus the validation loss
        self._lowest, self._waited = math.inf, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._patience is not None and self._waited >= self._patience:
            trainer.should_stop = True  # it was stopped before

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._patience is not None and self._is_best(trainer, cast(Any, pl_module)):
            trainer.save_checkpoint(self._folder.best)
        # Only who gave a folder can resume from an epoch that isn't the last.
        ends = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if self._folder.kept or ends:
            trainer.save_checkpoint(self._folder.last)

    def _is_best(self, trainer: Trainer, loop: Any) -> bool:
        loss = float(trainer.callback_metrics["validation_loss"])
        loss = math.inf if math.isnan(loss) else loss
        if loop.at_full_size:
            self._waited = 0 if loss < self._lowest else self._waited + 1
            self._lowest = min(self._lowest, loss)
            trainer.should_stop = trainer.should_stop or self._waited >= cast(int, self._patience)
        score = math.prod(loop.image_size), -loss
        if self._best is not None and score <= self._best:
            return False
        self._best = score
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "lowest": self._lowest, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self._best = None if best is None else (best[0], best[1])
        self._lowest, self._waited = state_dict["lowest"], state_dict["waited"]


class _Bar(Callback):
    """One bar over all steps, once training takes over two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = int(trainer.estimated_stepping_batches)
        self._bar = open_bar(
            total, self._name, "batch", shown=trainer.is_global_zero, done=trainer.global_step
        )

    def on_train_batch_end(self, *_: Any) -> None:
        self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures = {name: f"{value:.4f}" for name, value in figures_of(trainer).items()}
        self._bar.set_postfix({"epoch": trainer.current_epoch + 1, **figures})

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()


class CheckpointFiles(TorchCheckpointIO):
    """Checkpoints of a run's folder: a crash leaves them whole, and they are read without unpickling code.

    Args:
        folder: which checks them.
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        self._folder.write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint."""
        return self._folder.read_checkpoint(Path(path))


class EpochListener(DummyLogger):
    """A logger that calls a function after every epoch; what the function raises ends the training.

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
