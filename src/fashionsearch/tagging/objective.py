"""What a classifier learns by: a network, a head, and a batch turned into a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.distillation import Teacher
from fashionsearch.tagging.head import LinearHead
from fashionsearch.training.objectives import keep_frozen_still, unfreeze
from fashionsearch.training.options import FineTuning


class TaggingLearner(nn.Module):
    """A backbone, dropout and a linear head, trained by cross-entropy, and perhaps by what a teacher says.

    Args:
        backbone: maps (n, 3, H, W) to (n, dim).
        preprocess: its normalisation.
        dim: length of an embedding.
        classes: how many.
        options: a filled recipe.
        class_weights: (c,) weights in the loss.
        head: where the head starts; None is at random.
        teacher: whose probabilities are learned beside the labels, if any.
    """

    class_weights: torch.Tensor

    def __init__(
        self,
        backbone: nn.Module,
        preprocess: Preprocess,
        *,
        dim: int,
        classes: int,
        options: FineTuning,
        class_weights: np.ndarray[Any, np.dtype[np.float32]],
        head: LinearHead | None,
        teacher: Teacher | None = None,
    ) -> None:
        from torchvision.transforms import v2

        super().__init__()
        self.network = Network(backbone, preprocess)
        self.dropout = nn.Dropout(options.dropout or 0.0)
        self.head = nn.Linear(dim, classes)
        if head is not None:
            self.head.load_state_dict(
                {"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}
            )
        self.register_buffer("class_weights", torch.from_numpy(class_weights), persistent=False)
        self._smoothing = options.label_smoothing or 0.0
        self._mixup = v2.MixUp(alpha=options.mixup, num_classes=classes) if options.mixup else None
        # In a tuple it is no part of the module: it doesn't learn, and is kept in no checkpoint.
        self._teachers = () if teacher is None else (teacher,)
        unfreeze(self, options.unfreeze or "all", (2, 3, *preprocess.image_size))

    @property
    def backbone(self) -> nn.Module:
        """The network below the head."""
        return self.network.module

    def train(self, mode: bool = True) -> TaggingLearner:
        """Switch to training; what is frozen stays as it is, its running statistics too."""
        super().train(mode)
        keep_frozen_still(self.backbone)
        return self

    def linear_head(self) -> LinearHead:
        """Return the head as arrays."""
        weight, bias = (tensor.detach().cpu().numpy().copy() for tensor in (self.head.weight, self.head.bias))
        return LinearHead(weight, bias)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to (n, c) logits."""
        logits: torch.Tensor = self.head(self.dropout(self.network.embed(photos)))
        return logits

    def training_loss(
        self, photos: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the cross-entropy of augmented, and perhaps blended, photos, and the teacher's share."""
        mixed, soft = (photos, targets) if self._mixup is None else self._mixup(photos, targets)
        logits = self(mixed)
        loss = functional.cross_entropy(
            logits, soft, weight=self.class_weights, label_smoothing=self._smoothing
        )
        if soft.ndim == 1:
            hard = soft
        else:
            # For blended labels torch divides by n, and for plain ones by the sum of their weights.
            hard = soft.argmax(dim=1)
            loss = loss / (soft @ self.class_weights).mean()
        for teacher in self._teachers:
            taught = teacher.to(photos.device).loss(mixed, logits)
            loss = (1 - teacher.weight) * loss + teacher.weight * taught
        return loss, {"training_accuracy": (logits.argmax(dim=1) == hard).float().mean()}

    def validation_figures(self, photos: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss, smoothed as in training so that both have their minimum at the same place, and the accuracy."""
        logits = self(photos)
        return {
            "validation_loss": functional.cross_entropy(logits, targets, label_smoothing=self._smoothing),
            "validation_accuracy": (logits.argmax(dim=1) == targets).float().mean(),
        }
