"""Training photos: decoded and resized once, kept in a memory-mapped file, dealt out in batches that a seed decides."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from fashionsearch import errors
from fashionsearch.images import Images, count, iterate, ordered_map
from fashionsearch.images.decoding import Image
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.progress import open_bar
from fashionsearch.targets import UNKNOWN
from fashionsearch.training.augmentation import Augmentation

# A photo's place, and the seed of its augmentation, or None for the photo as it is.
Key: TypeAlias = "tuple[int, int | None]"


@dataclass(frozen=True)
class Photos:
    """Photos of one size, as uint8 in a file that every process maps into memory.

    Attributes:
        path: of the file.
        shape: (n, H, W, 3).
        digest: SHA-256 of the pixels.
    """

    path: Path
    shape: tuple[int, int, int, int]
    digest: str

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, positions: list[int]) -> torch.Tensor:
        """Return (m, 3, H, W) uint8, in the channels-last layout."""
        mapped = np.memmap(self.path, np.uint8, "r", shape=self.shape)
        return torch.from_numpy(mapped[positions]).permute(0, 3, 1, 2)


def decode_photos(images: Images, preprocess: Preprocess, path: Path, *, progress: bool) -> Photos:
    """Decode and resize images into a file.

    Raises:
        ImageError: at an image that can't be read.
        StorageError: if there is no space.
    """

    def resized(numbered: tuple[int, Image]) -> NDArray[np.uint8]:
        position, image = numbered
        return preprocess.read(image, position=position)

    digest, n = hashlib.sha256(), 0
    bar = open_bar(count(images), "reading", "image", shown=progress)
    with written(path.parent):
        file = path.open("wb")
    with file, bar:
        for pixels in ordered_map(resized, enumerate(iterate(images))):
            bar.update()
            block = np.ascontiguousarray(pixels).data
            with written(path.parent):
                file.write(block)
            digest.update(block)
            n += 1
        with written(path.parent):
            file.flush()
    height, width = preprocess.image_size
    return Photos(path, (n, height, width, 3), digest.hexdigest())


@contextlib.contextmanager
def written(folder: Path) -> Iterator[None]:
    """Say what to do where a file of a run can't be written."""
    try:
        yield
    except OSError as error:
        raise errors.StorageError(
            f"{folder} could not be written: {error}; what a network learns from is kept there, so set the "
            "environment variable TMPDIR to a folder with more space"
        ) from error


class PhotoDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batches of photos and targets, augmented by the seeds in their keys.

    Args:
        photos: n photos.
        targets: (n, …) what to learn of each; an attribute too.
        augmentation: done to photos whose key has a seed.
    """

    def __init__(self, photos: Photos, targets: torch.Tensor, augmentation: Augmentation) -> None:
        self.targets = targets
        self._photos, self._augmentation = photos, augmentation

    def __len__(self) -> int:
        return len(self._photos)

    def __getitems__(self, keys: list[Key]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (m, 3, H, W) uint8 and (m, …) targets."""
        positions = [position for position, _ in keys]
        photos = self._photos.read(positions)
        with one_thread():
            for row, (_, seed) in enumerate(keys):
                if seed is not None:
                    photos[row] = self._augmentation.apply_tensor(photos[row], seed)
        return photos, self.targets[positions]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch from sharing out the work on a single small photo, which takes longer than doing it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class Sampling:
    """Which photos an epoch shows, and how often.

    Attributes:
        copies: how many augmented copies of a photo stand behind one another in a batch.
        shares: (n,) float64, how probable each photo is to be drawn, with replacement; None shows each photo once.
    """

    copies: int = 1
    shares: NDArray[np.float64] | None = None


def balanced_shares(labels: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    """Return how probable each photo is, so that rare classes are evened out.

    Args:
        labels: (n,) class indices; photos whose label is unknown, −1, are as probable as the mean of the others.
        balance: from 0, classes as frequent as they are, to 1, each as frequent as the others.
    """
    known = labels != UNKNOWN
    shares = np.ones(len(labels))
    shares[known] = np.bincount(labels[known])[labels[known]] ** -float(balance)
    if known.any():
        shares[~known] = shares[known].mean()
    return np.asarray(shares / shares.sum())


@dataclass(frozen=True)
class Splits:
    """The photos of a run.

    Attributes:
        training: to learn from.
        validation: to choose the best epoch by, or None.
        image_size: (height, width) of both.
        sampling: which of the training photos an epoch shows, and how often.
    """

    training: PhotoDataset
    validation: PhotoDataset | None
    image_size: tuple[int, int]
    sampling: Sampling = field(default_factory=Sampling)


class ShuffledBatchSampler(Sampler[list[Key]]):
    """Shuffled batches that depend on the seed and the epoch alone, shared out among processes.

    The processes' parts of a batch add up to the batch that one process would have seen.

    Args:
        n: number of photos; a last batch that isn't full is left out of the epoch.
        batch_size: photos a step, copies among them, all processes together.
        seed: of order and augmentation.
        rank: which process this is.
        processes: how many there are.
        sampling: which photos are shown.
    """

    def __init__(
        self,
        n: int,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        sampling: Sampling | None = None,
    ) -> None:
        self._sampling = sampling or Sampling()
        self._n, self._batch_size, self._seed = n, max(1, min(batch_size // self._sampling.copies, n)), seed
        self._rank, self._processes = rank, processes
        self._epoch = 0

    @property
    def sampler(self) -> ShuffledBatchSampler:
        """Itself: where trainers look for what to tell the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Hear which epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n // self._batch_size

    def __iter__(self) -> Iterator[list[Key]]:
        copies, shares = self._sampling.copies, self._sampling.shares
        order, draws = (
            np.random.default_rng(each) for each in np.random.SeedSequence((self._seed, self._epoch)).spawn(2)
        )
        if shares is None:
            positions = order.permutation(self._n).tolist()
        else:
            positions = order.choice(self._n, self._n, p=shares).tolist()
        seeds = draws.integers(0, 2**32, self._n * copies).tolist()
        for start in range(0, len(self) * self._batch_size, self._batch_size):
            places = range(start, start + self._batch_size)[self._rank :: self._processes]
            # A photo's own draw, or where it may be drawn twice, that of its place.
            draws_of = [place if shares is not None else positions[place] for place in places]
            yield [
                (positions[place], seeds[draw * copies + copy])
                for place, draw in zip(places, draws_of, strict=True)
                for copy in range(copies)
            ]


class SequentialBatchSampler(Sampler[list[Key]]):
    """Photos as they are, in order; a process that would get one too few sees one of the first again."""

    def __init__(self, n: int, *, batch_size: int, rank: int = 0, processes: int = 1) -> None:
        share = -(-n // processes)
        self._positions = [position % n for position in range(share * processes)][rank::processes]
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._positions) // self._batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(0, len(self._positions), self._batch_size):
            yield [(position, None) for position in self._positions[start : start + self._batch_size]]
