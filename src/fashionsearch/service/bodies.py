"""A photo and fields, from the body of a request: JSON, a form, or the photo's bytes themselves."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import from_json
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from fashionsearch.service.failures import RefusedError
from fashionsearch.service.schemas import Strict

S = TypeVar("S", bound=Strict)
JSON, FORM = "application/json", "multipart/form-data"
_RAW = ("image/", "application/octet-stream")
_PHOTO = "photo"  # the name of a form's part, and of a field
_FIELDS_LENGTH = 2**18  # of a form's part that is no photo


def parsed(content: bytes | str, schema: type[S], place: str = "the body") -> S:
    """Return JSON as what a schema says.

    Raises:
        RefusedError: if it is no JSON, or something else; 422.
    """
    try:
        given = from_json(content, allow_inf_nan=False, cache_strings=False)
    except ValueError as error:
        raise RefusedError(422, f"{place} is no JSON: {error}") from None
    try:
        return schema.model_validate(given)
    except ValidationError as error:
        raise told(error, place) from None


def told(error: ValidationError, place: str) -> RefusedError:
    """Return what a client is told of fields that are wrong."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    details = [
        {"field": ".".join(str(part) for part in each["loc"])[:200], "message": each["msg"][:200]}
        for each in found[:20]
    ]
    first = f"{details[0]['field'] or place}: {details[0]['message']}"
    return RefusedError(422, f"{place} can't be used: {first}", details)


async def photo_and_fields(request: Request, schema: type[S], name: str) -> tuple[bytes | None, S]:
    """Return the photo of a request, if it has one, and its fields.

    Args:
        request: whose body is JSON with a field "photo" in base64; or a form with a part "photo" and one of `name` with the
            other fields as JSON; or the photo itself, with these in the address as `?name={…}`.
        schema: of the fields.
        name: of the form's part and of the address' parameter that hold them.

    Raises:
        RefusedError: if it is of another type (415) or can't be used (422).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "the body is compressed; send it as it is")
    if kind == JSON:
        check_address(request, ())
        fields = parsed(await request.body(), schema)
        return _decoded(getattr(fields, _PHOTO)), fields
    if kind == FORM:
        check_address(request, ())
        photo, text = await _form(request, name)
        fields = parsed(text, schema, f"the part {name!r}")
    elif kind.startswith(_RAW):
        given = check_address(request, (name,))
        fields = parsed(given.get(name, "{}"), schema, f"the parameter {name!r}")
        photo = await request.body()
    else:
        raise RefusedError(
            415,
            f"the body is to be {JSON}, {FORM} with a part 'photo', or the photo itself as image/jpeg or the like",
        )
    if getattr(fields, _PHOTO) is not None:
        raise RefusedError(422, "a photo is given twice; leave out the field 'photo'")
    if not photo:
        raise RefusedError(422, "the photo is empty")
    return photo, fields


async def fields_alone(request: Request, schema: type[S]) -> S:
    """Return the fields of a request that has no photo.

    Raises:
        RefusedError: if its body is no JSON (415) or can't be used (422).
    """
    check_address(request, ())
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise RefusedError(415, f"the body is to be {JSON}")
    return parsed(await request.body(), schema)


def check_address(request: Request, known: tuple[str, ...]) -> Mapping[str, str]:
    """Return the parameters of an address, each once and all of them known.

    Raises:
        RefusedError: if there are others; 422.
    """
    given = request.query_params
    if not given and not request.scope["query_string"]:
        return {}
    for name, _ in given.multi_items():
        if name not in known or len(given.getlist(name)) > 1:
            names = ", ".join(known) or "none"
            raise RefusedError(
                422, f"the address has a parameter that is unknown or given twice; known: {names}"
            )
    return given


def decoded_photo(text: str) -> bytes:
    """Return the bytes of a photo in base64.

    Raises:
        RefusedError: if it is none; 422.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(
            422,
            "the photo is no base64; give the file's bytes so, without 'data:' before them, and no path or address",
        ) from None


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else decoded_photo(text)


async def _form(request: Request, name: str) -> tuple[bytes, str]:
    """Return the parts of a form: the photo, and the fields."""
    body = await request.body()

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        Headers(raw=request.headers.raw),
        stream(),
        max_files=1,
        max_fields=1,
        max_part_size=_FIELDS_LENGTH,
    )
    parser.spool_max_size = len(body) + 1  # in memory: its size is limited already
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as error:
        told = getattr(error, "message", "it can't be read")
        raise RefusedError(422, f"the form is damaged: {told}") from None
    try:
        if not set(form) <= {_PHOTO, name}:
            raise RefusedError(422, f"the form has other parts than 'photo' and {name!r}")
        if len(form) < len(form.multi_items()):
            raise RefusedError(422, "the form has two parts of one name")
        photo, fields = form.get(_PHOTO), form.get(name, "{}")
        if not isinstance(photo, UploadFile):
            raise RefusedError(
                422, "the form has no file as its part 'photo'; its bytes are wanted, and no path"
            )
        if not isinstance(fields, str):
            raise RefusedError(422, f"the part {name!r} is a file, and is to be a field with JSON")
        return await photo.read(), fields
    finally:
        await form.close()
