"""What a person teaches a fitted tagger by a few photos: a class more, a class less, and corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fashionsearch.tagging.answers import Answers, Labels

if TYPE_CHECKING:
    from typing_extensions import Self

    from fashionsearch.images import Images


class Teachable(Answers):
    """A tagger whose heads follow a person, while its network stays as it is."""

    def add_class(
        self, attribute: str, name: Any, images: Images, *, parent: Any = None, on_error: str = "raise"
    ) -> Self:
        """Teach a new class of an attribute by a handful of photos, without training.

        Args:
            attribute: of the class.
            name: of the class, of the kind that the others are.
            images: one photo or more; five are a good start.
            parent: the class above it, where the taxonomy has an attribute above; None is that which most of the photos
                are tagged with.
            on_error: "raise" at an image that can't be read, or "skip" such images with a `DataWarning` that names them.

        Returns:
            Itself.

        Raises:
            NotFittedError: before `fit`.
            InputError: if there is no such attribute or parent, the class is there already, or the tagger is a zero-shot
                one; nothing is changed.
            DataError: if there is no photo.
            ImageError: if a photo can't be read.
        """
        from fashionsearch.tagging import changes

        state = self._state_now()
        state.check_names({attribute: None})
        state.check_has_learned("make it again by Tagger.zero_shot, with the class among the names")
        self._state = changes.add_class(state, attribute, name, self.embed(images, on_error=on_error), parent)
        return self

    def remove_class(self, attribute: str, name: Any) -> Self:
        """Forget a class of an attribute; photos of it are tagged with the most similar of the others from then on.

        Raises:
            NotFittedError: before `fit`.
            InputError: if there is no such attribute or class, or only one class would be left; nothing is changed.
        """
        from fashionsearch.tagging import changes

        self._state = changes.remove_class(self._state_now(), attribute, name)
        return self

    def correct(self, images: Images, labels: Labels, *, on_error: str = "raise") -> Self:
        """Learn from a person's corrections, without training: the heads follow them, and keep to what they said otherwise.

        Args:
            images: n images in any form.
            labels: attribute -> (n,) true classes, of some or all attributes, or a data frame of them; "" or None where
                nothing was corrected.
            on_error: "raise" at an image that can't be read, or "skip" such images and their labels with a `DataWarning` that
                names them.

        Returns:
            Itself.

        Raises:
            NotFittedError: before `fit`.
            InputError: if a name is no attribute, a label no class (`add_class` makes it one), or the tagger is a zero-shot
                one; nothing is changed.
            DataError: if an attribute has not one label for each image.
            ImageError: if an image can't be read.
        """
        from fashionsearch.images import repeatable
        from fashionsearch.tagging import changes
        from fashionsearch.tagging.state import readable_labels

        state, images = self._state_now(), repeatable(images)
        state.check_has_learned("fit a Tagger on the corrected photos and others")
        if on_error != "raise":
            images, labels = readable_labels(images, state.check_names(labels), on_error)
        indices = changes.corrected_indices(state, images, labels)
        self._state = changes.correct(state, self.embed(images), indices)
        return self
