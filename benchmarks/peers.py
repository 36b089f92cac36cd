"""Other libraries' ways from files to vectors, written as their own documentation writes them, with our weights."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm.data
import torch
from numpy.typing import NDArray
from PIL import Image
from timing import alternate
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

import fashionsearch as fs

BATCH_SIZE = 32
WORKERS = 2


class Photos(Dataset[torch.Tensor]):
    """Files, opened with Pillow and transformed one by one, as the data sets of timm and torchvision do it."""

    def __init__(self, files: Sequence[Path | str], transform: transforms.Compose) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> torch.Tensor:
        return read(self.files[position], self.transform)


def read(path: Path | str, transform: transforms.Compose) -> torch.Tensor:
    """Return one photo as a network takes it, (3, H, W)."""
    with Image.open(path) as picture:
        tensor: torch.Tensor = transform(picture.convert("RGB"))
    return tensor


def timm_transform(preprocess: fs.Preprocess) -> transforms.Compose:
    """Return timm's own transform for evaluation, set to resize as the backbone does."""
    return timm.data.create_transform(
        (3, *preprocess.image_size),
        interpolation=preprocess.interpolation,
        mean=preprocess.mean,
        std=preprocess.std,
        crop_pct=1.0,
        crop_mode="squash",
    )


def torchvision_transform(preprocess: fs.Preprocess) -> transforms.Compose:
    """Return the same in torchvision's words."""
    return transforms.Compose(
        [
            transforms.Resize(preprocess.image_size, transforms.InterpolationMode(preprocess.interpolation)),
            transforms.ToTensor(),
            transforms.Normalize(preprocess.mean, preprocess.std),
        ]
    )


def network(backbone: fs.Backbone) -> nn.Module:
    """Return a copy of a backbone's network, as `timm.create_model(…, num_classes=0)` makes it, in torch's default layout."""
    return copy.deepcopy(backbone.module).eval().to(memory_format=torch.contiguous_format)


def gflop(backbone: fs.Backbone) -> float:
    """Return the billions of additions and multiplications that one photo takes in a backbone's own network."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(backbone)(torch.zeros((1, 3, *backbone.preprocess.image_size)))
    return float(counter.get_total_flops()) / 1e9


def machine_gflops(side: int = 2048) -> float:
    """Return what the machine reaches in float32, in the product of two large matrices."""
    left, right = torch.rand(side, side), torch.rand(side, side)
    seconds = alternate({"product": lambda: torch.mm(left, right)}, pairs=10, progress=False)["product"]
    return 2 * side**3 / float(np.median(seconds)) / 1e9


class Loop:
    """A torch `DataLoader` with two workers, and a network run eagerly on each of its batches."""

    def __init__(
        self,
        backbone: fs.Backbone,
        files: Sequence[Path | str],
        transform: transforms.Compose,
        memory_format: torch.memory_format,
    ) -> None:
        self._format = memory_format
        self._network = network(backbone).to(memory_format=memory_format)
        # Workers that stay save the peer their start in every round.
        self._loader = DataLoader(
            Photos(files, transform), batch_size=BATCH_SIZE, num_workers=WORKERS, persistent_workers=True
        )
        self._ready: list[torch.Tensor] = []

    def embed(self) -> NDArray[np.float32]:
        """Return (n, dim), from the files on."""
        with torch.inference_mode():
            return torch.cat([self._run(batch) for batch in self._loader]).numpy()

    def prepare(self, photos: int) -> None:
        """Make batches of so many photos ready for `model`."""
        self._ready = list(itertools.islice(self._loader, photos // BATCH_SIZE))

    def model(self) -> None:
        """Run the network alone."""
        with torch.inference_mode():
            for batch in self._ready:
                self._run(batch)

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self._network(batch.to(memory_format=self._format))
        return result


class Fastai:
    """fastai's `Learner.get_preds` on a test loader."""

    def __init__(self, backbone: fs.Backbone, files: Sequence[Path | str]) -> None:
        from fastai.vision import all as fastai

        preprocess = backbone.preprocess
        method = getattr(Image.Resampling, preprocess.interpolation.upper())
        resize = fastai.Resize(preprocess.image_size, fastai.ResizeMethod.Squish, resamples=(method, method))
        block = fastai.DataBlock(
            blocks=(fastai.ImageBlock,),
            splitter=fastai.IndexSplitter([0]),
            item_tfms=resize,
            batch_tfms=fastai.Normalize.from_stats(preprocess.mean, preprocess.std, cuda=False),
        )
        paths = [Path(file) for file in files]
        loaders = block.dataloaders(paths, bs=BATCH_SIZE, num_workers=WORKERS, device=torch.device("cpu"))
        self._loader = loaders.test_dl(paths, bs=BATCH_SIZE, num_workers=WORKERS)
        self._learner = fastai.Learner(loaders, network(backbone), loss_func=fastai.noop)
        self._ready: list[torch.Tensor] = []

    def embed(self) -> NDArray[np.float32]:
        """Return (n, dim), from the files on."""
        with self._learner.no_bar(), self._learner.no_logging():
            vectors, _ = self._learner.get_preds(dl=self._loader)
        return np.asarray(vectors)

    def prepare(self, photos: int) -> None:
        """Make batches of so many photos ready for `model`."""
        self._ready = [batch for (batch,) in itertools.islice(self._loader, photos // BATCH_SIZE)]

    def model(self) -> None:
        """Run the network alone."""
        with torch.no_grad():
            for batch in self._ready:
                self._learner.model(batch)
