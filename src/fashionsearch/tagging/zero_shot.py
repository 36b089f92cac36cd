"""A tagger that has seen no photo: classes are told by their names, which an encoder of photos and texts embeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.cache import EmbeddingCache
from fashionsearch.encoder import AdaptedEncoder, Batch, Embeds, EmbedsText, Encoder, as_encoder
from fashionsearch.images import Images
from fashionsearch.storage import Writer
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.state import State, check_attribute_names, unit
from fashionsearch.tagging.taxonomy import Taxonomy
from fashionsearch.targets import Targets
from fashionsearch.text_methods import embeds_text, only_with_texts

TEMPLATES = ("a photo of a {}.", "a product photo of a {}.", "a {} in an online shop.")

Templates = Sequence[str] | Mapping[str, Sequence[str]]


class UnitEncoder:
    """An encoder whose embeddings are made 1 long, as a tagger's are; a `Backbone` can be saved, another object can't.

    Args:
        encoder: the encoder.
    """

    def __init__(self, encoder: Embeds) -> None:
        used = as_encoder(encoder)
        self._given = encoder
        self._encoder: Encoder = used if isinstance(used, Backbone) else AdaptedEncoder(encoder)

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return int(self._encoder.dim)

    def embed(self, images: Images) -> NDArray[np.float32]:
        """Return (n, dim) float32 of length 1."""
        pieces = [batch.vectors for batch in self.embed_batches(images)]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *pieces])

    @only_with_texts(lambda encoder: embeds_text(encoder._given))
    def embed_text(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dim) float32 of length 1, where the encoder embeds texts."""
        given = cast("EmbedsText", self._given)
        return unit(np.asarray(given.embed_text([texts] if isinstance(texts, str) else texts), np.float32))

    def embed_batches(
        self, images: Images, *, on_error: str = "raise", cache: EmbeddingCache | None = None
    ) -> Iterator[Batch]:
        """Yield embeddings piece by piece, in the order of the images."""
        for batch in self._encoder.embed_batches(images, on_error=on_error, cache=cache):
            yield replace(batch, vectors=unit(batch.vectors))

    def identity(self) -> dict[str, Any]:
        """Return by what the embeddings are recognised: those of the encoder have another length."""
        found = self._encoder.identity()
        fingerprint = found["fingerprint"]
        return {**found, "fingerprint": None if fingerprint is None else f"{fingerprint} unit"}

    def writers(self, prefix: str = "") -> dict[str, Writer]:
        """Return what `storage.save` needs to keep the encoder, nothing if it can't be kept."""
        return self._encoder.writers(prefix)


def zero_shot_state(
    encoder: EmbedsText, classes: Mapping[str, Sequence[str]], templates: Templates, scale: float
) -> State:
    """Return heads whose weights are the names' embeddings, and which have learned from no photo.

    Arguments and errors are those of `Tagger.zero_shot`.
    """
    _check_encoder(encoder)
    if not isinstance(scale, Real) or isinstance(scale, bool) or not 0 < scale <= 1e4:
        raise errors.InputError(f"scale={scale!r} is not a number above 0, up to 10,000, such as 100")
    if not isinstance(classes, Mapping) or not classes or not all(isinstance(name, str) for name in classes):
        raise errors.InputError(
            f"classes={classes!r:.200} are not a mapping of attributes to names of classes, such as "
            "{'articleType': ['Shirt', 'Dress']}"
        )
    check_attribute_names(classes)
    names = {attribute: _checked_names(attribute, given) for attribute, given in classes.items()}
    prompts = _checked_templates(templates, names)
    heads = {}
    for attribute, each in names.items():
        weight = np.float32(scale) * _embedded(encoder, attribute, each, prompts[attribute])
        heads[attribute] = LinearHead(weight, np.zeros(len(each), np.float32))
    none = np.zeros((0, len(names)), np.int64)
    nothing = np.zeros((0, int(encoder.dim)), np.float32)
    targets = Targets(none, {attribute: np.array(each, np.str_) for attribute, each in names.items()})
    return State(heads, Taxonomy(), targets, nothing, -1.0, nothing, none)


def _check_encoder(encoder: object) -> None:
    embeds = callable(getattr(encoder, "embed", None))
    if not embeds or not isinstance(getattr(encoder, "dim", None), Integral):
        raise errors.InputError(
            f"{type(encoder).__name__} is not an encoder: it needs dim, embed(images) -> (n, dim) and embed_text(texts) -> "
            "(n, dim)"
        )
    if not embeds_text(encoder):
        raise errors.InputError(
            f"{type(encoder).__name__} has no embed_text(texts) -> (n, dim), so names can't be compared with photos; give an "
            "encoder of photos and texts, such as create_backbone('open_clip:ViT-B-32'), or fit a Tagger on labelled photos"
        )


def _checked_names(attribute: str, names: object) -> list[str]:
    given = list(names) if isinstance(names, Sequence | np.ndarray) and not isinstance(names, str) else []
    if len(given) < 2 or not all(isinstance(name, str) and name.strip() for name in given):
        raise errors.InputError(
            f"classes of {attribute!r} are {names!r:.200}; give two names or more, in a list of text, since the names are "
            "all that photos are compared with"
        )
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise errors.InputError(f"{twice!r} is named twice among the classes of {attribute!r}; name it once")
    return [str(name) for name in given]


def _checked_templates(templates: Templates, attributes: Mapping[str, object]) -> dict[str, Sequence[str]]:
    """Return attribute -> its templates."""
    own = templates if isinstance(templates, Mapping) else dict.fromkeys(attributes, templates)
    for attribute, given in own.items():
        if attribute not in attributes:
            raise errors.InputError(
                f"templates are given for {attribute!r}, and the attributes are {', '.join(attributes)}."
                + errors.did_you_mean(attribute, attributes)
            )
        fine = isinstance(given, Sequence) and not isinstance(given, str) and given
        if not fine or not all(isinstance(template, str) and "{}" in template for template in given):
            raise errors.InputError(
                f"templates={given!r:.200} are not a list of texts with {{}} where a name goes, such as "
                f"{list(TEMPLATES[:1])!r}"
            )
    return {attribute: own.get(attribute, TEMPLATES) for attribute in attributes}


def _embedded(
    encoder: EmbedsText, attribute: str, names: Sequence[str], templates: Sequence[str]
) -> NDArray[np.float32]:
    """Return (c, dim) of length 1: for each name, the mean direction of its texts."""
    texts = [template.replace("{}", name) for name in names for template in templates]
    called = f"{type(encoder).__name__}.embed_text"
    try:
        vectors = np.asarray(encoder.embed_text(texts), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise errors.InputError(
            f"{called} gave what can't be read as numbers of {len(texts)} texts: {error}"
        ) from error
    wanted = len(texts), int(encoder.dim)
    if vectors.shape != wanted:
        raise errors.InputError(
            f"{called} returned shape {vectors.shape} for {len(texts)} texts; (n, dim) is {wanted}"
        )
    lengths = np.linalg.norm(vectors, axis=1)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        raise errors.InputError(
            f"{called} gave 0, NaN or infinity for {texts[wrong[0]]!r}, a text of {attribute!r}, which then is like no "
            "photo; name the class otherwise, or use other weights"
        )
    return unit(unit(vectors).reshape(len(names), len(templates), -1).mean(axis=1))
