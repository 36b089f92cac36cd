"""Where two photos are alike: patches of each as a search embedding sees them, compared with those of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.embedder import Embedder
from fashionsearch.device import torch_defaults
from fashionsearch.images.decoding import RGB
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.explanation import feature_layers, on_photo, shown

_EQUAL = 0.02  # of the largest: how far the mean of a feature map may be from what the network makes of it
_PAIRS = 3
_APART = 0.2  # of the side: two places that are nearer show the same
_LEAST = 0.35  # of the strongest likeness: what is weaker is no pair

Place: TypeAlias = "tuple[float, float]"


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Where two photos are alike.

    Attributes:
        maps: of each photo, (H, W) float32 in [0, 1]: how much more each place is like some place of the other photo than
            like an empty ground, 1 at the strongest of both.
        pairs: the places that are each other's likest, strongest first: (x, y) in pixels of the one and of the other.
    """

    maps: tuple[NDArray[np.float32], NDArray[np.float32]]
    pairs: tuple[tuple[Place, Place], ...]


@dataclass(frozen=True, eq=False)
class _Patches:
    """A photo's patches, row by row: (rows · columns, dim) of length 1, and likewise an empty ground, (dim,)."""

    vectors: NDArray[np.float32]
    empty: NDArray[np.float32]
    grid: tuple[int, int]


def correspondence(backbone: Backbone, one: RGB, other: RGB) -> Correspondence:
    """Return where two photos are alike, by one forward pass of each, with an empty picture beside it.

    A patch is a place of the last feature map with its neighbours. Where the network's embedding is a function of the mean of
    that map, as in a tagger's, the patch goes through the same layers, with the colours that are there.

    Args:
        backbone: a convolutional network.
        one: (H, W, 3) uint8.
        other: likewise, of any size.

    Raises:
        InputError: if the network has no feature maps.
    """
    with torch_defaults():
        first, second = _patches(backbone, one, other)
    likeness = first.vectors @ second.vectors.T
    strengths = (
        np.maximum(likeness.max(axis=1) - first.vectors @ first.empty, 0),
        np.maximum(likeness.max(axis=0) - second.vectors @ second.empty, 0),
    )
    highest = max(float(strengths[0].max()), float(strengths[1].max()), 1e-6)
    grids = [
        (strength / highest).reshape(patches.grid).astype(np.float32)
        for strength, patches in zip(strengths, (first, second), strict=True)
    ]
    maps = [
        on_photo(_enlarged(grid, backbone.preprocess.image_size), photo.shape[:2], backbone.preprocess)
        for grid, photo in zip(grids, (one, other), strict=True)
    ]
    pairs = [
        (_peak(backbone, first.grid, row, one), _peak(backbone, second.grid, column, other))
        for row, column in _chosen(likeness, grids[0], grids[1])
    ]
    return Correspondence((maps[0], maps[1]), tuple(pairs))


def _patches(backbone: Backbone, one: RGB, other: RGB) -> tuple[_Patches, _Patches]:
    network = Network(backbone.module, backbone.preprocess).to(backbone.device).eval()
    pictures = [shown(backbone, photo) for photo in (one, other)]
    try:
        _, last = feature_layers(backbone, network, pictures[0][0])
    except errors.InputError:
        raise
    # A network built for one size may raise anything at another.
    except Exception:
        pictures = [shown(backbone, photo, larger=False) for photo in (one, other)]
        _, last = feature_layers(backbone, network, pictures[0][0])
    embedder = backbone.module if isinstance(backbone.module, Embedder) else None
    inner = backbone.module if embedder is None else embedder.features.module
    pixels = torch.cat(
        [picture for pair in pictures for picture in pair]
    )  # one, its ground, other, its ground
    embedded, features, pooled = _run(network, pixels, last, inner)
    neighbours = nn.functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
    rows, columns = features.shape[2:]
    found = []
    for place in (0, 2):
        vectors, empty = neighbours[place].flatten(1).T, features[place + 1].mean(dim=(1, 2))
        if embedder is not None and _is_mean(features, pooled):
            with torch.no_grad():
                images = network.normalised(pixels[place : place + 1].permute(0, 3, 1, 2).float() / 255)
                colours = embedder.features.histogram(_windows(images, rows, columns))
                vectors = embedder.projection(torch.cat([vectors, colours], dim=1))
            empty = embedded[place + 1]
        unit, ground = (nn.functional.normalize(each, dim=-1).cpu().numpy() for each in (vectors, empty))
        found.append(_Patches(unit, ground, (rows, columns)))
    return found[0], found[1]


