"""The index of a service: opened, searched, looked up and tagged, in threads."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.images.decoding import RGB
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.index import VisualIndex, encoders
from fashionsearch.index.attributes import embeds_alike, tagger_of
from fashionsearch.index.opening import OPENED
from fashionsearch.index.rows import PRIVATE, Id, ItemId, spelled_id
from fashionsearch.results import Match, Matches
from fashionsearch.service.failures import RefusedError
from fashionsearch.service.photos import prepared, preprocess_of
from fashionsearch.service.schemas import Facets, Query
from fashionsearch.tagging.named import named_tagger
from fashionsearch.tagging.tagger import Tagger

_PAGE = ("k", "offset", "where", "exclude", "group_by", "diversity", "min_probability", "coverage", "exact")


@dataclass(frozen=True, eq=False)
class ToSearch:
    """A photo to search by.

    Attributes:
        pixels: of the network's size; or the file's bytes, where its background is looked at.
        query: what is said beside it.
    """

    pixels: RGB | bytes
    query: Query


@dataclass(frozen=True, eq=False)
class ToTag:
    """A photo to tag, of the network's size.

    Attributes:
        pixels: (H, W, 3) uint8.
        confidence: from which on a tag is sure.
    """

    pixels: RGB
    confidence: float


@dataclass(frozen=True, eq=False)
class ToEmbed:
    """A photo to embed; attributes as of `ToSearch`."""

    pixels: RGB | bytes


Job = ToSearch | ToTag | ToEmbed


def open_index(
    folder: Path, *, writing: bool, embeds: bool = True, url: str | None = None, rebuild: bool = False
) -> VisualIndex:
    """Return the index of a folder: saved, opened, or on a server.

    Args:
        folder: of the index.
        writing: whether it is to be changed here.
        embeds: whether photos are to be embedded here; else the encoder stays unread.
        url: of the server, instead of the saved one, which then gets the key of QDRANT_API_KEY.
        rebuild: read no graph's file.

    Raises:
        StorageError: if the folder holds no index, or it can't be read.
        InputError: if it can't be changed.
    """
    from fashionsearch.index.snapshot import unread_encoder

    if writing:
        check_changeable(folder)
    if storage.open_saved(folder).kind != OPENED:
        key = os.environ.get("QDRANT_API_KEY") if url else None
        index = VisualIndex.load(folder, rebuild=rebuild, url=url, api_key=key)
    elif url is not None:
        raise errors.InputError(f"--url is for an index on a server, and {folder} holds its items itself")
    else:
        encoder = None if embeds else unread_encoder(folder)
        index = VisualIndex.open(folder, encoder, read_only=not writing, rebuild=rebuild, progress=False)
    index.show_photos = False  # no request opens a file that the folder names
    return index


def check_changeable(folder: Path) -> bool:
    """Return whether an index is changed by one process alone, and not by many on a server.

    Raises:
        InputError: if it is a saved one, whose changes would be lost.
        StorageError: if the folder holds no index.
    """
    from fashionsearch.index import engines

    held = storage.open_saved(folder)
    if held.kind == OPENED:
        return True
    if held.json("index.json").get("engine") in engines.REMOTE:
        return False
    raise errors.InputError(
        f"{folder} is a saved index, and --writable needs an opened one, which keeps every change; make it one, where it "
        f"lies, by: python -c \"import fashionsearch as fs; fs.VisualIndex.open('{folder}').close()\""
    )


class Catalogue:
    """An index that requests are answered from.

    Args:
        index: as `open_index` returns it.
        tagger: folder of a saved one, or a shipped one's name; None is the index's own, or "fashion".
    """

    def __init__(self, index: VisualIndex, tagger: str | None = None) -> None:
        self.index = index
        self.sees = preprocess_of(index.encoder)
        self._name, self._making = tagger, threading.Lock()
        self._tagger: Tagger | None = None

    @property
    def takes_photos(self) -> bool:
        """Whether photos can be searched by."""
        return self.index.encoder is not None

    @property
    def tagger(self) -> Tagger:
        """Who tags, read when it is first asked for."""
        with self._making:
            self._tagger = self._tagger or _tagger(self.index, self._name)
            return self._tagger

    @property
    def has_tagger(self) -> bool:
        """Whether it was read already."""
        return self._tagger is not None

    @cached_property
    def tagger_sees(self) -> Preprocess | None:
        """How the tagger wants its photos."""
        return preprocess_of(self.tagger)

    @cached_property
    def _attributes_are_here(self) -> bool:
        """Whether the items' vectors are the tagger's."""
        return embeds_alike(self.tagger, self.index.encoder, self.index.dim)

    def typed(self, item: str) -> Id:
        """Return an id of an address as the index has it."""
        return spelled_id(item, self.index)

    def looks_whole(self, background: str | None) -> bool:
        """Return whether a photo's background is looked at, for which the network's size is too small."""
        return (background or self.index.background) != "keep"

    def check_photo(self) -> None:
        """Raise RefusedError unless photos can be embedded."""
        if not self.takes_photos:
            raise RefusedError(422, "the catalogue holds vectors only; give a vector, an id or likes")

    def work(self, jobs: list[Job]) -> list[Any]:
        """Do several jobs, their photos in one pass of the network; an error stands in the place of what a job gives."""
        outcomes: list[Any] = [None] * len(jobs)
        seen: dict[int, NDArray[np.float32]] = {}
        small = {
            place: job.pixels
            for place, job in enumerate(jobs)
            if not isinstance(job, ToTag) and not isinstance(job.pixels, bytes)
        }
        if small:
            for place, outcome in zip(small, self._embedded(list(small.values())), strict=True):
                if isinstance(outcome, Exception):
                    outcomes[place] = outcome
                else:
                    seen[place] = outcome
        groups: dict[str, list[int]] = {}
        for place, job in enumerate(jobs):
            if isinstance(job, ToTag):
                groups.setdefault(f"tag {job.confidence!r}", []).append(place)
                continue
            if outcomes[place] is not None:
                continue
            try:
                if place not in seen:
                    seen[place] = self._embedded_whole(job)
            except Exception as error:
                outcomes[place] = error
                continue
            if isinstance(job, ToSearch) and _is_plain(job.query):
                groups.setdefault(_page_key(job.query), []).append(place)
            else:
                outcomes[place] = seen[place]
        for places in groups.values():
            found = self._together([jobs[place] for place in places], [seen.get(place) for place in places])
            for place, outcome in zip(places, found, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _together(self, jobs: list[Job], vectors: list[NDArray[np.float32] | None]) -> Sequence[Any]:
        """Return what jobs give that ask for the same: all to be tagged, or all to be searched by."""
        try:
            if isinstance(jobs[0], ToSearch):
                photos: Any = [encoders.Embedded(vector) for vector in vectors if vector is not None]
                return rows_of(self.index.search(photos, **_page(jobs[0].query)))
            if isinstance(jobs[0], ToTag):
                return self._tags([job.pixels for job in jobs], jobs[0].confidence)
        except Exception as error:
            if len(jobs) == 1:
                return [error]
            # One photo's fault is no matter of the others.
            return [self._together([job], [vector])[0] for job, vector in zip(jobs, vectors, strict=True)]
        return vectors

    def _embedded(self, photos: list[Any]) -> Sequence[Any]:
        """Return the embeddings of photos; an error stands in the place of what can't be embedded."""
        try:
            return list(encoders.embed_queries(self._encoder(), photos))
        except Exception as error:
            return [error] if len(photos) == 1 else [self._embedded([photo])[0] for photo in photos]

    def _encoder(self, background: str = "keep") -> Any:
        encoder = self.index.encoder
        if encoder is None:
            raise errors.InputError("the catalogue holds vectors only")
        return encoders.seeing(encoder, background)

    def _embedded_whole(self, job: ToSearch | ToEmbed) -> NDArray[np.float32]:
        """Return the embedding of a photo whose background is looked at."""
        query = job.query if isinstance(job, ToSearch) else None
        background = (query.background if query else None) or self.index.background
        photo: Any = job.pixels
        if query is not None and query.region is not None:
            photo = prepared(photo, query.region, None)
        found: NDArray[np.float32] = encoders.embed_queries(self._encoder(background), [photo])[0]
        return found

    def _tags(self, photos: list[Any], confidence: float) -> list[dict[str, Any]]:
        tags = self.tagger.tag(photos, confidence=confidence)
        review = set(tags.for_review.tolist())
        return [
            {
                "tags": {
                    name: {
                        "value": _plain(tags.value[name][place]),
                        "confidence": float(tags.confidence[name][place]),
                        "sure": bool(tags.sure[name][place]),
                    }
                    for name in tags.attributes
                },
                "unfamiliar": bool(tags.unfamiliar[place]),
                "for_review": place in review,
            }
            for place in range(len(tags))
        ]

    def search(
        self,
        query: Query,
        vector: NDArray[np.float32] | None,
        like: Sequence[Any],
        unlike: Sequence[Any],
    ) -> list[dict[str, Any]]:
        """Return what is found for a query.

        Args:
            query: what is said.
            vector: the embedding of its photo, if there is one.
            like: ids of items, and embeddings of photos.
            unlike: likewise.
        """
        like, unlike = ([_judged(each) for each in side] for side in (like, unlike))
        if query.vector is not None:
            said = {"text", "id", "towards", "region", "background"} & query.model_fields_set
            if said or vector is not None:
                raise RefusedError(
                    422, "a vector is searched by alone or with likes; leave the other fields out"
                )
            return rows_of(self.index.search_vectors(query.vector, like=like, unlike=unlike, **_page(query)))[
                0
            ]
        photo: Any = None if vector is None else [encoders.Embedded(vector)]
        found = self.index.search(
            photo,
            id=query.id,
            text=query.text,
            text_weight=query.text_weight,
            text_match=query.text_match,
            like=like,
            unlike=unlike,
            towards=query.towards,
            tagger=self.tagger if query.towards and self._attributes_are_here else None,
            background=query.background,
            **_page(query),
        )
        return rows_of(found)[0]

    def facets(self, asked: Facets) -> dict[str, Any]:
        """Return how many items have each value of a field."""
        found = self.index.facets(asked.field, where=asked.where)
        values = [{"value": value, "count": count} for value, count in found.items()]
        return {"field": asked.field, "values": values[: asked.most]}

    def item(self, item: str) -> dict[str, Any]:
        """Return what is held under an id."""
        found = self.index.get(self.typed(item))
        return {"id": found.id, "metadata": dict(found.metadata)}

    def source(self, item: str) -> tuple[Id, str | None]:
        """Return an item's id, and the path that its photo was added from."""
        found = self.index.get(self.typed(item))
        return found.id, found.source


