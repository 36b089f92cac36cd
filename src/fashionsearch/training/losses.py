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


def supervised_contrastive(
    embeddings: torch.Tensor, labels: torch.Tensor, *, temperature: float = 0.1
) -> torch.Tensor:
    """Return how far photos of one label are from each other, compared with all others of the batch.

    Each photo is to find those of its label by a softmax over its similarities to all others, and the mean is taken over
    photos that have such a one in the batch (Khosla et al. 2020, arXiv:2004.11362, equation 2).

    Args:
        embeddings: (n, dim) of length 1.
        labels: (n,) class indices, −1 where the label is unknown: such photos are left out.
        temperature: what similarities are divided by, above 0.

    Examples:
        >>> apart, alike = torch.eye(4), torch.eye(4)[[0, 0, 1, 1]]
        >>> labels = torch.tensor([7, 7, 3, 3])
        >>> bool(supervised_contrastive(alike, labels) < supervised_contrastive(apart, labels))
        True
    """
    known = labels != UNKNOWN
    embeddings, labels = embeddings[known], labels[known]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    alike = (labels[:, None] == labels) & ~itself
    has_alike = alike.any(dim=1)
    if not bool(has_alike.any()):
        return embeddings.sum() * 0.0
    similarities = (embeddings @ embeddings.T / temperature).masked_fill(itself, -torch.inf)
    log_shares = torch.log_softmax(similarities, dim=1).masked_fill(~alike, 0.0)
    each = -log_shares.sum(dim=1)[has_alike] / alike.sum(dim=1)[has_alike]
    return each.mean()
