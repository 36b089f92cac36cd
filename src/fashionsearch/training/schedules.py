"""What changes while a network learns: rate and averaged weights by the step, the image size by the epoch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from fashionsearch.training.options import FineTuning

_SMALLEST, _STEP = 32, 16
_GROWN = 0.6


class WarmCosine:
    """A factor that rises in a line and falls as half a cosine; a class, so that it can go to another process."""

    def __init__(self, rising: int, steps: int) -> None:
        self._rising, self._steps = rising, steps

    def __call__(self, step: int) -> float:
        """Return the share of the highest rate for a step, counted from 0."""
        if step < self._rising:
            return (step + 1) / (self._rising + 1)
        return 0.5 + 0.5 * math.cos(math.pi * (step - self._rising) / max(1, self._steps - self._rising))


def rate_schedule(optimiser: torch.optim.Optimizer, options: FineTuning, *, steps: int) -> Any:
    """Return what sets the learning rate of each step, as torch's schedulers do."""
    rising = min(steps - 1, max(1, round((options.warmup or 0.0) * steps)))
    if options.schedule != "one_cycle" or steps < 4:
        return torch.optim.lr_scheduler.LambdaLR(optimiser, WarmCosine(rising, steps))
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=steps,
        pct_start=max(rising, 2)
        / steps,  # one step of rising is none to torch, which divides by their number
        cycle_momentum=False,
    )


class RunningAverage:
    """Moves averaged weights a share of the way to the current ones; a class, so that it can go to another process."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __call__(self, averaged: Any, current: Any, _: Any) -> None:
        """Move a list of averaged tensors towards their current values, in place."""
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, self._share)
        else:
            torch._foreach_copy_(averaged, current)


def epoch_sizes(
    backbone: nn.Module, image_size: tuple[int, int], options: FineTuning
) -> list[tuple[int, int]]:
    """Return the image size of each epoch."""
    epochs = options.epochs or 1
    if not options.progressive_resizing or not _takes(backbone, _scaled(image_size, 0.5)):
        return [image_size] * epochs
    return [_scaled(image_size, 0.5 + 0.5 * min(1, epoch / (_GROWN * epochs))) for epoch in range(epochs)]


def _scaled(image_size: tuple[int, int], share: float) -> tuple[int, int]:
    if share >= 1:
        return image_size
    height, width = (
        min(side, max(_SMALLEST, _STEP * math.floor(side * share / _STEP))) for side in image_size
    )
    return height, width


def _takes(backbone: nn.Module, image_size: tuple[int, int]) -> bool:
    parameter = next(backbone.parameters(), None)
    device = None if parameter is None else parameter.device
    try:
        with torch.no_grad():
            backbone.eval()(torch.zeros((2, 3, *image_size), device=device))
    except Exception:  # a network built for one size may raise anything at another
        return False
    return True
