"""What watches a run for Lightning: the bar, checkpoints, early stopping, averaged weights, and a listener."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers.logger import DummyLogger
from tqdm.auto import tqdm

from fashionsearch.training.checkpoints import read_checkpoint, write_checkpoint
from fashionsearch.training.options import FineTuning
from fashionsearch.training.run_folder import RunFolder
from fashionsearch.training.schedules import RunningAverage

MONITOR = "validation_loss_at_full_size"


def callbacks(
    run: RunFolder, options: FineTuning, *, validated: bool, steps: int, bar: str | None
) -> list[Callback]:
    """Return what watches a run.

    Args:
        run: where checkpoints go.
        options: a filled recipe.
        validated: whether there is a validation part to choose the best epoch by.
        steps: an epoch.
        bar: what its bar is called, or None for no bar.
    """
    watching: list[Callback] = [] if bar is None else [_Bar(bar)]
    if validated:
        stopping = _EarlyStopping(
            MONITOR, patience=options.patience or 1, check_on_train_epoch_end=True, check_finite=False
        )
        watching += [_checkpoint(run.best, MONITOR), stopping]
    watching.append(_checkpoint(run.last, None))  # after the best, which it remembers
    if options.ema:
        watching.append(WeightAveraging(multi_avg_fn=RunningAverage(1 / max(10, steps))))
    return watching


def safe_checkpoints() -> TorchCheckpointIO:
    """Return what writes and reads checkpoint files."""
    return _SafeCheckpoints()


def figures_of(trainer: Trainer) -> dict[str, float]:
    """Return what was measured in the epoch, and not what only chooses among epochs."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name != MONITOR}


def _checkpoint(path: Path, monitor: str | None) -> ModelCheckpoint:
    return _Checkpoint(
        path.parent,
        filename=path.stem,
        monitor=monitor,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class _Checkpoint(ModelCheckpoint):
    """Remembers the best epoch also when the folder was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {
            "dirpath": self.dirpath,
            "best_model_path": here(state_dict["best_model_path"]),
            "kth_best_model_path": here(state_dict["kth_best_model_path"]),
            "best_k_models": {here(path): score for path, score in state_dict["best_k_models"].items()},
        }
        super().load_state_dict({**state_dict, **moved})


class _EarlyStopping(EarlyStopping):
    """Counts from the first epoch at the full size on, and stops a run at once that was stopped before."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if cast(Any, pl_module).at_full_size:
            super().on_train_epoch_end(trainer, pl_module)


class _Bar(Callback):
    """One bar over all steps, once training takes over two seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = int(trainer.estimated_stepping_batches)
        # disable=None: no bar where standard error is not a terminal.
        self._bar = tqdm(
            total=total,
            initial=trainer.global_step,
            desc=self._name,
            unit="batch",
            delay=2,
            disable=None if trainer.is_global_zero else True,
        )

    def on_train_batch_end(self, *_: Any) -> None:
        self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures = {name: f"{value:.4f}" for name, value in figures_of(trainer).items()}
        self._bar.set_postfix({"epoch": trainer.current_epoch + 1, **figures})

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.close()


class _SafeCheckpoints(TorchCheckpointIO):
    """Checkpoints that a crash leaves whole, and that are read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))


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
