"""`Backbone`: a network with its own preprocessing, that embeds images."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.backbones import snapshot
from fashionsearch.backbones.keeping import Kept
from fashionsearch.backbones.ready import EMBEDDINGS, ReadyNetwork
from fashionsearch.backbones.texts import embed_texts
from fashionsearch.cache import EmbeddingCache
from fashionsearch.device import (
    CPU_BATCH_SIZE,
    Execution,
    Placement,
    forks,
    resolve_placement,
    torch_defaults,
)
from fashionsearch.embedding import PhotoTransform, Pipeline
from fashionsearch.encoder import Batch
from fashionsearch.images import Images
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.results import Fidelity
from fashionsearch.runtimes import LowPrecision, Runtime
from fashionsearch.text_methods import embeds_text, only_with_texts

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fashionsearch.backbones.embedder import Embedder


class Backbone(Kept):
    """A network that turns images into embeddings, and the preprocessing that belongs to it.

    `create_backbone` makes one by name; this constructor wraps any module that maps (n, 3, H, W) float32 to (n, dim).

    Args:
        module: the network; it is put into evaluation mode and moved to the device. Caches know it by its weights
            at the first use: make another `Backbone` when they have changed.
        preprocess: how it wants its images.
        name: what to call it; the name `create_backbone` knows, if it is to be loaded again.
        origin: where its weights came from; None is untrained.
        device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (that of `lowered`, else float32 on CPU), "fp32", "bf16" or "fp16".
        runtime: "auto" (ONNX Runtime for much work on the CPU, else torch), "torch", "onnx" or "openvino".
        batch_size: images a forward pass; None is 32 on the CPU and 128 on CUDA.
        progress: show a bar once embedding takes over two seconds.
        lowered: the lower precision that `fashionsearch.lower_precision` measured; not used where `precision` is another.
        dim: length of an embedding, where it is known; None measures it by a forward pass.

    Attributes:
        name, preprocess, origin, progress: as given.
        ready: the graph in use instead of a module, where one lies ready.
        precision: "fp32", "bf16", "fp16" or "int8"; the module beside an int8 graph stays in fp32.
        lowered: as given, if it is in use.
        runtime_option: the runtime as given.
        dim: length of an embedding.

    Raises:
        WeightsError: if a weight is NaN or infinite.
        InputError: if the module's output isn't (n, dim), or an option isn't known.
        DeviceError: if the device or precision isn't there.
        RuntimeUnavailableError: if the runtime doesn't go with the device and precision.

    Examples:
        >>> import numpy as np, torch
        >>> from fashionsearch import Preprocess
        >>> tiny = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
        >>> backbone = Backbone(tiny, Preprocess((8, 8)), name="tiny")
        >>> backbone.dim, backbone.embed(np.zeros((5, 9, 9, 3), np.uint8)).shape
        (12, (5, 12))
    """

    def __init__(
        self,
        module: nn.Module | ReadyNetwork,
        preprocess: Preprocess,
        *,
        name: str = "custom",
        origin: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
        lowered: LowPrecision | None = None,
        dim: int | None = None,
    ) -> None:
        self._execution = Execution(device, precision, runtime, batch_size, progress)
        self.name, self.origin, self.preprocess = name, origin, preprocess
        self.runtime_option, self.progress = runtime, progress
        self._session: tuple[int, Runtime, Pipeline] | None = None
        self.ready: ReadyNetwork | None = None
        self.lowered: LowPrecision | None = None
        if isinstance(module, ReadyNetwork):
            if lowered is None and module.serves(device, precision, runtime):
                self.ready, self.dim, self.precision = module, module.dim, "fp32"
                self.weights_hash = module.weights_hash
                return
            module = module.make()
        self._place(module, lowered, dim)

    def _place(self, module: nn.Module, lowered: LowPrecision | None, dim: int | None) -> None:
        """Check a module and bring it where it is to run."""
        from torch import nn

        from fashionsearch.backbones.placing import decide, measured_dim
        from fashionsearch.backbones.weights import check_finite

        if not isinstance(module, nn.Module) or not isinstance(self.preprocess, Preprocess):
            raise errors.InputError(
                f"Backbone({module!r:.60}, {self.preprocess!r:.60}) needs a torch nn.Module and a Preprocess; "
                "create_backbone makes one by name"
            )
        self.placement, self.precision, self.lowered = decide(self._execution, lowered)
        with torch_defaults():
            self.module = module.eval().to(self.placement.device)
        if dim is None:
            check_finite(self.module, f"backbone {self.name!r}")
            dim = measured_dim(self.module, self.name, self.preprocess.image_size, self.placement.device)
        self.dim = dim

    @functools.cached_property
    def module(self) -> nn.Module:
        """The network."""
        with torch_defaults():
            return self._made_ready().make().eval()

    @functools.cached_property
    def placement(self) -> Placement:
        """Device and precision of the module."""
        self._made_ready()
        return resolve_placement("cpu", "fp32")

    @property
    def device(self) -> torch.device:
        """The `torch.device` in use."""
        return self.placement.device

    def _made_ready(self) -> ReadyNetwork:
        if self.ready is None:  # asked for before the constructor came to it
            raise AttributeError("this backbone has no network yet")
        return self.ready

    @functools.cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the network's tensors, as hexadecimal digits."""
        from fashionsearch.backbones.weights import weights_hash

        return weights_hash(self.module)

    @functools.cached_property
    def fingerprint(self) -> str:
        """What decides the embeddings (architecture, weights, preprocessing), as one SHA-256."""
        parts = [self.name, self.weights_hash, json.dumps(self.preprocess.to_dict(), sort_keys=True)]
        if self.lowered is not None and self.lowered.graph is not None:
            parts.append(hashlib.sha256(self.lowered.graph).hexdigest())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    @functools.cached_property
    def _cache_salt(self) -> str:
        # Networks without a registered name, or with no weights at all, may differ in their layers alone.
        if self.ready is None:
            return f"{self.fingerprint} {snapshot.layers_hash(self.module)}"
        familiar = "" if self.ready.output == EMBEDDINGS else f" {self.ready.output}"
        return f"{self.fingerprint} {self.ready.layers}{familiar}"

    def _open(self) -> tuple[int, Runtime, Pipeline]:
        """Return what embeds, opened at the first use, and again in a forked child, which can't use its parent's."""
        if self._session is None or self._session[0] != forks():
            runtime = self._opened() if self.ready is None else self.ready.runtime()
            pipeline = Pipeline(
                runtime,
                self.preprocess,
                dim=self.dim,
                fingerprint=f"{self._cache_salt} {self.precision}",
                batch_size=self._execution.batch_size
                or (CPU_BATCH_SIZE if self.ready is not None else self.placement.batch_size),
                progress=self.progress,
            )
            self._session = forks(), runtime, pipeline
        return self._session

    def _opened(self) -> Runtime:
        from fashionsearch.runtimes.choice import open_runtime

        return open_runtime(
            self.runtime_option,
            self.module,
            self.preprocess,
            self.placement,
            self._cache_salt,
            trained=self.origin is not None,
            lowered=self.lowered,
        )

    def variant(
        self,
        *,
        module: nn.Module | ReadyNetwork | None = None,
        preprocess: Preprocess | None = None,
        origin: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        runtime: str | None = None,
        lowered: LowPrecision | None = None,
        progress: bool | None = None,
    ) -> Backbone:
        """Return another backbone, in which what is not given stays.

        A lower precision was measured for one network and preprocessing: it goes where another is given.

        Raises:
            InputError: if the network doesn't take images of the new size.
            RuntimeUnavailableError: if the runtime doesn't go with the device and precision.
        """
        if lowered is None and module is None and preprocess is None and precision is None:
            lowered = self.lowered
        if precision is None:
            precision = self.precision if lowered is None else lowered.precision
            if precision == "int8" and lowered is None:  # of the module beside the graph in int8
                precision = self.placement.precision
        same = self.ready if self.ready is not None and preprocess is None else None
        other = Backbone(
            (same or self.module) if module is None else module,
            self.preprocess if preprocess is None else preprocess,
            name=self.name,
            origin=self.origin if origin is None else origin,
            device=self._device_name if device is None else device,
            precision=precision,
            runtime=self.runtime_option if runtime is None else runtime,
            batch_size=self._execution.batch_size,
            progress=self.progress if progress is None else progress,
            lowered=lowered,
            dim=self.dim if module is None and preprocess is None else None,
        )
        if module is None:
            other.weights_hash = self.weights_hash
        return other

    @property
    def _device_name(self) -> str:
        return "cpu" if self.ready is not None else str(self.device)

    def with_familiarity(self) -> Backbone:
        """Return a backbone that gives a tagger's embeddings with one number more, how familiar the photo is."""
        if self.ready is not None:
            return self.variant(module=self.ready.with_familiarity())
        from fashionsearch.backbones.embedder import WithFamiliarity

        return self.variant(module=WithFamiliarity(cast("Embedder", self.module)))

    @property
    def fidelity(self) -> Fidelity | None:
        """What the lower precision lost, where `lower_precision` measured it."""
        return None if self.lowered is None else self.lowered.fidelity

    @property
    def runtime(self) -> str:
        """The name of the runtime in use: "torch", "onnx" or "openvino"; under "auto" it may change as work comes."""
        return self._open()[1].name

    def embed(
        self, images: Images, *, cache: EmbeddingCache | None = None, view: PhotoTransform | None = None
    ) -> NDArray[np.float32]:
        """Embed images.

        Args:
            images: one image or many, in any form; one image gives a first axis of 1.
            cache: where to look for embeddings first, and what to add new ones to.
            view: a change that each photo goes through first, such as an augmentation; None embeds photos as they are.

        Returns:
            (n, dim) float32, in the order of the images.

        Raises:
            ImageError: if an image can't be read, naming it; nothing is returned. `check_images` finds all such.
        """
        pieces = [batch.vectors for batch in self.embed_batches(images, cache=cache, view=view)]
        return np.concatenate(pieces) if pieces else np.zeros((0, self.dim), dtype=np.float32)

    def embed_batches(
        self,
        images: Images,
        *,
        on_error: str = "raise",
        cache: EmbeddingCache | None = None,
        view: PhotoTransform | None = None,
    ) -> Iterator[Batch]:
        """Embed images piece by piece, in memory that doesn't grow with their number.

        Args:
            images: any form of images, also an endless generator.
            on_error: "raise", or "skip" images that can't be read and list them in the batch.
            cache: as for `embed`.
            view: as for `embed`.

        Yields:
            `Batch(positions, vectors, failures)`: positions in the input, (m, dim) float32, and what was left out.
        """
        return self._open()[2].batches(images, on_error=on_error, cache=cache, view=view)

    @only_with_texts(
        lambda backbone: (
            embeds_text(backbone.module) if backbone.ready is None else backbone.ready.embeds_text
        )
    )
    def embed_text(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """Embed texts among the photos; only a backbone has this whose network knows words, such as CLIP's.

        Args:
            texts: one text or many, none of them empty; one gives a first axis of 1.

        Returns:
            (n, dim) float32, in the order of the texts.

        Raises:
            InputError, MissingPackageError, WeightsError: if a text is empty or none, or a tokenizer lacks its files.
        """
        return embed_texts(self.module, texts, self.placement, self.dim, progress=self.progress)

    def __getstate__(self) -> dict[str, Any]:
        # A session can't be copied or sent to another process, and what was exported is made again.
        return {**vars(self), "_session": None, "_exported": None}

    def identity(self) -> dict[str, Any]:
        """Return by what the embeddings are recognised: a fingerprint, and the parts of which it is made."""
        return {
            "kind": "backbone",
            "name": self.name,
            "dim": self.dim,
            "fingerprint": self.fingerprint,
            "probe": None,
            "weights": self.weights_hash,
            "preprocess": self.preprocess.to_dict(),
            "int8": self.lowered is not None and self.lowered.graph is not None,
        }

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what `storage.save` needs to keep this backbone, as part of another folder if there is a prefix."""
        return snapshot.writers(self, prefix)

    def __repr__(self) -> str:
        height, width = self.preprocess.image_size
        return (
            f"Backbone({self.name!r}, dim={self.dim}, image_size={height}×{width}, weights={self.origin!r}, "
            f"device={self._device_name!r}, precision={self.precision!r})"
        )
