"""`optimize`: which image size, runtime and precision are fastest on this machine without losing what matters."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors, metrics
from fashionsearch.backbones import Backbone, as_backbone
from fashionsearch.compression.precision import Sample, best_low_precision, readable_sample
from fashionsearch.images import Images
from fashionsearch.images.decoding import Image
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.progress import open_bar
from fashionsearch.results import Fidelity, ShowsFields, html_table, text_table
from fashionsearch.runtimes.openvino import openvino_has_bf16

_SHARES = (6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7)
_MULTIPLE = 16
_SECONDS = 1.0
_ROUNDS = 3
_SINGLE_PHOTOS = 15
_LOWERED_SIZES = 2
_HEAD = ("size", "runtime", "precision", "photos/s", "ms a photo", "loss", "")


@dataclass(frozen=True)
class Trial(ShowsFields):
    """One way to run an encoder, and how it did.

    Attributes:
        image_size: (height, width) in pixels.
        runtime: "torch", "onnx" or "openvino".
        precision: "fp32", "bf16", "fp16" or "int8".
        images_per_second: from files to embeddings, many at once.
        latency: seconds from one file to its embedding, the median.
        fidelity: how its embeddings compare with those of the encoder that was given.
    """

    image_size: tuple[int, int]
    runtime: str
    precision: str
    images_per_second: float
    latency: float
    fidelity: Fidelity

    @property
    def loss(self) -> float:
        """What is lost, a fraction: k-NN accuracy with labels, else 1 − overlap of the 10 nearest."""
        return self.fidelity.loss


@dataclass(frozen=True, repr=False, eq=False)
class Optimization:
    """What `optimize` tried and found.

    Attributes:
        encoder: the fastest `Backbone` within the loss.
        best: its trial.
        original: the trial of the encoder that was given.
        trials: all trials, the fastest first.
        left_out: what could not be tried, and why.
        max_loss: the loss that was allowed.
    """

    encoder: Backbone
    best: Trial
    original: Trial
    trials: tuple[Trial, ...]
    left_out: tuple[str, ...]
    max_loss: float

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The trials that no other beats in photos a second, in latency and in loss at once; the fastest first."""
        return tuple(trial for trial in self.trials if not any(_beats(other, trial) for other in self.trials))

    def _rows(self) -> list[tuple[object, ...]]:
        marks = {id(self.original): "as given", id(self.best): "fastest within the loss"}
        return [
            (
                "×".join(str(side) for side in trial.image_size),
                trial.runtime,
                trial.precision,
                f"{trial.images_per_second:.1f}",
                f"{1000 * trial.latency:.1f}",
                f"{trial.loss:.4f}",
                marks.get(id(trial), ""),
            )
            for trial in self.trials
            if trial in self.pareto or id(trial) in marks
        ]

    def _summary(self) -> str:
        faster = self.best.images_per_second / self.original.images_per_second
        kind = "k-NN accuracy" if self.best.fidelity.accuracy is not None else "the 10 nearest"
        return (
            f"{faster:.1f} times the photos a second at a loss of {self.best.loss:.4f} in {kind} (allowed {self.max_loss}), "
            f"on {self.best.fidelity.images:,} images"
        )

    def __repr__(self) -> str:
        left_out = "".join(f"\nnot tried: {reason}" for reason in self.left_out)
        return f"{self._summary()}\n\n{text_table(_HEAD, self._rows())}\n{left_out}".rstrip()

    def _repr_html_(self) -> str:
        return html_table(_HEAD, self._rows(), self._summary())


