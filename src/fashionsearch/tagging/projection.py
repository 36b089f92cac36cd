"""Learns a `Projection` and the heads on it from features that a frozen network made once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch.backbones.embedder import Projection
from fashionsearch.device import torch_defaults
from fashionsearch.embedding import progress_bar
from fashionsearch.results import History
from fashionsearch.tagging.head import LinearHead, check_finite, inverse_deviation
from fashionsearch.tagging.metric_objective import MetricObjective, drawing_shares, likenesses, numbered
from fashionsearch.tagging.objective import TaggingObjective
from fashionsearch.targets import Targets
from fashionsearch.training.metric import MetricLearning

SCALE = 16.0  # of embeddings of length 1, before the heads
HIDDEN = 512
DROPOUT = 0.1
_EPOCHS = 30
_FEWEST_STEPS = 200  # a few hundred photos make few batches, and each has to be seen often
_BATCH_SIZE, _SMALLEST_BATCH = 512, 32
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.5
_LABEL_SMOOTHING = 0.1  # of the projection's training alone: heads are calibrated after it


def fit_projection(
    features: NDArray[np.float32],
    targets: Targets,
    *,
    views: NDArray[np.float32] | None = None,
    metric: MetricLearning,
    class_weights: Sequence[NDArray[np.float32]],
    embedding_dim: int,
    hidden: int = HIDDEN,
    seed: int,
    progress: bool = False,
) -> tuple[Projection, list[LinearHead], History]:
    """Learn a projection and a head for each attribute, by AdamW in one cycle.

    The same seed gives the same weights, on one machine with as many threads.

    Args:
        features: (n, dim) float32.
        targets: of the n photos.
        views: (k, n, dim) float32, features of k augmented views of each photo, each as probable to be seen as the photo.
        metric: what makes photos alike.
        class_weights: of each attribute, (c,) weights of its classes.
        embedding_dim: length of an embedding.
        hidden: units of the layer between; 0 is none.
        seed: of first weights and batches.
        progress: show a bar.

    Returns:
        The projection, the heads in the order of the attributes, and a row for each epoch.

    Raises:
        WeightsError: if a feature is NaN or infinity.
        TrainingError: if the embeddings of different photos have become the same.
        InputError: if `metric` names an attribute that there isn't.
    """
    metric = metric.resolved(learns=False)
    seen = features[None] if views is None else np.concatenate([features[None], views])
    for each in seen:
        check_finite(each)
    alike = likenesses(metric, targets)
    shares = drawing_shares(metric, targets)
    generator = np.random.default_rng(seed)
    size = min(_BATCH_SIZE, max(_SMALLEST_BATCH, len(features) // 4), len(features))
    batches = len(features) // size
    epochs = max(_EPOCHS, -(-_FEWEST_STEPS // batches))
    rows: list[dict[str, float]] = []
    with torch_defaults(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        projection = standardised(features, embedding_dim, hidden)
        objective = MetricObjective(
            TaggingObjective(embedding_dim, class_weights, label_smoothing=_LABEL_SMOOTHING, scale=SCALE),
            metric,
            alike,
            {name: len(classes) for name, classes in targets.classes.items()},
            dim=embedding_dim,
            known=features if metric.distillation else None,
            copies=False,
        )
        inputs, wanted = torch.from_numpy(seen), torch.from_numpy(numbered(targets.indices))
        learns = [*projection.parameters(), *objective.parameters()]
        optimiser = torch.optim.AdamW(learns, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, _LEARNING_RATE, total_steps=epochs * batches, pct_start=0.1
        )
        projection.train()
        with progress_bar(epochs, "fitting", "epoch", shown=progress) as advance:
            for epoch in range(epochs):
                order = (
                    generator.permutation(len(features))
                    if shares is None
                    else generator.choice(len(features), len(features), p=shares)
                )
                which = generator.integers(len(seen), size=len(features))
                losses, rights = [], []
                for start in range(0, batches * size, size):
                    photos = torch.from_numpy(order[start : start + size])
                    view = torch.from_numpy(which[start : start + size])
                    loss, figures = objective.training_loss(projection(inputs[view, photos]), wanted[photos])
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
                    losses.append(float(loss.detach()))
                    rights.append(float(figures["training_accuracy"]))
                rows.append(
                    {
                        "epoch": epoch + 1,
                        "training_loss": float(np.mean(losses)),
                        "training_accuracy": float(np.mean(rights)),
                        "learning_rate": float(schedule.get_last_lr()[0]),
                    }
                )
                advance(1)
        return projection.eval(), objective.linear_heads(), History(tuple(rows))


def standardised(features: NDArray[np.float32], embedding_dim: int, hidden: int) -> Projection:
    """Return an untrained projection that gives each feature the mean 0 and the variance 1."""
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    projection = Projection(features.shape[1], embedding_dim, hidden=hidden)
    projection.mean.copy_(torch.from_numpy(mean))
    projection.usual.copy_(projection.mean)
    projection.scale.copy_(torch.from_numpy(inverse_deviation(deviation)))
    projection.dropout.p = DROPOUT
    return projection


def project(projection: Projection, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n, embedding_dim) float32 of (n, dim) features."""
    with torch_defaults(), torch.inference_mode():
        projected: NDArray[np.float32] = (
            projection(torch.from_numpy(features).to(projection.mean.device)).cpu().numpy()
        )
    return projected


def familiarity(projection: Projection, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) float32 in [−1, 1]: the cosine of features with the mean of those that were learned from."""
    mean = projection.usual.cpu().numpy()
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(mean)
    return np.asarray(features @ mean / np.maximum(lengths, 1e-12), dtype=np.float32)
