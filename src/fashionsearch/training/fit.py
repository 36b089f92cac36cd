"""From images and targets to a trained network: photos are decoded, the run is checked, and the loop runs or resumes."""

from __future__ import annotations

import hashlib
import importlib.metadata
from typing import Any

import numpy as np
import torch

from fashionsearch import errors
from fashionsearch.device import torch_defaults
from fashionsearch.results import History
from fashionsearch.training.data import PhotoDataset, Photos, Splits, decode_photos
from fashionsearch.training.options import with_fields
from fashionsearch.training.run import Part, Run, Targets


@torch_defaults()
def fit_network(run: Run) -> History:
    """Train a learner in place, and resume from the run's last checkpoint if there is one.

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
    from fashionsearch.training.loop import train, trainer_arguments

    _check(run)
    trainer_arguments(run.backbone.placement, run.options.devices)  # raises where there are not so many
    training = _decoded(run, "training", run.training, least=2 * run.options.devices * run.options.nodes)
    validation = None if run.validation is None else _decoded(run, "validation", run.validation, least=1)
    run.folder.check_same_run(_identity(run, training, validation))
    # A damaged checkpoint makes a finished run begin again, and then its targets are needed.
    start = run.folder.resume_point(validated=run.validation is not None)
    splits = Splits(
        _dataset(run, "training", run.training, training),
        None
        if run.validation is None or validation is None
        else _dataset(run, "validation", run.validation, validation),
        run.backbone.preprocess.image_size,
        run.sampling,
    )
    run.learner.to(run.backbone.device)
    history = train(run, splits, start)
    run.learner.to(run.backbone.device)
    return history


def _check(run: Run) -> None:
    options, processes = run.options, run.options.devices * run.options.nodes
    if not isinstance(run.loggers, list | tuple):
        raise errors.InputError(
            f"loggers={run.loggers!r:.60} is not a list of Lightning loggers; write loggers=[…]"
        )
    if options.autotune and (run.backbone.device.type != "cpu" or processes > 1):
        raise errors.InputError(
            f"autotune=True times steps in one process on the CPU, and here {processes} learn on {run.backbone.device}; "
            "leave it out, and set the precision beside device="
        )
    batch = options.batch_size or 1
    if processes > 1 and (batch % processes or batch < 2 * processes):
        raise errors.InputError(
            f"batch_size={batch} can't be shared by {processes} devices, at least 2 photos each; make it a multiple of "
            f"{processes}"
        )


def _decoded(run: Run, name: str, part: Part, *, least: int) -> Photos:
    images, targets = part
    path = run.folder.scratch / f"{name}.pixels"
    photos = decode_photos(images, run.backbone.preprocess, path, progress=run.progress)
    if isinstance(targets, np.ndarray) and len(photos) != len(targets):
        raise errors.DataError(
            f"there are {len(photos)} images and {len(targets)} labels; give one label for each image"
        )
    if len(photos) < least:
        raise errors.DataError(
            f"there are {len(photos)} {name} photos, and at least {least} are needed; give more"
        )
    return photos


def _identity(run: Run, training: Photos, validation: Photos | None) -> dict[str, Any]:
    """Return everything that decides the result, as JSON holds it."""
    # The learner holds the teacher by now, and it is known by what it is, not by where it lies.
    options = with_fields(run.options, teacher=None)
    backbone = run.backbone
    return {
        **run.identity,
        "options": options.to_dict(),
        "seed": run.folder.seed,
        "network": f"{backbone.name} {backbone.fingerprint}",
        "device": f"{backbone.device.type} {backbone.precision}",
        "versions": [importlib.metadata.version(name) for name in ("torch", "lightning")],
        "training": _digest(training, run.training[1]),
        "validation": None
        if run.validation is None or validation is None
        else _digest(validation, run.validation[1]),
    }


def _digest(photos: Photos, targets: Targets) -> str:
    labels = targets if isinstance(targets, np.ndarray) else np.zeros(len(photos), dtype=np.intp)
    return f"{photos.digest} {hashlib.sha256(labels.tobytes()).hexdigest()}"


def _dataset(run: Run, name: str, part: Part, photos: Photos) -> PhotoDataset:
    targets = part[1]
    if isinstance(targets, np.ndarray):
        tensor = torch.from_numpy(targets)
    elif targets is None or run.folder.finished:
        tensor = torch.zeros(len(photos), dtype=torch.long)
    else:
        tensor = torch.from_numpy(run.folder.cached_array(name, targets))
    return PhotoDataset(photos, tensor, run.options.augmentation)