def optimize(
    encoder: Any,
    images: Images,
    labels: ArrayLike | None = None,
    *,
    max_loss: float = 0.005,
    image_sizes: Sequence[int | tuple[int, int]] | None = None,
    on_error: str = "raise",
    progress: bool = True,
) -> Optimization:
    """Find the image size, runtime and precision that embed fastest on this machine within a loss.

    The encoder's own size is tried in each runtime that is installed, and the others in the fastest of them. Its own size
    and the two smallest that lose little enough are also tried in bf16 and int8. Speeds are from files to embeddings,
    without the embedding cache.

    Args:
        encoder: a backbone in fp32, its name, or a fitted classifier or autoencoder, whose backbone is taken.
        images: 40 photos or more, such as those that are to be embedded; up to 1,000 are compared, and 64 calibrate.
        labels: (n,) their classes. With them the loss is the drop in the accuracy of a 5-nearest-neighbour vote, without
            them 1 − the mean overlap of the 10 nearest, which is far stricter.
        max_loss: what may be lost, in [0, 1].
        image_sizes: sides, or (height, width), in pixels; None is six sizes from the encoder's own down to 2/7 of it.
        on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a `DataWarning` that
            names them.
        progress: show a bar.

    Returns:
        An `Optimization`: print it for the table; its `encoder` is a `Backbone` that embeds, saves and loads as any other.

    Raises:
        InputError: if the encoder isn't in fp32, there are too few images, or an option can't be used.
        ImageError: if an image can't be read.

    Examples:
        >>> import fashionsearch as fs
        >>> backbone = fs.create_backbone("cnn", weights=None, random_state=0)
        >>> table = fs.datasets.make_catalogue(60)
        >>> found = fs.optimize(backbone, table.images, max_loss=0.2, image_sizes=[64], progress=False)
        >>> found.encoder.dim
        256
    """
    if not 0 <= max_loss <= 1:
        raise errors.InputError(f"max_loss={max_loss!r} is not a fraction from 0 to 1, such as 0.005")
    given = as_backbone(encoder)
    if given.lowered is not None or (given.device.type == "cpu" and given.precision != "fp32"):
        raise errors.InputError(
            f"{given!r} is in lower precision already; give the one in fp32, or load it with precision='fp32'"
        )
    sizes = _sizes(given.preprocess.image_size, image_sizes)
    sample = Sample(*readable_sample(images, labels, on_error))
    search = _Search(given.variant(progress=False), sample, max_loss)
    with open_bar(None, "optimizing", "trial", shown=progress) as bar:
        for runtime in _runtimes(given):
            search.try_float(sizes[0], runtime)
            bar.update()
        for size in sizes[1:]:
            search.try_float(size, search.fastest_runtime())
            bar.update()
        for size, precision in itertools.product(search.worth_lowering(sizes), _lower_precisions(given)):
            search.try_lowered(size, precision)
            bar.update()
    return search.result(given.progress)


