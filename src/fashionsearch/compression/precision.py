"""Lower precision: a network in bf16 or int8, given out only where its embeddings stay what they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashionsearch import errors, metrics
from fashionsearch.backbones import Backbone, as_backbone
from fashionsearch.estimator import readable, readable_images
from fashionsearch.images import Images, iterate
from fashionsearch.images.decoding import Image
from fashionsearch.results import Fidelity
from fashionsearch.runtimes import LowPrecision, probe_pixels
from fashionsearch.runtimes.quantisation import Quantiser
from fashionsearch.targets import checked_labels

PRECISIONS = ("bf16", "int8")
LEAST_IMAGES = 40
_CALIBRATION = 64
_MOST_COMPARED = 1000
_KEPT_IN_FLOAT = (3, 6, 12)
_RUNTIMES = {"bf16": ("auto", "torch", "openvino"), "int8": ("auto", "onnx", "openvino")}


def lower_precision(
    encoder: Any,
    precision: str,
    images: Images,
    labels: ArrayLike | None = None,
    *,
    min_cosine: float = 0.995,
    max_loss: float = 0.005,
    on_error: str = "raise",
) -> Backbone:
    """Return a backbone that computes in bf16 or int8, if its embeddings stay near enough to what they were.

    In int8 the ranges of activations come from 64 of the images, at most half of them; the others, up to 1,000, show
    what is lost. Where that is too much, more and more of the first layers stay in float. Weights are quantised per
    channel (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference"). In bf16 the same network is computed otherwise.

    Args:
        encoder: a backbone in fp32, its name, or a fitted classifier or autoencoder, whose backbone is taken.
        precision: "bf16" or "int8", which runs on the CPU alone.
        images: 40 photos or more, such as those that are to be embedded.
        labels: (n,) their classes, if k-NN accuracy counts too.
        min_cosine: the mean cosine similarity to the embeddings in fp32 that must be reached, in [−1, 1].
        max_loss: the drop in the accuracy of a 5-nearest-neighbour vote that is allowed, in [0, 1]; only with labels.
        on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a `DataWarning` that
            names them.

    Returns:
        A `Backbone` with the same weights, whose `fidelity` says what was lost. It saves and loads as any other.

    Raises:
        FidelityError: if more is lost than is allowed; the message has the figures.
        InputError: if the encoder isn't in fp32, or there are too few images.
        RuntimeUnavailableError: if the network can't be exported or quantised.
        ImageError: if an image can't be read.

    Examples:
        >>> import fashionsearch as fs
        >>> backbone = fs.create_backbone("efficientnet_lite0", image_size=64, progress=False)
        >>> photos = fs.datasets.make_catalogue(60).images
        >>> fast = fs.lower_precision(backbone, "bf16", photos)
        >>> fast.precision, fast.fidelity.cosine > 0.995
        ('bf16', True)
    """
    if precision not in PRECISIONS:
        raise errors.InputError(
            f"precision={precision!r} is not one of {', '.join(PRECISIONS)}.{errors.did_you_mean(precision, PRECISIONS)}"
        )
    original = as_backbone(encoder)
    sample = Sample(*readable_sample(images, labels, on_error))

    def enough(found: Fidelity) -> bool:
        return found.cosine >= min_cosine and (found.accuracy is None or found.loss <= max_loss)

    lowered, found = best_low_precision(original, precision, sample, original.embed(sample.compared), enough)
    if not enough(found):
        raise errors.FidelityError(
            f"{original.name!r} loses too much in {precision}: {found}; wanted are a mean cosine of {min_cosine} and at most "
            f"{max_loss} less accuracy. Allow more, or stay with precision='fp32'"
        )
    return lowered


class Sample:
    """The images that lower precision is calibrated on and those it is compared on, never the same ones.

    Args:
        images: any form of images.
        labels: (n,) classes, or None.
    """

    def __init__(self, images: Images, labels: ArrayLike | None) -> None:
        truth = None if labels is None else checked_labels(images, labels, "labels")
        everything: Sequence[Image] = list(iterate(images))
        if len(everything) < LEAST_IMAGES:
            raise errors.InputError(
                f"{len(everything)} images are too few to tell what is lost; give {LEAST_IMAGES} or more, better 1,000"
            )
        shuffled = np.random.default_rng(0).permutation(len(everything))
        cut = min(_CALIBRATION, len(everything) // 2)
        compared = np.sort(shuffled[cut : cut + _MOST_COMPARED])
        self.calibration = [everything[i] for i in shuffled[:cut]]
        self.compared = [everything[i] for i in compared]
        self.labels: NDArray[Any] | None = None if truth is None else truth[compared]


def best_low_precision(
    original: Backbone,
    precision: str,
    sample: Sample,
    expected: NDArray[np.float32],
    enough: Callable[[Fidelity], bool],
) -> tuple[Backbone, Fidelity]:
    """Return a backbone in lower precision: the first try that loses little enough, else the one nearest to it.

    Args:
        original: the backbone in fp32.
        precision: "bf16" or "int8".
        sample: what to calibrate and to compare on.
        expected: (m, dim) the embeddings to stay near to, of `sample.compared`.
        enough: says whether a try will do.

    Raises:
        InputError: if the backbone isn't in fp32.
        RuntimeUnavailableError: if the network can't be exported, quantised or run.
    """
    if original.precision != "fp32":
        raise errors.InputError(
            f"{original!r} is in {original.precision} already; give the one in fp32, or load it with precision='fp32'"
        )

    def judged(lowered: LowPrecision) -> tuple[Backbone, Fidelity]:
        candidate = original.variant(lowered=lowered, runtime=runtime)
        found = metrics.fidelity(candidate.embed(sample.compared), expected, sample.labels)
        probed = None
        if lowered.graph is not None:
            probed = candidate.embed(list(probe_pixels(candidate.preprocess.image_size)))
        candidate.lowered = replace(lowered, fidelity=found, expected=probed)
        return candidate, found

    runtime = original.runtime_option if original.runtime_option in _RUNTIMES[precision] else "auto"
    if precision == "bf16":
        return judged(LowPrecision("bf16"))
    if original.device.type != "cpu":
        raise errors.RuntimeUnavailableError(
            f"int8 runs on the CPU, and this backbone is on {original.device}; create it with device='cpu', or use bf16"
        )
    pixels = np.stack([original.preprocess.read(image) for image in sample.calibration])
    quantiser = Quantiser(original.float_graph(), pixels)
    best = judged(LowPrecision("int8", quantiser.quantised()))
    if enough(best[1]):
        return best
    narrow = judged(LowPrecision("int8", quantiser.quantised(reduce_range=True)))
    overflows = narrow[1].cosine > best[1].cosine
    best = narrow if overflows else best
    for in_float in _KEPT_IN_FLOAT:
        if enough(best[1]) or in_float > quantiser.layers // 2:
            break
        graph = quantiser.quantised(in_float=in_float, reduce_range=overflows)
        best = max(best, judged(LowPrecision("int8", graph)), key=lambda each: each[1].cosine)
    return best


def readable_sample(
    images: Images, labels: ArrayLike | None, on_error: str
) -> tuple[Images, ArrayLike | None]:
    """Return images and their labels, if there are any, under "skip" without the images that can't be read."""
    return (readable_images(images, on_error), None) if labels is None else readable(images, labels, on_error)
