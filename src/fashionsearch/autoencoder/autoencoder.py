"""`Autoencoder`: squeezes photos into a few numbers from which they can be drawn again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.backbones.modules import Projected
from fashionsearch.backbones.reading import read_backbone
from fashionsearch.estimator import ImageEstimator, read_options, repeatable
from fashionsearch.images import Images, iterate, ordered_map
from fashionsearch.results import History
from fashionsearch.training import FineTuning

if TYPE_CHECKING:
    from fashionsearch.autoencoder.perceptual import Looks

# Pixels can be drawn again only by who knows where things are, and a global average forgets it.
_KEEPS_LAYOUT = {"cnn": "cnn_grid"}


class Autoencoder(ImageEstimator):
    """Squeezes photos into latent vectors from which it draws them again, and so learns without labels.

    The encoder is a backbone and a linear layer to `latent_dim` numbers; the decoder is a linear layer, transposed
    convolutions and an upsampling. Both learn to minimise the mean squared error of pixels in [0, 1] (Hinton and
    Salakhutdinov 2006, doi:10.1126/science.1127647). Beside the drawing, a linear layer must tell from the latents how the
    photo looks to a frozen network with ImageNet weights, its embedding (after Johnson et al. 2016, arXiv:1603.08155, and
    Wei et al. 2022, arXiv:2112.09133): pixels alone make the numbers remember shades, and forget what the thing is. The
    latents are centred on the training photos, so that their cosine means something.

    Args:
        backbone: the encoder's network, a name `create_backbone` knows; "cnn" is taken in its form `cnn_grid`, which
            keeps where things are.
        latent_dim: length of a latent vector.
        perceptual: weight of the looks beside the pixels, from 0 up; 0 has seen no ImageNet, draws a little better, and
            makes poorer matches.
        weights: where the encoder starts: None (at random), "default", or a `.safetensors` or `.pth` file.
        training: a `FineTuning`; None is the recipe for autoencoders. What speaks of labels, a head or another size is
            refused: dropout, label_smoothing, mixup, class_weights, progressive_resizing, and an unfreeze other than "all".
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch" or "onnx", of the encoder.
        batch_size: images a forward pass of `embed` and `reconstruct`; None is chosen from the device.
        random_state: of everything random: first weights, batches, augmentation; None gives each fit another seed.
        progress: show bars once something takes over two seconds.

    Attributes:
        backbone_: the encoder, as a `Backbone` whose embeddings are the latents.
        decoder_: the torch module from latents to images.
        history_: `History` of the epochs.

    Examples:
        >>> import fashionsearch as fs
        >>> table = fs.datasets.make_catalogue(40, seed=0)
        >>> short = fs.FineTuning(epochs=1)
        >>> encoder = fs.Autoencoder("cnn", image_size=32, training=short, random_state=0, progress=False)
        >>> encoder.fit(table.images).embed(table.images).shape
        (40, 16)
        >>> encoder.reconstruct(table.images[0]).shape
        (1, 32, 32, 3)
    """

    def __init__(
        self,
        backbone: str = "cnn",
        *,
        latent_dim: int = 16,
        perceptual: float = 1.0,
        weights: str | os.PathLike[str] | None = None,
        training: FineTuning | None = None,
        image_size: int | tuple[int, int] | None = None,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        random_state: int | None = None,
        progress: bool = True,
    ) -> None:
        self.backbone = backbone
        self.latent_dim = latent_dim
        self.perceptual = perceptual
        self.weights = weights
        self.training = training
        self.image_size = image_size
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.batch_size = batch_size
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        images: Images,
        *,
        validation: Images | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        loggers: Sequence[object] = (),
    ) -> Autoencoder:
        """Learn to draw photos from latent vectors.

        Args:
            images: n images in any form.
            validation: images on which the best epoch is chosen; None learns for all epochs.
            checkpoints: a folder that is written after every epoch; the same call goes on from what is there, and ends
                in the same weights as if it had never been interrupted.
            loggers: Lightning loggers, such as TensorBoardLogger, that hear of every epoch.

        Returns:
            Itself.

        Raises:
            ImageError: if an image can't be read; nothing is changed.
            DataError: if there are too few photos.
            WeightsError: if the encoder's weights can't be had.
            TrainingError: if the loss is not a number any more.
            StorageError: if checkpoints can't be written.
        """
        from fashionsearch.autoencoder.objective import ReconstructingLearner
        from fashionsearch.training.fit import train_on
        from fashionsearch.training.objectives import is_normalised
        from fashionsearch.training.run_folder import open_run

        options = self._checked_training()
        images = repeatable(images)
        validation = None if validation is None else repeatable(validation)
        with open_run(checkpoints, self.random_state) as run:
            start = self._create_backbone(run.seed, _KEEPS_LAYOUT.get(self.backbone))
            options = options.recipe("autoencoder", normalised=is_normalised(start.module))
            looks = self._looks(images)
            with start.placement.fork_rng():
                torch.manual_seed(run.seed)
                encoder = Projected(start.module, start.dim, int(self.latent_dim))
                decoder = Decoder(int(self.latent_dim), start.preprocess.image_size)
                numbers = 0 if looks is None else looks.dim
                learner = ReconstructingLearner(
                    encoder, decoder, start.preprocess, perceptual=float(self.perceptual), looks=numbers
                )
            history = train_on(
                run,
                learner,
                start,
                (images, None if looks is None else looks.of_training),
                None
                if validation is None
                else (validation, None if looks is None else partial(looks.of, validation)),
                options,
                decided_by={
                    "latent_dim": int(self.latent_dim),
                    "perceptual": float(self.perceptual),
                    "looks": None if looks is None else looks.fingerprint,
                },
                loggers=loggers,
                progress=self.progress,
            )
        _centre(encoder, decoder, self._trained(start, encoder).embed(images).mean(axis=0))
        self.backbone_, self.decoder_, self.history_ = self._trained(start, encoder), decoder, history
        return self

    def _looks(self, images: Images) -> Looks | None:
        from fashionsearch.autoencoder.perceptual import Looks

        if not self.perceptual:
            return None
        return Looks(images, device=self.device, batch_size=self.batch_size, progress=self.progress)

    def _checked_training(self) -> FineTuning:
        self._check_training()
        if not isinstance(self.latent_dim, Integral) or not 1 <= int(self.latent_dim) <= 65536:
            raise errors.InputError(f"latent_dim={self.latent_dim!r} is not a whole number from 1 to 65,536")
        weight = self.perceptual
        if not isinstance(weight, Real) or isinstance(weight, bool) or not 0 <= weight < 1e6:
            raise errors.InputError(f"perceptual={weight!r} is not a number from 0 up, such as 1.0")
        given = self.training or FineTuning()
        for name in (
            "dropout",
            "label_smoothing",
            "mixup",
            "class_weights",
            "progressive_resizing",
            "teacher",
            "distillation_weight",
            "temperature",
        ):
            if getattr(given, name):
                raise errors.InputError(
                    f"training has {name}={getattr(given, name)!r}, and an autoencoder learns without labels, has no "
                    "head and draws at one size; leave it out"
                )
        if given.unfreeze not in (None, "all"):
            raise errors.InputError(
                f"training has unfreeze={given.unfreeze!r}, and an autoencoder learns in all its layers; leave it out"
            )
        return given

    def reconstruct(self, images: Images) -> NDArray[np.float32]:
        """Return images as they are drawn from their latents, (n, H, W, 3) float32 in [0, 1], at the network's size.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        pieces = [drawn for _, drawn in self._drawn(images)]
        return (
            np.concatenate(pieces)
            if pieces
            else np.zeros((0, *self.backbone_.preprocess.image_size, 3), np.float32)
        )

    def reconstruction_errors(self, images: Images) -> NDArray[np.float32]:
        """Return the mean squared error of each image's pixels in [0, 1], (n,) float32: large for what is unusual.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        pieces = [
            ((pixels.astype(np.float32) / np.float32(255) - drawn) ** 2).mean(axis=(1, 2, 3))
            for pixels, drawn in self._drawn(images)
        ]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def score(self, images: Images) -> float:
        """Return minus the mean squared error of pixels in [0, 1], so that larger is better.

        Raises:
            NotFittedError: before `fit`.
            DataError: if there are no images.
            ImageError: if an image can't be read.
        """
        each = self.reconstruction_errors(images)
        if not len(each):
            raise errors.DataError("there are no images to score; give at least one")
        return -float(each.mean())

    def _drawn(self, images: Images) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """Yield resized pixels and what is drawn of them, (m, H, W, 3) each, batch by batch."""
        self._check_fitted()
        encoder, decoder = self.backbone_, self.decoder_
        stream = ordered_map(
            lambda numbered: encoder.preprocess.read(numbered[1], position=numbered[0]),
            enumerate(iterate(images)),
        )
        with contextlib.closing(stream):
            while batch := list(islice(stream, self.batch_size or encoder.placement.batch_size)):
                pixels = np.stack(batch)
                latents = torch.from_numpy(encoder.embed(pixels)).to(encoder.device)
                with torch.inference_mode(), encoder.placement.autocast():
                    drawn = decoder.eval()(latents).float()
                yield pixels, drawn.permute(0, 2, 3, 1).cpu().numpy()

    def save(self, folder: storage.PathLike) -> None:
        """Save encoder, decoder and options to a folder, atomically.

        Raises:
            NotFittedError: before `fit`.
            StorageError: if the folder holds something else or can't be written; what was there is unchanged.
        """
        self._check_fitted()
        config = {
            "options": self._saved_options(),
            "history": [dict(row) for row in self.history_.rows],
        }
        decoder = {name: tensor.detach().cpu().numpy() for name, tensor in self.decoder_.state_dict().items()}
        files = {
            "autoencoder.json": storage.write_json(config),
            "decoder.safetensors": storage.write_arrays(decoder),
            **self.backbone_.writers(),
        }
        storage.save(folder, "autoencoder", files)

    @classmethod
    def load(
        cls,
        folder: storage.PathLike,
        *,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Autoencoder:
        """Load what `save` wrote, without touching the network; latents and reconstructions equal those before.

        Raises:
            StorageError: if the folder holds no autoencoder or is damaged.
            DeviceError: if the device isn't there.
        """
        saved = storage.open_saved(folder, "autoencoder")
        config = saved.json("autoencoder.json")
        placed = {
            "device": device,
            "precision": precision,
            "runtime": runtime,
            "batch_size": batch_size,
            "progress": progress,
        }
        self = cls(**read_options(config["options"], placed))
        encoder = read_backbone(saved, options=placed)
        decoder = Decoder(self.latent_dim, encoder.preprocess.image_size)
        arrays = saved.arrays("decoder.safetensors")
        decoder.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        # In the layout it was trained in: another one adds up in another order.
        decoder = decoder.to(encoder.device).to(memory_format=torch.channels_last).eval()
        self.backbone_, self.decoder_ = encoder, decoder
        self.history_ = History(tuple(config["history"]))
        return self


def _centre(encoder: Projected, decoder: Decoder, mean: NDArray[np.float32]) -> None:
    """Move the latents' origin to their mean, and the decoder with it, so that every reconstruction stays the same."""
    shift = torch.from_numpy(mean).to(decoder.linear.weight.device)
    with torch.no_grad():
        encoder.projection.bias.sub_(shift)
        decoder.linear.bias.add_(decoder.linear.weight @ shift)
