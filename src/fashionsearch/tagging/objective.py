"""What a tagging network learns by: a head for each attribute on its embeddings, and cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch.tagging.head import LinearHead
from fashionsearch.training.losses import accuracy, cross_entropy
from fashionsearch.training.objectives import Figures, Objective


class TagsObjective(Objective):
    """An objective with a linear head for each attribute."""

    def linear_heads(self) -> list[LinearHead]:
        """Return the heads as arrays."""
        raise NotImplementedError


class TaggingObjective(TagsObjective):
    """Dropout and a linear head for each attribute, trained by the mean of their cross-entropies.

    Args:
        dim: length of an embedding.
        class_weights: of each attribute, (c,) weights of its classes in the loss.
        dropout: share of the embedding that is dropped in training.
        label_smoothing: share of each label that is spread over all classes.
        heads: where the heads start; None is at random.
        scale: what embeddings are multiplied by before the heads. Those of length 1 need more, or the heads would have to
            grow before they could be sure of anything.
    """

    def __init__(
        self,
        dim: int,
        class_weights: Sequence[NDArray[np.float32]],
        *,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        heads: Sequence[LinearHead] | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._scale = scale
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(dim, len(weights)) for weights in class_weights)
        for layer, head in zip(self.heads, heads or (), strict=False):
            layer.load_state_dict(
                {
                    "weight": torch.from_numpy(head.weight / np.float32(scale)),
                    "bias": torch.from_numpy(head.bias),
                }
            )
        for number, weights in enumerate(class_weights):
            self.register_buffer(f"class_weights_{number}", torch.from_numpy(weights), persistent=False)
        self._smoothing = label_smoothing

    def linear_heads(self) -> list[LinearHead]:
        """Return the heads as arrays."""
        layers: Any = self.heads
        scale = np.float32(self._scale)
        return [LinearHead(_array(layer.weight) * scale, _array(layer.bias)) for layer in layers]

    def logits(self, embeddings: torch.Tensor) -> list[torch.Tensor]:
        """Map (n, dim) embeddings to (n, c) logits of each attribute."""
        dropped = self.dropout(embeddings) * self._scale
        return [head(dropped) for head in self.heads]

    def training_loss(self, embeddings: torch.Tensor, targets: Any) -> tuple[torch.Tensor, Figures]:
        """Return the loss and the accuracy; targets are (n, attributes), or blended: (n, c) of each attribute."""
        return self.loss_of(self.logits(embeddings), targets)

    def loss_of(self, logits: list[torch.Tensor], targets: Any) -> tuple[torch.Tensor, Figures]:
        """Return the loss and the accuracy of logits."""
        columns = _columns(targets)
        loss = _mean(
            cross_entropy(
                each,
                column,
                class_weights=self.get_buffer(f"class_weights_{number}"),
                label_smoothing=self._smoothing,
            )
            for number, (each, column) in enumerate(zip(logits, columns, strict=True))
        )
        return loss, {"training_accuracy": _mean(map(accuracy, logits, columns))}

    def validation_figures(self, embeddings: torch.Tensor, targets: Any) -> Figures:
        """Return the loss, smoothed as in training so that both have their minimum at the same place, and the accuracy."""
        logits, columns = self.logits(embeddings), _columns(targets)
        losses = (
            cross_entropy(each, column, label_smoothing=self._smoothing)
            for each, column in zip(logits, columns, strict=True)
        )
        return {
            "validation_loss": _mean(losses),
            "validation_accuracy": _mean(map(accuracy, logits, columns)),
        }


def _columns(targets: Any) -> Sequence[torch.Tensor]:
    return targets.unbind(1) if isinstance(targets, torch.Tensor) else tuple(targets)


def _mean(values: Any) -> torch.Tensor:
    return torch.stack(list(values)).mean()


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().numpy().copy()
