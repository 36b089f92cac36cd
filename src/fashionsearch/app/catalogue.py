"""An index as the page sees it: what it can be asked, the tags of a photo, and how items are named and pictured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from fashionsearch import errors
from fashionsearch.app.fields import Fields, fields_of, look
from fashionsearch.app.pictures import SIDE, Pictures
from fashionsearch.images import read_image, thumbnail_uri
from fashionsearch.images.decoding import RGB
from fashionsearch.index.photos import Photos
from fashionsearch.results import Match

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex
    from fashionsearch.tagging.tagger import Tagger

_LONGEST = 1600  # pixels of a photo that a visit keeps
_NEEDED = 512  # of its shorter side, at least: more than the networks look at


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that was dropped on the page.

    Attributes:
        pixels: (H, W, 3) uint8.
        encoded: the file's bytes, where the photo may be added.
        name: the file's name, as the visitor's machine has it.
        picture: address of a small picture.
    """

    pixels: RGB
    encoded: bytes
    name: str
    picture: str


@dataclass(frozen=True)
class Tag:
    """What a tagger says of a photo in one attribute.

    Attributes:
        attribute: its name.
        value: the most probable class.
        confidence: its calibrated chance to be right, from 0 to 1.
        sure: whether that is enough to rely on.
    """

    attribute: str
    value: str
    confidence: float
    sure: bool


@dataclass(frozen=True)
class Tags:
    """What a tagger says of a photo; `unfamiliar` if it is unlike anything that the tagger has learned from."""

    tags: tuple[Tag, ...]
    unfamiliar: bool


class Catalogue:
    """An index, and what the page needs to know of it.

    Args:
        index: saved and loaded, or opened.
        name: what the page calls it.
        tagger: tags photos, and tells attributes of items; None is the one in the index's encoder, if there is one.
        photos: folder of the items' photos, where they are not where they were added from; added ones are put there.
        opens_files: whether items' photos may be opened.
        writable: whether visitors may add and remove items.

    Raises:
        DataError: if there is no such folder.
    """

    def __init__(
        self,
        index: VisualIndex,
        *,
        name: str = "catalogue",
        tagger: Tagger | None = None,
        photos: Path | None = None,
        opens_files: bool = True,
        writable: bool = False,
    ) -> None:
        from fashionsearch.index.attributes import embeds_alike, tagger_of

        self.index, self.name, self.writable = index, name, writable
        index.show_photos = opens_files
        found = Photos(photos)
        self.folder = found.folder
        self.pictures = Pictures(found if opens_files else None)
        self.given_tagger = tagger
        self.tagger = tagger if tagger is not None else tagger_of(index.encoder)
        # Otherwise the tagger would have to open the photos of items to tell their attributes.
        self.tells_items = self.tagger is not None and embeds_alike(self.tagger, index.encoder, index.dim)
        self.takes_photos = index.encoder is not None
        self.has_words = self._can(text="red")
        first = next(iter(index), None)
        self.is_calibrated = first is not None and bool(
            np.isfinite(index.search(id=first, k=1).probabilities).any()
        )
        self._fields: tuple[int, Fields] | None = None

    @property
    def fields(self) -> Fields:
        """What the metadata offers, looked at again when items came or went."""
        if self._fields is None or self._fields[0] != len(self.index):
            self._fields = len(self.index), fields_of(self.index)
        return self._fields[1]

    @property
    def classes(self) -> dict[str, list[str]]:
        """Attribute -> the classes that can be asked for, if items' attributes can be told."""
        if self.tagger is None or not (self.tells_items or self.index.show_photos):
            return {}
        return {name: list(map(str, classes.tolist())) for name, classes in self.tagger.classes_.items()}

    def class_named(self, attribute: str, name: str) -> Any:
        """Return the class that looks so; classes may be numbers."""
        known = [] if self.tagger is None else self.tagger.classes_[attribute].tolist()
        return next(each for each in known if str(each) == name)

    def name_of(self, match: Match) -> str:
        """Return what an item is called: its title, or its id."""
        title = self.fields.title
        held = None if title is None else match.metadata.get(title)
        return str(match.id) if held is None else look(held)

    def about(self, match: Match, most: int = 4) -> str:
        """Return a line of what is known of an item."""
        held = [match.metadata.get(name) for name in self.fields.filters]
        return " · ".join([look(value) for value in held if value is not None][:most])

    def picture_of(self, match: Match) -> str | None:
        """Return the address of an item's picture, if there is one."""
        return self.pictures.of(match.id, match.source)

    def read(self, encoded: bytes, name: str) -> Photo:
        """Return a photo of its file's bytes.

        Raises:
            ImageError: if it can't be read.
        """
        pixels = read_image(encoded, at_least=(_NEEDED, _NEEDED))
        if max(pixels.shape[:2]) > _LONGEST:
            smaller = PIL.Image.fromarray(pixels)
            smaller.thumbnail((_LONGEST, _LONGEST))
            pixels = np.asarray(smaller)
        kept = encoded if self.writable else b""
        return Photo(pixels, kept, name, thumbnail_uri(pixels, side=SIDE))

    def tags_of(self, photo: Photo) -> Tags | None:
        """Return a photo's tags; None where there is no tagger."""
        if self.tagger is None:
            return None
        found = self.tagger.tag(photo.pixels)
        tags = tuple(
            Tag(name, look(values[0]), float(found.confidence[name][0]), bool(found.sure[name][0]))
            for name, values in found.value.items()
            if values[0] is not None
        )
        return Tags(tags, bool(found.unfamiliar[0]))

    def _can(self, **asked: Any) -> bool:
        try:
            self.index.search(k=1, **asked)
        except errors.InputError:
            return False
        return True
