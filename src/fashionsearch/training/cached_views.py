"""Augmented views of the training photos, as the frozen layers left them: kept in files before the first epoch."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from fashionsearch import errors
from fashionsearch.device import Placement
from fashionsearch.training.data import CachedDataset, Key, Parts, PhotoDataset, written
from fashionsearch.training.options import FineTuning
from fashionsearch.training.prefix import FrozenPrefix, find_prefix
from fashionsearch.training.run_folder import RunFolder

_BATCH = 32
_LARGEST, _BYTES = float(np.finfo(np.float16).max), 2


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
        StorageError: if the files can't be written.
    """
    if not options.cached_views:
        return parts
    tagger: Any = learner.eval()
    prefix = find_prefix(tagger.network, parts.image_size)
    if prefix is None:
        _go_on_without(
            "the network hands on more than one tensor from the layers that are frozen to those that learn"
        )
        return parts
    blank = torch.zeros((1, 3, *parts.image_size), device=placement.device)
    views = options.cached_views * len(parts.training) + len(parts.validation or ())
    needed, free = _BYTES * prefix.run(blank).numel() * views, shutil.disk_usage(run.scratch).free
    if needed > free:
        _go_on_without(
            f"{views:,} views take {needed / 2**20:,.0f} MB in {run.scratch.parent}, where {free / 2**20:,.0f} MB are free"
        )
        return parts
    tagger.prefix = prefix

    def cached(part: Any, name: str, views: int) -> CachedDataset:
        path = run.scratch / f"{name}.activations"
        return _cached(prefix, part, views, path, run.seed, placement, memory_format, progress)

    validation = None if parts.validation is None else cached(parts.validation, "validation", 0)
    training = cached(parts.training, "training", options.cached_views)
    return dataclasses.replace(parts, training=training, validation=validation)


def _go_on_without(reason: str) -> None:
    warnings.warn(
        f"no views are cached: {reason}. Every epoch runs the whole network; cached_views=0 says so beforehand",
        errors.DataWarning,
        stacklevel=2,
    )


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
    with written(path.parent):
        file = path.open("wb")
    with file, bar:
        while batch := list(itertools.islice(keys, _BATCH)):
            pixels, _ = dataset.__getitems__(batch)
            photos = (pixels.to(placement.device) / 255).contiguous(memory_format=memory_format)
            with placement.autocast():
                activations = prefix.run(photos).float()
            # Larger ones than float16 holds are cut: no network in use has them.
            kept = activations.clamp(-_LARGEST, _LARGEST).to(torch.float16).contiguous().cpu().numpy()
            shape = (count, n, *kept.shape[1:])
            with written(path.parent):
                file.write(kept.data)
            bar.update(len(batch))
        with written(path.parent):
            file.flush()
    return CachedDataset(path, shape, dataset.targets)
