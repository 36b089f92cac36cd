"""What a tagger has learned beside its network: heads, taxonomy, what is familiar, and the embeddings it learned from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.encoder import check_on_error
from fashionsearch.estimator import without_unreadable
from fashionsearch.images import Images, iterate
from fashionsearch.results import Evaluation, Tags
from fashionsearch.results.tags import TAKEN
from fashionsearch.tagging.head import LinearHead, temperature
from fashionsearch.tagging.taxonomy import Taxonomy
from fashionsearch.targets import UNKNOWN, Targets, read_labels
from fashionsearch.values import columns_of

if TYPE_CHECKING:
    from fashionsearch.tagging.answers import Labels
    from fashionsearch.tagging.tagger_fit import Fit

_RARE = 0.01


@dataclass(frozen=True, eq=False)
class State:
    """Everything but the network, in one value: a change makes another one, which takes its place at once.

    Attributes:
        heads: attribute -> its head, calibrated.
        taxonomy: which attribute is the coarser name of which.
        targets: of the kept embeddings; its classes are the tagger's.
        embeddings: (n, dim) float32, of the photos that were learned from and corrected.
        familiar: the familiarity below which a photo is unlike anything seen: one held-out photo in a hundred is below.
        corrected: (m, dim) float32, embeddings of photos that a person named or corrected since.
        corrections: (m, attributes) int64, their class indices, −1 where nothing was said.
    """

    heads: Mapping[str, LinearHead]
    taxonomy: Taxonomy
    targets: Targets
    embeddings: NDArray[np.float32]
    familiar: float
    corrected: NDArray[np.float32]
    corrections: NDArray[np.int64]

    @classmethod
    def of(cls, fit: Fit, taxonomy: Taxonomy) -> State:
        """Return what a fit has found, its heads calibrated on what was held out.

        Warns:
            DataWarning: that names the attributes of which nothing was.
        """
        heads, bare = {}, []
        for place, (name, head) in enumerate(fit.heads.items()):
            labels = fit.held_out.targets[:, place] if fit.held_out.logits else np.zeros(0, np.int64)
            known = labels != UNKNOWN
            heads[name] = head
            if known.any():
                heads[name] = head.cooled(temperature(fit.held_out.logits[name][known], labels[known]))
            else:
                bare.append(name)
        if bare:
            warnings.warn(
                f"no photo with a label of {' or '.join(bare)} was held out, so the confidences are not calibrated; give a "
                "validation part that has some",
                errors.DataWarning,
                stacklevel=4,
            )
        familiarity = fit.held_out.familiarity
        return cls(
            heads,
            taxonomy,
            fit.targets,
            fit.embeddings,
            float(np.quantile(familiarity, _RARE)) if len(familiarity) else -1.0,
            np.zeros((0, fit.embeddings.shape[1]), np.float32),
            np.zeros((0, len(heads)), np.int64),
        )

    def probabilities(self, embeddings: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Return attribute -> (n, c) float64."""
        return {name: head.probabilities(embeddings) for name, head in self.heads.items()}

    def tags(
        self,
        embeddings: NDArray[np.float32],
        sources: Sequence[str | None],
        confidence: float,
        familiarity: NDArray[np.float32] | None = None,
    ) -> Tags:
        """Return what these heads say of embeddings, and which are strange, where their familiarity is known."""
        probabilities = self.probabilities(embeddings)
        chosen = self.taxonomy.consistent(probabilities)
        strange = np.zeros(len(embeddings), dtype=bool)
        if familiarity is not None:
            strange = familiarity < self.familiar
        value: dict[str, NDArray[np.object_]] = {}
        chance: dict[str, NDArray[np.float64]] = {}
        sure: dict[str, NDArray[np.bool_]] = {}
        levels = self.taxonomy.order()
        for name in [*levels, *(name for name in self.heads if name not in levels)]:
            known = chosen[name] != UNKNOWN
            chance[name] = np.where(known, probabilities[name][np.arange(len(known)), chosen[name]], 0.0)
            above = self.taxonomy.parents.get(name)
            sure[name] = (chance[name] >= confidence) & ~strange & (True if above is None else sure[above])
            value[name] = np.full(len(known), None, dtype=object)
            value[name][known] = self.targets.classes[name][chosen[name][known]].tolist()
        return Tags(
            {name: value[name] for name in self.heads},
            {name: chance[name] for name in self.heads},
            {name: sure[name] for name in self.heads},
            strange,
            np.array([*sources, None], dtype=object)[:-1],
            float(confidence),
            dict(self.taxonomy.parents),
        )

    @staticmethod
    def check_confidence(confidence: float) -> None:
        """Raise InputError unless a confidence is above 0 and below 1."""
        if not isinstance(confidence, Real) or isinstance(confidence, bool) or not 0 < confidence < 1:
            raise errors.InputError(
                f"confidence={confidence!r} is not a number above 0 and below 1, such as 0.95"
            )

    @property
    def has_learned(self) -> bool:
        """Whether there are photos that were learned from; a zero-shot tagger has none."""
        return len(self.embeddings) > 0

    def check_has_learned(self, instead: str) -> None:
        """Raise InputError, with what to do instead, if there are no photos of which the heads are to say what they said."""
        if not self.has_learned:
            raise errors.InputError(
                "a zero-shot tagger has learned from no photo, and a few photos would change what it says of all others; "
                f"{instead}"
            )

    def place(self, attribute: str) -> int:
        """Return the column of an attribute."""
        return list(self.heads).index(attribute)

    def check_names(self, labels: object) -> dict[str, Any]:
        """Return labels as a dictionary, or raise InputError unless they are a mapping of attributes of this tagger."""
        columns = label_columns(labels)
        for name in columns:
            if name not in self.heads:
                raise errors.InputError(
                    f"{name!r} is no attribute of this tagger; they are {', '.join(self.heads)}."
                    + errors.did_you_mean(name, self.heads)
                )
        return columns


