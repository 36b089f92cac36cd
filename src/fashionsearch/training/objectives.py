"""What is trained (`Learner`: a network and an objective), what an objective is, and which parameters learn.

A new loss is a new `Objective`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from fashionsearch.runtimes.network import Network
from fashionsearch.training.options import FineTuning

Figures: TypeAlias = "dict[str, torch.Tensor]"

_HOW_LARGE = {
    "last": 1,
    "upper": 2,
}  # times the final size, which feature maps have at most where it begins to learn


class Objective(nn.Module):
    """Turns a batch's embeddings and targets into a loss, with parameters of its own, such as a head.

    Targets are (n, attributes) int64, −1 where a label is unknown, for objectives that learn from labels.
    """

    def targets_for(self, photos: torch.Tensor, targets: Any) -> Any:
        """Return what the embeddings of a batch are compared with: the targets as they are, unless it is overridden.

        Args:
            photos: (n, 3, H, W) float32 in [0, 1], as the network sees them.
            targets: of these photos.
        """
        return targets

    def training_loss(self, embeddings: torch.Tensor, targets: Any) -> tuple[torch.Tensor, Figures]:
        """Return the loss of (n, dim) embeddings, and figures to record beside it, named "training_…"."""
        raise NotImplementedError

    def validation_figures(self, embeddings: torch.Tensor, targets: Any) -> Figures:
        """Return the batch's mean figures, "validation_loss" among them."""
        raise NotImplementedError


class Learner(nn.Module):
    """What is trained: a network that embeds a batch once, and an objective that compares the embeddings with targets.

    Args:
        network: normalisation and backbone.
        objective: what the embeddings are compared with.
        mixup: changes a training batch before the network sees it, if anything does.
        fixed_statistics: keep the running means and variances of batch normalisation, and normalise with them.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        mixup: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, Any]] | None = None,
        *,
        fixed_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        self._mixup, self._fixed_statistics = mixup, fixed_statistics

    @property
    def backbone(self) -> nn.Module:
        """The network that embeds, below the objective."""
        return self.network.module

    def train(self, mode: bool = True) -> Learner:
        """Switch to training; what is frozen stays as it is, its running statistics too."""
        super().train(mode)
        keep_frozen_still(self.backbone)
        if self._fixed_statistics:
            for layer in self.backbone.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        return self

    def training_loss(self, photos: torch.Tensor, targets: Any) -> tuple[torch.Tensor, Figures]:
        """Map (n, 3, H, W) float32 in [0, 1] and targets to the loss and figures."""
        if self._mixup is not None:
            photos, targets = self._mixup(photos, targets)
        targets = self.objective.targets_for(photos, targets)
        return self.objective.training_loss(self.network.embed(photos), targets)

    def validation_figures(self, photos: torch.Tensor, targets: Any) -> Figures:
        """Map (n, 3, H, W) float32 in [0, 1] and targets to the batch's mean figures."""
        targets = self.objective.targets_for(photos, targets)
        return self.objective.validation_figures(self.network.embed(photos), targets)


def is_normalised(network: nn.Module) -> bool:
    """Return whether a network has normalisation layers."""
    return any("Norm" in type(layer).__name__ for layer in network.modules())


def unfreeze(backbone: nn.Module, what: str, shape: tuple[int, ...]) -> None:
    """Let the head alone, the last layers or all of a backbone learn, and freeze the rest.

    Args:
        backbone: the network below the head.
        what: "head", "last", "upper" or "all".
        shape: (n, 3, H, W) of photos to find the last layers with.
    """
    backbone.requires_grad_(what == "all")  # also what an earlier training had frozen
    if what in _HOW_LARGE:
        for layer in last_layers(backbone, shape, times=_HOW_LARGE[what]):
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(True)


def last_layers(backbone: nn.Module, shape: tuple[int, ...], *, times: int = 1) -> list[nn.Module]:
    """Return the layers with weights that run from where feature maps have their final size on, or so many times that.

    Where nothing shrinks, as in transformers, the last third, and two thirds for twice the size.
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
        return [layer for layer, _ in ran[-(-(3 - times) * len(ran) // 3) :]]
    largest = times * max(sizes[-1])
    first = next(place for place, (_, size) in enumerate(ran) if 1 < max(size, default=0) <= largest)
    return [layer for layer, _ in ran[first:]]


def keep_frozen_still(module: nn.Module) -> None:
    """Put what is frozen as a whole into evaluation mode, with its dropout and running statistics."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        keep_frozen_still(child)


def parameter_groups(learner: Learner, options: FineTuning) -> list[dict[str, Any]]:
    """Return what learns, in groups: below the head or not, and decayed or not (norms and biases are not)."""
    below = {id(parameter) for parameter in learner.backbone.parameters()}
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
