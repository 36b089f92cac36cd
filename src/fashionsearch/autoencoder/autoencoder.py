"""`Autoencoder`: squeezes photos into a few numbers from which they can be drawn again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING

from fashionsearch import errors
from fashionsearch.estimator import ImageEstimator, readable_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fashionsearch import storage
    from fashionsearch.autoencoder.decoder import Decoder
    from fashionsearch.backbones import Backbone
    from fashionsearch.device import Execution
    from fashionsearch.hub import Card
    from fashionsearch.images import Images
    from fashionsearch.results import History
    from fashionsearch.training import FineTuning

_OF_LABELS = (
    "dropout",
    "label_smoothing",
    "mixup",
    "class_weights",
    "progressive_resizing",
    "teacher",
    "distillation_weight",
    "temperature",
)


class Autoencoder(ImageEstimator):
    """Squeezes photos into latent vectors from which it draws them again, and so learns without labels.

    The encoder is a backbone and a linear layer to `latent_dim` numbers; the decoder is a linear layer, transposed
    convolutions and an upsampling. Both learn to minimise the mean squared error of pixels in [0, 1] (Hinton and
    Salakhutdinov 2006, doi:10.1126/science.1127647). Beside the drawing, a linear layer must tell from the latents how the
    photo looks to a frozen network with ImageNet weights, its embedding (after Johnson et al. 2016, arXiv:1603.08155, and
    Wei et al. 2022, arXiv:2112.09133): pixels alone make the numbers remember shades, and forget what the thing is. The
    latents are centred on the training photos, so that their cosine means something.

    Args:
        backbone: the encoder's network, a name `create_backbone` knows, or a `Backbone`, of which a copy learns on; "cnn"
            is taken in its form `cnn_grid`, which keeps where things are.
        latent_dim: length of a latent vector.
        perceptual: weight of the looks beside the pixels, from 0 up; 0 has seen no ImageNet, draws a little better, and
            makes poorer matches.
        weights: where the encoder starts: None (at random), "default", or a `.safetensors` or `.pth` file.
        training: a `FineTuning`; None is the recipe for autoencoders. What speaks of labels, a head or another size is
            refused: dropout, label_smoothing, mixup, class_weights, progressive_resizing, and an unfreeze other than "all".
        image_size: side, or (height, width), in pixels; None is the backbone's own.
        resize: "squash" the whole photo, "pad" it with white, or "crop" its middle.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "onnx" or "openvino", of the encoder.
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

    decoder_: Decoder
    history_: History
    _kind = "autoencoder"

    def __init__(
        self,
        backbone: str | Backbone = "cnn",
        *,
        latent_dim: int = 16,
        perceptual: float = 1.0,
        weights: str | os.PathLike[str] | None = None,
        training: FineTuning | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: str = "squash",
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
        self.resize = resize
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
        on_error: str = "raise",
    ) -> Autoencoder:
        """Learn to draw photos from latent vectors.

        Args:
            images: n images in any form.
            validation: images on which the best epoch is chosen; None learns for all epochs.
            checkpoints: a folder that is written after every epoch; the same call resumes from what is there, and ends
                in the same weights as if it had never been interrupted.
            loggers: Lightning loggers, such as TensorBoardLogger, that hear of every epoch.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Returns:
            Itself.

        Raises:
            ImageError: if an image can't be read; nothing is changed.
            DataError: if there are too few photos.
            WeightsError: if the encoder's weights can't be had.
            TrainingError: if the loss is not a number any more.
            StorageError: if checkpoints can't be written.
        """
        from fashionsearch.autoencoder.fitting import fit_autoencoder

        options = self._checked_training()
        images = readable_images(images, on_error)
        if validation is not None:
            validation = readable_images(validation, on_error)
        self.backbone_, self.decoder_, self.history_ = fit_autoencoder(
            self,
            options,
            images,
            validation,
            latent_dim=int(self.latent_dim),
            perceptual=float(self.perceptual),
            checkpoints=checkpoints,
            loggers=loggers,
        )
        return self

    def _checked_training(self) -> FineTuning:
        from fashionsearch.training import FineTuning

        self._check_training()
        if not isinstance(self.latent_dim, Integral) or not 1 <= int(self.latent_dim) <= 65536:
            raise errors.InputError(f"latent_dim={self.latent_dim!r} is not a whole number from 1 to 65,536")
        weight = self.perceptual
        if not isinstance(weight, Real) or isinstance(weight, bool) or not 0 <= weight < 1e6:
            raise errors.InputError(f"perceptual={weight!r} is not a number from 0 up, such as 1.0")
        given = self.training or FineTuning()
        for name in _OF_LABELS:
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

    def reconstruct(self, images: Images, *, on_error: str = "raise") -> NDArray[np.float32]:
        """Return images as they are drawn from their latents, (n, H, W, 3) float32 in [0, 1], at the network's size.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        import numpy as np

        self._check_fitted()
        pieces = [drawn for _, drawn in self._drawn(readable_images(images, on_error))]
        empty = np.zeros((0, *self.backbone_.preprocess.image_size, 3), np.float32)
        return np.concatenate([empty, *pieces])

    def reconstruction_errors(self, images: Images, *, on_error: str = "raise") -> NDArray[np.float32]:
        """Return the mean squared error of each image's pixels in [0, 1], (n,) float32: large for what is unusual.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        import numpy as np

        self._check_fitted()
        pieces = [
            ((pixels.astype(np.float32) / np.float32(255) - drawn) ** 2).mean(axis=(1, 2, 3))
            for pixels, drawn in self._drawn(readable_images(images, on_error))
        ]
        return np.concatenate([np.zeros(0, np.float32), *pieces])

    def score(self, images: Images, *, on_error: str = "raise") -> float:
        """Return minus the mean squared error of pixels in [0, 1], so that larger is better.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            DataError: if there are no images.
            ImageError: if an image can't be read.
        """
        each = self.reconstruction_errors(images, on_error=on_error)
        if not len(each):
            raise errors.DataError("there are no images to score; give at least one")
        return -float(each.mean())

    def _drawn(self, images: Images) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        from fashionsearch.autoencoder.drawing import draw

        return draw(self.backbone_, self.decoder_, images, self.batch_size)

    def _card(self) -> Card:
        from fashionsearch.hub import Card

        return Card(
            f"An autoencoder of product photos with {self.dim:,} latent numbers, made with fashionsearch.",
            "image-feature-extraction",
            [*self._facts(), ("perceptual loss", f"weight {self.perceptual:g}")],
            'encoder = {load}\nprint(encoder.embed("photo.jpg").shape)',
        )

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this autoencoder, as part of another folder if there is a prefix."""
        from fashionsearch.autoencoder import snapshot

        self._check_fitted()
        return snapshot.writers(self, self.decoder_, self.history_, prefix)

    @classmethod
    def read(cls, saved: storage.Saved, execution: Execution, prefix: str = "") -> Autoencoder:
        """Read an autoencoder from a verified folder, as part of another if there is a prefix; see `ImageEstimator.read`."""
        from fashionsearch.autoencoder import snapshot
        from fashionsearch.saved_options import read_options

        config = saved.json(f"{prefix}autoencoder.json")
        self = cls(**read_options(config, cls, execution))
        self.backbone_, self.decoder_, self.history_ = snapshot.read(saved, config, execution, prefix)
        return self
