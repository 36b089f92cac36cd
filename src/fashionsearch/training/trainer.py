"""The only file that knows Lightning: epochs, devices, precision, checkpoints, early stopping and averaged weights."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from fashionsearch import errors
from fashionsearch.device import Placement
from fashionsearch.results import History
from fashionsearch.training.checkpoints import read_checkpoint, write_checkpoint
from fashionsearch.training.learners import Learner, parameter_groups
from fashionsearch.training.options import FineTuning
from fashionsearch.training.pace import RunningAverage, WarmCosine, epoch_sizes
from fashionsearch.training.photos import Parts, PhotoDataset, PlainBatches, SeededBatches
from fashionsearch.training.runs import RunFolder, was_started_for_many

_MONITOR = "validation_loss_at_full_size"


def train(
    learner: nn.Module,
    parts: Parts,
    options: FineTuning,
    placement: Placement,
    run: RunFolder,
    *,
    loggers: Sequence[object] = (),
    progress: bool = True,
) -> History:
    """Train a learner, from the run's last checkpoint on if there is one, and leave its best weights in it.

    Args:
        learner: follows the protocol `Learner`.
        parts: the photos.
        options: a filled recipe.
        placement: device and precision.
        run: where checkpoints go.
        loggers: Lightning loggers.
        progress: show a bar.

    Returns:
        A row for each epoch.

    Raises:
        TrainingError: if the loss is not a number any more.
        StorageError: if checkpoints can't be written.
    """
    learner.to(memory_format=torch.channels_last)  # a third faster to train, also on the CPU
    if not run.finished:
        sizes = epoch_sizes(cast(Learner, learner).backbone, parts.image_size, options)
        begun = read_checkpoint(run.last)["epoch"] + 1 if run.last.exists() else 0
        loop = _Loop(learner, parts, options, run.seed, sizes, begun)
        callbacks: list[Callback] = [_Bar()] if progress else []
        if parts.validation is not None:
            patience = options.patience or 1
            stopping = _EarlyStopping(
                _MONITOR, patience=patience, check_on_train_epoch_end=True, check_finite=False
            )
            callbacks += [_checkpoint(run.best, _MONITOR), stopping]
        callbacks.append(_checkpoint(run.last, None))  # after the best, which it remembers
        if options.average_weights:
            steps = len(SeededBatches(len(parts.training), batch_size=options.batch_size or 1, seed=0))
            callbacks.append(WeightAveraging(multi_avg_fn=RunningAverage(1 / max(10, steps))))
        with _quiet(), _failures(), placement.own_randomness():
            trainer = Trainer(
                **placement.trainer_arguments(options.devices),
                num_nodes=options.nodes,
                strategy=_strategy(options),
                max_epochs=options.epochs,
                callbacks=callbacks,
                plugins=[_SafeCheckpoints()],
                logger=cast(Any, list(loggers) or False),
                default_root_dir=run.scratch,
                gradient_clip_val=1.0,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(loop, ckpt_path=run.last if run.last.exists() else None, weights_only=True)
        run.finish()
    checkpoint = read_checkpoint(run.best if parts.validation is not None else run.last)
    prefix = "learner."
    learner.load_state_dict(
        {name.removeprefix(prefix): tensor for name, tensor in checkpoint["state_dict"].items()}
    )
    learner.eval()
    return History(tuple(read_checkpoint(run.last)["history"]))


def _checkpoint(path: Path, monitor: str | None) -> ModelCheckpoint:
    return _Checkpoint(
        path.parent,
        filename=path.stem,
        monitor=monitor,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _strategy(options: FineTuning) -> Any:
    if options.devices * options.nodes == 1:
        return "auto"
    # torchrun and SLURM have started the processes; where nobody has, spawned ones leave the caller's program alone.
    return DDPStrategy(start_method="popen" if was_started_for_many() else "spawn")


class _Loop(LightningModule):
    """Hands batches to the learner, and steps, seeds and figures to Lightning."""

    def __init__(
        self,
        learner: nn.Module,
        parts: Parts,
        options: FineTuning,
        seed: int,
        sizes: list[tuple[int, int]],
        begun: int,
    ) -> None:
        super().__init__()
        self.learner = learner
        self._parts, self._options, self._seed, self._sizes = parts, options, seed, sizes
        self._begun = begun
        self._rows: list[dict[str, float]] = []
        self._began = self._rate = 0.0

    @property
    def at_full_size(self) -> bool:
        """Whether this epoch's photos have their full size."""
        return self._sizes[self.current_epoch] == self._sizes[-1]

    @property
    def _learner(self) -> Learner:
        return cast(Learner, self.learner)

    def train_dataloader(self) -> DataLoader[Any]:
        part, world = self._parts.training, self.trainer.world_size
        batches = SeededBatches(
            len(part),
            batch_size=self._options.batch_size or 1,
            seed=self._seed,
            rank=self.trainer.global_rank,
            processes=world,
        )
        # Worker processes draw the first batches before Lightning says which epoch it is.
        batches.set_epoch(self._begun)
        return self._loader(part, batches)

    def val_dataloader(self) -> Any:
        part = self._parts.validation
        if part is None:
            return []
        batches = PlainBatches(
            len(part),
            batch_size=self._options.batch_size or 1,
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
        )
        return self._loader(part, batches)

    def _loader(self, part: PhotoDataset, batches: Any) -> DataLoader[Any]:
        workers = self._options.workers
        if workers is None:
            workers = 0 if self.device.type == "cpu" else min(8, os.cpu_count() or 1)
        return DataLoader(
            part,
            batch_sampler=batches,
            collate_fn=_as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.device.type != "cpu",
        )

    def configure_optimizers(self) -> Any:
        options = self._options
        optimiser = torch.optim.AdamW(
            parameter_groups(self.learner, self._learner.backbone, options),
            lr=options.learning_rate or 0.0,
            # Not where gradients are scaled: Lightning can't clip for a fused optimiser there.
            fused=self.device.type == "cpu",
        )
        steps = int(self.trainer.estimated_stepping_batches)
        rising = min(steps - 1, max(1, round((options.warmup or 0.0) * steps)))
        if options.schedule == "one_cycle" and steps > 1:
            schedule: Any = torch.optim.lr_scheduler.OneCycleLR(
                optimiser,
                [group["lr"] for group in optimiser.param_groups],
                total_steps=steps,
                pct_start=rising / steps,
                cycle_momentum=False,
            )
        else:
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, WarmCosine(rising, steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        # Lightning leaves the mode as it finds it, and a backbone comes in evaluation mode.
        self.learner.train()
        self._began = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout and mixup draw from torch's generator. Seeded by the step alone, a run that was killed goes on with
        # the same draws, wherever it was killed.
        state = np.random.SeedSequence((self._seed, self.global_step, self.global_rank)).generate_state(1)
        torch.manual_seed(int(state[0]))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self._rate = max(float(group["lr"]) for group in cast(Any, self.optimizers()).param_groups)
        pixels, targets = batch
        loss, figures = self._learner.training_loss(self._seen(pixels), targets)
        if not torch.isfinite(loss):
            raise errors.TrainingError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}, at learning rate "
                f"{self._rate:.2g}; try learning_rate={(self._options.learning_rate or self._rate) / 10:.2g}, or a larger "
                "batch_size"
            )
        for name, value in {"training_loss": loss.detach(), **figures}.items():
            self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(pixels))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pixels, targets = batch
        figures = self._learner.validation_figures(self._seen(pixels), targets)
        # An epoch on smaller photos is never better than one on larger ones, whatever its loss.
        smaller = 1 - math.prod(self._sizes[self.current_epoch]) / math.prod(self._sizes[-1])
        choice = figures["validation_loss"] + 1000 * smaller
        self.log(_MONITOR, choice, on_epoch=True, sync_dist=True, batch_size=len(pixels), logger=False)
        for name, value in figures.items():
            self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(pixels))

    def _seen(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a batch as float32 in [0, 1], at the size of this epoch."""
        photos = pixels.to(torch.float32) / 255
        size = self._sizes[self.current_epoch]
        if size != tuple(photos.shape[2:]):
            photos = functional.interpolate(photos, size, mode="bilinear", antialias=True)
        return photos.contiguous(memory_format=torch.channels_last)

    def on_train_epoch_end(self) -> None:
        measured = _figures(self.trainer)
        training = {name: measured.pop(name) for name in list(measured) if name.startswith("training_")}
        self._rows.append(
            {
                "epoch": self.current_epoch + 1,
                **training,
                **measured,
                "learning_rate": self._rate,
                "image_size": self._sizes[self.current_epoch][0],
                "seconds": time.perf_counter() - self._began,
            }
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self._rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._rows = list(checkpoint["history"])


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
        if cast(_Loop, pl_module).at_full_size:
            super().on_train_epoch_end(trainer, pl_module)


class _Bar(Callback):
    """One bar over all steps, once training takes over two seconds."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = int(trainer.estimated_stepping_batches)
        # disable=None: no bar where standard error is not a terminal.
        self._bar = tqdm(
            total=total,
            initial=trainer.global_step,
            desc="training",
            unit="batch",
            delay=2,
            disable=None if trainer.is_global_zero else True,
        )

    def on_train_batch_end(self, *_: Any) -> None:
        self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures = {name: f"{value:.4f}" for name, value in _figures(trainer).items()}
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


def _as_it_is(batch: Any) -> Any:
    return batch


def _figures(trainer: Trainer) -> dict[str, float]:
    """Return what was measured in the epoch, and not what only chooses among epochs."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if name != _MONITOR}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes about devices and loaders off the user's screen."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", module=r"torch\.distributed.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Turn what Lightning makes of an interruption, and what another process raised, back into what it was."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt from error
        raise
    except ProcessRaisedException as error:
        for kind in (errors.TrainingError, errors.CorruptFileError, errors.StorageError):
            _, found, message = str(error).rpartition(f"{kind.__name__}: ")
            if found:
                raise kind(message.strip()) from error
        raise
    except ProcessExitedException as error:
        raise errors.TrainingError(
            f"one of the processes that share the training ended ({error}); it may have run out of memory: use a smaller "
            "batch_size or fewer devices"
        ) from error
    except MisconfigurationException as error:
        raise errors.InputError(f"Lightning can't train with these options: {error}") from error