def label_columns(labels: object) -> dict[str, Any]:
    """Return labels, a mapping or a data frame, as a dictionary, or raise InputError unless they have an attribute."""
    columns = columns_of(labels)
    if not columns or not all(isinstance(name, str) for name in columns):
        raise errors.InputError(
            f"labels of type {type(labels).__name__} are not a mapping of attributes to labels, such as "
            "{'articleType': [...], 'baseColour': [...]}, or a data frame of such columns"
        )
    return columns


def check_attribute_names(names: Iterable[str]) -> None:
    """Raise InputError if a name means something else beside attributes."""
    from fashionsearch.training.metric import (
        JOINED,  # here, since a tagger that is only used needs none of training
    )

    for name in names:
        if JOINED in name or name in TAKEN:
            raise errors.InputError(
                f"{name!r} can't be the name of an attribute: {JOINED!r} joins two of them, and {', '.join(TAKEN)} are "
                "columns beside them; rename it"
            )


def readable_labels(
    images: Images, labels: Labels, on_error: str, called: str = "labels"
) -> tuple[Images, dict[str, NDArray[Any]]]:
    """Return images and labels as (n,) arrays, under "skip" without the images that can't be read.

    Warns:
        DataWarning: that names what is left out.

    Raises:
        InputError: if labels are no mapping, or `on_error` is neither "raise" nor "skip".
        DataError: if an attribute has not one label for each image.
    """
    check_on_error(on_error)
    everything: Any = images if on_error == "raise" else list(iterate(images))
    columns = {}
    for name, given in label_columns(labels).items():
        values, known = read_labels(everything, given, f"{called} of {name!r}")
        columns[name] = values
        if (
            values.dtype.kind == "O"
        ):  # text, whose classes are to be of one type whether a label is missing or not
            columns[name] = np.where(known, values, "").astype(np.str_)
        elif not known.all() and values.dtype.kind != "U":  # in text "" says that nothing is known
            columns[name] = values.astype(object)
            columns[name][~known] = None
    lengths = {name: len(column) for name, column in columns.items()}
    shortest, longest = (
        min(lengths, key=lambda name: lengths[name]),
        max(lengths, key=lambda name: lengths[name]),
    )
    if lengths[shortest] != lengths[longest]:
        raise errors.DataError(
            f"{called} of {shortest!r} are {lengths[shortest]}, and those of {longest!r} {lengths[longest]}; give each "
            "attribute one label for each image, '' where it is unknown"
        )
    if on_error == "raise":
        return images, columns
    kept, positions = without_unreadable(everything, called)
    return kept, {name: column[positions] for name, column in columns.items()}


def evaluate(
    state: State,
    images: Images,
    labels: Mapping[str, NDArray[Any]],
    probabilities: Mapping[str, NDArray[np.float64]],
    min_support: int,
) -> dict[str, Evaluation]:
    """Return attribute -> how its probabilities compare with the labels that are known.

    Raises:
        DataError: if there are not as many labels as images, or no label of an attribute is known.
    """
    from fashionsearch import metrics

    found = {}
    for name, given in labels.items():
        values, known = read_labels(images, given, f"labels of {name!r}")
        if len(values) != len(probabilities[name]):  # how many photos a generator gives shows only now
            raise errors.DataError(
                f"there are {len(probabilities[name])} images and {len(values)} labels of {name!r}; give one label for each "
                "image"
            )
        if not known.any():
            raise errors.DataError(
                f"no labels of {name!r} are known, so nothing can be compared; leave it out"
            )
        found[name] = metrics.evaluate(
            values[known], probabilities[name][known], state.targets.classes[name], min_support=min_support
        )
    return found


def checked_embeddings(embeddings: object, dim: int) -> NDArray[np.float32]:
    """Return embeddings as (n, dim) float32 of length 1.

    Raises:
        InputError: if they are anything else, or one is 0, NaN or infinity.
    """
    try:
        vectors = np.atleast_2d(np.asarray(embeddings, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise errors.InputError(f"embeddings can't be read as (n, {dim}) numbers: {error}") from error
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise errors.InputError(f"embeddings have shape {vectors.shape}; this tagger's are (n, {dim})")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        wrong = int(np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))[0])
        raise errors.InputError(f"embedding {wrong} is 0, or holds NaN or infinity, and stands for no photo")
    return np.asarray(vectors / lengths)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (n, dim) vectors with the length 1 that a lower precision took from them."""
    full = vectors.astype(np.float32, copy=False)
    return np.asarray(full / np.maximum(np.linalg.norm(full, axis=1, keepdims=True), 1e-12))
