"""What commands are given, checked before anything slow is imported: folders, photos, tables and filters."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.answer import tell_left_out

if TYPE_CHECKING:
    from fashionsearch.datasets.table import Table
    from fashionsearch.index import VisualIndex

_OPERATORS = ((">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"))
_LABELS = ("masterCategory", "label")


def check_saved(folder: Path, kind: str) -> None:
    """Raise StorageError unless a folder holds something saved of a kind; nothing but its manifest is read."""
    from fashionsearch import storage

    storage.open_saved(folder, kind)


def check_index(folder: Path) -> None:
    """Raise StorageError unless a folder holds an index, saved or opened."""
    if not is_opened(folder):
        check_saved(folder, "index")


def is_opened(folder: Path) -> bool:
    """Return whether a folder holds an index that `VisualIndex.open` made."""
    from fashionsearch import storage

    return (folder / storage.MANIFEST).exists() and storage.open_saved(folder).kind == "opened index"


def open_index(folder: Path, *, embeds: bool, rebuild: bool = False, url: str | None = None) -> VisualIndex:
    """Return an index to search, whether it was saved or opened; its encoder stays unread where nothing is embedded."""
    from fashionsearch.index import VisualIndex
    from fashionsearch.index.snapshot import unread_encoder

    encoder = None if embeds else unread_encoder(folder)
    if is_opened(folder):
        if url is not None:
            raise errors.InputError(f"--url is for an index on a server, and {folder} holds its items itself")
        return VisualIndex.open(folder, encoder, read_only=True, rebuild=rebuild)
    return VisualIndex.load(folder, encoder=encoder, rebuild=rebuild, url=url, api_key=key_of(url))


def key_of(url: str | None) -> str | None:
    """Return the key for a server that the user has named; a folder can't have it sent to one of its own choice."""
    return None if url is None else os.environ.get("QDRANT_API_KEY")


def loaded(name: str) -> Any:
    """Return the encoder that was saved to a folder, or the backbone of that name."""
    from fashionsearch import storage
    from fashionsearch.autoencoder.autoencoder import Autoencoder
    from fashionsearch.backbones import Backbone, create_backbone
    from fashionsearch.tagging.classifier import Classifier
    from fashionsearch.tagging.tagger import Tagger

    if not (Path(name) / storage.MANIFEST).exists():
        return create_backbone(name)
    kinds: dict[str, Any] = {"autoencoder": Autoencoder, "backbone": Backbone, "tagger": Tagger}
    return kinds.get(storage.open_saved(name).kind, Classifier).load(name)


def check_photos(photos: Sequence[str | Path]) -> None:
    """Raise ImageError for photos that aren't there."""
    missing = [
        errors.ImageFailure(position, str(photo), "there is no such file")
        for position, photo in enumerate(photos)
        if not Path(photo).expanduser().exists()
    ]
    if missing:
        raise errors.ImageError(missing)


def check_there(path: Path) -> Path:
    """Return the path of a table, or raise DataError if nothing is there: before anything slow is imported."""
    path = path.expanduser()
    if not path.exists():
        raise errors.DataError(f"{path}: there is no such folder, and no such file")
    return path


def read_table(options: argparse.Namespace, *, labelled: bool = True) -> Table:
    """Return the table that the options name, without the photos that can't be read where the user skips them."""
    table = table_of(options.data, options.image_column, options.image_root, labelled=labelled)
    if options.skip_bad:
        from fashionsearch.images import check_images

        positions, failures = check_images(table.images)
        tell_left_out(failures)
        table = table[positions]
    return table


def table_of(
    path: Path, image_column: str = "image", image_root: Path | None = None, *, labelled: bool = True
) -> Table:
    """Return the table of a CSV file, a folder as Kaggle ships it, or a folder of photos."""
    path = check_there(path)
    from fashionsearch import datasets

    if path.is_file():
        return datasets.load_csv(path, image_column=image_column, root=image_root)
    if (path / "styles.csv").exists():
        return datasets.load_fashion_products(path)
    return datasets.load_folder(path, labelled=labelled)


def label_of(table: Table, asked: str | None) -> str:
    """Return the column to learn: the one that is asked for, else one of a usual name."""
    if asked is not None:
        table[asked]  # raises for a column that isn't there
        return asked
    for name in _LABELS:
        if name in table.columns:
            return name
    raise errors.DataError(
        f"which column should be learned? Name one with --label: {', '.join(table.columns)}"
    )


def parts_of(table: Table, options: argparse.Namespace) -> tuple[Table, Table, Table]:
    """Return the parts to train, validate and test on: those of the column `split`, else drawn by the options."""
    if "split" not in table.columns or "train" not in table["split"]:
        return table.split(test=options.test, validation=options.validation, seed=options.random_state)
    train, validation, test = (table[table["split"] == part] for part in ("train", "validation", "test"))
    if not len(validation):
        train, validation, _ = train.split(test=0, validation=options.validation, seed=options.random_state)
    print(
        f"parts as the photos lie: {len(train):,} to train on, {len(validation):,} for validation, {len(test):,} for the test"
    )
    return train, validation, test


def ids_of(table: Table, column: str | None) -> list[str]:
    """Return the ids to index a table's photos by."""
    ids: list[str] = table[column or "id"].tolist()
    return ids


def parse_where(conditions: Sequence[str]) -> dict[str, Any] | None:
    """Return a filter, as `VisualIndex.search` takes it, from texts such as "gender=Women" and "year>=2012"."""
    where: dict[str, Any] = {}
    for condition in conditions:
        for sign, name in _OPERATORS:
            field, found, value = condition.partition(sign)
            if found:
                bounds = where.setdefault(field.strip(), {})
                _refuse_twice(field.strip(), not isinstance(bounds, dict) or name in bounds)
                bounds[name] = _spelled(value)[0]
                break
        else:
            field, found, value = condition.partition("=")
            if not found or not field.strip():
                raise errors.InputError(f"--where {condition!r} is not FIELD=VALUE, FIELD>=VALUE or the like")
            _refuse_twice(field.strip(), field.strip() in where)
            where[field.strip()] = [option for part in value.split(",") for option in _spelled(part)]
    return where or None


def parse_towards(asked: Sequence[str]) -> dict[str, str] | None:
    """Return attributes, as `VisualIndex.search` takes them, from texts such as "baseColour=Red"."""
    towards: dict[str, str] = {}
    for text in asked:
        name, found, value = (part.strip() for part in text.partition("="))
        if not (name and found and value):
            raise errors.InputError(f"--towards {text!r} is not ATTRIBUTE=VALUE, such as baseColour=Red")
        if name in towards:
            raise errors.InputError(f"--towards names {name!r} twice; give it one value")
        towards[name] = value
    return towards or None


def _refuse_twice(field: str, again: bool) -> None:
    if again:
        raise errors.InputError(f"--where names {field!r} twice; for one of several values write {field}=A,B")


def _spelled(text: str) -> list[Any]:
    """Return the number or boolean that a text spells, and the text itself: an index may hold either."""
    from fashionsearch.values import read_text

    text = text.strip()
    value = read_text(text)
    return [text] if value is text or isinstance(value, str) else [value, text]
