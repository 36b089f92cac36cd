"""From images and targets to a trained network: photos are decoded, the run is recognised, and the trainer runs."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.device import Placement
from fashionsearch.images import Images
from fashionsearch.results import History
from fashionsearch.training.data import Parts, PhotoDataset, Photos, decode_photos
from fashionsearch.training.options import FineTuning, with_fields
from fashionsearch.training.run_folder import RunFolder

# What follows from the photos is made when the run is known to be this one, and to need it.
Targets: TypeAlias = "NDArray[np.intp] | Callable[[], NDArray[np.float16]] | None"
Part: TypeAlias = "tuple[Images, Targets]"


def train_on(
    run: RunFolder,
    learner: nn.Module,
    backbone: Backbone,
    training: Part,
    validation: Part | None,
    options: FineTuning,
    *,
    decided_by: Mapping[str, Any],
    loggers: Sequence[object] = (),
    progress: bool = True,
) -> History:
    """Train a learner in place, from the run's last checkpoint on if there is one.

    Args:
        run: where checkpoints go.
        learner: what is trained; follows the protocol `Learner`.
        backbone: whose preprocessing and device are used; its module is the learner's.
        training: n images, and their n classes; or what makes (n, d) targets of the photos; or None.
        validation: likewise; None trains for all epochs.
        options: a filled recipe.
        decided_by: what else decides the result, as JSON holds it.
        loggers: Lightning loggers.
        progress: show bars.

    Returns:
        A row for each epoch.

    Raises:
        ImageError: if an image can't be read.
        InputError: if the batches can't be shared by the devices, or the folder holds another run.
        DeviceError: if there are not so many devices.
        DataError: if there are too few photos, or not as many targets.
        TrainingError: if the loss is not a number any more.
        StorageError: if photos or checkpoints can't be written.
    """
    from fashionsearch.training.loop import train

    if not isinstance(loggers, list | tuple):
        raise errors.InputError(
            f"loggers={loggers!r:.60} is not a list of Lightning loggers; write loggers=[…]"
        )
    if options.autotune and (backbone.device.type != "cpu" or options.devices * options.nodes > 1):
        raise errors.InputError(
            f"autotune=True times steps in one process on the CPU, and here {options.devices * options.nodes} learn on "
            f"{backbone.device}; leave it out, and set the precision beside device="
        )
    if options.devices * options.nodes > 1:
        _check_processes(options, backbone.placement)
    # By now the learner holds the teacher; it goes to no other process twice, and is known by what it is, not where.
    options = with_fields(options, teacher=None)
    identity: dict[str, Any] = {
        **decided_by,
        "options": options.to_dict(),
        "seed": run.seed,
        "network": f"{backbone.name} {backbone.fingerprint}",
        "device": f"{backbone.device.type} {backbone.precision}",
        "versions": [importlib.metadata.version(name) for name in ("torch", "lightning")],
    }
    decoded: list[tuple[str, Photos, Targets]] = []
    for name, part in (("training", training), ("validation", validation)):
        if part is None:
            identity[name] = None
            continue
        images, targets = part
        photos = decode_photos(images, backbone.preprocess, run.scratch / f"{name}.pixels", progress=progress)
        if isinstance(targets, np.ndarray) and len(photos) != len(targets):
            raise errors.DataError(
                f"there are {len(photos)} images and {len(targets)} labels; give one label for each image"
            )
        least = 2 * options.devices * options.nodes if name == "training" else 1
        if len(photos) < least:
            raise errors.DataError(
                f"there are {len(photos)} {name} photos, and at least {least} are needed; give more"
            )
        labels = targets if isinstance(targets, np.ndarray) else np.zeros(len(photos), dtype=np.intp)
        identity[name] = f"{photos.digest} {hashlib.sha256(labels.tobytes()).hexdigest()}"
        decoded.append((name, photos, targets))
    run.recognise(identity)
    datasets = [
        PhotoDataset(photos, _targets(run, name, len(photos), targets), options.augmentation)
        for name, photos, targets in decoded
    ]
    learner.to(backbone.device)
    parts = Parts(
        datasets[0], datasets[1] if validation is not None else None, backbone.preprocess.image_size
    )
    history = train(learner, parts, options, backbone.placement, run, loggers=loggers, progress=progress)
    learner.to(backbone.device)
    return history


def _targets(run: RunFolder, name: str, photos: int, targets: Targets) -> torch.Tensor:
    if isinstance(targets, np.ndarray):
        return torch.from_numpy(targets)
    if targets is None or run.finished:
        return torch.zeros(photos, dtype=torch.long)
    return torch.from_numpy(run.remembered(name, targets))


def _check_processes(options: FineTuning, placement: Placement) -> None:
    placement.trainer_arguments(options.devices)  # raises where there are not so many
    processes, batch = options.devices * options.nodes, options.batch_size or 1
    if batch % processes or batch < 2 * processes:
        raise errors.InputError(
            f"batch_size={batch} can't be shared by {processes} devices, at least 2 photos each; make it a multiple of "
            f"{processes}"
        )
