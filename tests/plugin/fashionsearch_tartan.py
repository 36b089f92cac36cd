"""A backbone that looks at stripes: mean colours of the rows and of the columns, mixed by one layer."""

import torch

import fashionsearch as fs


class Tartan(torch.nn.Module):
    """Map (n, 3, H, W) to (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = torch.nn.AdaptiveAvgPool2d((8, 1))
        self.columns = torch.nn.AdaptiveAvgPool2d((1, 8))
        self.mix = torch.nn.Linear(48, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings."""
        return self.mix(torch.cat([self.rows(images).flatten(1), self.columns(images).flatten(1)], dim=1))


@fs.register_backbone(
    "tartan", image_size=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), interpolation="bilinear"
)
def tartan(weights: str | None) -> torch.nn.Module:
    """Return the network, untrained or with weights of its own."""
    network = Tartan()
    if weights == "default":
        torch.nn.init.eye_(network.mix.weight)
        torch.nn.init.zeros_(network.mix.bias)
    return network
