"""What turns photos into an index's vectors: used, recognised, saved and brought back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.device import Execution
from fashionsearch.encoder import GRAPHS, Batch, Embeds, as_encoder, probe, with_graph
from fashionsearch.index.rows import check_choice, check_cosine, check_number

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.images import Images
    from fashionsearch.images.decoding import Image

_BACKGROUNDS = ("keep", "fuse")
PREFIX = "encoder/"
_SAME = 0.999
_MAX_DIM = 1_000_000


@dataclass(frozen=True, eq=False)
class Embedded:
    """A photo whose embedding is known, in place of the photo in a search.

    Attributes:
        vector: (dim,) float32, as the index's encoder gives it.
    """

    vector: NDArray[np.float32]


def check(encoder: object) -> None:
    """Raise InputError unless an object embeds, or NotFittedError if it must learn first."""
    if getattr(encoder, "__sklearn_is_fitted__", lambda: True)() is False:
        raise errors.NotFittedError(
            f"this {type(encoder).__name__} has not learned yet; call fit before indexing with it"
        )
    if not callable(getattr(encoder, "embed", None)) or not isinstance(
        getattr(encoder, "dim", None), int | np.integer
    ):
        raise errors.InputError(
            f"{type(encoder).__name__} is not an encoder: it needs dim and embed(images) -> (n, dim); give a backbone, a "
            "classifier, a backbone's name, or an object of your own with these two"
        )


def named(encoder: Embeds | str | None) -> Embeds | None:
    """Return the backbone of a name, and anything else as it is."""
    if not isinstance(encoder, str):
        return encoder
    from fashionsearch.backbones import create_backbone

    return create_backbone(encoder)


def dimension(encoder: Embeds | None, dim: int | None) -> int:
    """Return the length of an index's vectors: the encoder's if there is one, else the given one.

    Raises:
        InputError: if they differ, either can't be used, or the encoder is none.
        NotFittedError: if the encoder must learn first.
    """
    if encoder is None:
        return check_number("dim", dim, low=1, high=_MAX_DIM)
    check(encoder)
    if dim is not None and dim != encoder.dim:
        raise errors.InputError(f"dim={dim}, and the encoder's is {encoder.dim}; leave dim out")
    return int(encoder.dim)


def name(encoder: Embeds) -> str:
    """Return what to call an encoder."""
    return str(getattr(encoder, "name", type(encoder).__name__))


def check_background(background: str, metric: str) -> str:
    """Return what is to be done about backgrounds, or raise InputError if it isn't known or needs another metric."""
    check_choice("background", background, _BACKGROUNDS)
    if background == "fuse":
        check_cosine("background='fuse'", metric)
    return background


def seeing(encoder: Embeds, background: str) -> Embeds:
    """Return the encoder, or for "fuse" one that sees beside each photo what it shows alone on white."""
    if background == "keep":
        return encoder
    from fashionsearch.background import Fused

    return Fused(encoder)


def embed_all(
    encoder: Embeds, images: Images, on_error: str, cache: EmbeddingCache | None
) -> tuple[NDArray[np.float32], list[int], list[str | None], tuple[errors.ImageFailure, ...]]:
    """Return vectors (m, dim), their positions and sources, and what was left out."""
    batches = list(as_encoder(encoder).embed_batches(images, on_error=on_error, cache=cache))
    vectors = [batch.vectors for batch in batches if len(batch.vectors)]
    return (
        np.concatenate(vectors) if vectors else np.zeros((0, int(encoder.dim)), dtype=np.float32),
        [int(position) for batch in batches for position in batch.positions],
        [source for batch in batches for source in batch.sources],
        tuple(failure for batch in batches for failure in batch.failures),
    )


def embed_queries(encoder: Embeds, pictures: Sequence[Image | Embedded]) -> NDArray[np.float32]:
    """Return the embeddings of the single photos of a search: those that are known, or else by the encoder.

    Raises:
        InputError: if the encoder returns more or fewer than there are photos.
    """
    known = [picture.vector for picture in pictures if isinstance(picture, Embedded)]
    if known and len(known) == len(pictures):
        return np.stack(known)
    if not pictures:
        return np.zeros((0, int(encoder.dim)), dtype=np.float32)
    vectors = as_encoder(encoder).embed(cast("Sequence[Image]", pictures))
    if len(vectors) != len(pictures):
        raise errors.InputError(
            f"the encoder returned {len(vectors)} embeddings of {len(pictures)} photos; it must return one for each"
        )
    return vectors


