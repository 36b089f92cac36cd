"""The routes of the service: what they read, and what they answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic import BaseModel
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fashionsearch import __version__, errors
from fashionsearch.service import page, schemas
from fashionsearch.service.bodies import check_address, decoded_photo, fields_alone, photo_and_fields
from fashionsearch.service.catalogue import Catalogue, Job, ToEmbed, ToSearch, ToTag
from fashionsearch.service.changes import Changes, ChangesHere, ChangesThere
from fashionsearch.service.failures import RefusedError, refused
from fashionsearch.service.gate import App, Gate, failure_response, json_response, unforeseen
from fashionsearch.service.lane import Lane
from fashionsearch.service.metrics import TYPE, Metrics
from fashionsearch.service.photos import SMALL, checked_size, prepared, prepared_aside, shown
from fashionsearch.service.rooms import Room
from fashionsearch.service.settings import Settings

_READERS = 4  # threads that search
_TOLD: tuple[type[Exception], ...] = (
    RefusedError,
    errors.FashionSearchError,
    MemoryError,
    TimeoutError,
)


class _IdConvertor(StringConvertor):
    """The rest of an address, line breaks included, with which an id may end."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())


class Service:
    """What the routes of one worker share.

    Args:
        settings: of the service.
        catalogue: that is served; its index is opened for writing where this worker changes it itself.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self.settings, self.catalogue = settings, catalogue
        self.metrics = Metrics(settings.metrics_folder)
        most = settings.limits.concurrency
        self.room, self.large, self.change = Room(_READERS, most), Room(1, most), Room(1, most)
        self.lane: Lane[Job] = Lane(catalogue.work, self.metrics.batch)
        self.changes: Changes = (
            ChangesHere(catalogue.index, self.change)
            if settings.writer is None
            else ChangesThere(settings.writer, catalogue.index, self.room)
        )

    def close(self) -> None:
        """End the threads, and close the index."""
        for each in (self.room, self.large, self.change, self.lane):
            each.close()
        self.catalogue.index.close()

    async def _decoded(self, data: bytes, region: list[float] | None, *, tags: bool = False) -> Any:
        """Return a photo of the network's size."""
        catalogue = self.catalogue
        size = checked_size(data, self.settings.limits.pixels)
        sees = catalogue.sees
        if tags:
            sees = (
                await self.room.run(lambda: catalogue.tagger_sees)
                if not catalogue.has_tagger
                else catalogue.tagger_sees
            )
        if size <= SMALL:
            return prepared(data, region, sees)
        return await self.large.run(lambda: prepared_aside(data, region, sees))

    async def _seen(self, data: bytes, query: schemas.Query | None) -> Any:
        """Return a photo as the catalogue's encoder is to see it."""
        self.catalogue.check_photo()
        if self.catalogue.looks_whole(query.background if query else None):
            checked_size(data, self.settings.limits.pixels)
            return data
        return await self._decoded(data, query.region if query else None)

    async def search(self, photo: bytes | None, query: schemas.Query) -> list[dict[str, Any]]:
        """Return what is found for a photo, or without one."""
        if query.k + query.offset > self.settings.limits.k:
            raise RefusedError(422, f"k and offset together are over {self.settings.limits.k:,}")
        if query.region is not None and photo is None:
            raise RefusedError(422, "region is of a photo, and there is none")
        found: Any = None
        if photo is not None:
            found = await self.lane.done(ToSearch(await self._seen(photo, query), query))
            if isinstance(found, list):
                return found
        like = [await self._judged(each) for each in query.like]
        unlike = [await self._judged(each) for each in query.unlike]
        return await self.room.run(lambda: self.catalogue.search(query, found, like, unlike))

    async def _judged(self, given: Any) -> Any:
        if not isinstance(given, schemas.Photo):
            return given
        return await self._embedded(decoded_photo(given.photo))

    async def _embedded(self, photo: bytes) -> Any:
        return await self.lane.done(ToEmbed(await self._seen(photo, None)))

    async def tag(self, photo: bytes | None, asked: schemas.Tagging) -> Any:
        """Return the tags of a photo."""
        if photo is None:
            raise RefusedError(422, "there is no photo to tag; give one")
        return await self.lane.done(ToTag(await self._decoded(photo, None, tags=True), asked.confidence))

    async def put(self, photo: bytes | None, item: schemas.NewItem) -> dict[str, Any]:
        """Add an item, or put it in the place of the one of its id."""
        if (photo is None) == (item.vector is None):
            raise RefusedError(422, "an item is a photo or a vector; give one of them")
        vector: NDArray[np.float32]
        if photo is not None:
            vector = await self._embedded(photo)
        else:
            if self.catalogue.takes_photos:
                raise RefusedError(422, "the catalogue is of photos; give one instead of a vector")
            vector = np.asarray(item.vector, np.float32)
        name, items = await self.changes.put(item.id, vector, item.metadata)
        return {"id": name, "items": items}

    async def is_ready(self) -> bool:
        """Return whether the catalogue can be read."""
        try:
            await self.room.run(self.catalogue.index.refresh)
            return True
        except (errors.FashionSearchError, RefusedError):
            return False


def make_app(service: Service) -> App:
    """Return the whole application of a worker."""
    settings = service.settings

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="fashionsearch",
        version=__version__,
        description="A catalogue, searched by photo, by words and by what is in it.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    _add_failures(app)
    _add_reading(app, service)
    _add_items(app, service)
    _add_state(app, service)
    gate: App = Gate(app, settings, service.metrics)
    if not settings.cors_origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "POST", "PATCH", "DELETE"),
        allow_headers=("authorization", "content-type"),
        max_age=600,
    )


