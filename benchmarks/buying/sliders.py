"""“Like this, but red”, and pages that show each product once.

Each photo is asked for in another colour, by the vectors of the gallery alone. The colours are drawn in two ways: one of
those that its type has in the gallery, each as probable; and that of one of the gallery's items of its type, so that common
colours are common. Many of the first have fewer than five items there, so the share of the first five has a ceiling
below 1, which is given beside it. What was learned from looks at no validation name, of which the weights were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fashion import mean
from pretrained import ATTRIBUTES

import fashionsearch as fs
from buying.data import FIELDS, Array, Data, Part, embedded

SEED = 0
_FIRST, _PAGE = 5, 10
_COMPARED = 100  # queries whose first five are compared with those among all items
_DIVERSITY = 0.3
_LEAST = 1e-6  # chance
Row = dict[str, Any]


def measure(data: Data, name: str, *, validation: bool = False) -> list[Row]:
    """Return the rows of an encoder, on the test part or on validation names against the rest of the gallery."""
    held_out = data.is_validation[: len(data.gallery)]
    queries, gallery = (
        (data.gallery.rows(held_out), data.gallery.rows(~held_out))
        if validation
        else (data.test, data.gallery)
    )
    tagger = fs.Tagger.from_pretrained(name, progress=False) if name == "fashion" else _tagger(name, data)
    vectors = _embedded(name, tagger, gallery)
    used = Known(tagger, queries.images, _embedded(name, tagger, queries))
    rows = []
    for way in ("colours", "items"):
        places, colours = drawn(queries, gallery, way)
        rows += sliders(used, vectors, queries.rows(places), colours, gallery, way)
    return rows + pages(used, vectors, queries, gallery)


class Known:
    """An encoder that embeds each photo once: what was embedded before is looked up by its path.

    Args:
        tagger: that embeds.
        images: paths of photos.
        vectors: (n, dim) their embeddings.
    """

    def __init__(self, tagger: fs.Tagger, images: Sequence[Any], vectors: Array) -> None:
        self.tagger, self.dim = tagger, tagger.dim
        self._places = {str(image): place for place, image in enumerate(images)}
        self._vectors = vectors

    def embed(self, images: Any) -> Array:
        """Return (n, dim) float32."""
        if all(isinstance(image, str | Path) and str(image) in self._places for image in images):
            return self._vectors[[self._places[str(image)] for image in images]]
        embeddings: Array = self.tagger.embed(images)
        return embeddings


def _tagger(name: str, data: Data) -> fs.Tagger:
    """Return a tagger on a frozen network, which learned from the gallery, its validation names left out."""
    held_out = data.is_validation[: len(data.gallery)]
    train, checked = data.gallery.rows(~held_out), data.gallery.rows(held_out)
    tagger = fs.Tagger(name, random_state=SEED, progress=False)
    labels = {field: train[field] for field in ATTRIBUTES}
    known = {field: np.where(np.isin(checked[field], labels[field]), checked[field], "") for field in labels}
    return tagger.fit(train.images, labels, validation=(checked.images, known))


def _embedded(name: str, tagger: fs.Tagger, part: Part) -> Array:
    if name == "fashion":
        return embedded(name, part.images)
    embeddings: Array = tagger.backbone_.embed(part.images, cache=fs.EmbeddingCache())
    return embeddings


def drawn(queries: Part, gallery: Part, way: str) -> tuple[Array, Array]:
    """Return the places of queries that have another colour to go to, and (m,) those colours."""
    generator = np.random.default_rng(SEED)
    places, colours = [], []
    for place, (kind, colour) in enumerate(zip(queries["articleType"], queries["baseColour"], strict=True)):
        there = gallery["baseColour"][gallery["articleType"] == kind]
        others = there[(there != "") & (there != colour)]
        if kind and colour and len(others):
            places.append(place)
            colours.append(generator.choice(np.unique(others) if way == "colours" else others))
    return np.array(places), np.array(colours)


def sliders(used: Known, vectors: Array, queries: Part, colours: Array, gallery: Part, way: str) -> list[Row]:
    """Return what is right in the first five, and how near the candidates come to comparing with all."""
    index = fs.VisualIndex(used, progress=False)
    index.add_vectors(vectors)
    without = index.search(queries.images, k=_FIRST).ids.astype(int)
    found, same = np.zeros_like(without), []
    for colour in np.unique(colours):
        places = np.flatnonzero(colours == colour)
        photos = [queries.images[place] for place in places]
        said: dict[str, Any] = {"towards": {"baseColour": str(colour)}, "tagger": used.tagger, "k": _FIRST}
        found[places] = index.search(photos, **said).ids.astype(int)
        compared = places[places < _COMPARED]
        if len(compared):
            photos = [queries.images[place] for place in compared]
            whole = index.search(photos, exact=True, **said).ids.astype(int)
            same += [np.isin(a, b).mean() for a, b in zip(found[compared], whole, strict=True)]
    type_right = gallery["articleType"][found] == queries["articleType"][:, None]
    colour_right = gallery["baseColour"][found] == colours[:, None]
    both = type_right & colour_right
    before = (gallery["articleType"][without] == queries["articleType"][:, None]) & (
        gallery["baseColour"][without] == colours[:, None]
    )
    there = np.array(
        [
            ((gallery["articleType"] == kind) & (gallery["baseColour"] == colour)).sum()
            for kind, colour in zip(queries["articleType"], colours, strict=True)
        ]
    )
    most = np.minimum(there, _FIRST)
    gender = gallery["gender"][found] == queries["gender"][:, None]
    more = {"drawn": way}
    return [
        mean("colour and type right in the first 5", both.mean(axis=1), **more),
        mean("at most possible", most / _FIRST, **more),
        mean("of what is possible", both.sum(axis=1) / most, **more),
        mean("where five are there", both.mean(axis=1)[there >= _FIRST], **more),
        mean("colour and type right in one of the first 5", both.any(axis=1), **more),
        mean("without towards", before.mean(axis=1), **more),
        mean("type right", type_right.mean(axis=1), **more),
        mean("colour right", colour_right.mean(axis=1), **more),
        mean("gender as the photo's", gender.mean(axis=1), **more),
        mean("of the first 5 among all items, found among the candidates", np.array(same), **more),
        *ceilings(used, vectors, queries, colours, gallery, way),
    ]


def ceilings(
    used: Known, vectors: Array, queries: Part, colours: Array, gallery: Part, way: str
) -> list[Row]:
    """Return what would be right in the first five, by the heads' chances alone, if some of what they tell was known.

    It shows what limits a search by vectors: that the colour, the items' types or the photo's type can't be told from them.
    """
    heads, classes = used.tagger.heads_, used.tagger.classes_
    unit = [
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (used.embed(queries.images), vectors)
    ]
    own, items = (heads["articleType"].probabilities(each) for each in unit)
    told = (queries["articleType"][:, None] == classes["articleType"]).astype(float)
    same = queries["articleType"][:, None] == gallery["articleType"]
    chances = heads["baseColour"].probabilities(unit[1])
    asked = np.searchsorted(classes["baseColour"], colours)
    coloured, right = chances[:, asked].T, gallery["baseColour"] == colours[:, None]
    rows = []
    for known, agreement, colour in (
        ("nothing else", own @ items.T, coloured),
        ("the photo's type", told @ items.T, coloured),
        ("all types", same, coloured),
        ("the items' colours", own @ items.T, right),
    ):
        scores = np.log(np.maximum(agreement, _LEAST)) + np.log(np.maximum(colour, _LEAST))
        first = np.argpartition(-scores, _FIRST, axis=1)[:, :_FIRST]
        both = np.take_along_axis(same & right, first, axis=1)
        rows.append(mean(f"by chances alone, with {known} known", both.mean(axis=1), drawn=way))
    return rows


def pages(used: Known, vectors: Array, queries: Part, gallery: Part) -> list[Row]:
    """Return what a page of ten that shows each name once loses in precision, and how often it shows one twice."""
    index = fs.VisualIndex(used, progress=False)
    index.add_vectors(vectors, metadata={field: gallery[field] for field in FIELDS})
    known = queries.rows(queries["articleType"] != "")
    asked = used.embed(known.images)

    def page(**options: Any) -> tuple[Array, Array]:
        found = index.search_vectors(asked, k=_PAGE, **options)
        places = found.ids.astype(int)
        right = gallery["articleType"][places] == known["articleType"][:, None]
        names = gallery["productDisplayName"][places]
        twice = [len(set(row)) < len(row) for row in names.tolist()]
        return right.mean(axis=1), np.array(twice)

    plain, plain_twice = page()
    rows = [
        mean("page of 10: type precision", plain),
        mean("page of 10: one name twice", plain_twice),
    ]
    for said, options in (
        ("grouped", {"group_by": "productDisplayName"}),
        (f"grouped, diversity {_DIVERSITY}", {"group_by": "productDisplayName", "diversity": _DIVERSITY}),
    ):
        precision, twice = page(**options)
        rows.append(mean(f"{said} page of 10: type precision lost", plain - precision))
        rows.append(mean(f"{said} page of 10: one name twice", twice))
    return rows