def identity(encoder: Embeds) -> dict[str, Any]:
    """Return by what an encoder is recognised: a fingerprint, or how it embeds one picture."""
    return as_encoder(encoder).identity()


def writers(encoder: Embeds, *, onnx: bool = True) -> dict[str, storage.Writer]:
    """Return what `storage.save` needs to keep the encoder: all of it, or nothing for the user's own class.

    Unless `onnx` its network isn't kept as a graph.
    """
    return with_graph(as_encoder(encoder).writers(PREFIX), onnx=onnx)


def restore(
    saved: storage.Saved,
    expected: Mapping[str, Any] | None,
    given: Embeds | None,
    execution: Execution,
    *,
    rebuild: bool = False,
) -> Embeds | None:
    """Return the encoder of a saved index: the given one if it is the same, else the saved one.

    Args:
        saved: the folder.
        expected: by what the encoder is recognised; None is none.
        given: to use instead of the saved one.
        execution: how the saved one is to be run.
        rebuild: make its network from the weights, whatever graph lies beside them.

    Raises:
        EncoderMismatchError: if the given one isn't the one the vectors came from.
        CorruptFileError: if the saved one is of no kind that this version knows.
    """
    if rebuild:
        saved = saved.without(GRAPHS)
    if given is not None:
        check(given)
        if expected is not None:
            check_same(
                given,
                expected,
                f"{saved.folder} holds",
                lambda: _read(saved, expected, Execution(progress=False)),
            )
        return given
    if expected is None or expected["fingerprint"] is None:
        return None
    return _read(saved, expected, execution)


def _read(saved: storage.Saved, expected: Mapping[str, Any], execution: Execution) -> Embeds:
    kind = expected.get("kind", "backbone")  # all that version 0.1 saved, and it didn't say so
    if kind not in _READERS:
        raise errors.CorruptFileError(
            f"{saved.folder}: the index's encoder is of kind {str(kind)[:40]!r}, which is not one of {', '.join(_READERS)}"
        )
    return _READERS[kind](saved, execution)


def _read_backbone(saved: storage.Saved, execution: Execution) -> Embeds:
    from fashionsearch.backbones import Backbone

    return Backbone.read(saved, execution, prefix=PREFIX)


def _read_classifier(saved: storage.Saved, execution: Execution) -> Embeds:
    from fashionsearch.tagging.classifier import Classifier

    return Classifier.read(saved, execution, prefix=PREFIX)


def _read_tagger(saved: storage.Saved, execution: Execution) -> Embeds:
    from fashionsearch.tagging.tagger import Tagger

    return Tagger.read(saved, execution, prefix=PREFIX)


def _read_autoencoder(saved: storage.Saved, execution: Execution) -> Embeds:
    from fashionsearch.autoencoder import Autoencoder

    return Autoencoder.read(saved, execution, prefix=PREFIX)


_READERS: dict[str, Callable[[storage.Saved, Execution], Embeds]] = {
    "backbone": _read_backbone,
    "classifier": _read_classifier,
    "tagger": _read_tagger,
    "autoencoder": _read_autoencoder,
}


