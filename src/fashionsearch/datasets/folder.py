"""The user's own photos: a folder of class folders, or a CSV file that names them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from fashionsearch import errors
from fashionsearch.datasets.report import path_problem, report_left_out
from fashionsearch.datasets.table import LoadReport, Table

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def load_folder(root: str | os.PathLike[str], *, labelled: bool = True) -> Table:
    """Load photos from a folder whose subfolders are classes: `root/<class>/*.jpg`.

    Photos may lie deeper inside a class folder. Files with other endings and links that leave the root are left out;
    `table.report` names each. Files and folders whose names begin with a dot don't count.

    Args:
        root: the folder.
        labelled: False takes photos at any depth, and gives no labels.

    Returns:
        A `Table` of paths, sorted by path, with the columns `id` (the path from the root) and, if labelled, `label`.

    Raises:
        DataError: if the folder is missing or holds no class folder with a photo.

    Examples:
        >>> load_folder("nowhere")
        Traceback (most recent call last):
            ...
        fashionsearch.errors.DataError: nowhere: there is no such folder
    """
    folder = Path(root)
    if not folder.is_dir():
        raise errors.DataError(f"{folder}: there is no such folder")
    inside = folder.resolve()
    images: list[Path] = []
    files, left_out = _files(folder)
    for path in files:
        relative = path.relative_to(folder)
        if labelled and len(relative.parts) < 2:
            left_out.append(f"{relative}: lies in no class folder")
        elif path.suffix.lower() not in EXTENSIONS:
            left_out.append(f"{relative}: its ending is not one of {', '.join(EXTENSIONS)}")
        elif path.is_symlink() and (problem := path_problem(path, inside)):
            left_out.append(f"{relative}: is a link and {problem}")
        else:
            images.append(path)
    if not images:
        where = " in class folders" if labelled else ""
        raise errors.DataError(
            f"{folder} holds no photos{where} ({len(left_out)} other files); put them in "
            f"{folder}/<class>/, or name them in a CSV file for load_csv"
        )
    report = LoadReport(left_out=tuple(left_out))
    report_left_out(report, str(folder))
    relative_paths = [path.relative_to(folder) for path in images]
    data = {
        "id": np.array([path.as_posix() for path in relative_paths], dtype=np.str_),
    }
    if labelled:
        data["label"] = np.array([path.parts[0] for path in relative_paths], dtype=np.str_)
    return Table(images, data, folder.resolve().name, report)


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files below a folder, and what was not looked into."""
    found: list[Path] = []
    passed: list[str] = []

    def note(error: OSError) -> None:
        passed.append(f"{error.filename}: {error.strerror}")

    # os.walk doesn't follow links to folders, so a loop of links ends.
    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [Path(parent) / name for name in folders if (Path(parent) / name).is_symlink()]
        passed += [
            f"{link.relative_to(folder)}: is a link to a folder, which is not followed" for link in links
        ]
        found += [Path(parent) / name for name in names if not name.startswith(".")]
    return sorted(found), passed


def load_csv(
    path: str | os.PathLike[str], *, image_column: str = "image", root: str | os.PathLike[str] | None = None
) -> Table:
    r"""Load a CSV file with a header, one column of which names an image file.

    Rows whose image is missing or lies outside the root are left out; `table.report` names each.

    Args:
        path: the CSV file, in UTF-8.
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
    listing = Path(path)
    folder = Path(root) if root is not None else listing.parent
    if not listing.is_file():
        raise errors.DataError(f"{listing}: there is no such file")
    inside = folder.resolve()
    rows: list[dict[str, str]] = []
    images: list[Path] = []
    left_out: list[str] = []
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            # Without `strict`, a quote that is never closed swallows the rest of the file.
            reader = csv.DictReader(file, restkey=None, strict=True)
            columns = [name for name in reader.fieldnames or [] if name]
            if len(set(columns)) < len(columns):
                raise errors.DataError(
                    f"{listing} has columns of the same name: {', '.join(columns)}; rename them"
                )
            if image_column not in columns:
                raise errors.DataError(
                    f"{listing} has no column {image_column!r}; its columns are {', '.join(columns) or 'missing'}. "
                    f"Name the one with image paths.{errors.did_you_mean(image_column, columns)}"
                )
            for row in reader:
                image = folder / (row[image_column] or "").strip()
                if None in row or any(row[name] is None for name in columns):
                    left_out.append(f"line {reader.line_num}: doesn't have {len(columns)} fields")
                elif problem := path_problem(image, inside):
                    left_out.append(f"line {reader.line_num}: {row[image_column]!r}: {problem}")
                else:
                    rows.append(row)
                    images.append(image)
    except (csv.Error, UnicodeDecodeError) as error:
        raise errors.DataError(
            f"{listing} can't be read as a CSV file in UTF-8: {error}; mend it or save it as UTF-8"
        ) from error
    if not rows:
        raise errors.DataError(
            f"{listing}: no row can be used; the first problem is: {left_out[0] if left_out else 'it has no rows'}"
        )
    report = LoadReport(left_out=tuple(left_out))
    report_left_out(report, str(listing))
    data = {name: np.array([row[name].strip() for row in rows], dtype=np.str_) for name in columns}
    data.setdefault("id", data[image_column])
    return Table(images, data, listing.stem, report)
