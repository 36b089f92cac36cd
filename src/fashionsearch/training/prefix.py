"""What is frozen below the layers that learn: it sees each view of a photo once, and what it makes of it is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from fashionsearch import errors
from fashionsearch.device import Placement
from fashionsearch.runtimes.base import Network
from fashionsearch.training.options import FineTuning
from fashionsearch.training.photos import CachedDataset, Key, Parts, PhotoDataset, written
from fashionsearch.training.runs import RunFolder

_BATCH = 32
_LARGEST = float(np.finfo(np.float16).max)


class FrozenPrefix:
    """A network in two parts: all before what learns, and the rest.

    The network is not taken apart. To run the first part alone, it is stopped where the second begins. To run the second
    alone, the modules before it return what they returned once for a blank photo, and it gets the kept activations in place
    of its input. `find_prefix` has tried that this gives what the whole network gives.

    Args:
        network: normalisation and backbone.
        shape: (1, 3, H, W) of a photo.
        cut: the module that begins the second part; None where nothing of the network learns.
        before: modules that ran before it, each with the outputs of its runs.
    """

    def __init__(
        self,
        network: Network,
        shape: tuple[int, ...],
        cut: nn.Module | None,
        before: dict[nn.Module, list[Any]],
    ) -> None:
        self._network, self._cut, self._before = network, cut, before
        self._blank = torch.zeros(shape, device=network.mean.device)

    @torch.no_grad()
    def run(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to the activations (n, …) that the rest takes."""
        if self._cut is None:
            return self._network.embed(photos)

        def stop(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            raise _Reached(inputs[0])

        with _hooked(self._cut, stop):
            try:
                self._network.embed(photos)
            except _Reached as reached:
                return reached.activations
        raise errors.TrainingError(
            "the network did not come to the layers that learn, as it did before; give cached_views=0"
        )

    def rest(self, activations: torch.Tensor) -> torch.Tensor:
        """Map activations to (n, dim) embeddings; gradients flow through what learns."""
        if self._cut is None:
            return activations
        reached = False

        def take(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            nonlocal reached
            if reached:
                return None
            reached = True
            return (activations, *inputs[1:])

        def remembered(outputs: list[Any], own: Callable[..., Any]) -> Callable[..., Any]:
            waiting = iter(outputs)
            return lambda *args, **kwargs: own(*args, **kwargs) if reached else next(waiting)

        with contextlib.ExitStack() as stack:
            stack.enter_context(_hooked(self._cut, take))
            for module, outputs in self._before.items():
                stack.enter_context(_replaced(module, remembered(outputs, module.forward)))
            return self._network.embed(self._blank)


class _Reached(Exception):
    def __init__(self, activations: torch.Tensor) -> None:
        super().__init__()
        self.activations = activations


@contextlib.contextmanager
def _hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


@torch.no_grad()
def find_prefix(network: Network, image_size: tuple[int, int]) -> FrozenPrefix | None:
    """Return the network in two parts, or None where more than one tensor goes from one to the other.

    The second part begins with the module that first learns, or with one around it. Of those that can be cut at, the one
    whose input is smallest, and of those the last.

    Args:
        network: in evaluation mode; it is left as it is.
        image_size: (height, width).
    """
    shape = (1, 3, *image_size)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return FrozenPrefix(network, shape, None, {})
    events = _events(network, shape)
    first = next(
        (
            module
            for module, starts, _ in events
            if starts and any(each.requires_grad for each in module.parameters(recurse=False))
        ),
        None,
    )
    if first is None:
        return None
    around = [
        (module, values[0])
        for module, starts, values in events[: _start(events, first) + 1]
        if starts
        and module not in (network, network.module)
        and any(inner is first for inner in module.modules())
        and len(values) == 1
        and isinstance(values[0], torch.Tensor)
    ]
    photos = torch.rand((2, *shape[1:]), generator=torch.Generator().manual_seed(0)).to(network.mean.device)
    wanted = network.embed(photos)
    order = sorted(range(len(around)), key=lambda place: (around[place][1].numel(), -place))
    for module in (around[place][0] for place in order):
        prefix = FrozenPrefix(network, shape, module, _ran_before(events, module))
        try:
            found = prefix.rest(prefix.run(photos))
        except (RuntimeError, ValueError, TypeError, IndexError, StopIteration):
            continue  # what the rest computes needs more than the blank photo's outputs
        if found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-3, atol=1e-4):
            return prefix
    return None


_Event = tuple[nn.Module, bool, Any]


def _events(network: Network, shape: tuple[int, ...]) -> list[_Event]:
    """Return each module's start, with its inputs, and end, with its output, in the order of a blank photo's run."""
    events: list[_Event] = []

    def starts(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        events.append((module, True, inputs))

    def ends(module: nn.Module, _: object, output: object) -> None:
        events.append((module, False, output))

    with contextlib.ExitStack() as stack:
        for module in network.modules():
            for handle in (module.register_forward_pre_hook(starts), module.register_forward_hook(ends)):
                stack.callback(handle.remove)
        network.embed(torch.zeros(shape, device=network.mean.device))
    return events


def _start(events: list[_Event], module: nn.Module) -> int:
    return next(place for place, (each, starts, _) in enumerate(events) if each is module and starts)


def _ran_before(events: list[_Event], cut: nn.Module) -> dict[nn.Module, list[Any]]:
    """Return the outermost modules that ended before another began, with their outputs."""
    earlier = events[: _start(events, cut)]
    ended: dict[nn.Module, list[Any]] = {}
    running: list[nn.Module] = []
    unfinished = {module for module, starts, _ in earlier if starts} - {
        module for module, starts, _ in earlier if not starts
    }
    for module, starts, value in earlier:
        if starts:
            running.append(module)
            continue
        running.pop()
        if all(outer in unfinished for outer in running):
            ended.setdefault(module, []).append(value)
    return ended


def with_cached_views(
    learner: nn.Module,
    parts: Parts,
    options: FineTuning,
    run: RunFolder,
    placement: Placement,
    memory_format: torch.memory_format,
    *,
    progress: bool,
) -> Parts:
    """Let what is frozen of a tagger see the photos once, if the options say so and it can be cut off.

    Args:
        learner: gets the prefix; in evaluation mode.
        parts: the photos.
        options: a filled recipe.
        run: where the files go, and the seed of the views.
        placement: device and precision.
        memory_format: of the network.
        progress: show a bar.

    Returns:
        The parts with activations in place of photos, or as they are.

    Raises:
        StorageError: if there is no space.
    """
    if not options.cached_views:
        return parts
    tagger: Any = learner.eval()
    prefix = find_prefix(tagger.network, parts.image_size)
    if prefix is None:
        return parts
    tagger.prefix = prefix

    def cached(part: Any, name: str, views: int) -> CachedDataset:
        path = run.scratch / f"{name}.activations"
        return _cached(prefix, part, views, path, run.seed, placement, memory_format, progress)

    validation = None if parts.validation is None else cached(parts.validation, "validation", 0)
    training = cached(parts.training, "training", options.cached_views)
    return dataclasses.replace(parts, training=training, validation=validation)


def _cached(
    prefix: FrozenPrefix,
    dataset: PhotoDataset,
    views: int,
    path: Path,
    seed: int,
    placement: Placement,
    memory_format: torch.memory_format,
    progress: bool,
) -> CachedDataset:
    """Run what is frozen over augmented views of all photos, or over the photos as they are if there are 0 views."""
    n, count = len(dataset), max(views, 1)
    seeds = np.random.default_rng((seed, 1)).integers(0, 2**32, (count, n)).tolist()
    keys: Iterator[Key] = (
        (position, seeds[view][position] if views else None) for view in range(count) for position in range(n)
    )
    shape: tuple[int, ...] = ()
    bar = tqdm(
        total=count * n, desc="frozen layers", unit="image", delay=2, disable=None if progress else True
    )
    with bar, written(path.parent), path.open("wb") as file:
        while batch := list(itertools.islice(keys, _BATCH)):
            pixels, _ = dataset.__getitems__(batch)
            photos = (pixels.to(placement.device) / 255).contiguous(memory_format=memory_format)
            with placement.autocast():
                activations = prefix.run(photos).float()
            # Larger ones than float16 holds are cut: no network in use has them.
            kept = activations.clamp(-_LARGEST, _LARGEST).to(torch.float16).contiguous().cpu().numpy()
            if not shape:
                shape = (count, n, *kept.shape[1:])
                _check_space(path.parent, shape, views)
            file.write(kept.data)
            bar.update(len(batch))
    return CachedDataset(path, shape, dataset.targets)


def _check_space(folder: Path, shape: tuple[int, ...], views: int) -> None:
    needed, free = 2 * int(np.prod(shape)), shutil.disk_usage(folder).free
    if needed > free:
        raise errors.StorageError(
            f"{max(views, 1)} views of {shape[1]:,} photos take {needed / 2**20:,.0f} MB in {folder}, where "
            f"{free / 2**20:,.0f} MB are free; give cached_views=0, or set TMPDIR to a folder with more space"
        )
