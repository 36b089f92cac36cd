"""How an autoencoder learns: encoder and decoder made, trained, and the latents centred."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.autoencoder.objective import ReconstructionObjective
from fashionsearch.autoencoder.perceptual import PerceptualTargets
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.modules import Projected
from fashionsearch.device import torch_defaults
from fashionsearch.estimator import ImageEstimator, open_backbone, trained_backbone
from fashionsearch.images import Images, repeatable
from fashionsearch.results import History
from fashionsearch.runtimes.network import Network
from fashionsearch.training import FineTuning
from fashionsearch.training.fit import fit_network
from fashionsearch.training.objectives import Learner, is_normalised
from fashionsearch.training.run import Run
from fashionsearch.training.run_folder import open_run_folder

# Pixels can be drawn again only by who knows where things are, and a global average forgets it.
_KEEPS_LAYOUT = {"cnn": "cnn_grid"}


def fit_autoencoder(
    estimator: ImageEstimator,
    options: FineTuning,
    images: Images,
    validation: Images | None,
    *,
    latent_dim: int,
    perceptual: float,
    checkpoints: str | os.PathLike[str] | None,
    loggers: Sequence[object],
) -> tuple[Backbone, Decoder, History]:
    """Train an encoder and a decoder.

    Args:
        estimator: whose backbone, seed and progress bars.
        options: how they are trained.
        images: n images.
        validation: images on which the best epoch is chosen, or None.
        latent_dim: length of a latent vector.
        perceptual: weight of the perceptual error beside that of the pixels.
        checkpoints: a folder that is written after every epoch, or None.
        loggers: Lightning loggers.

    Returns:
        The trained encoder, the decoder and a row for each epoch.
    """
    images = repeatable(images)
    validation = None if validation is None else repeatable(validation)
    with open_run_folder(checkpoints, estimator.random_state) as folder:
        name = estimator.backbone if isinstance(estimator.backbone, str) else None
        start = open_backbone(estimator, folder.seed, _KEEPS_LAYOUT.get(name or ""))
        if name is None:  # the caller's own stays as it is
            start = start.variant(module=copy.deepcopy(start.module))
        options = options.recipe("autoencoder", normalised=is_normalised(start.module))
        wanted = None
        if perceptual:
            wanted = PerceptualTargets(
                images, device=estimator.device, batch_size=estimator.batch_size, progress=estimator.progress
            )
        with torch_defaults(), start.placement.fork_rng():
            torch.manual_seed(folder.seed)
            start.module.requires_grad_(True)  # also what an earlier training had frozen
            encoder = Projected(start.module, start.dim, latent_dim)
            decoder = Decoder(latent_dim, start.preprocess.image_size)
            objective = ReconstructionObjective(
                decoder, perceptual=perceptual, perceptual_dim=0 if wanted is None else wanted.dim
            )
        history = fit_network(
            Run(
                folder,
                Learner(Network(encoder, start.preprocess), objective),
                start,
                training=(images, None if wanted is None else wanted.of_training),
                validation=None
                if validation is None
                else (validation, None if wanted is None else partial(wanted.of, validation)),
                options=options,
                identity={
                    "latent_dim": latent_dim,
                    "perceptual": perceptual,
                    "perceptual_targets": None if wanted is None else wanted.fingerprint,
                },
                loggers=loggers,
                progress=estimator.progress,
            )
        )
    _centre(encoder, decoder, trained_backbone(start, encoder).embed(images).mean(axis=0))
    return trained_backbone(start, encoder), decoder, history


def _centre(encoder: Projected, decoder: Decoder, mean: NDArray[np.float32]) -> None:
    """Move the latents' origin to their mean, and the decoder with it, so that every reconstruction stays the same."""
    shift = torch.from_numpy(mean).to(decoder.linear.weight.device)
    with torch_defaults(), torch.no_grad():
        encoder.projection.bias.sub_(shift)
        decoder.linear.bias.add_(decoder.linear.weight @ shift)
