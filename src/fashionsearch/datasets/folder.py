"""The user's own photos in a folder of class folders, which may lie in train/ and test/."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fashionsearch import errors
from fashionsearch.datasets.report import path_problem, report_left_out
from fashionsearch.datasets.table import LoadReport, Table
from fashionsearch.files import as_path

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff",
)  # fmt: skip
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}


def load_folder(root: str | os.PathLike[str], *, labelled: bool = True) -> Table:
    """Load photos from a folder whose subfolders are classes: `root/<class>/*.jpg` or `root/train/<class>/*.jpg`.

    Photos may lie deeper inside a class folder. Where all folders of the root are called `train`, `test`, `validation` or
    the like, the folders inside them are the classes, and the column `split` says which part a photo belongs to. Files
    with other endings and links that leave the root are left out; `table.report` names each. Files and folders whose
    names begin with a dot don't count.

    Args:
        root: the folder.
        labelled: False takes photos at any depth, and gives no labels.

    Returns:
        A `Table` of paths, sorted by path, with the columns `id` (the path from the root) and, if labelled, `label`,
        and `split` ("train", "test" or "validation") where the folder is laid out so.

    Raises:
        DataError: if the folder is missing, holds no class folder with a photo, or mixes classes with `train` and
            `test`.

    Examples:
        >>> load_folder("nowhere")
        Traceback (most recent call last):
            ...
        fashionsearch.errors.DataError: nowhere: there is no such folder
    """
    folder = as_path(root)
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
    relative_paths = [path.relative_to(folder) for path in images]
    in_parts = labelled and _holds_parts(folder, relative_paths)
    if in_parts:
        left_out += [f"{path}: lies in no class folder" for path in relative_paths if len(path.parts) < 3]
        relative_paths = [path for path in relative_paths if len(path.parts) >= 3]
        images = [folder / path for path in relative_paths]
    if not images:
        where = " in class folders" if labelled else ""
        first = f"; the first of them, {left_out[0]}" if left_out else ""
        raise errors.DataError(
            f"{folder} holds no photos{where} ({len(left_out)} other files{first}); put them in "
            f"{folder}/<class>/, name them in a CSV file for load_csv, or load them without labels (labelled=False)"
        )
    report = LoadReport(left_out=tuple(left_out))
    report_left_out(report, str(folder))
    data = {"id": np.array([path.as_posix() for path in relative_paths], dtype=np.str_)}
    if labelled:
        # Two spellings of one name in Unicode, as file systems give them, are one class.
        names = [unicodedata.normalize("NFC", path.parts[1 if in_parts else 0]) for path in relative_paths]
        data["label"] = np.array(names, dtype=np.str_)
        _warn_of_one_class(folder, names, relative_paths)
    if in_parts:
        data["split"] = np.array([PARTS[path.parts[0].lower()] for path in relative_paths], dtype=np.str_)
    return Table(images, data, folder.resolve().name, report)


def _holds_parts(folder: Path, paths: Sequence[Path]) -> bool:
    """Return whether the folders of the root are parts of a split, and the classes lie inside them."""
    tops = {path.parts[0] for path in paths}
    named = {top for top in tops if top.lower() in PARTS}
    kinds = {PARTS[top.lower()] for top in named}
    nested = all(len(path.parts) > 2 for path in paths if path.parts[0] in named)
    if named and named == tops and (nested or len(kinds) > 1):
        return True
    if len(kinds) < 2:
        return False  # one folder of such a name among others is a class, such as a toy train
    raise errors.DataError(
        f"{folder} holds {', '.join(f'{name}/' for name in sorted(named))} beside "
        f"{', '.join(f'{name}/' for name in sorted(tops - named)[:5])}, so which are classes and which are parts of a split "
        f"can't be told; load one of them, such as {folder / min(named)}"
    )


def _warn_of_one_class(folder: Path, names: Sequence[str], paths: Sequence[Path]) -> None:
    depth = {len(path.parts) for path in paths}
    if len(set(names)) == 1 and min(depth) > 2 and len({path.parts[1] for path in paths}) > 1:
        warnings.warn(
            f"{folder}: all photos lie in the one class folder {names[0]!r}, which has folders of its own; if those are the "
            f"classes, load {folder / names[0]}",
            errors.DataWarning,
            stacklevel=3,
        )


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
