"""`Augmentation`: small changes to a training photo that leave its label true; `MixUp`: photos and labels blended."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.results import ShowsFields

if TYPE_CHECKING:
    import torch

    from fashionsearch.images.decoding import RGB

_WHITE = 255
_GROUND = 235  # what white ground is at least, after JPEG
_SMALLEST = 0.4  # of the side, at which a photo is compressed
_DRAWING = threading.Lock()
_LARGEST = {
    "rotation": 180.0,
    "zoom": 0.9,
    "shift": 0.9,
    "colour": 1.0,
    "erase": 1.0,
    "background": 1.0,
    "light": 0.5,
    "blur": 1.0,
    "compression": 1.0,
}


@dataclass(frozen=True)
class Augmentation(ShowsFields):
    """What may happen to a photo each time the network sees it while it learns.

    Rotation, flips and zoom as in the study, and shifts, make one affine transform, whose new corners are white as the
    background of product photos is. Done by torchvision's transforms, version 2.

    Attributes:
        rotation: up to so many degrees either way, 0 to 180.
        zoom: in or out by up to this share, 0 to 0.9.
        shift: across and down by up to this share of the side, 0 to 0.9.
        horizontal_flip: mirror every other photo.
        vertical_flip: turn every other photo upside down.
        colour: up to this share more or less brightness, contrast and saturation, 0 to 1. It is 0 unless you ask:
            it helps to tell kinds apart, and makes labels such as `baseColour` untrue.
        erase: probability that a random rectangle is blanked, 0 to 1 (Zhong et al. 2020, arXiv:1708.04896).
        background: probability that white ground, where it reaches the border, becomes patches of other colours, 0 to 1.
        light: red and blue up to this share apart, as under a warm or a cold light, 0 to 0.5.
        blur: probability of a blur, by up to 2.5 % of the side, 0 to 1.
        compression: probability of JPEG's traces, of a quality from 5 to 60 and 40 % of the size up, 0 to 1.

    Raises:
        InputError: if a value is outside its range.

    Examples:
        >>> import numpy as np
        >>> photo = np.zeros((80, 60, 3), np.uint8)
        >>> Augmentation(rotation=30).apply(photo, seed=0).shape
        (80, 60, 3)
    """

    rotation: float = 10.0
    zoom: float = 0.15
    shift: float = 0.05
    horizontal_flip: bool = True
    vertical_flip: bool = False
    colour: float = 0.0
    erase: float = 0.0
    background: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    compression: float = 0.0

    def __post_init__(self) -> None:
        for name, largest in _LARGEST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
                raise errors.InputError(f"{name}={value!r} is not a number from 0 to {largest:g}")

    def apply(self, photo: RGB, *, seed: int) -> RGB:
        """Return a changed copy of a photo; the same seed gives the same change.

        Args:
            photo: (H, W, 3) uint8.
            seed: from 0 up.

        Returns:
            (H, W, 3) uint8.
        """
        import numpy as np
        import torch

        tensor = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
        return np.ascontiguousarray(self.apply_tensor(tensor, seed).permute(1, 2, 0).numpy())

    def apply_tensor(self, photo: torch.Tensor, seed: int) -> torch.Tensor:
        """Do the same to a (3, H, W) uint8 tensor."""
        import torch

        # torchvision draws from torch's global generator: ours for the moment, and given back as it was. Threads share it.
        with _DRAWING, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            result: torch.Tensor = _transform(self)(photo)
        return result


@functools.lru_cache(maxsize=8)
def _transform(augmentation: Augmentation) -> Any:
    from torchvision.transforms import v2

    steps: list[torch.nn.Module] = []
    if augmentation.horizontal_flip:
        steps.append(v2.RandomHorizontalFlip())
    if augmentation.vertical_flip:
        steps.append(v2.RandomVerticalFlip())
    if augmentation.rotation or augmentation.zoom or augmentation.shift:
        affine = v2.RandomAffine(
            augmentation.rotation,
            translate=(augmentation.shift, augmentation.shift),
            scale=(1 - augmentation.zoom, 1 + augmentation.zoom),
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        # Around a white photo torchvision's own white filling leaves a grey line; a negative is filled with black.
        steps += [v2.RandomInvert(p=1), affine, v2.RandomInvert(p=1)]
    if augmentation.background:
        steps.append(v2.RandomApply([v2.Lambda(_before_patches)], augmentation.background))
    if augmentation.colour:
        strength = augmentation.colour
        steps.append(v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength))
    if augmentation.erase:
        steps.append(v2.RandomErasing(p=augmentation.erase, scale=(0.02, 0.2), value=_WHITE))
    if augmentation.light:
        steps.append(v2.Lambda(functools.partial(_lit, augmentation.light)))
    if augmentation.blur:
        steps.append(v2.RandomApply([v2.Lambda(_blurred)], augmentation.blur))
    if augmentation.compression:
        steps.append(v2.RandomApply([v2.Lambda(_compressed)], augmentation.compression))
    return v2.Compose(steps) if steps else v2.Identity()


def _before_patches(photo: torch.Tensor) -> torch.Tensor:
    """Put a (3, H, W) photo before a ground of coloured patches."""
    import torch
    from scipy import ndimage
    from torchvision.transforms.v2 import functional

    regions, _ = ndimage.label((photo >= _GROUND).all(dim=0).numpy())
    regions = torch.from_numpy(regions)
    border = torch.cat([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    ground = torch.isin(regions, border[border > 0])
    rows, columns = torch.randint(1, 9, (2,)).tolist()
    patches = torch.randint(0, 256, (3, rows, columns), dtype=torch.uint8)
    smooth = bool(torch.rand(()) < 0.5)
    mode = functional.InterpolationMode.BILINEAR if smooth else functional.InterpolationMode.NEAREST
    scene = functional.resize(patches, list(photo.shape[1:]), mode)
    return torch.where(ground, scene, photo)


def _lit(most: float, photo: torch.Tensor) -> torch.Tensor:
    """Light a (3, H, W) photo with warm or cold light."""
    import torch

    tilt = (2 * torch.rand(()) - 1) * most / 2
    light = torch.stack([1 + tilt, torch.ones(()), 1 - tilt])[:, None, None]
    return (photo * light).round().clamp(0, _WHITE).to(torch.uint8)


def _blurred(photo: torch.Tensor) -> torch.Tensor:
    """Blur a (3, H, W) photo."""
    import torch
    from torchvision.transforms.v2 import functional

    sigma = float(torch.rand(()) * 0.025 + 0.002) * max(photo.shape[1:])
    size = 2 * max(1, round(2.5 * sigma)) + 1
    blurred: torch.Tensor = functional.gaussian_blur(photo, [size, size], [sigma, sigma])
    return blurred


def _compressed(photo: torch.Tensor) -> torch.Tensor:
    """Save a (3, H, W) photo, made smaller as shops do, as a JPEG and read it again."""
    import numpy as np
    import simplejpeg
    import torch
    from torchvision.transforms.v2 import functional

    quality = int(torch.randint(5, 61, ()))
    height, width = photo.shape[1:]
    share = float(torch.rand(())) * (1 - _SMALLEST) + _SMALLEST
    smaller = functional.resize(photo, [max(1, round(height * share)), max(1, round(width * share))])
    pixels = np.ascontiguousarray(smaller.permute(1, 2, 0).numpy())
    data = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB")
    read = torch.from_numpy(simplejpeg.decode_jpeg(data, colorspace="RGB")).permute(2, 0, 1)
    traced: torch.Tensor = functional.resize(read, [height, width])
    return traced


AUGMENTATIONS = {
    "none": Augmentation(0, 0, 0, horizontal_flip=False),
    "flips": Augmentation(rotation=0, zoom=0, shift=0),
    "light": Augmentation(),
    "strong": Augmentation(rotation=15, zoom=0.25, shift=0.1, erase=0.25),
    "wild": Augmentation(
        rotation=25, zoom=0.3, shift=0.1, erase=0.2, background=0.4, light=0.25, blur=0.3, compression=0.3
    ),
}


class MixUp:
    """Blends each photo of a batch, and its labels, with the one before it (Zhang et al. 2018, arXiv:1710.09412).

    Args:
        alpha: of the Beta distribution that the share is drawn from, above 0.
        classes: how many classes each attribute has.
    """

    def __init__(self, alpha: float, classes: Sequence[int]) -> None:
        import torch

        self._classes = tuple(classes)
        self._shares = torch.distributions.Beta(torch.tensor([alpha]), torch.tensor([alpha]))

    def __call__(
        self, photos: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Blend a batch.

        Args:
            photos: (n, 3, H, W) float32.
            targets: (n, attributes) class numbers, −1 where a label is unknown.

        Returns:
            The photos, and for each attribute the share of each class, (n, classes) float32; of an unknown label 0.
        """
        import torch

        share = float(self._shares.sample(torch.Size()))

        def blended(whole: torch.Tensor) -> torch.Tensor:
            return whole.roll(1, 0).mul_(1.0 - share).add_(whole.mul(share))

        labels = [
            torch.nn.functional.one_hot(column.clamp_min(0), classes) * (column >= 0)[:, None]
            for column, classes in zip(targets.unbind(1), self._classes, strict=True)
        ]
        return blended(photos), tuple(blended(each.to(torch.float32)) for each in labels)