class Unread:
    """The encoder that a folder keeps, as long as nothing is embedded: recognised and kept, and never read.

    Args:
        saved: the folder.
        expected: by what the encoder is recognised.
    """

    def __init__(self, saved: storage.Saved, expected: Mapping[str, Any]) -> None:
        self._saved, self._expected = saved, expected
        self.name, self.dim = str(expected["name"]), int(expected["dim"])
        self.kind = str(expected.get("kind", "backbone"))

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Refuse: who embeds opens the index with its encoder.

        Raises:
            InputError: always.
        """
        raise errors.InputError(f"{self._saved.folder} was opened without reading its encoder; open it anew")

    def embed_batches(
        self, images: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Refuse likewise."""
        self.embed(images)
        yield from ()

    def read(self) -> Embeds:
        """Return the encoder itself, for what is known without embedding: a tagger's heads.

        Raises:
            CorruptFileError: if it is of no kind that this version knows.
        """
        return _read(self._saved, self._expected, Execution(progress=False))

    def identity(self) -> dict[str, Any]:
        """Return by what the encoder is recognised."""
        return dict(self._expected)

    def writers(self, prefix: str = "") -> dict[str, storage.Writer]:
        """Return what copies its files, each verified."""
        names = [name for name in self._saved.files if name.startswith(PREFIX)]
        return {prefix + name[len(PREFIX) :]: storage.write_copy(self._saved, name) for name in names}


def replacement(used: Embeds | None, given: Embeds | None, dim: int, *, empty: bool) -> Embeds | None:
    """Return the encoder that is to take another's place, if an index's vectors may come from it.

    Raises:
        EncoderMismatchError: if it embeds otherwise, unless the index is empty and the length of vectors fits.
        InputError: if it is no encoder, or the encoder is to be taken away from vectors that came from it.
    """
    if given is None:
        if used is not None and not empty:
            raise errors.InputError(
                "encoder=None would leave vectors of which nobody knows where they came from; keep the encoder"
            )
        return None
    check(given)
    if int(given.dim) != dim:
        raise errors.EncoderMismatchError(f"this encoder's dim is {int(given.dim)}, and the index's is {dim}")
    if used is not None and not empty:
        check_same(given, identity(used), restored=lambda: used)
    return given


def check_same(
    given: Embeds,
    expected: Mapping[str, Any],
    holder: str = "the index holds",
    restored: Callable[[], Embeds] | None = None,
) -> None:
    """Raise EncoderMismatchError, which says what differs, unless an encoder is the one that made an index's vectors.

    Args:
        given: the encoder.
        expected: the identity of the one that made them.
        holder: begins the message.
        restored: makes that encoder again, to embed a picture with it where only one of the two has a fingerprint.
    """
    if int(given.dim) == expected["dim"]:
        own = identity(given)
        if own == expected:
            return
        if expected["fingerprint"] is not None and own["fingerprint"] is not None:
            same = own["fingerprint"] == expected["fingerprint"]
        else:
            reference = expected["probe"]
            if expected["fingerprint"] is not None and restored is not None:
                reference = probe(restored())
            same = _alike(own["probe"] or probe(given), reference)
    else:
        own, same = {"name": name(given), "dim": int(given.dim)}, False
    if not same:
        raise errors.EncoderMismatchError(
            f"{holder} vectors of {expected['name']!r}, and this encoder is another one: {_differences(expected, own)}; "
            "use the encoder they came from, or index the photos again"
        )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in words what two identities differ in."""
    found = []
    if one["name"] != other["name"]:
        found.append(f"its name is {other['name']!r}")
    if one["dim"] != other["dim"]:
        found.append(f"its dim is {other['dim']} and not {one['dim']}")
    theirs, own = one.get("preprocess"), other.get("preprocess")
    if theirs and own:
        found += [
            f"its {field.replace('_', ' ')} is {_plain(own[field])} and not {_plain(theirs[field])}"
            for field in own
            if own[field] != theirs.get(field)
        ]
    for field, words in (("weights", "its weights are others"), ("int8", "one of the two is in int8")):
        if one.get(field) != other.get(field) and field in one and field in other:
            found.append(words)
    return ", ".join(found) or "its weights or preprocessing are others"


def _plain(value: object) -> str:
    """Return a value of a preprocessing as one says it: a square by its side."""
    sides = value if isinstance(value, list) else []
    if len(sides) == 2:
        return f"{sides[0]} px" if sides[0] == sides[1] else f"{sides[0]}×{sides[1]} px"
    return str(value)


def _alike(one: list[float] | None, other: list[float] | None) -> bool:
    """Return whether two embeddings of one picture are the same within rounding; unknown ones get the benefit."""
    if one is None or other is None:
        return True
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return lengths > 0 and float(np.dot(one, other)) / lengths >= _SAME
