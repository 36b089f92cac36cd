"""Why a photo and an item match, in words and as a picture."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionsearch import errors, plots
from fashionsearch.app.fields import look, words_of
from fashionsearch.results import Match

if TYPE_CHECKING:
    from fashionsearch.app.catalogue import Catalogue, Photo

_PARTS = {
    "photo": "likeness to your photo",
    "vector": "likeness",
    "item": "likeness to the item",
    "text": "your words",
    "attributes": "the changes you asked for",
    "feedback": "what you liked and didn't",
    "diversity": "unlikeness to the items before it",
}
_DPI = 130


@dataclass(frozen=True)
class Why:
    """Why an item was found.

    Attributes:
        match: the item.
        parts: what adds up to its rank, and how much each adds.
        shared: attribute and value that the photo and the item share.
        different: attribute, the photo's value and the item's.
        picture: address of a picture of where both are alike, or None.
        note: why there is no picture, or nothing.
    """

    match: Match
    parts: tuple[tuple[str, float], ...]
    shared: tuple[tuple[str, str], ...]
    different: tuple[tuple[str, str, str], ...]
    picture: str | None
    note: str


def explain(catalogue: Catalogue, photo: Photo | None, match: Match) -> Why:
    """Return why an item was found.

    Args:
        catalogue: that was searched.
        photo: that was searched by, or None.
        match: the item.

    Raises:
        UnknownIdError: if the item is gone.
    """
    parts = tuple((_PARTS.get(name, name), float(value)) for name, value in match.parts.items())
    if photo is None:
        catalogue.index.get(match.id)
        return Why(match, parts, (), (), None, "Drop a photo to see where it and this item are alike.")
    shared, different = _compared(catalogue, photo, match)
    path = catalogue.pictures.path(match.id, match.source)
    if path is None:
        return Why(match, parts, shared, different, None, "There is no photo of this item to compare with.")
    try:
        picture = _drawn(catalogue, photo, match, path.read_bytes())
    except (errors.InputError, errors.RuntimeUnavailableError, OSError):
        note = "Where both are alike can't be drawn: the network that searches here has no map of a photo."
        return Why(match, parts, shared, different, None, note)
    except errors.MissingPackageError as error:
        return Why(
            match, parts, shared, different, None, f"Where both are alike can't be drawn here: {error}"
        )
    return Why(match, parts, shared, different, picture, "")


def _compared(
    catalogue: Catalogue, photo: Photo, match: Match
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str, str], ...]]:
    """Return the attributes that a photo and an item share, and those in which they differ."""
    if catalogue.tagger is None:
        return (), ()
    vectors = [catalogue.tagger.embed(photo.pixels)[0]]
    if catalogue.tells_items:
        vectors.append(catalogue.index.get(match.id).vector)
    said = catalogue.tagger.tag_embeddings(np.stack(vectors)).value
    # What is known of the item counts before what its photo looks like.
    pairs = {
        name: (values[0], match.metadata.get(name) or (values[1] if catalogue.tells_items else None))
        for name, values in said.items()
    }
    known = {
        name: (look(one), look(other))
        for name, (one, other) in pairs.items()
        if one is not None and other is not None
    }
    shared = tuple((words_of(name), one) for name, (one, other) in known.items() if one == other)
    different = tuple((words_of(name), one, other) for name, (one, other) in known.items() if one != other)
    return shared, different


def _drawn(catalogue: Catalogue, photo: Photo, match: Match, item_photo: bytes) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.3), layout="constrained")
    # No metadata: the page itself tells what both have.
    plots.why(catalogue.index, photo.pixels, match.id, item_photo=item_photo, metadata={}, figure=figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
