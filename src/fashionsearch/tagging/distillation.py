"""A teacher: a fitted classifier whose probabilities a network learns beside the labels (knowledge distillation)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.objective import TaggingObjective, TagsObjective
from fashionsearch.training.losses import distillation
from fashionsearch.training.objectives import Figures
from fashionsearch.training.options import FineTuning, teacher_fingerprint


class FittedTagger(Protocol):
    """What a fitted `Classifier` is to its students."""

    backbone_: Backbone
    head_: LinearHead
    classes_: NDArray[Any]


class Teacher(nn.Module):
    """A frozen classifier that says what it thinks of photos.

    It sees the pixels that its student sees, also blended ones (Beyer et al. 2022, arXiv:2106.05237), at its own size.

    Args:
        module: the classifier's network, which is copied.
        preprocess: its normalisation and size.
        head: its head, of the student's classes alone and in their order.
        fingerprint: names weights, preprocessing and head.
    """

    head_weight: torch.Tensor
    head_bias: torch.Tensor

    def __init__(
        self, module: nn.Module, preprocess: Preprocess, head: LinearHead, *, fingerprint: str
    ) -> None:
        super().__init__()
        self.network = Network(copy.deepcopy(module), preprocess)
        self.register_buffer("head_weight", torch.from_numpy(head.weight.copy()))
        self.register_buffer("head_bias", torch.from_numpy(head.bias.copy()))
        self.fingerprint = fingerprint
        self._image_size = preprocess.image_size
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stay as it is: a teacher is asked, and learns nothing."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to (n, c) logits."""
        if photos.shape[2:] != self._image_size:
            photos = functional.interpolate(photos, self._image_size, mode="bilinear", antialias=True)
        return functional.linear(self.network.embed(photos), self.head_weight, self.head_bias)


class DistillationObjective(TagsObjective):
    """Labels, and what a teacher says of the same photos (Hinton et al. 2015, arXiv:1503.02531).

    Args:
        labels: the objective that learns from labels, of one attribute.
        teacher: asked about each training batch.
        weight: the teacher's share of the loss, above 0 to 1.
        temperature: what the logits of both are divided by, above 0.
    """

    def __init__(
        self, labels: TaggingObjective, teacher: Teacher, *, weight: float, temperature: float
    ) -> None:
        super().__init__()
        self.labels = labels
        # In a tuple it is no part of the module: it doesn't learn, and is kept in no checkpoint.
        self._teacher = (teacher,)
        self._weight, self._temperature = weight, temperature

    def linear_heads(self) -> list[LinearHead]:
        """Return the heads as arrays."""
        return self.labels.linear_heads()

    def targets_for(self, photos: torch.Tensor, targets: Any) -> Any:
        """Return the labels, and in training the teacher's logits beside them."""
        (teacher,) = self._teacher
        return (targets, teacher.to(photos.device)(photos)) if self.training else targets

    def training_loss(self, embeddings: torch.Tensor, targets: Any) -> tuple[torch.Tensor, Figures]:
        """Return the loss of labels and teacher, and the accuracy."""
        labels, wanted = targets
        logits = self.labels.logits(embeddings)
        loss, figures = self.labels.loss_of(logits, labels)
        taught = distillation(logits[0], wanted, temperature=self._temperature)
        return (1 - self._weight) * loss + self._weight * taught, figures

    def validation_figures(self, embeddings: torch.Tensor, targets: Any) -> Figures:
        """Return what the labels say alone."""
        return self.labels.validation_figures(embeddings, targets)


def open_teacher(
    options: FineTuning, classes: NDArray[Any], load: Callable[[str], FittedTagger]
) -> Teacher | None:
    """Return the teacher that options name, for a student of these classes; None where they name none.

    Args:
        options: a filled recipe.
        classes: (c,) the student's classes, sorted.
        load: reads a classifier from its folder.

    Raises:
        InputError: if it isn't a fitted `Classifier`, or doesn't know all classes.
        StorageError: if the folder holds no classifier or is damaged.
    """
    given = options.teacher
    if given is None:
        for name in ("distillation_weight", "temperature"):
            if getattr(options, name) is not None:
                raise errors.InputError(
                    f"{name}={getattr(options, name)} is for a network with a teacher; give teacher= too"
                )
        return None
    if isinstance(given, Mapping):
        raise errors.InputError(
            f"the teacher of this training was a Classifier with the fingerprint {str(given['fingerprint'])[:12]}…, which "
            "is not saved with its student; give it again: training=FineTuning(teacher=...)"
        )
    classifier = load(given) if isinstance(given, str) else given
    fingerprint = teacher_fingerprint(classifier)
    known = classifier.classes_.tolist()
    strangers = [label for label in classes.tolist() if label not in known]
    if strangers:
        names = ", ".join(repr(label) for label in strangers[:5]) + (" …" if len(strangers) > 5 else "")
        raise errors.InputError(
            f"the teacher doesn't know {len(strangers)} of the {len(classes)} classes to learn: {names}; its classes are "
            f"{', '.join(repr(label) for label in known[:20])}{' …' if len(known) > 20 else ''}. Give a teacher that was "
            "fitted on all of them"
        )
    rows = [known.index(label) for label in classes.tolist()]
    return Teacher(
        classifier.backbone_.module,
        classifier.backbone_.preprocess,
        LinearHead(classifier.head_.weight[rows], classifier.head_.bias[rows]),
        fingerprint=fingerprint,
    )