def rows_of(matches: Matches) -> list[list[dict[str, Any]]]:
    """Return the matches of each query, as JSON holds them, without the paths of their photos."""
    return [[_row(match) for match in found] for found in matches]


def _row(match: Match) -> dict[str, Any]:
    probability = match.probability
    return {
        "id": match.id,
        "similarity": match.similarity,
        "probability": probability if probability == probability else None,  # NaN is not itself
        "metadata": match.metadata,
        "parts": match.parts,
    }


def _tagger(index: VisualIndex, name: str | None) -> Tagger:
    own = tagger_of(index.encoder) if name is None else None
    return own or named_tagger(name or "fashion", progress=False)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _page(query: Query) -> dict[str, Any]:
    asked = {name: getattr(query, name) for name in _PAGE}
    if query.group_by is not None and query.group_by.startswith(PRIVATE):
        raise RefusedError(422, "there is no such field")
    return asked


def _is_plain(query: Query) -> bool:
    """Return whether nothing is said beside the photo."""
    rest = {"vector", "id", "text", "text_match", "like", "unlike", "towards"} & query.model_fields_set
    return not rest


def _page_key(query: Query) -> str:
    """Return what is the same of queries that can be searched together."""
    return json.dumps([getattr(query, name) for name in _PAGE], sort_keys=True)


def _judged(item: Any) -> Any:
    """Return an id that is never taken for a path, or a photo of a known embedding."""
    if isinstance(item, np.ndarray):
        return encoders.Embedded(item)
    return ItemId(item) if isinstance(item, str) else item
