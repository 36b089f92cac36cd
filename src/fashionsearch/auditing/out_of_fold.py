"""What photos say of labels that were not learned from them: by small networks, fold by fold, and by neighbours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch.device import torch_defaults
from fashionsearch.embedding import progress_bar
from fashionsearch.tagging.head import softmax, temperature
from fashionsearch.targets import UNKNOWN, Targets
from fashionsearch.training.losses import cross_entropy

FOLDS, _ROUNDS = 5, 3
_HIDDEN = 512
_DROPOUT = (0.1, 0.5)  # of the features, of the hidden units
_EPOCHS = 8  # a network that learns for longer begins to believe the labels that are wrong
_FEWEST_STEPS = 60
_BATCH_SIZE, _SMALLEST_BATCH = 512, 32
_LEARNING_RATE, _WEIGHT_DECAY, _LABEL_SMOOTHING = 2e-3, 0.5, 0.1
_NEIGHBOURS_SHARE, _CLOSENESS = 0.2, 0.05
_FLOOR = 1e-3  # of what neighbours say: a class that none of them has is not excluded

Probabilities = dict[str, NDArray[np.float64]]


def out_of_fold(
    features: NDArray[np.float32],
    targets: Targets,
    groups: NDArray[np.intp],
    neighbours: tuple[NDArray[np.intp], NDArray[np.float64]],
    *,
    seed: int,
    progress: bool,
) -> Probabilities:
    """Return attribute -> (n, c) float64, how probable each class of each photo is by photos of other products alone.

    Five folds by product, three times over in other folds, and what the nearest neighbours are labelled with; the mean is
    calibrated by temperature.

    Args:
        features: (n, dim) float32 of about unit variance.
        targets: of the n photos.
        groups: (n,) which product a photo is of.
        neighbours: (n, k) rows, of other products, −1 where there are no more, and their cosines.
        seed: of folds, first weights and batches.
        progress: show a bar.
    """
    sizes = [len(classes) for classes in targets.classes.values()]
    said = [np.zeros((len(features), size)) for size in sizes]
    rounds = [(number, part) for number in range(_ROUNDS) for part in range(FOLDS)]
    with progress_bar(len(rounds), "checking labels", "fold", shown=progress) as advance:
        for number, part in rounds:
            apart = _fold_of(groups, seed + number) == part
            if apart.any() and not apart.all():
                learned = _fit(
                    features[~apart], targets.indices[~apart], sizes, seed=FOLDS * (seed + number) + part
                )
                for total, fresh in zip(said, learned(features[apart]), strict=True):
                    total[apart] += fresh / _ROUNDS
            advance(1)
    found = {}
    for name, mean in zip(targets.classes, said, strict=True):
        labels = targets.of(name)
        mixed = (1 - _NEIGHBOURS_SHARE) * mean + _NEIGHBOURS_SHARE * _votes(labels, neighbours, mean.shape[1])
        found[name] = _calibrated(mixed, labels)
    return found


def predict(
    features: NDArray[np.float32],
    indices: NDArray[np.int64],
    targets: Targets,
    unseen: NDArray[np.float32],
    *,
    seed: int,
) -> Probabilities:
    """Return attribute -> (m, c) float64 of photos that were not learned from.

    Args:
        features: (n, dim) float32, to learn from.
        indices: (n, attributes) of these.
        targets: whose classes.
        unseen: (m, dim) float32.
        seed: of first weights and batches.
    """
    sizes = [len(classes) for classes in targets.classes.values()]
    return dict(zip(targets.classes, _fit(features, indices, sizes, seed=seed)(unseen), strict=True))


def _fold_of(groups: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Return (n,) in which fold each photo is; photos of one product are in one."""
    names, inverse = np.unique(groups, return_inverse=True)
    folds = np.arange(len(names)) % FOLDS
    return np.asarray(np.random.default_rng(seed).permutation(folds)[inverse])


def _fit(
    features: NDArray[np.float32], indices: NDArray[np.int64], sizes: list[int], *, seed: int
) -> Callable[[NDArray[np.float32]], list[NDArray[np.float64]]]:
    """Return a function from features to the probabilities of each attribute, learned by AdamW in one cycle."""
    size = min(len(features), max(_SMALLEST_BATCH, min(_BATCH_SIZE, len(features) // 8)))
    batches = len(features) // size
    epochs = max(_EPOCHS, -(-_FEWEST_STEPS // batches))
    generator = np.random.default_rng(seed)
    with torch_defaults(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = nn.Sequential(
            nn.Dropout(_DROPOUT[0]),
            nn.Linear(features.shape[1], _HIDDEN),
            nn.GELU(),
            nn.Dropout(_DROPOUT[1]),
            nn.Linear(_HIDDEN, sum(sizes)),
        )
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, _LEARNING_RATE, total_steps=epochs * batches, pct_start=0.1
        )
        inputs, wanted = torch.from_numpy(features), torch.from_numpy(indices)
        for _ in range(epochs):
            order = torch.from_numpy(generator.permutation(len(features)))
            for start in range(0, batches * size, size):
                rows = order[start : start + size]
                parts = network(inputs[rows]).split(sizes, dim=1)
                loss = sum(
                    cross_entropy(part, wanted[rows, place], label_smoothing=_LABEL_SMOOTHING)
                    for place, part in enumerate(parts)
                )
                optimiser.zero_grad()
                loss.backward()  # type: ignore[union-attr]
                optimiser.step()
                schedule.step()
    network.eval()

    def probabilities(unseen: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        with torch_defaults(), torch.inference_mode():
            parts = network(torch.from_numpy(unseen)).split(sizes, dim=1)
            return [part.double().softmax(dim=1).numpy() for part in parts]

    return probabilities


def _votes(
    labels: NDArray[np.int64], neighbours: tuple[NDArray[np.intp], NDArray[np.float64]], classes: int
) -> NDArray[np.float64]:
    """Return (n, c) what the neighbours of each photo are labelled with, the nearer the more, rows adding up to 1."""
    rows, cosines = neighbours
    votes = np.full((len(labels), classes), _FLOOR)
    if rows.shape[1]:
        counted = (rows >= 0) & (labels[rows] != UNKNOWN)
        nearest = np.where(counted, cosines, -np.inf).max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            weights = np.where(counted, np.exp((cosines - nearest) / _CLOSENESS), 0.0)
        places = np.broadcast_to(np.arange(len(labels))[:, None], rows.shape)
        np.add.at(votes, (places[counted], labels[rows][counted]), weights[counted])
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def _calibrated(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return probabilities as sure as the labels bear out."""
    logs = np.log(np.maximum(probabilities, 1e-9))
    known = labels != UNKNOWN
    logs /= temperature(logs[known], labels[known])
    return softmax(logs)
