"""Where a network looks: Grad-CAM for any convolutional backbone, sharpened by a finer feature map."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.device import torch_defaults
from fashionsearch.images.decoding import RGB
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.head import LinearHead

# The finer map is the last of at least this share of the photo's side: 28 of 224 pixels.
_FINE = 8
_FLOOR = 0.4
# Maps are as coarse as a 32nd of what the network sees, so it is shown the photo larger, up to this side and factor.
_SIDE, _LARGEST = 448, 3.0


def grad_cam(backbone: Backbone, head: LinearHead, photo: RGB, class_index: int) -> NDArray[np.float32]:
    """Return where in a photo the evidence for one class lies.

    Grad-CAM of the last feature map (Selvaraju et al. 2017, arXiv:1610.02391) says which region counts, and LayerCAM of
    an earlier one (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943) which pixels of it; the map is their geometric mean.
    Both look at what differs from an empty picture in the colour of the photo's border (a reference, as in DeepLIFT:
    Shrikumar et al. 2017, arXiv:1704.02685). What is below two fifths of the maximum is 0.

    Args:
        backbone: a convolutional network.
        head: on its embeddings.
        photo: (H, W, 3) uint8.
        class_index: of the class to explain.

    Returns:
        (H, W) float32 in [0, 1], 1 at the strongest place; all 0 where nothing speaks for the class.

    Raises:
        InputError: if the network has no feature maps.
    """
    with torch_defaults():
        heat = _evidence(backbone, head, photo, class_index)
    return on_photo(_floored(heat), photo.shape[:2], backbone.preprocess)


def _evidence(backbone: Backbone, head: LinearHead, photo: RGB, class_index: int) -> NDArray[np.float32]:
    """Return the map at the network's size, (H, W) float32 from 0 up."""
    network = Network(backbone.module, backbone.preprocess).to(backbone.device).eval()
    pixels, empty = shown(backbone, photo)
    try:
        fine, last = feature_layers(backbone, network, pixels)
    except errors.InputError:
        raise
    # A network built for one size may raise anything at another.
    except Exception:
        pixels, empty = shown(backbone, photo, larger=False)
        fine, last = feature_layers(backbone, network, pixels)
    # What all classes share moves no probability.
    weight = torch.from_numpy(head.weight[class_index] - head.weight.mean(axis=0)).to(backbone.device)
    with _kept_outputs([fine, last]) as kept, torch.no_grad():
        network(empty)
        nothing = [kept[fine], kept[last]]
    with torch.enable_grad(), _kept_outputs([fine, last]) as kept:
        score = network(pixels)[0] @ weight
        features = [kept[fine], kept[last]]
        gradients = torch.autograd.grad(score, features)
    own = [feature - plain for feature, plain in zip(features, nothing, strict=True)]
    sharp = torch.relu(torch.relu(gradients[0]) * own[0]).sum(dim=1)
    coarse = torch.relu((gradients[1].mean(dim=(2, 3), keepdim=True) * own[1]).sum(dim=1))
    size = backbone.preprocess.image_size
    first, second = (
        nn.functional.interpolate(heat.detach()[None], size, mode="bilinear")[0, 0]
        for heat in (sharp, coarse)
    )
    heat: NDArray[np.float32] = torch.sqrt(first * second).float().cpu().numpy()
    return heat


def shown(backbone: Backbone, photo: RGB, *, larger: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the photo as the network is to see it, and an empty one, (1, H, W, 3) uint8 each."""
    size = backbone.preprocess.image_size
    scale = min(_LARGEST, max(1.0, _SIDE / min(size))) if larger else 1.0
    height, width = (min(4096, round(side * scale)) for side in size)
    preprocess = dataclasses.replace(backbone.preprocess, image_size=(height, width))
    border = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
    empty = np.broadcast_to(np.median(border, axis=0).astype(np.uint8), photo.shape)
    pictures = (preprocess.resized(np.ascontiguousarray(picture)) for picture in (photo, empty))
    photo_pixels, plain = (torch.from_numpy(picture[None].copy()).to(backbone.device) for picture in pictures)
    return photo_pixels, plain


def _floored(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    highest = float(heat.max())
    if not highest > 0:
        return np.zeros_like(heat)
    floored: NDArray[np.float32] = np.maximum(heat / np.float32(highest) - np.float32(_FLOOR), 0)
    return floored / np.float32(1 - _FLOOR)


def feature_layers(
    backbone: Backbone, network: nn.Module, pixels: torch.Tensor
) -> tuple[nn.Module, nn.Module]:
    """Return the last layers whose outputs are feature maps: one of at least an eighth of the side, and the last of all."""
    ran: list[tuple[nn.Module, tuple[int, int]]] = []

    def note(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            ran.append((layer, (int(output.shape[2]), int(output.shape[3]))))

    handles = [layer.register_forward_hook(note) for layer in backbone.module.modules()]
    try:
        with torch.no_grad():
            network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    convolutions = [size for layer, size in ran if isinstance(layer, nn.Conv2d)]
    if len(set(convolutions)) < 2:
        raise errors.InputError(
            f"backbone {backbone.name!r} can't be explained: Grad-CAM needs feature maps that convolutions make, and this "
            "network has none (transformers look everywhere at once); use a convolutional one, such as 'efficientnet_lite0'"
        )
    height, width = int(pixels.shape[1]), int(pixels.shape[2])
    large = [size for size in convolutions if size[0] * _FINE >= height and size[1] * _FINE >= width]
    return _last_of((large or convolutions)[-1], ran, blocks=True), _last_of(
        convolutions[-1], ran, blocks=False
    )


def _last_of(
    size: tuple[int, int], ran: Sequence[tuple[nn.Module, tuple[int, int]]], *, blocks: bool
) -> nn.Module:
    """Return the layer that ran last at a size; of blocks, if there are some, since theirs are sums that go on."""
    there = [layer for layer, found in ran if found == size]
    whole = [
        layer
        for layer in there
        if any(isinstance(part, nn.Conv2d) and part is not layer for part in layer.modules())
    ]
    return whole[-1] if blocks and whole else there[-1]


@contextlib.contextmanager
def _kept_outputs(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, torch.Tensor]]:
    """Keep what layers return, as tensors a gradient can be asked for; the first starts the graph."""
    kept: dict[nn.Module, torch.Tensor] = {}

    def keep(layer: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        kept[layer] = output if output.requires_grad else output.detach().requires_grad_()
        # A copy goes on, since the layer after may overwrite it in place.
        return kept[layer].clone()

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def on_photo(heat: NDArray[np.float32], size: tuple[int, int], preprocess: Preprocess) -> NDArray[np.float32]:
    """Undo the resizing: from the network's square to the photo's own (height, width)."""
    height, width = size
    inner, outer = preprocess.image_size, (height, width)
    if preprocess.resize == "pad":
        scale = min(inner[0] / height, inner[1] / width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (inner[0] - rows) // 2, (inner[1] - columns) // 2
        heat = heat[top : top + rows, left : left + columns]
    elif preprocess.resize == "crop":
        scale = max(inner[0] / height, inner[1] / width)
        outer = min(height, round(inner[0] / scale)), min(width, round(inner[1] / scale))
    resized = PIL.Image.fromarray(heat).resize((outer[1], outer[0]), PIL.Image.Resampling.BILINEAR)
    whole = np.zeros((height, width), np.float32)
    top, left = (height - outer[0]) // 2, (width - outer[1]) // 2
    whole[top : top + outer[0], left : left + outer[1]] = np.asarray(resized)
    return np.clip(whole, 0, 1)
