"""What a fitted tagger says of photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from fashionsearch.estimator import ImageEstimator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from fashionsearch.backbones import Backbone
    from fashionsearch.images import Images
    from fashionsearch.results import Evaluation, Tags
    from fashionsearch.tagging.state import State
    from fashionsearch.values import Frame

Labels: TypeAlias = "Mapping[str, ArrayLike] | Frame"


class Answers(ImageEstimator):
    """The part of a `Tagger` that tags, once it has learned."""

    _state: State
    _tagging: tuple[Backbone, Backbone] | None = None

    def predict_proba(self, images: Images, *, on_error: str = "raise") -> dict[str, NDArray[np.float64]]:
        """Return attribute -> the calibrated probability of each class, (n, c) float64, rows adding up to 1.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        return self._state_now().probabilities(self.embed(images, on_error=on_error))

    def predict(self, images: Images, *, on_error: str = "raise") -> dict[str, NDArray[Any]]:
        """Return attribute -> the most probable class of each image, (n,), each attribute by itself.

        Args:
            images: n images in any form.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Raises:
            NotFittedError: before `fit`.
            ImageError: if an image can't be read.
        """
        state = self._state_now()
        return {
            name: state.targets.classes[name][each.argmax(axis=1)]
            for name, each in self.predict_proba(images, on_error=on_error).items()
        }

    def tag(self, images: Images, *, confidence: float = 0.95, on_error: str = "raise") -> Tags:
        """Tag photos with classes that go together, and say of which tags it is sure.

        Args:
            images: n images in any form.
            confidence: above 0, below 1: a tag is sure where its calibrated chance to be right is at least that.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Returns:
            `Tags`: value, confidence and `sure` for each attribute, `unfamiliar` and `for_review` for the photos.

        Raises:
            NotFittedError: before `fit`.
            InputError: if the confidence is outside (0, 1).
            ImageError: if an image can't be read.
        """
        return self.tag_and_embed(images, confidence=confidence, on_error=on_error)[0]

    def tag_and_embed(
        self, images: Images, *, confidence: float = 0.95, on_error: str = "raise"
    ) -> tuple[Tags, NDArray[np.float32]]:
        """Tag photos and embed them by one pass of the network, for who wants tags and similar items.

        Args:
            images: as for `tag`, as are the others.
            confidence: likewise.
            on_error: likewise.

        Returns:
            What `tag` returns, and what `embed` returns: (n, dim) float32, to search an index by.

        Raises:
            NotFittedError: before `fit`.
            InputError: if the confidence is outside (0, 1).
            ImageError: if an image can't be read.

        Examples:
            >>> import fashionsearch as fs
            >>> shop = fs.datasets.make_catalogue(20, seed=0)
            >>> tagger = fs.Tagger.from_pretrained("fashion")
            >>> index = fs.VisualIndex(tagger, progress=False)
            >>> _ = index.add(shop.images)
            >>> tags, vectors = tagger.tag_and_embed(shop.images[:2])
            >>> index.search(shop.images[:2], k=1, vectors=vectors).ids.tolist()
            [[0], [1]]
        """
        from fashionsearch.encoder import joined
        from fashionsearch.images import iterate, source_of, thumbnail_uri
        from fashionsearch.results.tags import SHOWN

        state = self._state_now()
        state.check_confidence(confidence)
        given = list(iterate(images))
        encoder = self._familiar() if state.has_learned else self
        batches = list(encoder.embed_batches(given, on_error=on_error))
        embedded, familiarity = joined(batches, encoder.dim), None
        if state.has_learned:
            embedded, familiarity = embedded[:, :-1], embedded[:, -1]
        given = [given[position] for batch in batches for position in batch.positions]
        tags = state.tags(embedded, [source_of(each) for each in given], confidence, familiarity)
        return replace(tags, _photos=given[:SHOWN], _thumbnail=thumbnail_uri), embedded

    def _familiar(self) -> Backbone:
        """Return what gives embeddings with their familiarity, made at the first use."""
        made = self._tagging
        if made is None or made[0] is not self.backbone_:
            made = self.backbone_, self.backbone_.with_familiarity()
            self._tagging = made
        return made[1]

    def tag_embeddings(self, embeddings: NDArray[np.float32], *, confidence: float = 0.95) -> Tags:
        """Tag photos by their embeddings, which an index has kept, as `tag` would; which are unfamiliar is not in them.

        Args:
            embeddings: (n, dim) float32, as `embed` returns them; other lengths than 1 are made 1.
            confidence: as for `tag`.

        Raises:
            NotFittedError: before `fit`.
            InputError: if the confidence is outside (0, 1), or embeddings are no embeddings of this tagger's length.
        """
        from fashionsearch.tagging.state import checked_embeddings

        state = self._state_now()
        state.check_confidence(confidence)
        vectors = checked_embeddings(embeddings, self.dim)
        return state.tags(vectors, [None] * len(vectors), confidence)

    def evaluate(
        self, images: Images, labels: Labels, *, min_support: int = 1, on_error: str = "raise"
    ) -> dict[str, Evaluation]:
        """Compare predictions with labels, with 95 % intervals.

        Args:
            images: n images in any form.
            labels: attribute -> (n,) true classes, of some or all attributes, or a data frame of them; unknown ones are
                left out.
            min_support: classes with fewer examples get no AUC and are named.
            on_error: "raise" at an image that can't be read, or "skip" such images and their labels.

        Returns:
            Attribute -> its `Evaluation`.

        Warns:
            DataWarning: if photos are left out that a network that ships with the library learned from.

        Raises:
            NotFittedError: before `fit`.
            InputError: if a name is no attribute.
            DataError: if an attribute has not one label for each image, or none that is known, or no photo is left.
            ImageError: if an image can't be read.
        """
        from fashionsearch.pretrained import without_learned
        from fashionsearch.tagging.state import evaluate, readable_labels

        state = self._state_now()
        given = state.check_names(labels)
        images, columns = readable_labels(images, given, on_error)
        images, columns = without_learned(self, images, columns, "the evaluation")
        return evaluate(state, images, columns, self.predict_proba(images), min_support)

    def _state_now(self) -> State:
        self._check_fitted()
        return self._state