class _Search:
    """Tries one way after another on the same images."""

    def __init__(self, given: Backbone, sample: Sample, max_loss: float) -> None:
        self._given, self._sample, self._max_loss = given, sample, max_loss
        self._expected = given.embed(sample.compared)
        self._left_out: list[str] = []
        self._found: list[tuple[Trial, Backbone]] = []
        self._note(given, self._compared(self._expected))

    def _compared(self, embeddings: NDArray[np.float32]) -> Fidelity:
        return metrics.fidelity(embeddings, self._expected, self._sample.labels)

    def _note(self, backbone: Backbone, fidelity: Fidelity) -> None:
        trial = Trial(
            backbone.preprocess.image_size,
            backbone.runtime,
            backbone.precision,
            _images_per_second(backbone, self._sample.compared),
            _latency(backbone, self._sample.compared),
            fidelity,
        )
        # A copy has no open session, which takes much memory.
        self._found.append((trial, copy.copy(backbone)))

    def _sized(self, size: tuple[int, int], runtime: str) -> Backbone:
        preprocess = dataclasses.replace(self._given.preprocess, image_size=size)
        return self._given.variant(preprocess=preprocess, runtime=runtime)

    def try_float(self, size: tuple[int, int], runtime: str) -> None:
        """Try a size in one runtime; at the encoder's own size its embeddings are known."""

        def attempt() -> None:
            backbone = self._sized(size, runtime)
            if backbone.dim != self._given.dim:
                raise errors.InputError(f"embeddings have length {backbone.dim} and not {self._given.dim}")
            known = size == self._given.preprocess.image_size
            embeddings = self._expected if known else backbone.embed(self._sample.compared)
            self._note(backbone, self._compared(embeddings))

        self._attempt(attempt, f"{size[0]}×{size[1]} in {runtime}")

    def fastest_runtime(self) -> str:
        """Return the runtime of the fastest trial."""
        return max((trial for trial, _ in self._found), key=lambda trial: trial.images_per_second).runtime

    def worth_lowering(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the encoder's own size and the smallest that lose little enough."""
        held = [size for size in sizes if self._loss(size) <= self._max_loss]
        return [size for size in held if size in held[-_LOWERED_SIZES:] or size == sizes[0]]

    def _loss(self, size: tuple[int, int]) -> float:
        return min((trial.loss for trial, _ in self._found if trial.image_size == size), default=1.0)

    def try_lowered(self, size: tuple[int, int], precision: str) -> None:
        """Try a size in a lower precision, in the runtime that suits it."""
        runtime = "onnx" if precision == "int8" else "openvino" if openvino_has_bf16() else "torch"

        def attempt() -> None:
            backbone, fidelity = best_low_precision(
                self._sized(size, runtime),
                precision,
                self._sample,
                self._expected,
                lambda found: found.loss <= self._max_loss,
            )
            self._note(backbone, fidelity)

        self._attempt(attempt, f"{size[0]}×{size[1]} in {precision}")

    def _attempt(self, attempt: Callable[[], None], what: str) -> None:
        try:
            attempt()
        except errors.ImageError:
            raise
        except (errors.InputError, errors.RuntimeUnavailableError, errors.DeviceError) as error:
            self._left_out.append(f"{what}: {error}")

    def result(self, progress: bool) -> Optimization:
        """Return what was found."""
        original = self._found[0][0]
        ranked = sorted(self._found, key=lambda each: -each[0].images_per_second)
        best, encoder = next(each for each in ranked if each[0].loss <= self._max_loss)
        return Optimization(
            encoder.variant(progress=progress),
            best,
            original,
            tuple(trial for trial, _ in ranked),
            tuple(self._left_out),
            self._max_loss,
        )


def _sizes(own: tuple[int, int], wanted: Sequence[int | tuple[int, int]] | None) -> list[tuple[int, int]]:
    if wanted is None:
        height, width = own
        smaller = [(_rounded(height * share), _rounded(width * share)) for share in _SHARES]
        return list(dict.fromkeys([own, *smaller]))
    sides = [(size, size) if isinstance(size, int) else size for size in wanted]
    sizes = [Preprocess(size).image_size for size in sides]  # which refuses what is no size
    return sorted(dict.fromkeys(sizes), key=lambda size: -size[0] * size[1])


def _rounded(side: float) -> int:
    return max(_MULTIPLE, round(side / _MULTIPLE) * _MULTIPLE)


def _runtimes(given: Backbone) -> list[str]:
    if given.device.type != "cpu":
        return ["torch"]
    return ["torch", "onnx", *(["openvino"] if find_spec("openvino") else [])]


def _lower_precisions(given: Backbone) -> tuple[str, ...]:
    """Return the precisions to try; what is low already, as on a GPU, stays."""
    if given.precision != "fp32":
        return ()
    return ("bf16", "int8") if given.device.type == "cpu" else ("bf16",)


def _images_per_second(backbone: Backbone, images: Sequence[Image]) -> float:
    """Return the best of a few runs: what else the machine does makes a run slower, and never faster."""
    began = time.perf_counter()
    few = images[: min(len(images), 32)]
    backbone.embed(few)
    rate = len(few) / (time.perf_counter() - began)
    some = images[: int(np.clip(rate * _SECONDS, len(few), 256))]
    rates = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        backbone.embed(some)
        rates.append(len(some) / (time.perf_counter() - began))
    return max(rates)


def _latency(backbone: Backbone, images: Sequence[Image]) -> float:
    backbone.embed(images[0])
    times = []
    for image in images[:_SINGLE_PHOTOS]:
        began = time.perf_counter()
        backbone.embed(image)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _beats(one: Trial, other: Trial) -> bool:
    ours = (-one.images_per_second, one.latency, one.loss)
    theirs = (-other.images_per_second, other.latency, other.loss)
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))
