"""The precision and memory format in which a network learns: as told, or the fastest, timed before the first step."""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import torch

from fashionsearch.device import Placement
from fashionsearch.training.data import PhotoDataset
from fashionsearch.training.objectives import Learner
from fashionsearch.training.run_folder import RunFolder

_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_PRECISIONS = ("fp32", "bf16")
_PHOTOS, _ROUNDS = 16, 3
_HOPELESS, _CLEARLY = 2.0, 0.9
_NOTE = "compute_mode"


@dataclass(frozen=True)
class ComputeMode:
    """How a network computes while it learns.

    Attributes:
        precision: "fp32", "bf16" or "fp16".
        layout: "channels_last" or "contiguous".
    """

    precision: str
    layout: str = "channels_last"  # a third faster for most, also on the CPU

    @property
    def memory_format(self) -> torch.memory_format:
        """What torch calls the layout."""
        return _FORMATS[self.layout]

    def __str__(self) -> str:
        return f"{self.precision} {self.layout}"


def fastest_mode(
    learner: Learner, dataset: PhotoDataset, placement: Placement, folder: RunFolder
) -> ComputeMode:
    """Return the mode in which a few steps took the least time, or the one that the run began with.

    Another one than the usual must save a tenth of the time. The choice and the times are written into the run's folder, so
    that a run that was interrupted resumes in the same mode.

    Args:
        learner: left as it is.
        dataset: to take a batch from.
        placement: the device, and the usual precision.
        folder: where the choice is kept.
    """
    known = folder.get_meta(_NOTE)
    if known is not None:
        return ComputeMode(known["precision"], known["layout"])
    usual = ComputeMode(placement.precision)
    seconds = _timed_steps(learner, dataset, placement, usual)
    best = min(seconds, key=lambda mode: seconds[mode])
    chosen = best if seconds[best] < _CLEARLY * seconds[usual] else usual
    milliseconds = {str(mode): round(1000 * value, 1) for mode, value in seconds.items()}
    folder.set_meta(**{_NOTE: {**dataclasses.asdict(chosen), "milliseconds": milliseconds}})
    return chosen


def _timed_steps(
    learner: Learner, dataset: PhotoDataset, placement: Placement, usual: ComputeMode
) -> dict[ComputeMode, float]:
    """Return the seconds of the quickest of a few steps in each mode, taken in turn."""
    pixels, targets = dataset.__getitems__([(place, None) for place in range(min(_PHOTOS, len(dataset)))])
    photos, targets = pixels.to(placement.device) / 255, targets.to(placement.device)
    copies = {
        layout: copy.deepcopy(learner).to(memory_format=memory_format).train()
        for layout, memory_format in _FORMATS.items()
    }

    def step(mode: ComputeMode) -> float:
        module = copies[mode.layout]
        batch = photos.contiguous(memory_format=mode.memory_format)
        began = time.perf_counter()
        with torch.enable_grad(), Placement(placement.device, mode.precision).autocast():
            loss: Any = module.training_loss(batch, targets)[0]
        loss.backward()
        seconds = time.perf_counter() - began
        module.zero_grad(set_to_none=True)
        return seconds

    precisions = dict.fromkeys((usual.precision, *_PRECISIONS))
    first = {
        mode: step(mode)
        for mode in (ComputeMode(precision, layout) for layout in _FORMATS for precision in precisions)
    }
    # Where a precision is only emulated, one step says enough.
    tried = [each for each in first if each == usual or first[each] < _HOPELESS * min(first.values())]
    rounds = [{each: step(each) for each in tried} for _ in range(_ROUNDS)]
    return {each: min(times[each] for times in rounds) for each in tried}
