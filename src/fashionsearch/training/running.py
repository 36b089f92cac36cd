"""From images and targets to a trained network: photos are decoded, the run is recognised, and the trainer runs."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.images import Images
from fashionsearch.results import History
from fashionsearch.training.options import FineTuning
from fashionsearch.training.photos import PhotoDataset, Photos, decode_photos
from fashionsearch.training.runs import RunFolder

Part: TypeAlias = "tuple[Images, NDArray[np.intp] | None]"


def train_on(
    run: RunFolder,
    learner: nn.Module,
    backbone: Backbone,
    training: Part,
    validation: Part | None,
    options: FineTuning,
    *,
    loggers: Sequence[object] = (),
    progress: bool = True,
) -> History:
    """Train a learner in place, from the run's last checkpoint on if there is one.

    Args:
        run: where checkpoints go.
        learner: what is trained; follows the protocol `Learner`.
        backbone: whose preprocessing and device are used; its module is the learner's.
        training: n images, and their n classes or None.
        validation: likewise; None trains for all epochs.
        options: a filled recipe.
        loggers: Lightning loggers.
        progress: show bars.

    Returns:
        A row for each epoch.

    Raises:
        ImageError: if an image can't be read.
        DataError: if there are too few for the devices, or as many targets as images are missing.
        TrainingError: if the loss is not a number any more.
        StorageError: if photos or checkpoints can't be written.
    """
    from fashionsearch.training.trainer import Parts, train

    identity: dict[str, Any] = {
        "options": options.to_dict(),
        "seed": run.seed,
        "network": f"{backbone.name} {backbone.fingerprint}",
        "device": f"{backbone.device.type} {backbone.precision}",
        "versions": [importlib.metadata.version(name) for name in ("torch", "lightning")],
    }
    datasets: list[PhotoDataset | None] = []
    for name, part in (("training", training), ("validation", validation)):
        if part is None:
            identity[name] = None
            datasets.append(None)
            continue
        images, targets = part
        photos = decode_photos(images, backbone.preprocess, run.scratch / f"{name}.pixels", progress=progress)
        targets = np.zeros(len(photos), dtype=np.intp) if targets is None else targets
        _check_counts(photos, targets, options)
        identity[name] = f"{photos.digest} {hashlib.sha256(targets.tobytes()).hexdigest()}"
        datasets.append(PhotoDataset(photos, torch.from_numpy(targets), options.augmentation))
    run.recognise(identity)
    learner.to(backbone.device)
    first, second = datasets
    if first is None:
        raise errors.DataError("there are no photos to learn from")
    parts = Parts(first, second, backbone.preprocess.image_size)
    history = train(learner, parts, options, backbone.placement, run, loggers=loggers, progress=progress)
    learner.to(backbone.device)
    return history


def _check_counts(photos: Photos, targets: NDArray[np.intp], options: FineTuning) -> None:
    processes = options.devices * options.nodes
    if len(photos) != len(targets):
        raise errors.DataError(
            f"there are {len(photos)} images and {len(targets)} labels; give one label for each image"
        )
    if min(len(photos), options.batch_size or 1) < 2 * processes:
        raise errors.DataError(
            f"{len(photos)} photos in batches of {options.batch_size} leave less than 2 for each of {processes} devices; "
            "give more photos or a larger batch_size"
        )
