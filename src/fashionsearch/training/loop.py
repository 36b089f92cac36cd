"""The loop in Lightning's hands: epochs, devices and precision. It and `callbacks` alone know Lightning."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from torch.nn import functional
from torch.utils.data import DataLoader

from fashionsearch import errors
from fashionsearch.device import Placement
from fashionsearch.results import History
from fashionsearch.training.autotune import Arithmetic, fastest_arithmetic
from fashionsearch.training.callbacks import MONITOR, callbacks, figures_of, safe_checkpoints
from fashionsearch.training.checkpoints import read_checkpoint
from fashionsearch.training.data import Parts, PhotoDataset, PlainBatches, SeededBatches
from fashionsearch.training.objectives import Learner, parameter_groups
from fashionsearch.training.options import FineTuning
from fashionsearch.training.run_folder import RunFolder, was_started_for_many
from fashionsearch.training.schedules import WarmCosine, epoch_sizes


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
    arithmetic = Arithmetic(placement.precision)
    if options.autotune:
        with placement.fork_rng():
            arithmetic = fastest_arithmetic(learner, parts.training, placement, run)
    learner.to(memory_format=arithmetic.memory_format)
    placement = dataclasses.replace(placement, precision=arithmetic.precision)
    if not run.finished:
        sizes = epoch_sizes(cast(Learner, learner).backbone, parts.image_size, options)
        begun = read_checkpoint(run.last)["epoch"] + 1 if run.last.exists() else 0
        loop = _Loop(learner, parts, options, run.seed, sizes, begun, arithmetic.memory_format)
        steps = len(SeededBatches(len(parts.training), batch_size=options.batch_size or 1, seed=0))
        watching = callbacks(
            run,
            options,
            validated=parts.validation is not None,
            steps=steps,
            bar=f"training in {arithmetic}" if progress else None,
        )
        with _quiet(), _failures(), placement.fork_rng():
            trainer = Trainer(
                **placement.trainer_arguments(options.devices),
                num_nodes=options.nodes,
                strategy=_strategy(options),
                max_epochs=options.epochs,
                callbacks=watching,
                plugins=[safe_checkpoints()],
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
        memory_format: torch.memory_format,
    ) -> None:
        super().__init__()
        self.learner = learner
        self._parts, self._options, self._seed, self._sizes = parts, options, seed, sizes
        self._begun, self._memory_format = begun, memory_format
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
            # In lower precision Lightning can't clip for a fused optimiser.
            fused=self.device.type == "cpu" and self.trainer.precision == "32-true",
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
        self.log(MONITOR, choice, on_epoch=True, sync_dist=True, batch_size=len(pixels), logger=False)
        for name, value in figures.items():
            self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(pixels))

    def _seen(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a batch as float32 in [0, 1], at the size of this epoch."""
        photos = pixels.to(torch.float32) / 255
        size = self._sizes[self.current_epoch]
        if size != tuple(photos.shape[2:]):
            photos = functional.interpolate(photos, size, mode="bilinear", antialias=True)
        return photos.contiguous(memory_format=self._memory_format)

    def on_train_epoch_end(self) -> None:
        measured = figures_of(self.trainer)
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
