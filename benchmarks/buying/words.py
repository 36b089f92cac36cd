"""Photos found by words alone, which were learned from the titles of other photos.

- text to photo: a query is a title that no training photo has; the gallery are the photos that bear such titles. No title is
  in the gallery, and any photo of the title counts.
- one random edit in each word of the same titles: what share of recall@10 is left.
- KAGL: the public queries that have an answer among the first 12,000 photos, which are the gallery; learned from the photos
  whose title is no query.
- attribute words: a query is a colour and a kind, such as "red shirt"; of each pair that five photos of the gallery have.
- seconds are CPU seconds of the process: to learn from the first 12,000 photos, and for each query of one text.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from fashion import mean

import fashionsearch as fs
from buying.data import Array, Data, Part, embedded, encoder
from fashionsearch.words.misspelling import misspelt

_TITLE = "productDisplayName"
_K, _PAGE, _FEWEST = 10, 5, 5
_TIMED = 300
# "-s" is taken off the names of the other kinds.
_ONE = {"Dresses": "dress", "Watches": "watch", "Dupatta": "dupatta"}
Row = dict[str, Any]


class _Embedded:
    """An encoder that knows some photos by their paths, so that none is embedded again."""

    def __init__(self, name: str, parts: Sequence[Part]) -> None:
        images = [image for part in parts for image in part.images]
        self.vectors = dict(zip(map(str, images), embedded(name, images), strict=True))
        self.dim = encoder(name).dim

    def embed(self, images: Any) -> Array:
        """Return (n, dim) unit vectors."""
        return np.stack([self.vectors[str(image)] for image in images])


def measure(data: Data, name: str, *, validation: bool = False) -> list[Row]:
    """Return a row for each measure."""
    held = data.is_validation
    learned, gallery = (
        (data.known.rows(~held), data.known.rows(held)) if validation else (data.known, data.test)
    )
    known = _Embedded(name, [data.gallery, data.more, data.test])
    titles = np.setdiff1d(gallery[_TITLE][gallery[_TITLE] != ""], learned[_TITLE])
    bear = gallery.rows(np.isin(gallery[_TITLE], titles))
    index = _learned(known, learned, bear)
    wrong = np.random.default_rng(0)
    edited = [misspelt(title, wrong, 1.0) for title in titles]
    rows = [
        *_recalls("text to photo", index, titles, titles, bear),
        *_recalls("text to photo, one edit a word", index, edited, titles, bear),
    ]
    if name == "fashion" and not validation:
        shipped = _index(encoder(name), known, bear)
        rows += _recalls("text to photo, the words that ship", shipped, titles, titles, bear)
        rows += _attribute_words(
            "attribute words, the words that ship", _index(encoder(name), known, gallery), gallery
        )
    rows += _attribute_words("attribute words", _learned(known, learned, gallery, index), gallery)
    if not validation:
        rows += [*_seconds(data, known), *_kagl(data, known)]
    return rows


def _index(using: Any, known: _Embedded, gallery: Part) -> fs.VisualIndex:
    """Return an index of a gallery's vectors, at places 0, 1, 2, …."""
    index = fs.VisualIndex(using, progress=False)
    index.add_vectors(known.embed(gallery.images))
    return index


def _learned(
    known: _Embedded, learned: Part, gallery: Part, before: fs.VisualIndex | None = None
) -> fs.VisualIndex:
    """Return an index of a gallery that has learned words from other photos, or has the words of another index."""
    index = _index(known, known, gallery)
    if before is not None:
        index._learned = before._learned
        return index
    there = learned.rows(learned[_TITLE] != "")
    index.learn_text(there[_TITLE].tolist(), there.images)
    return index


def _recalls(measure: str, index: fs.VisualIndex, texts: Any, titles: Array, gallery: Part) -> list[Row]:
    """Return recall@1 and recall@10 of titles, asked for by texts."""
    found = index.search(text=list(texts), k=_K).ids.astype(int)
    hits = gallery[_TITLE][found] == titles[:, None]
    return _hits(measure, hits, len(gallery))


def _hits(measure: str, hits: Array, gallery: int) -> list[Row]:
    each = ((1, hits[:, 0]), (_K, hits.any(axis=1)))
    return [mean(f"{measure}: R@{k}", found.astype(float), gallery=gallery) for k, found in each]


def _attribute_words(measure: str, index: fs.VisualIndex, gallery: Part) -> list[Row]:
    pairs = Counter(zip(gallery["baseColour"], gallery["articleType"], strict=True))
    asked = [pair for pair, count in sorted(pairs.items()) if count >= _FEWEST and all(pair)]
    texts = [f"{colour.lower()} {_one(kind)}" for colour, kind in asked]
    found = index.search(text=texts, k=_PAGE).ids.astype(int)
    colours, kinds = (np.array(values)[:, None] for values in zip(*asked, strict=True))
    right = (gallery["baseColour"][found] == colours) & (gallery["articleType"][found] == kinds)
    return [mean(f"{measure}: P@5 on both", right.mean(axis=1), gallery=len(gallery))]


def _one(kind: str) -> str:
    """Return what one of a kind is called, as in "red shirt"."""
    return _ONE.get(kind, kind.lower().removesuffix("s"))


def _seconds(data: Data, known: _Embedded) -> list[Row]:
    images = [*data.gallery.images, *data.test.images]
    titles = np.concatenate([data.gallery[_TITLE], data.test[_TITLE]])
    index = fs.VisualIndex(known, progress=False)
    index.add_vectors(known.embed(images), metadata={"title": titles.tolist()})
    start = time.process_time()
    index.learn_text("title")
    learning = time.process_time() - start
    texts = [title for title in titles if title][:_TIMED]
    index.search(text=texts[0])
    start = time.process_time()
    for text in texts:
        index.search(text=text, k=_K)
    asking = (time.process_time() - start) / len(texts)
    return [
        {"measure": "CPU seconds to learn", "value": learning, "examples": len(images), "form": ".1f"},
        {
            "measure": "CPU milliseconds a text query",
            "value": 1000 * asking,
            "examples": len(texts),
            "form": ".2f",
        },
    ]


def _kagl(data: Data, known: _Embedded) -> list[Row]:
    with (data.folder / "kagl-queries.csv").open(encoding="utf-8", newline="") as file:
        queries = [(row["query"], row["ids"].split()) for row in csv.DictReader(file)]
    texts = [text for text, _ in queries]
    everything = Part(
        [*data.gallery.images, *data.test.images],
        {_TITLE: np.concatenate([data.gallery[_TITLE], data.test[_TITLE]])},
    )
    both = Part(
        [*everything.images, *data.more.images],
        {_TITLE: np.concatenate([everything[_TITLE], data.more[_TITLE]])},
    )
    index = _learned(known, both.rows(~np.isin(both[_TITLE], texts)), everything)
    ids = np.array([image.stem for image in everything.images])
    found = ids[index.search(text=texts, k=_K).ids.astype(int)]
    hits = np.array([np.isin(row, answers) for row, (_, answers) in zip(found, queries, strict=True)])
    return _hits("KAGL", hits, len(ids))
