"""The user's own photos as a CSV file lists them."""

from __future__ import annotations

import csv
import os
import unicodedata
from pathlib import Path
from typing import TextIO

import numpy as np

from fashionsearch import errors
from fashionsearch.datasets.report import path_problem, report_left_out
from fashionsearch.datasets.table import LoadReport, Table
from fashionsearch.files import as_path

_SEPARATORS = (",", ";", "\t")


def load_csv(
    path: str | os.PathLike[str], *, image_column: str = "image", root: str | os.PathLike[str] | None = None
) -> Table:
    r"""Load a CSV file with a header, one column of which names an image file.

    Rows whose image is missing or lies outside the root are left out; `table.report` names each.

    Args:
        path: the CSV file, in UTF-8, its columns separated by commas, semicolons or tabs.
        image_column: the column of image paths.
        root: the folder they start from; None is the CSV file's own.

    Returns:
        A `Table` of paths with all columns of the file; `id` is the image path where the file has no such column.

    Raises:
        DataError: if the file is missing or damaged, lacks the column, or no row can be used.

    Examples:
        >>> import pathlib, tempfile
        >>> import fashionsearch as fs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "a.png").write_bytes(b"not looked at yet")
        ...     listing = pathlib.Path(folder, "photos.csv")
        ...     _ = listing.write_text("image,kind\na.png,dress\n")
        ...     table = fs.datasets.load_csv(listing)
        >>> table["kind"].tolist()
        ['dress']
    """
    table = read_csv(path, image_column=image_column, root=root)
    report_left_out(table.report, str(as_path(path)))
    return table


def read_csv(
    path: str | os.PathLike[str],
    *,
    image_column: str,
    root: str | os.PathLike[str] | None,
    anywhere: bool = False,
) -> Table:
    """Return what `load_csv` returns, without its warning; if `anywhere`, absolute paths may lie outside the root."""
    listing = as_path(path)
    folder = as_path(root) if root is not None else listing.parent
    if not listing.is_file():
        raise errors.DataError(f"{listing}: there is no such file")
    inside = folder.resolve()
    rows: list[dict[str, str]] = []
    images: list[Path] = []
    left_out: list[str] = []
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            # Without `strict`, a quote that is never closed swallows the rest of the file.
            reader = csv.DictReader(file, restkey=None, strict=True, delimiter=_separator(file))
            columns = [name for name in reader.fieldnames or [] if name]
            _check_columns(columns, listing, image_column)
            first = reader.line_num + 1
            for row in reader:
                name = (row[image_column] or "").strip()
                image = _existing(folder, name)
                limit = Path(image.anchor) if anywhere and Path(name).is_absolute() else inside
                if None in row or any(row[name] is None for name in columns):
                    left_out.append(f"line {reader.line_num}: doesn't have {len(columns)} fields")
                elif problem := path_problem(image, limit):
                    left_out.append(f"line {reader.line_num}: {row[image_column]!r}: {problem}")
                else:
                    rows.append(row)
                    images.append(image)
                first = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise errors.DataError(
            f"{listing} can't be read as a CSV file in UTF-8: {error}; save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise errors.DataError(
            f"{listing} can't be read as a CSV file: {error}, in the row that begins at line {first}. Often a quotation "
            'mark in it is not closed: put the whole field in quotation marks, and write "" for each inside it'
        ) from error
    if not rows:
        raise errors.DataError(
            f"{listing}: no row can be used; the first problem is: {left_out[0] if left_out else 'it has no rows'}"
        )
    data = {
        # Two spellings of one text in Unicode, as file systems and spreadsheets give them, are one value.
        name: np.array([unicodedata.normalize("NFC", row[name].strip()) for row in rows], dtype=np.str_)
        for name in columns
    }
    data.setdefault("id", data[image_column])
    return Table(images, data, listing.stem, LoadReport(left_out=tuple(left_out)))


def _separator(file: TextIO) -> str:
    """Return what stands between the columns: spreadsheets of many countries write a semicolon."""
    header = file.readline()
    file.seek(0)
    return max(_SEPARATORS, key=header.count)


def _check_columns(columns: list[str], listing: Path, image_column: str) -> None:
    if len(set(columns)) < len(columns):
        raise errors.DataError(f"{listing} has columns of the same name: {', '.join(columns)}; rename them")
    if image_column not in columns:
        raise errors.DataError(
            f"{listing} has no column {image_column!r}; its columns are {', '.join(columns) or 'missing'}. "
            f"Name the one with image paths.{errors.did_you_mean(image_column, columns)}"
        )


def _existing(folder: Path, name: str) -> Path:
    """Return the path of a file, in whichever of Unicode's two spellings of its name the file system has it."""
    path = folder / name
    if not name.isascii() and not os.path.lexists(path):
        for form in ("NFC", "NFD"):
            other = folder / unicodedata.normalize(form, name)
            if os.path.lexists(other):
                return other
    return path
