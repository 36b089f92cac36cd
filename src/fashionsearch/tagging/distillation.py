"""A teacher: a fitted tagger whose probabilities a network learns beside the labels (knowledge distillation)."""

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
from fashionsearch.training.options import FineTuning, teacher_fingerprint


class FittedTagger(Protocol):
    """What a fitted `Classifier` is to its students."""

    backbone_: Backbone
    head_: LinearHead
    classes_: NDArray[Any]


class Teacher(nn.Module):
    """A frozen tagger, and the loss of a student that should say what it says.

    The teacher sees the pixels that the student sees, also blended ones (Beyer et al. 2022, arXiv:2106.05237), at its own
    size. The loss is Kullback and Leibler's divergence of both at a temperature, times its square (Hinton et al. 2015,
    arXiv:1503.02531), which keeps the gradients as large as at 1.

    Args:
        module: the tagger's network, which is copied.
        preprocess: its normalisation and size.
        head: its head, of the student's classes alone and in their order.
        fingerprint: names weights, preprocessing and head.
        weight: share of this loss beside the labels', above 0 to 1.
        temperature: what both's logits are divided by, above 0.
    """

    head_weight: torch.Tensor
    head_bias: torch.Tensor

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocess,
        head: LinearHead,
        *,
        fingerprint: str,
        weight: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.network = Network(copy.deepcopy(module), preprocess)
        self.register_buffer("head_weight", torch.from_numpy(head.weight.copy()))
        self.register_buffer("head_bias", torch.from_numpy(head.bias.copy()))
        self.fingerprint, self.weight = fingerprint, weight
        self._image_size, self._temperature = preprocess.image_size, temperature
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stay as it is: a teacher is asked, and learns nothing."""
        return super().train(False)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to (n, c) logits."""
        if photos.shape[2:] != self._image_size:
            photos = functional.interpolate(photos, self._image_size, mode="bilinear", antialias=True)
        return functional.linear(self.network.embed(photos), self.head_weight, self.head_bias)

    def loss(self, photos: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return how far a student's (n, c) logits are from the teacher's of the same photos, which get no gradient."""
        with torch.no_grad():
            wanted = functional.log_softmax(self(photos).float() / self._temperature, dim=1)
        said = functional.log_softmax(logits.float() / self._temperature, dim=1)
        divergence = functional.kl_div(said, wanted, reduction="batchmean", log_target=True)
        return divergence * self._temperature**2


def open_teacher(
    options: FineTuning, classes: NDArray[Any], load: Callable[[str], FittedTagger]
) -> Teacher | None:
    """Return the teacher that options name, for a student of these classes; None where they name none.

    Args:
        options: a filled recipe.
        classes: (c,) the student's classes, sorted.
        load: reads a tagger from its folder.

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
    tagger = load(given) if isinstance(given, str) else given
    fingerprint = teacher_fingerprint(tagger)
    known = tagger.classes_.tolist()
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
        tagger.backbone_.module,
        tagger.backbone_.preprocess,
        LinearHead(tagger.head_.weight[rows], tagger.head_.bias[rows]),
        fingerprint=fingerprint,
        weight=options.distillation_weight or 0.0,
        temperature=options.temperature or 1.0,
    )
