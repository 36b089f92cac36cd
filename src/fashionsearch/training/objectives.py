"""What training asks of an objective, and which of its parameters learn; nothing here knows a trainer."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from fashionsearch.training.options import FineTuning


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


def is_normalised(network: nn.Module) -> bool:
    """Return whether a network has normalisation layers."""
    return any("Norm" in type(layer).__name__ for layer in network.modules())


def unfreeze(learner: Any, what: str, shape: tuple[int, ...]) -> None:
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


def keep_frozen_still(module: nn.Module) -> None:
    """Put what is frozen as a whole into evaluation mode, with its dropout and running statistics."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        keep_frozen_still(child)


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
