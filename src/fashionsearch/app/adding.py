"""The photo on the page becomes an item of the catalogue."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.app.wishes import pairs_of
from fashionsearch.datasets.folder import EXTENSIONS
from fashionsearch.values import Value, read_text

if TYPE_CHECKING:
    from fashionsearch.app.catalogue import Catalogue, Photo

_LONGEST_ID = 200
_LONGEST_NAME = 200  # bytes of a file's name, of which a file system takes 255


def fields_to_add(catalogue: Catalogue) -> list[str]:
    """Return the fields that are asked for of a new item."""
    title = catalogue.fields.title
    return [*([] if title is None else [title]), *catalogue.fields.filters]


def add(catalogue: Catalogue, photo: Photo, form: object) -> tuple[str, str]:
    """Add a photo as an item.

    Args:
        catalogue: to add to.
        photo: of the item.
        form: what the browser sent: "id", and "field:NAME" of the fields of its metadata.

    Returns:
        What the item is called, and what else is to be told.

    Raises:
        InputError: if the form can't be used, or there is an item of this id.
        StorageError: if the photo can't be written.
    """
    written = dict(pairs_of(form))
    metadata = {
        name: _value(catalogue, name, text.strip())
        for name in fields_to_add(catalogue)
        if (text := written.get(f"field:{name}", "")).strip()
    }
    ids = _ids(catalogue, photo, written.get("id", "").strip())
    path = _kept(catalogue, photo, ids)
    try:
        added = catalogue.index.add([photo.pixels if path is None else path], ids=ids, metadata=[metadata])
    except BaseException:
        if path is not None:
            path.unlink(missing_ok=True)
        raise
    name = metadata.get(catalogue.fields.title or "") or added.ids[0]
    told = (
        " It has no picture, since the page was started without a folder for photos (--photos)."
        if path is None
        else ""
    )
    return str(name), told


def _ids(catalogue: Catalogue, photo: Photo, written: str) -> list[str | int] | None:
    """Return the id of a new item; None lets the index number it."""
    first: Any = next(iter(catalogue.index), "")
    item: str | int = written
    if isinstance(first, int):
        if not written:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", written):
            raise errors.InputError(f"ids here are whole numbers, and {written!r:.60} is none")
        item = int(written)
    elif not written:
        item = _free(catalogue, Path(photo.name).stem or "photo")
    if len(written) > _LONGEST_ID:
        raise errors.InputError(f"an id has at most {_LONGEST_ID} letters, and this one {len(written)}")
    if item in catalogue.index:
        raise errors.InputError(
            f"there is an item {str(item)!r} already; give another id, or remove that one first"
        )
    return [item]


def _free(catalogue: Catalogue, stem: str) -> str:
    """Return an id that no item has, made of a file's name."""
    number, item = 1, stem[:_LONGEST_ID]
    while item in catalogue.index:
        number += 1
        item = f"{stem[:_LONGEST_ID]}-{number}"
    return item


def _value(catalogue: Catalogue, name: str, text: str) -> Value:
    """Return the value that a text spells: a text, where the field holds texts."""
    field = catalogue.fields.filters.get(name)
    if field is None:
        return text
    held = field.values.get(text)
    if held:
        return held[0]
    is_text = bool(field.values) and all(isinstance(each[0], str) for each in field.values.values())
    return text if is_text else read_text(text)


def _kept(catalogue: Catalogue, photo: Photo, ids: list[str | int] | None) -> Path | None:
    """Return the file that a photo was written to, in the folder of the items' photos; None where there is none."""
    if catalogue.folder is None:
        return None
    ending = Path(photo.name).suffix.lower()
    ending = ending if ending in EXTENSIONS else ".jpg"
    stem = re.sub(r"[^\w-]+", "-", str(ids[0]) if ids else "item").strip("-")
    stem = stem.encode()[:_LONGEST_NAME].decode(errors="ignore") or "item"
    number = 1
    while True:
        path = catalogue.folder / f"{stem}{'' if number == 1 else f'-{number}'}{ending}"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            raise _unwritten(error) from error
        try:
            path.write_bytes(photo.encoded)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _unwritten(error) from error
        return path


def _unwritten(error: OSError) -> errors.StorageError:
    return errors.StorageError(f"the photo can't be written to the folder of photos: {error.strerror}")