def _run(
    network: Network, pixels: torch.Tensor, last: nn.Module, inner: nn.Module
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a network's embeddings of pictures, and what two of its layers returned on the way."""
    kept: dict[str, torch.Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def keep(_: nn.Module, __: object, output: torch.Tensor) -> None:
            kept[name] = output.float().clone()  # the layer after may overwrite it in place

        return keep

    handles = [
        layer.register_forward_hook(keeper(name)) for name, layer in (("map", last), ("pooled", inner))
    ]
    try:
        with torch.no_grad():
            embedded = network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return embedded.float(), kept["map"], kept["pooled"]


def _is_mean(features: torch.Tensor, pooled: torch.Tensor) -> bool:
    means = features.float().mean(dim=(2, 3))
    if means.shape != pooled.shape:
        return False
    return bool((means - pooled).abs().max() <= _EQUAL * pooled.abs().max())


def _windows(images: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return (rows · columns, 3, H, W), each patch of a normalised image with its neighbours."""
    height, width = max(1, images.shape[2] // rows), max(1, images.shape[3] // columns)
    fitted = nn.functional.interpolate(images, (height * rows, width * columns), mode="bilinear")
    padded = nn.functional.pad(fitted, (width, width, height, height), mode="replicate")
    found = nn.functional.unfold(padded, (3 * height, 3 * width), stride=(height, width))
    return found[0].T.reshape(rows * columns, 3, 3 * height, 3 * width)


def _enlarged(grid: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = nn.functional.interpolate(
        torch.from_numpy(grid)[None, None], size, mode="bilinear"
    )[0, 0].numpy()
    return found


def _chosen(
    likeness: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]
) -> list[tuple[int, int]]:
    """Return pairs of patches that are each other's likest and differ from an empty ground, apart from each other."""
    best, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    mutual = np.flatnonzero(back[best] == np.arange(len(best)))
    strength = np.minimum(one.ravel()[mutual], other.ravel()[best[mutual]])
    found: list[tuple[int, int]] = []
    for place in mutual[np.argsort(-strength, kind="stable")][: int((strength >= _LEAST).sum())].tolist():
        pair = place, int(best[place])
        near = (
            _distance(pair[side], before[side], grid.shape) < _APART
            for before in found
            for side, grid in enumerate((one, other))
        )
        if not any(near):
            found.append(pair)
    return found[:_PAIRS]


def _distance(first: int, second: int, grid: tuple[int, ...]) -> float:
    """Return how far apart two patches are, as a share of the side."""
    (row, column), (other_row, other_column) = divmod(first, grid[1]), divmod(second, grid[1])
    return max(abs(row - other_row) / grid[0], abs(column - other_column) / grid[1])


def _peak(backbone: Backbone, grid: tuple[int, int], place: int, photo: RGB) -> Place:
    """Return where the middle of a patch lies in its photo, (x, y) in pixels."""
    spot = np.zeros(grid, dtype=np.float32)
    spot.flat[place] = 1
    heat = on_photo(_enlarged(spot, backbone.preprocess.image_size), photo.shape[:2], backbone.preprocess)
    rows, columns = np.mgrid[: heat.shape[0], : heat.shape[1]]
    weight = max(float(heat.sum()), 1e-6)
    return float((heat * columns).sum()) / weight, float((heat * rows).sum()) / weight
