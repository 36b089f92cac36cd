"""What a tagger learns by: the tags' cross-entropies, and losses that place photos near those they are like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fashionsearch import errors
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.objective import TaggingObjective, TagsObjective
from fashionsearch.targets import UNKNOWN, Targets
from fashionsearch.training.data import balanced_shares
from fashionsearch.training.losses import supervised_contrastive
from fashionsearch.training.metric import JOINED, MetricLearning
from fashionsearch.training.metric_losses import LOSSES, KnownOnly
from fashionsearch.training.objectives import Figures

_COLLAPSED = 0.995  # mean cosine of two photos; a network of trained weights begins below 0.8
_STEPS = 25
_FEWEST = 8  # photos of which some are bound to differ


def likenesses(metric: MetricLearning, targets: Targets) -> dict[str, float]:
    """Return what makes two photos alike, attributes joined by "+", and how much each counts.

    Raises:
        InputError: if `metric` names an attribute that there isn't.
    """
    if metric.attributes is None:
        return _default_likenesses(targets)
    known = list(targets.classes)
    for name in metric.attributes:
        for attribute in name.split(JOINED):
            if attribute not in known:
                raise errors.InputError(
                    f"MetricLearning(attributes=...) names {attribute!r}, and the attributes are {', '.join(known)}."
                    + errors.did_you_mean(attribute, known)
                )
    return dict(metric.attributes)


def _default_likenesses(targets: Targets) -> dict[str, float]:
    """Return the attribute of highest entropy, and it joined with the one that adds most to it."""
    columns = {name: targets.of(name) for name in targets.classes}
    first = max(columns, key=lambda name: _entropy(columns[name]))
    others = [name for name in columns if name != first]
    if not others:
        return {first: 1.0}

    def added(other: str) -> float:
        both = (columns[first] != UNKNOWN) & (columns[other] != UNKNOWN)
        alone = columns[first][both]
        joined = alone * len(targets.classes[other]) + columns[other][both]
        return _entropy(joined) - _entropy(alone)

    return {first: 1.0, f"{first}{JOINED}{max(others, key=added)}": 1.0}


def _entropy(indices: NDArray[np.int64]) -> float:
    """Return the entropy of known class indices, in nats."""
    _, counts = np.unique(indices[indices != UNKNOWN], return_counts=True)
    shares = counts / max(1, counts.sum())
    return float(-(shares * np.log(shares)).sum())


def first_attribute(metric: MetricLearning, targets: Targets) -> str:
    """Return the attribute that matters most for whether photos are alike."""
    return next(iter(likenesses(metric, targets))).split(JOINED)[0]


def drawing_shares(metric: MetricLearning, targets: Targets) -> NDArray[np.float64] | None:
    """Return how probable each photo is to be drawn, (n,): its rare classes evened out; None shows each photo once."""
    if not metric.balance:
        return None
    return balanced_shares(targets.of(first_attribute(metric, targets)), metric.balance)


class MetricObjective(TagsObjective):
    """Tags, a metric loss for each likeness, and where a network learns, a photo's copies and what the network knew.

    Targets have one column more than there are attributes: which photo it is, by its place in the training part.

    Args:
        tags: the objective that learns the tags.
        metric: weights and the kind of loss.
        alike: what makes two photos alike, as `likenesses` returns it.
        classes: attribute -> how many classes it has.
        dim: length of an embedding.
        known: (n, d) float32, the frozen network's embedding of each training photo, to distil; or None.
        copies: whether the batches hold a photo's augmented copies, where `metric` asks for them.
    """

    def __init__(
        self,
        tags: TaggingObjective,
        metric: MetricLearning,
        alike: Mapping[str, float],
        classes: Mapping[str, int],
        *,
        dim: int,
        known: NDArray[np.float32] | None = None,
        copies: bool = True,
    ) -> None:
        super().__init__()
        self.tags = tags
        self._metric = metric
        self._copies = copies and metric.copies > 1
        names = list(classes)
        self._columns = [[names.index(part) for part in name.split(JOINED)] for name in alike]
        self._sizes = list(classes.values())
        total = sum(alike.values())
        self._shares = [weight / total for weight in alike.values()]
        self.losses = nn.ModuleList(
            KnownOnly(
                LOSSES[metric.loss](
                    int(np.prod([self._sizes[column] for column in columns])), dim, metric.temperature
                )
            )
            for columns in self._columns
        )
        self.recall = None if known is None else nn.Linear(dim, known.shape[1])
        # In a tuple it is no part of the module: it is kept in no checkpoint.
        self._known = (None if known is None else torch.from_numpy(known.astype(np.float16)),)
        self._collapsed = 0

    def linear_heads(self) -> list[LinearHead]:
        """Return the heads as arrays."""
        return self.tags.linear_heads()

    def training_loss(self, embeddings: torch.Tensor, targets: Any) -> tuple[torch.Tensor, Figures]:
        """Return the loss of tags and likenesses, and the mean accuracy.

        Raises:
            TrainingError: if the embeddings of different photos have become the same.
        """
        labels, photos = targets[:, :-1], targets[:, -1]
        loss, figures = self.tags.training_loss(embeddings, labels)
        embeddings = embeddings.float()
        self._stop_if_collapsed(embeddings)
        metric = self._metric
        if metric.weight:
            for share, columns, measure in zip(self._shares, self._columns, self.losses, strict=True):
                loss = loss + metric.weight * share * measure(embeddings, self._joined(labels, columns))
            if self._copies:
                loss = loss + metric.weight * supervised_contrastive(
                    embeddings, photos, temperature=metric.temperature
                )
        (known,) = self._known
        if known is not None and self.recall is not None:
            wanted = known[photos.cpu()].to(embeddings)
            loss = loss + (metric.distillation or 0.0) * _distance(self.recall(embeddings), wanted)
        return loss, figures

    def _joined(self, labels: torch.Tensor, columns: list[int]) -> torch.Tensor:
        """Return (n,) indices of combined classes, −1 where one of them is unknown."""
        joined = torch.zeros_like(labels[:, 0])
        for column in columns:
            joined = joined * self._sizes[column] + labels[:, column]
        unknown = (labels[:, columns] == UNKNOWN).any(dim=1)
        return joined.masked_fill(unknown, UNKNOWN)

    def _stop_if_collapsed(self, embeddings: torch.Tensor) -> None:
        n = len(embeddings)
        if n < _FEWEST:
            return
        # The mean cosine of all pairs of vectors of length 1, from the length of their sum.
        mean = (float(embeddings.detach().sum(dim=0).square().sum()) - n) / (n * (n - 1))
        self._collapsed = self._collapsed + 1 if mean > _COLLAPSED else 0
        if self._collapsed >= _STEPS:
            raise errors.TrainingError(
                f"the embedding has collapsed: in {_STEPS} steps all photos of a batch had nearly the same embedding (mean "
                f"cosine {mean:.4f}), so nothing could be told apart or found; use a lower learning_rate, or "
                "MetricLearning(weight=...) lower than "
                f"{self._metric.weight:g}"
            )

    def validation_figures(self, embeddings: torch.Tensor, targets: Any) -> Figures:
        """Return what the tags say."""
        return self.tags.validation_figures(embeddings, targets[:, :-1])


def _distance(said: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return one minus the mean cosine."""
    return 1 - functional.cosine_similarity(said, wanted, dim=1).mean()


def numbered(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n, attributes) class indices with each row's own number behind them."""
    return np.column_stack([indices, np.arange(len(indices))])
