"""What makes a search embedding: a network, a histogram of colours beside it, and layers that join the two.

A network that was trained to tell kinds apart has forgotten much of colour by its last layer, and buyers look for the same
kind in the same colour.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

from fashionsearch.images.preprocess import Preprocess

_LEVELS = 4  # of red, green and blue: 64 colours
_SPREAD = 0.13  # how far from a colour a pixel still counts as it, in [0, 1]
_WHITE_SPREAD = 0.06
_FLOOR = 1e-4
_CELLS = 24  # along each side, over which pixels are averaged first
_MIDDLE = 0.2  # of the side: how far the middle reaches, where a garment is and its surroundings are not


class ColourHistogram(nn.Module):
    """How much of a photo, and of its middle, has each of 64 colours; white ground is left out.

    The colours are a grid in RGB, and each pixel is shared out among those near it, so that nothing jumps where a pixel
    crosses a border. The square root of the shares is returned (Arandjelović and Zisserman 2012), which keeps small shares
    in sight.

    Args:
        preprocess: how the photos that come were normalised.
    """

    colours: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        levels = [(2 * level + 1) / (2 * _LEVELS) for level in range(_LEVELS)]
        colours = torch.tensor(list(itertools.product(levels, repeat=3)), dtype=torch.float32)
        self.register_buffer("colours", colours, persistent=False)
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocess, name), dtype=torch.float32).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @property
    def dim(self) -> int:
        """How many numbers describe a photo."""
        return 2 * len(self.colours)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised (n, 3, H, W) to (n, 128) in [0, 1]: the photo's histogram, then that of its middle."""
        height, width = images.shape[2:]
        size = max(1, height // _CELLS), max(1, width // _CELLS)
        cells = nn.functional.avg_pool2d(images.float() * self.std + self.mean, size)
        pixels = cells.flatten(2)  # (n, 3, cells)
        distances = (
            pixels.square().sum(dim=1, keepdim=True)
            - 2 * self.colours @ pixels
            + self.colours.square().sum(dim=1)[:, None]
        )
        shares = torch.softmax(distances / (-2 * _SPREAD**2), dim=1)
        whiteness = torch.exp((1 - pixels).square().sum(dim=1, keepdim=True) / (-2 * _WHITE_SPREAD**2))
        everywhere = 1 - whiteness
        # One cell more in the sum: a photo that is all white has no colours, and is not divided by zero.
        histograms = [
            (shares * weights).sum(dim=2) / (weights.sum(dim=2) + 1)
            for weights in (everywhere, everywhere * _middle(*cells.shape[2:]).to(cells))
        ]
        # The root's slope has no bound at 0, where training would end; what is smaller is lost in an ONNX export.
        return torch.sqrt(torch.cat(histograms, dim=1) + _FLOOR)


def _middle(rows: int, columns: int) -> torch.Tensor:
    """Return (rows · columns,) how much each cell is the middle of a photo, in (0, 1]."""
    down, across = (torch.linspace(-0.5, 0.5, cells).square() for cells in (rows, columns))
    return torch.exp((down[:, None] + across) / (-2 * _MIDDLE**2)).flatten()


class WithColours(nn.Module):
    """A network's embedding and the histogram of colours, one behind the other.

    Args:
        module: maps normalised (n, 3, H, W) to (n, dim).
        preprocess: of its images.
    """

    def __init__(self, module: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.module, self.histogram = module, ColourHistogram(preprocess)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised (n, 3, H, W) to (n, dim + 128)."""
        return torch.cat([self.module(images).float(), self.histogram(images)], dim=1)


class Projection(nn.Module):
    """Standardises features and maps them to embeddings of length 1: linearly, or with a hidden layer between.

    Args:
        dim: how many features.
        embedding_dim: length of an embedding.
        hidden: units of the hidden layer; 0 is none.

    Attributes:
        usual: (dim,) the mean of the features that were learned from, as the network gives them now.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    usual: torch.Tensor

    def __init__(self, dim: int, embedding_dim: int, *, hidden: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("usual", torch.zeros(dim))
        self.hidden = nn.Linear(dim, hidden) if hidden else None
        self.output = nn.Linear(hidden or dim, embedding_dim)
        self.dropout = nn.Dropout(0.0)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (n, dim) features to (n, embedding_dim) of length 1."""
        features = self.dropout((features - self.mean) * self.scale)
        if self.hidden is not None:
            features = self.dropout(nn.functional.gelu(self.hidden(features)))
        return nn.functional.normalize(self.output(features), dim=1)


class Embedder(nn.Module):
    """A network with colours beside it, and the projection of both.

    Args:
        features: maps normalised (n, 3, H, W) to features.
        projection: of them.
    """

    def __init__(self, features: WithColours, projection: Projection) -> None:
        super().__init__()
        self.features, self.projection = features, projection

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised (n, 3, H, W) to (n, embedding_dim) of length 1."""
        embeddings: torch.Tensor = self.projection(self.features(images))
        return embeddings

    def with_familiarity(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised (n, 3, H, W) to (n, embedding_dim + 1): the embedding, and the familiarity of the photo behind it.

        That is the cosine of its features with the mean of those that were learned from. What a network was never trained
        on excites features that are silent otherwise, and leaves others out.
        """
        features = self.features(images)
        familiarity = nn.functional.cosine_similarity(features, self.projection.usual[None], dim=1)
        return torch.cat([self.projection(features), familiarity[:, None]], dim=1)

    @classmethod
    def shaped_like(
        cls, module: nn.Module, preprocess: Preprocess, tensors: dict[str, torch.Tensor]
    ) -> Embedder:
        """Return an embedder around a network, whose projection has the shape of saved tensors.

        Args:
            module: the network.
            preprocess: of its images.
            tensors: of an embedder, by name.
        """
        (dim,) = tensors["projection.mean"].shape
        hidden = len(tensors["projection.hidden.bias"]) if "projection.hidden.bias" in tensors else 0
        projection = Projection(dim, len(tensors["projection.output.bias"]), hidden=hidden)
        return cls(WithColours(module, preprocess), projection)


class WithFamiliarity(nn.Module):
    """An embedder whose embeddings have one number more, how familiar the photo is.

    Args:
        embedder: which does it.
    """

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised (n, 3, H, W) to (n, embedding_dim + 1)."""
        return self.embedder.with_familiarity(images)
