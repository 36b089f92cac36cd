"""The Kaggle data set *Fashion Product Images (Small)* as users have it on disk, faults and all."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np

from fashionsearch import errors
from fashionsearch.datasets.report import path_problem, report_left_out
from fashionsearch.datasets.table import LoadReport, Table
from fashionsearch.files import as_path

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)


def load_fashion_products(root: str | os.PathLike[str]) -> Table:
    """Load *Fashion Product Images (Small)*: `root/styles.csv` and `root/images/<id>.jpg`.

    Rows whose product name holds unquoted commas are mended. Rows that can't be used (no image file, no id, an id
    that leaves the folder or occurs twice, too few fields) are left out; `table.report` names each, and one
    `DataWarning` says how many.

    Args:
        root: the folder that holds `styles.csv`; the row order of the file is kept.

    Returns:
        A `Table` of paths with the ten columns of `styles.csv`; an empty label is `""`.

    Raises:
        DataError: if `styles.csv` or `images` is missing, the columns are others, or no row can be used.

    Source: Param Aggarwal, kaggle.com/datasets/paramaggarwal/fashion-product-images-small.

    Examples:
        >>> load_fashion_products("nowhere")
        Traceback (most recent call last):
            ...
        fashionsearch.errors.DataError: nowhere/styles.csv: there is no such file; ...
    """
    folder = as_path(root)
    listing, pictures = folder / "styles.csv", folder / "images"
    if not listing.is_file():
        raise errors.DataError(
            f"{listing}: there is no such file; give the folder that holds styles.csv and images/, as Kaggle ships them"
        )
    if not pictures.is_dir():
        raise errors.DataError(f"{pictures}: there is no such folder; unpack images/ beside styles.csv")
    rows, repaired, left_out = _read_rows(listing)
    with os.scandir(pictures) as entries:
        present = {entry.name for entry in entries if entry.is_symlink() or entry.is_file()}
    inside = pictures.resolve()
    kept: list[list[str]] = []
    images: list[Path] = []
    seen: set[str] = set()
    for line, row in rows:
        reason = _unusable(row[0], present, seen, pictures, inside)
        if reason:
            left_out.append(f"line {line}: {reason}")
            continue
        seen.add(row[0])
        kept.append(row)
        images.append(pictures / f"{row[0]}.jpg")
    if not kept:
        raise errors.DataError(
            f"{listing}: none of its {len(rows):,} rows can be used; the first problem is: "
            + (left_out[0] if left_out else "the file has no rows")
        )
    report = LoadReport(tuple(repaired), tuple(left_out))
    report_left_out(report, str(listing))
    columns = zip(COLUMNS, zip(*kept, strict=True), strict=True)
    return Table(
        images, {name: np.array(values, dtype=np.str_) for name, values in columns}, folder.name, report
    )


def _read_rows(listing: Path) -> tuple[list[tuple[int, list[str]]], list[str], list[str]]:
    text = listing.read_bytes()
    repaired: list[str] = []
    left_out: list[str] = []
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        decoded = text.decode("utf-8-sig", errors="replace")
        repaired.append(f"byte {error.start} and perhaps others are not UTF-8, and stand as '\ufffd'")
    reader = csv.reader(io.StringIO(decoded.replace("\0", ""), newline=""))
    rows = []
    try:
        header = next(reader, [])
        if tuple(name.strip() for name in header) != COLUMNS:
            raise errors.DataError(
                f"{listing}: its columns are {', '.join(header)[:500] or 'missing'}, and {', '.join(COLUMNS)} are "
                "needed; load another layout with load_csv"
            )
        line = reader.line_num
        for fields in reader:
            first, line = line + 1, reader.line_num
            if not any(field.strip() for field in fields):
                continue
            row = [field.strip() for field in fields]
            swallowed = sum(part.count(",") >= len(COLUMNS) - 1 for part in ",".join(fields).splitlines()[1:])
            if swallowed:
                left_out.append(
                    f"lines {first} to {line}: a quote is not closed, so {swallowed + 1} rows run together"
                )
                continue
            if len(row) > len(COLUMNS):
                name = ",".join(fields[len(COLUMNS) - 1 :]).strip()
                row = [*row[: len(COLUMNS) - 1], name]
                repaired.append(
                    f"line {line} (id {row[0]}): its product name holds unquoted commas: {name!r}"
                )
            if len(row) < len(COLUMNS):
                left_out.append(f"line {line}: has {len(row)} fields and {len(COLUMNS)} are needed")
                continue
            rows.append((line, row))
    except csv.Error as error:
        raise errors.DataError(
            f"{listing}, line {reader.line_num}: {error}; mend or remove that line"
        ) from error
    return rows, repaired, left_out


def _unusable(identity: str, present: set[str], seen: set[str], pictures: Path, inside: Path) -> str:
    """Return why a row can't be used, or an empty string."""
    if not identity:
        return "has no id"
    path = pictures / f"{identity}.jpg"
    if Path(identity).name != identity or "\\" in identity:
        return f"id {identity!r} leaves the images folder"
    if identity in seen:
        return f"id {identity} occurs before"
    if path.name not in present:
        return f"id {identity} has no image file {path.name}"
    if path.is_symlink() and (problem := path_problem(path, inside)):
        return f"id {identity}: {path.name} is a link and {problem}"
    return ""