def _add_failures(app: FastAPI) -> None:
    async def told(_: Request, error: Exception) -> Response:
        refusal = refused(error)
        return unforeseen(error) if refusal is None else failure_response(refusal)

    async def of_http(_: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 400)
        words = {404: "there is no such address; /docs lists them", 405: "this address has other methods"}
        headers = getattr(error, "headers", None) or {}
        return failure_response(
            RefusedError(status, words.get(status, "the request can't be used"), headers=headers)
        )

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=400)

    for kind in _TOLD:
        app.add_exception_handler(kind, told)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, told)


def _add_reading(app: FastAPI, service: Service) -> None:
    catalogue = service.catalogue

    @app.post("/search", openapi_extra=page.takes(schemas.Query, "query"), **_answers(schemas.Matches))
    async def search(request: Request) -> Response:
        """Find the items nearest to a photo, to words, to a stored item or to what is liked."""
        photo, query = await photo_and_fields(request, schemas.Query, "query")
        return json_response({"matches": await service.search(photo, query)})

    @app.post("/tag", openapi_extra=page.takes(schemas.Tagging, "tagging"), **_answers(schemas.Tags))
    async def tag(request: Request) -> Response:
        """Tag a photo, and say of which tags the tagger is sure."""
        return json_response(await service.tag(*await photo_and_fields(request, schemas.Tagging, "tagging")))

    @app.post("/facets", openapi_extra=page.takes(schemas.Facets), **_answers(schemas.Counts))
    async def facets(request: Request) -> Response:
        """Count the values of a metadata field, for the filters of a shop."""
        asked = await fields_alone(request, schemas.Facets)
        return json_response(await service.room.run(lambda: catalogue.facets(asked)))

    @app.get("/catalogue", **_answers(schemas.About))
    async def about(request: Request) -> Response:
        """Say what the catalogue is."""
        check_address(request, ())
        index = catalogue.index
        told = {
            "items": await service.room.run(lambda: len(index)),
            "dim": index.dim,
            "metric": index.metric,
            "takes_photos": catalogue.takes_photos,
            "attributes": await service.room.run(lambda: list(catalogue.tagger.attributes_)),
            "writable": service.settings.writable,
        }
        return json_response(told)

    if service.settings.photos is None:
        return
    folder = service.settings.photos

    @app.get("/photos/{item:id}", response_class=Response, **_failures())
    async def photo(request: Request, item: str) -> Response:
        """Return the photo of an item, as it lies in the folder of photos."""
        check_address(request, ())

        def read() -> tuple[bytes, str]:
            return shown(folder, *catalogue.source(item))

        data, kind = await service.room.run(read)
        return Response(data, media_type=kind, headers={"content-security-policy": "default-src 'none'"})


def _add_items(app: FastAPI, service: Service) -> None:
    catalogue, done = service.catalogue, _answers(schemas.Done)

    @app.get("/items/{item:id}", **_answers(schemas.Item))
    async def item(request: Request, item: str) -> Response:
        """Return what the catalogue holds under an id."""
        check_address(request, ())
        return json_response(await service.room.run(lambda: catalogue.item(item)))

    if not service.settings.writable:
        return

    @app.post("/items", openapi_extra=page.takes(schemas.NewItem, "item"), **done)
    async def put(request: Request) -> Response:
        """Add an item, or put it in the place of the one of its id; answered once it is kept."""
        return json_response(await service.put(*await photo_and_fields(request, schemas.NewItem, "item")))

    @app.patch("/items/{item:id}", openapi_extra=page.takes(schemas.Changed), **done)
    async def update(request: Request, item: str) -> Response:
        """Set fields of an item's metadata; the others stay."""
        fields = await fields_alone(request, schemas.Changed)
        name = await service.room.run(lambda: catalogue.typed(item))
        return json_response({"id": name, "items": await service.changes.update(name, dict(fields.metadata))})

    @app.delete("/items/{item:id}", **done)
    async def remove(request: Request, item: str) -> Response:
        """Remove an item."""
        check_address(request, ())
        name = await service.room.run(lambda: catalogue.typed(item))
        return json_response({"id": name, "items": await service.changes.remove(name)})


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", **_answers(schemas.State))
    async def health() -> Response:
        """Say that the process answers."""
        return json_response({"status": "ok"})

    @app.get("/ready", **_answers(schemas.State))
    async def ready() -> Response:
        """Say whether the catalogue can be read: 200, or 503."""
        if await service.is_ready():
            return json_response({"status": "ready"})
        raise RefusedError(503, "the catalogue can't be read at the moment", headers={"retry-after": "1"})

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return what Prometheus reads, of all workers together."""
        items = None
        # Who watches a service wants its numbers most of all when the catalogue can't be read.
        with contextlib.suppress(errors.FashionSearchError, RefusedError):
            items = await service.room.run(lambda: len(service.catalogue.index))
        return Response(service.metrics.content(items), media_type=TYPE)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return json_response(page.openapi(app))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page.html(page.openapi(app)), headers=page.HEADERS)

    @app.get("/", include_in_schema=False)
    async def first() -> Response:
        return RedirectResponse("docs")


def _answers(model: type[BaseModel]) -> dict[str, Any]:
    """Return what OpenAPI says of answers, which are made by hand: a model would look at each value again."""
    return {"responses": {200: {"model": model}, **_failures()["responses"]}}


def _failures() -> dict[str, Any]:
    return {"responses": {status: {"model": schemas.Failure} for status in (401, 404, 413, 422, 503, 504)}}
