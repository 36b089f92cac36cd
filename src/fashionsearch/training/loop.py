"""The loop in Lightning's hands: epochs, batches, devices and precision. It and `callbacks` alone know Lightning."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from torch.nn import functional
from torch.utils.data import DataLoader

from fashionsearch import errors
from fashionsearch.device import Machine, Placement, ThisMachine
from fashionsearch.results import History
from fashionsearch.training.autotune import ComputeMode, fastest_mode
from fashionsearch.training.callbacks import CheckpointFiles, callbacks, figures_of
from fashionsearch.training.data import (
    PhotoDataset,
    SequentialBatchSampler,
    ShuffledBatchSampler,
    Splits,
)
from fashionsearch.training.objectives import Learner, parameter_groups
from fashionsearch.training.options import FineTuning
from fashionsearch.training.run import Run
from fashionsearch.training.run_folder import was_started_for_many
from fashionsearch.training.schedules import epoch_sizes, rate_schedule

_LEARNER = "learner."  # before the names of its tensors in a checkpoint


def train(run: Run, splits: Splits, start: Path | None) -> History:
    """Train a learner, from the run's last checkpoint on if there is one, and leave its best weights in it.

    Args:
        run: what is trained, and how.
        splits: its photos, decoded.
        start: the checkpoint to resume from, as `RunFolder.resume_point` returns it; None is the start.

    Returns:
        A row for each epoch.

    Raises:
        TrainingError: if the loss is not a number any more.
        StorageError: if checkpoints can't be written.
    """
    learner, folder, placement = run.learner, run.folder, run.backbone.placement
    validated = splits.validation is not None
    mode = ComputeMode(placement.precision)
    if run.options.autotune:
        with placement.fork_rng():
            mode = fastest_mode(learner, splits.training, placement, folder)
    learner.to(memory_format=mode.memory_format)
    if not folder.finished:
        plan = EpochPlan(
            seed=folder.seed,
            sizes=epoch_sizes(learner.backbone, splits.image_size, run.options),
            first=0 if start is None else folder.read_checkpoint(start)["epoch"] + 1,
            memory_format=mode.memory_format,
        )
        watching = callbacks(
            folder,
            run.options,
            validated=validated,
            steps=len(_shuffled(splits, run.options, seed=folder.seed)),
            bar=f"training in {mode}" if run.progress else None,
        )
        with _quiet(), _failures(), placement.fork_rng():
            trainer = Trainer(
                **trainer_arguments(
                    dataclasses.replace(placement, precision=mode.precision), run.options.devices
                ),
                num_nodes=run.options.nodes,
                strategy=_strategy(run.options),
                max_epochs=run.options.epochs,
                callbacks=watching,
                plugins=[CheckpointFiles(folder)],
                logger=cast(Any, list(run.loggers) or False),
                default_root_dir=folder.scratch,
                gradient_clip_val=1.0,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(_Loop(learner, splits, run.options, plan), ckpt_path=start, weights_only=True)
        folder.finish()
    kept = folder.read_checkpoint(folder.best if validated else folder.last)["state_dict"]
    learner.load_state_dict({name.removeprefix(_LEARNER): tensor for name, tensor in kept.items()})
    learner.eval()
    return History(tuple(folder.read_checkpoint(folder.last)["history"]))


def trainer_arguments(
    placement: Placement, devices: int = 1, *, machine: Machine | None = None
) -> dict[str, Any]:
    """Return how Lightning's Trainer names a device, or this many of its kind, and the precision.

    Raises:
        DeviceError: if there are not so many, or the CPU is to train in fp16.
    """
    machine = machine or ThisMachine()
    device, kind = placement.device, placement.device.type
    there = {"cuda": machine.cuda_count(), "mps": 1}.get(kind, devices)
    if devices > there or (devices > 1 and device.index):
        raise errors.DeviceError(
            f"devices={devices} with device={str(device)!r} needs {devices} of its kind, counted from 0, and this machine "
            f"has {there}; use fewer, or device={kind!r}"
        )
    if kind == "cpu" and placement.precision == "fp16":
        raise errors.DeviceError("the CPU can't train in fp16; use precision='fp32' or 'bf16'")
    return {
        "accelerator": kind,
        "devices": [device.index or 0] if devices == 1 and kind != "cpu" else devices,
        "precision": {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[placement.precision],
    }


def _shuffled(
    splits: Splits, options: FineTuning, *, seed: int, rank: int = 0, processes: int = 1
) -> ShuffledBatchSampler:
    return ShuffledBatchSampler(
        len(splits.training),
        batch_size=options.batch_size or 1,
        seed=seed,
        rank=rank,
        processes=processes,
        sampling=splits.sampling,
    )


def _strategy(options: FineTuning) -> Any:
    if options.devices * options.nodes == 1:
        return "auto"
    # torchrun and SLURM have started the processes; where nobody has, spawned ones leave the caller's program alone.
    return DDPStrategy(start_method="popen" if was_started_for_many() else "spawn")


@dataclass(frozen=True)
class EpochPlan:
    """What decides the epochs of a run.

    Attributes:
        seed: of order, augmentation, dropout and mixup.
        sizes: (height, width) of the photos in each epoch.
        first: the number of the first epoch of this process, counted from 0.
        memory_format: of a batch.
    """

    seed: int
    sizes: list[tuple[int, int]]
    first: int
    memory_format: torch.memory_format


class _Loop(LightningModule):
    """Hands batches to the learner, and steps, seeds and figures to Lightning."""

    def __init__(self, learner: Learner, splits: Splits, options: FineTuning, plan: EpochPlan) -> None:
        super().__init__()
        self.learner = learner
        self._splits, self._options, self._plan = splits, options, plan
        self._rows: list[dict[str, float]] = []
        self._began = self._rate = 0.0

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of this epoch's photos."""
        return self._plan.sizes[self.current_epoch]

    @property
    def at_full_size(self) -> bool:
        """Whether this epoch's photos have their full size."""
        return self.image_size == self._plan.sizes[-1]

    def train_dataloader(self) -> DataLoader[Any]:
        batches = _shuffled(
            self._splits,
            self._options,
            seed=self._plan.seed,
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
        )
        # Worker processes draw the first batches before Lightning says which epoch it is.
        batches.set_epoch(self._plan.first)
        return self._loader(self._splits.training, batches)

    def val_dataloader(self) -> Any:
        part = self._splits.validation
        if part is None:
            return []
        batches = SequentialBatchSampler(
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
        optimiser = torch.optim.AdamW(
            parameter_groups(self.learner, self._options),
            lr=self._options.learning_rate or 0.0,
            # In lower precision Lightning can't clip for a fused optimiser.
            fused=self.device.type == "cpu" and self.trainer.precision == "32-true",
        )
        schedule = rate_schedule(optimiser, self._options, steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        # Lightning leaves the mode as it finds it, and a backbone comes in evaluation mode.
        self.learner.train()
        self._began = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Dropout and mixup draw from torch's generator. Seeded by the step alone, a run that was killed resumes with
        # the same draws, wherever it was killed.
        state = np.random.SeedSequence((self._plan.seed, self.global_step, self.global_rank)).generate_state(
            1
        )
        torch.manual_seed(int(state[0]))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self._rate = max(float(group["lr"]) for group in cast(Any, self.optimizers()).param_groups)
        pixels, targets = batch
        try:
            loss, figures = self.learner.training_loss(self._prepared(pixels), targets)
        except ValueError as error:
            if "more than 1 value per channel" not in str(
                error
            ):  # what batch normalisation says of one small photo
                raise
            raise errors.InputError(
                f"batch_size={self._options.batch_size} leaves the network's batch normalisation nothing to average at "
                f"{self.image_size[0]}×{self.image_size[1]} pixels; use batch_size=2 or more, or a larger image_size"
            ) from error
        if not torch.isfinite(loss):
            raise errors.TrainingError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}, at learning rate "
                f"{self._rate:.2g}; try learning_rate={(self._options.learning_rate or self._rate) / 10:.2g}, or a larger "
                "batch_size"
            )
        self._log({"training_loss": loss.detach(), **figures}, len(pixels))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pixels, targets = batch
        self._log(self.learner.validation_figures(self._prepared(pixels), targets), len(pixels))

    def _log(self, figures: dict[str, torch.Tensor], photos: int) -> None:
        for name, value in figures.items():
            self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=photos)

    def _prepared(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a batch as float32 in [0, 1], at the size of this epoch."""
        photos = pixels.to(torch.float32) / 255
        if self.image_size != tuple(photos.shape[2:]):
            photos = functional.interpolate(photos, self.image_size, mode="bilinear", antialias=True)
        return photos.contiguous(memory_format=self._plan.memory_format)

    def on_train_epoch_end(self) -> None:
        measured = figures_of(self.trainer)
        training = {name: measured.pop(name) for name in list(measured) if name.startswith("training_")}
        self._rows.append(
            {
                "epoch": self.current_epoch + 1,
                **training,
                **measured,
                "learning_rate": self._rate,
                "image_size": self.image_size[0],
                "seconds": time.perf_counter() - self._began,
            }
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self._rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._rows = list(checkpoint["history"])


def _as_it_is(batch: Any) -> Any:
    return batch


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
        for kind in (errors.TrainingError, errors.InputError, errors.CorruptFileError, errors.StorageError):
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
