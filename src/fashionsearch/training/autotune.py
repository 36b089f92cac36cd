"""In which precision and memory format a network learns: as told, or in the fastest, timed before the first step."""

from __future__ import annotations

import copy
import dataclasses
import time
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from fashionsearch.device import Placement
from fashionsearch.training.data import PhotoDataset
from fashionsearch.training.objectives import Learner
from fashionsearch.training.run_folder import RunFolder

_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
_PRECISIONS = ("fp32", "bf16")
_PHOTOS, _ROUNDS = 16, 3
_HOPELESS, _CLEARLY = 2.0, 0.9
_NOTE = "arithmetic"


@dataclass(frozen=True)
class Arithmetic:
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


def fastest_arithmetic(
    learner: nn.Module, dataset: PhotoDataset, placement: Placement, run: RunFolder
) -> Arithmetic:
    """Return the arithmetic in which a few steps took the least time, or what the run took before.

    Another than the usual one must save a tenth of the time. The choice and the times are written into the run's folder, so
    that a run that was killed goes on in the same arithmetic.

    Args:
        learner: follows the protocol `Learner`; it is left as it is.
        dataset: to take a batch from.
        placement: the device, and the usual precision.
        run: where the choice is kept.
    """
    noted = run.noted(_NOTE)
    if noted is not None:
        return Arithmetic(noted["precision"], noted["layout"])
    usual = Arithmetic(placement.precision)
    seconds = _timed_steps(learner, dataset, placement, usual)
    best = min(seconds, key=lambda arithmetic: seconds[arithmetic])
    chosen = best if seconds[best] < _CLEARLY * seconds[usual] else usual
    milliseconds = {str(arithmetic): round(1000 * value, 1) for arithmetic, value in seconds.items()}
    run.note({_NOTE: {**dataclasses.asdict(chosen), "milliseconds": milliseconds}})
    return chosen


def _timed_steps(
    learner: nn.Module, dataset: PhotoDataset, placement: Placement, usual: Arithmetic
) -> dict[Arithmetic, float]:
    """Return the seconds of the quickest of a few steps in each arithmetic, taken in turn."""
    pixels, targets = dataset.__getitems__([(place, None) for place in range(min(_PHOTOS, len(dataset)))])
    photos, targets = pixels.to(placement.device) / 255, targets.to(placement.device)
    copies = {
        layout: copy.deepcopy(learner).to(memory_format=memory_format).train()
        for layout, memory_format in _FORMATS.items()
    }

    def step(arithmetic: Arithmetic) -> float:
        module = copies[arithmetic.layout]
        batch = photos.contiguous(memory_format=arithmetic.memory_format)
        began = time.perf_counter()
        with torch.enable_grad(), Placement(placement.device, arithmetic.precision).autocast():
            loss, _ = cast(Learner, module).training_loss(batch, targets)
        cast(Any, loss).backward()
        seconds = time.perf_counter() - began
        module.zero_grad(set_to_none=True)
        return seconds

    precisions = dict.fromkeys((usual.precision, *_PRECISIONS))
    first = {
        arithmetic: step(arithmetic)
        for arithmetic in (Arithmetic(precision, layout) for layout in _FORMATS for precision in precisions)
    }
    # Where a precision is only emulated, one step says enough.
    tried = [each for each in first if each == usual or first[each] < _HOPELESS * min(first.values())]
    rounds = [{each: step(each) for each in tried} for _ in range(_ROUNDS)]
    return {each: min(times[each] for times in rounds) for each in tried}
