"""What is trained: plain torch modules that turn a batch into a loss, and know no trainer."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fashionsearch.backbones.decoder import Decoder
from fashionsearch.head import LinearHead
from fashionsearch.preprocess import Preprocess
from fashionsearch.runtimes.base import Network
from fashionsearch.training.distillation import Teacher
from fashionsearch.training.options import FineTuning
from fashionsearch.training.prefix import FrozenPrefix


class Learner(Protocol):
    """A torch module that can be trained."""

    @property
    def backbone(self) -> nn.Module:
        """The network below the head, or the encoder."""
        ...

    def training_loss(
        self, photos: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Map (n, 3, H, W) float32 in [0, 1] and targets to the loss, and figures to record beside it."""
        ...

    def validation_figures(self, photos: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the batch's mean figures, "validation_loss" among them."""
        ...


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

    Attributes:
        prefix: what has seen the photos already, if anything: activations then take their place.
    """

    class_weights: torch.Tensor
    prefix: FrozenPrefix | None = None

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
        _keep_frozen_still(self.backbone)
        return self

    def linear_head(self) -> LinearHead:
        """Return the head as arrays."""
        weight, bias = (tensor.detach().cpu().numpy().copy() for tensor in (self.head.weight, self.head.bias))
        return LinearHead(weight, bias)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1], or the prefix's activations of them, to (n, c) logits."""
        embeddings = self.network.embed(photos) if self.prefix is None else self.prefix.rest(photos)
        logits: torch.Tensor = self.head(self.dropout(embeddings))
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


class ReconstructingLearner(nn.Module):
    """An encoder and a decoder, trained by the mean squared error of pixels in [0, 1] and of how the photos look.

    Args:
        encoder: maps (n, 3, H, W) to (n, latent_dim).
        decoder: maps (n, latent_dim) to (n, 3, H, W) in [0, 1].
        preprocess: the encoder's normalisation.
        perceptual: weight of the looks beside the pixels; 0 leaves them out, and the targets unread.
        looks: how many numbers say how a photo looks; the targets are (n, looks).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: Decoder,
        preprocess: Preprocess,
        *,
        perceptual: float,
        looks: int = 0,
    ) -> None:
        super().__init__()
        self.network = Network(encoder, preprocess)
        self.decoder = decoder
        self.describer = nn.Linear(decoder.linear.in_features, looks) if perceptual else None
        self._weight = perceptual

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.network.module

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) float32 in [0, 1] to the same, by way of the latents."""
        decoded: torch.Tensor = self.decoder(self.network.embed(photos))
        return decoded

    def training_loss(
        self, photos: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of augmented photos, and the pixels' part; the looks are those before augmentation."""
        loss, pixels = self._losses(photos, targets)
        return loss, {"training_error": pixels.detach()}

    def validation_figures(self, photos: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss, and the pixels' part of it."""
        loss, pixels = self._losses(photos, targets)
        return {"validation_loss": loss, "validation_error": pixels}

    def _losses(self, photos: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latents = self.network.embed(photos)
        pixels = functional.mse_loss(self.decoder(latents), photos)
        return pixels + self._weight * self.looks_error(latents, looks), pixels

    def looks_error(self, latents: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of the looks that (n, latent_dim) tell; 0 where they are left out."""
        if self.describer is None:
            return latents.new_zeros(())
        return functional.mse_loss(self.describer(latents).float(), looks.float())


def is_normalised(network: nn.Module) -> bool:
    """Return whether a network has normalisation layers."""
    return any("Norm" in type(layer).__name__ for layer in network.modules())


def unfreeze(learner: TaggingLearner, what: str, shape: tuple[int, ...]) -> None:
    """Let the head, the last layers or all learn, and freeze the rest of the backbone."""
    if what == "all":
        return
    learner.backbone.requires_grad_(False)
    if what == "last":
        for layer in last_layers(learner.backbone, shape):
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(True)


def last_layers(backbone: nn.Module, shape: tuple[int, ...]) -> list[nn.Module]:
    """Return the layers with weights that run from where the feature maps have their final size on.

    Where nothing shrinks, as in transformers, the last third.
    """
    ran: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(layer: nn.Module, _: object, output: object) -> None:
        size = tuple(output.shape[2:]) if isinstance(output, torch.Tensor) and output.ndim == 4 else ()
        ran.append((layer, size))

    # The network itself may hold what it uses first, such as a transformer's positions, and runs last.
    inner = (layer for layer in backbone.modules() if layer is not backbone)
    leaves = [layer for layer in inner if next(layer.parameters(recurse=False), None) is not None]
    handles = [layer.register_forward_hook(note) for layer in leaves]
    try:
        parameter = next(backbone.parameters())
        with torch.no_grad():
            backbone.eval()(torch.zeros(shape, device=parameter.device))
    finally:
        for handle in handles:
            handle.remove()
    # What is pooled to one place, as in squeeze-and-excitation, says nothing of where the network has got to.
    sizes = [size for _, size in ran if size and min(size) > 1]
    if len(set(sizes)) < 2:
        return [layer for layer, _ in ran[-(-2 * len(ran) // 3) :]]
    first = next(place for place, (_, size) in enumerate(ran) if size == sizes[-1])
    return [layer for layer, _ in ran[first:]]


def _keep_frozen_still(module: nn.Module) -> None:
    """Put what is frozen as a whole into evaluation mode, with its dropout and running statistics."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        _keep_frozen_still(child)


def parameter_groups(learner: nn.Module, backbone: nn.Module, options: FineTuning) -> list[dict[str, Any]]:
    """Return what learns, in groups: below the head or not, and decayed or not (norms and biases are not)."""
    below = {id(parameter) for parameter in backbone.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in learner.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in below, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": options.backbone_learning_rate if is_below else options.learning_rate,
            "weight_decay": options.weight_decay if decayed else 0.0,
        }
        for (is_below, decayed), parameters in sorted(groups.items())
    ]
