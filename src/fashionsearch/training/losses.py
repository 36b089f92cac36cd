"""Losses of logits: what objectives are made of. Each is a pure function of two tensors."""

from __future__ import annotations

import torch
from torch.nn import functional

from fashionsearch.targets import UNKNOWN


def cross_entropy(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    class_weights: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Return the mean cross-entropy of the photos whose label is known; 0 where none is, or none that has a weight.

    Args:
        logits: (n, c).
        targets: (n,) class numbers, −1 where the label is unknown; or (n, c) the share of each class, a row of zeros where
            the label is unknown.
        class_weights: (c,) weights, by which the mean is weighted too.
        label_smoothing: share of each label that is spread over all classes.

    Examples:
        >>> round(float(cross_entropy(torch.zeros(3, 4), torch.tensor([0, 3, -1]))), 4)
        1.3863
    """
    if targets.ndim == 1:
        known = targets[targets != UNKNOWN]
        weight = len(known) if class_weights is None else float(class_weights[known].sum())
        if not weight:
            return logits.sum() * 0.0
        return functional.cross_entropy(
            logits, targets, weight=class_weights, label_smoothing=label_smoothing, ignore_index=UNKNOWN
        )
    known = targets.sum(dim=1) > 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    shares = targets[known]
    loss = functional.cross_entropy(
        logits[known], shares, weight=class_weights, label_smoothing=label_smoothing
    )
    if class_weights is not None and not float((shares @ class_weights).sum()):
        return logits.sum() * 0.0
    # For shares torch divides by the number of photos, and for class numbers by the sum of their weights.
    return loss / (shares.sum(dim=1) if class_weights is None else shares @ class_weights).mean()


def accuracy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the fraction of known labels that are the most probable class; arguments as for `cross_entropy`."""
    if targets.ndim == 1:
        known, labels = targets != UNKNOWN, targets
    else:
        known, labels = targets.sum(dim=1) > 0, targets.argmax(dim=1)
    right = (logits.argmax(dim=1) == labels) & known
    return right.float().sum() / known.float().sum().clamp_min(1.0)


def distillation(logits: torch.Tensor, teacher_logits: torch.Tensor, *, temperature: float) -> torch.Tensor:
    """Return how far a student's (n, c) logits are from the teacher's of the same photos.

    The Kullback–Leibler divergence of both at a temperature, times its square, which keeps the gradients as large as at 1
    (Hinton et al. 2015, arXiv:1503.02531).
    """
    wanted = functional.log_softmax(teacher_logits.float() / temperature, dim=1)
    said = functional.log_softmax(logits.float() / temperature, dim=1)
    return functional.kl_div(said, wanted, reduction="batchmean", log_target=True) * temperature**2
