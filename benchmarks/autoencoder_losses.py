"""What else than pixels an autoencoder may minimise, and what that does to its latents as search features.

The study's split, the first 5,000 rows: autoencoders with 16 latents learn from the 3,200 training photos, each with another
loss or spoilt input, all by the library's recipe at the same number of epochs. The 800 validation photos choose: their five
nearest training photos by the latents vote on masterCategory, and P@5 says how many of them have the same articleType. The
test part is not used. Each finished row is in the file, and is not measured again; one that was stopped goes on.

    python benchmarks/autoencoder_losses.py --data fashion-product-images-small --epochs 8
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from environment import environment
from harness import rows
from options import parser
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

import fashionsearch as fs
from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.autoencoder.objective import ReconstructingLearner
from fashionsearch.runtimes.base import Network

NEIGHBOURS = 5
LATENTS = 16
PATCHES = 8  # a side, of what masking blanks


@dataclass(frozen=True)
class Loss:
    """What is minimised beside the mean squared error of the pixels, and what is done to the input.

    Attributes:
        perceptual: weight of how the photo looks to a frozen network, told from the latents: the library's own term.
        drawn: weight of how differently photo and drawing look to that network, by its feature maps (Johnson et al.
            2016, arXiv:1603.08155).
        drawn_size: side in pixels at which it sees both; 0 is the drawing's.
        masked: share of the patches that are grey in the input, and must be drawn (He et al. 2022, arXiv:2111.06377).
        noise: standard deviation of noise on the input, in pixels of [0, 1] (Vincent et al. 2010, JMLR 11).
        ssim: weight of 1 − structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861).
        orthogonal: weight of the squared distance between the latents' covariance in a batch and the identity.
        variational: weight of the divergence from a standard normal, of latents that are drawn anew for each
            photo (Kingma and Welling 2014, arXiv:1312.6114); the logarithm of their variance is linear in their mean.
    """

    perceptual: float = 0.0
    drawn: float = 0.0
    drawn_size: int = 0
    masked: float = 0.0
    noise: float = 0.0
    ssim: float = 0.0
    orthogonal: float = 0.0
    variational: float = 0.0


LOSSES = {
    "pixels": Loss(),
    "pixels, masked input": Loss(masked=0.4),
    "pixels, noisy input": Loss(noise=0.1),
    "pixels and structural similarity": Loss(ssim=0.05),
    "pixels, orthogonal latents": Loss(orthogonal=0.01),
    "pixels, variational": Loss(variational=1e-3),
    "pixels, looks of the drawing": Loss(drawn=1.0),
    "pixels, looks of the drawing at 96 px": Loss(drawn=1.0, drawn_size=96),
    "pixels and looks, weight 0.1": Loss(perceptual=0.1),
    "pixels and looks, weight 1": Loss(perceptual=1.0),
    "pixels and looks, weight 10": Loss(perceptual=10.0),
    "pixels and looks, noisy input": Loss(perceptual=1.0, noise=0.1),
    "pixels and looks, orthogonal latents": Loss(perceptual=1.0, orthogonal=0.01),
}


class DrawnLooks(nn.Module):
    """How differently two batches of photos look to the frozen `efficientnet_lite0`.

    The mean over three feature maps and the embedding of the squared distance of unit vectors, from 0 to 4 (unit vectors
    after Zhang et al. 2018, arXiv:1801.03924).

    Args:
        size: side at which it sees them; 0 is their own.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        backbone = fs.create_backbone("efficientnet_lite0", device="cpu", progress=False)
        self.network = Network(backbone.module.requires_grad_(False), backbone.preprocess)
        self._size = size
        self.to(memory_format=torch.channels_last)
        self.eval()

    def train(self, mode: bool = True) -> DrawnLooks:
        """Stay as it is: running statistics that moved would be another measure each step."""
        return super().train(False)

    def forward(self, drawn: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
        """Map two batches, (n, 3, H, W) float32 in [0, 1], to their mean distance; gradients reach the first alone."""
        with torch.no_grad():
            wanted = self._features(photos)
        distances = [
            (got - want).square().sum(dim=1).mean()
            for got, want in zip(self._features(drawn), wanted, strict=True)
        ]
        return torch.stack(distances).mean()

    def _features(self, photos: torch.Tensor) -> list[torch.Tensor]:
        if self._size:
            photos = functional.interpolate(photos, (self._size, self._size), mode="bilinear")
        module = cast(Any, self.network.module)
        # Feature maps at 1/8, 1/16 and 1/32 of the side, in timm's count; the embedding comes on top of them.
        last, maps = module.forward_intermediates(self.network.normalised(photos), indices=[2, 3, 4])
        found = [*maps, module.forward_head(last, pre_logits=True)]
        return [functional.normalize(features, dim=1, eps=1e-4) for features in found]


class Learner(ReconstructingLearner):
    """The library's learner with other terms in its loss.

    Args:
        encoder: as for the library's; likewise `decoder`, `preprocess` and `looks`.
        loss: the terms.
        looks: as there.
    """

    def __init__(
        self, encoder: nn.Module, decoder: Decoder, preprocess: fs.Preprocess, loss: Loss, looks: int
    ) -> None:
        super().__init__(encoder, decoder, preprocess, perceptual=loss.perceptual, looks=looks)
        self._terms = loss
        self.log_variance = nn.Linear(LATENTS, LATENTS) if loss.variational else nn.Identity()
        # In a tuple it is no part of the module: it doesn't learn, and is kept in no checkpoint.
        self._drawn_looks = (DrawnLooks(loss.drawn_size),) if loss.drawn else ()

    def _losses(self, photos: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latents = self.network.embed(self._spoilt(photos) if self.training else photos)
        extra = self._terms.perceptual * self.looks_error(latents, looks)
        if self._terms.variational:
            log_variance = self.log_variance(latents)
            divergence = 0.5 * (latents.square() + log_variance.exp() - log_variance - 1)
            extra = extra + self._terms.variational * divergence.mean()
            if self.training:
                latents = latents + (0.5 * log_variance).exp() * torch.randn_like(latents)
        if self._terms.orthogonal:
            covariance = torch.cov(latents.float().T, correction=0)
            away = covariance - torch.eye(LATENTS, device=covariance.device)
            extra = extra + self._terms.orthogonal * away.square().mean()
        drawn = self.decoder(latents)
        pixels = functional.mse_loss(drawn, photos)
        for distance in self._drawn_looks:
            extra = extra + self._terms.drawn * distance.to(photos.device)(drawn, photos)
        if self._terms.ssim:
            similarity = structural_similarity_index_measure(drawn.float(), photos, data_range=1.0)
            extra = extra + self._terms.ssim * (1 - torch.as_tensor(similarity))
        return pixels + extra, pixels

    def _spoilt(self, photos: torch.Tensor) -> torch.Tensor:
        if self._terms.masked:
            blanks = torch.rand(len(photos), 1, PATCHES, PATCHES, device=photos.device)
            kept = (blanks > self._terms.masked).float()
            kept = functional.interpolate(kept, photos.shape[2:])
            photos = photos * kept + 0.5 * (1 - kept)
        if self._terms.noise:
            photos = photos + self._terms.noise * torch.randn_like(photos)
        return photos


class Varied(fs.Autoencoder):
    """An autoencoder with another loss."""

    loss = Loss()

    def _learner(
        self, encoder: nn.Module, decoder: Decoder, preprocess: fs.Preprocess, looks: int
    ) -> nn.Module:
        return Learner(encoder, decoder, preprocess, self.loss, looks)


def measure(
    train: fs.datasets.Table, validation: fs.datasets.Table, loss: Loss, options: Any, checkpoints: Path
) -> dict[str, Any]:
    """Train with one loss; return how good the latents are on the validation photos."""
    model = Varied(
        options.backbone,
        latent_dim=LATENTS,
        perceptual=loss.perceptual,
        training=fs.FineTuning(epochs=options.epochs, precision=options.precision),
        image_size=options.image_size,
        random_state=options.seed,
    )
    model.loss = loss
    model.fit(train.images, validation=validation.images, checkpoints=checkpoints)
    seconds = float(np.sum(model.history_["seconds"]))
    known, asked = model.embed(train.images), model.embed(validation.images)
    vote = KNeighborsClassifier(NEIGHBOURS).fit(known, train["masterCategory"])
    nearest = vote.kneighbors(asked, return_distance=False)
    same = train["articleType"][nearest] == validation["articleType"][:, None]
    return {
        "accuracy": round(float(vote.score(asked, validation["masterCategory"])), 4),
        "p_at_5": round(float(same.mean()), 4),
        "pixel_error": round(float(model.reconstruction_errors(validation.images).mean()), 5),
        "seconds": round(seconds, 1),
        "best_epoch": int(np.argmin(model.history_["validation_loss"])) + 1,
    }


def main() -> None:
    """Run the command line."""
    made = parser(__doc__)
    made.add_argument("--backbone", default="cnn", help="(%(default)s)")
    made.add_argument("--epochs", type=int, default=8, help="(%(default)s)")
    made.add_argument("--image-size", type=int, default=64, help="(%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    made.add_argument("--only", nargs="+", choices=LOSSES, default=list(LOSSES), metavar="LOSS", help="some")
    made.add_argument(
        "--precision",
        choices=["fastest"],
        help="of training; default: float32, which can be compared between machines",
    )
    made.add_argument(
        "--checkpoints", type=Path, default=Path("autoencoder-checkpoints"), help="folder (%(default)s)"
    )
    options = made.parse_args()
    if not (options.data / "styles.csv").exists():
        made.error(f"--data {options.data} holds no styles.csv: give the folder of Kaggle's download")
    table = fs.datasets.load_fashion_products(options.data)[:5000]
    train, validation, _ = table.split(test=0.2, validation=0.2, seed=42)
    path = options.out / f"autoencoder-losses-{options.backbone}-{environment()['device']}.json"
    for name in options.only:
        configuration = {
            "loss": name,
            "terms": asdict(LOSSES[name]),
            "backbone": options.backbone,
            "epochs": options.epochs,
            "image_size": options.image_size,
            "seed": options.seed,
            "precision": options.precision,
        }
        name_of = functools.partial(_name, fields=tuple(configuration))
        if name_of(configuration) in map(name_of, rows.load(path)):
            continue
        began = time.perf_counter()
        # The loss is none of the options by which a run knows its folder again.
        digest = hashlib.sha256(json.dumps(configuration).encode()).hexdigest()[:12]
        folder = (
            options.checkpoints / f"{options.backbone}-{name.replace(', ', '-').replace(' ', '-')}-{digest}"
        )
        figures = measure(train, validation, LOSSES[name], options, folder)
        row = {**configuration, **figures, "environment": environment()}
        rows.add(path, [row], name_of)
        print(f"{name}: {figures}, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"written to {path}")


def _name(row: rows.Row, fields: tuple[str, ...]) -> str:
    return repr([row[field] for field in fields])


if __name__ == "__main__":
    main()
