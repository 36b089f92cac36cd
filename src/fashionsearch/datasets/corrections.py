"""The table of tags that a person has edited, read back as corrections."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fashionsearch import errors
from fashionsearch.datasets.csv_file import read_csv
from fashionsearch.datasets.report import report_left_out
from fashionsearch.results.tags import IMAGE, TAGGED_AS


def load_corrections(
    path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> tuple[list[Path], dict[str, list[str]]]:
    r"""Read what a person has changed in the CSV file of `Tags.to_csv` or `Audit.to_csv`, for `Tagger.correct`.

    Rows whose photo is missing are left out with a `DataWarning`; those of photos that had no path are among them.

    Args:
        path: the CSV file; cells of attributes in it have been changed, and the column "tagged_as" says what they were.
        root: the folder that relative image paths start from; None is the CSV file's own.

    Returns:
        The m images with a change, and attribute -> m corrected labels, "" where an image's was not changed. Attributes
        without a change are left out.

    Raises:
        DataError: if the file is missing or damaged, or lacks the column "tagged_as".

    Examples:
        >>> import pathlib, tempfile
        >>> import fashionsearch as fs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "a.png").write_bytes(b"not looked at yet")
        ...     edited = pathlib.Path(folder, "tags.csv")
        ...     _ = edited.write_text('image,colour,tagged_as\na.png,Red,"{""colour"": ""Pink""}"\n')
        ...     images, corrections = fs.datasets.load_corrections(edited)
        >>> [image.name for image in images], corrections
        (['a.png'], {'colour': ['Red']})
    """
    table = read_csv(path, image_column=IMAGE, root=root, anywhere=True)
    report_left_out(table.report, str(path))
    if TAGGED_AS not in table.columns:
        raise errors.DataError(
            f"{path} has no column {TAGGED_AS!r}, so nothing tells what was changed in it; give a file that Tags.to_csv, "
            "Audit.to_csv or fashionsearch audit wrote"
        )
    before = [_read(path, cell) for cell in table[TAGGED_AS].tolist()]
    attributes = [name for name in table.columns if any(name in row for row in before)]
    now = {name: table[name].tolist() for name in attributes}
    changed = [
        place
        for place, row in enumerate(before)
        if any(now[name][place] not in ("", row.get(name, "")) for name in attributes)
    ]
    corrections = {
        name: [
            now[name][place] if now[name][place] != before[place].get(name, "") else "" for place in changed
        ]
        for name in attributes
    }
    return (
        [Path(str(table.images[place])) for place in changed],
        {name: values for name, values in corrections.items() if any(values)},
    )


def _read(path: str | os.PathLike[str], cell: str) -> dict[str, str]:
    try:
        read = json.loads(cell)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise errors.DataError(
            f"{path}: the column {TAGGED_AS!r} holds {cell[:60]!r}, which is not what was written there; edit the other "
            "columns alone"
        )
    return {name: value.strip() for name, value in read.items()}
