"""A run of embeddings in shards: its folder, its files, and what each must be.

```text
run/                   the encoder, and of what the run is: `run.json`
shard-00000.parquet    id, path, metadata (as JSON), embedding; error, and no embedding, where a photo can't be read
```

Which photos are in which shard is decided by their order alone, so that a run which was interrupted goes on where it was,
and ends with what one that was not would have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionsearch import errors, storage
from fashionsearch.encoder import Embeds
from fashionsearch.files import sync
from fashionsearch.index import encoders
from fashionsearch.index.codec import text
from fashionsearch.index.rows import Rows, check_ids, check_vectors, metadata_rows

if TYPE_CHECKING:
    import pyarrow

    from fashionsearch.datasets.table import Table

KIND = "embedding run"
RUN = "run"
_MARK = b"fashionsearch"
_READ_AT_ONCE = 1000  # rows that are one change of an index


def begin(root: Path, encoder: Embeds, table: Table, shard_size: int) -> dict[str, Any]:
    """Return what a run is of, noted in its folder.

    Raises:
        InputError: if the folder is of another run.
        EncoderMismatchError: if it is of another encoder.
    """
    paths = [image for image in table.images if isinstance(image, str | os.PathLike)]
    if len(paths) < len(table):
        raise errors.InputError(
            f"the photos of {table.name!r} are not all files, which alone several processes can read"
        )
    ids = check_ids(table["id"].tolist() if "id" in table.columns else None, len(table), None, 0)
    rows = hashlib.sha256()
    for item, path, fields in zip(ids, paths, metadata_rows(table.metadata, len(table)), strict=True):
        rows.update(text([item, str(path), fields]).encode())
    run = {
        "rows": len(table),
        "rows_digest": rows.hexdigest(),
        "shard_size": shard_size,
        "shards": -(-len(table) // shard_size),
        "dim": int(encoder.dim),
    }
    target = root / RUN
    if not (target / storage.MANIFEST).exists():
        files = encoders.writers(encoder)
        files["run.json"] = storage.write_json({**run, "encoder": encoders.identity(encoder)})
        storage.save(target, KIND, files)
        return run
    held = storage.open_saved(target, KIND).json("run.json")
    encoders.check_same(encoder, held["encoder"], f"{root} holds")
    for name, told in (
        ("rows_digest", "other photos, ids or metadata"),
        ("shard_size", "another shard_size"),
    ):
        if held[name] != run[name]:
            raise errors.InputError(
                f"{root} is of {told} ({held['rows']:,} photos in shards of {held['shard_size']:,}); give another folder"
            )
    return run


def open_run(root: Path) -> tuple[dict[str, Any], Embeds]:
    """Return what a run is of, and its encoder, as a worker needs them.

    Raises:
        InputError: if its encoder is of a user's own class, which isn't in the folder.
    """
    saved = storage.open_saved(root / RUN, KIND)
    run = saved.json("run.json")
    options = {
        "device": "auto",
        "precision": "auto",
        "runtime": "auto",
        "batch_size": None,
        "progress": False,
    }
    encoder = encoders.restore(saved, run["encoder"], None, options)
    if encoder is None:
        raise errors.InputError(
            "an encoder of your own class can't be brought to workers; give workers=0, or one that can be saved"
        )
    return dict(run), encoder


def write_shard(encoder: Embeds, table: Table, root: Path, shard: int, run: dict[str, Any]) -> int:
    """Embed the photos of one shard, and write its file; return how many there are."""
    import pyarrow

    places = places_of(shard, run)
    part = table[places.start : places.stop]
    embeddings, reasons = _embedded(encoder, list(part.images), run)
    ids = part["id"].tolist() if "id" in part.columns else places
    rows = pyarrow.table(
        {
            "id": pyarrow.array([text(item) for item in ids]),
            "path": pyarrow.array([text(str(image)) for image in part.images]),
            "metadata": pyarrow.array([text(fields) for fields in metadata_rows(part.metadata, len(part))]),
            "embedding": embeddings,
            "error": reasons,
        }
    )
    _write(root, shard, run, rows)
    return len(part)


def try_again(encoder: Embeds, root: Path, shard: int, run: dict[str, Any]) -> int:
    """Embed those photos of a written shard that couldn't be read, and return how many can be now."""
    import pyarrow

    failures = failures_of(root, shard, run)
    if not failures:
        return 0
    embeddings, reasons = _embedded(encoder, [failure.source for failure in failures], run)
    if reasons.to_pylist() == [failure.reason for failure in failures]:
        return 0
    rows = read_shard(root, shard, run)
    places = np.arange(len(rows))
    start = places_of(shard, run).start
    places[[failure.position - start for failure in failures]] = len(rows) + np.arange(len(failures))
    for name, fresh in (("embedding", embeddings), ("error", reasons)):
        held = rows[name].combine_chunks()
        mended = pyarrow.concat_arrays([held, fresh.cast(held.type)]).take(pyarrow.array(places))
        rows = rows.set_column(rows.schema.get_field_index(name), name, mended)
    _write(root, shard, run, rows)
    return int(reasons.null_count)


def _embedded(
    encoder: Embeds, photos: Sequence[Any], run: dict[str, Any]
) -> tuple[pyarrow.Array, pyarrow.Array]:
    """Return photos' embeddings, and why those that have none couldn't be read."""
    import pyarrow

    vectors, positions, _, failures = encoders.embed_all(encoder, photos, "skip", None)
    embeddings: list[Any] = [None] * len(photos)
    for position, vector in zip(positions, check_vectors(vectors, run["dim"]), strict=True):
        embeddings[position] = vector
    reasons: list[str | None] = [None] * len(photos)
    for failure in failures:
        reasons[failure.position] = failure.reason
    kind = pyarrow.list_(pyarrow.float32(), run["dim"])
    return pyarrow.array(embeddings, type=kind), pyarrow.array(reasons, type=pyarrow.string())


def _write(root: Path, shard: int, run: dict[str, Any], rows: pyarrow.Table) -> None:
    import pyarrow.parquet

    marked = rows.replace_schema_metadata({_MARK: json.dumps([run["rows_digest"], shard]).encode()})
    path = _path(root, shard)
    draft = path.with_suffix(f".{os.getpid()}.new")
    try:
        pyarrow.parquet.write_table(marked, draft, compression="zstd", write_page_checksum=True)
        sync(draft)
        draft.replace(path)
        sync(root)
    except OSError as error:
        raise errors.StorageError(f"{path} could not be written: {error}") from error
    finally:
        with contextlib.suppress(
            OSError
        ):  # whatever stopped the writing may stop this too, and is the error to hear of
            draft.unlink(missing_ok=True)


def read_shard(
    root: Path, shard: int, run: dict[str, Any], columns: list[str] | None = None
) -> pyarrow.Table:
    """Return the rows of one shard, checked; of some columns alone where they are named.

    Raises:
        CorruptFileError: if it is missing, damaged or of another run.
    """
    import pyarrow
    import pyarrow.parquet

    path = _path(root, shard)
    try:
        rows = pyarrow.parquet.read_table(path, columns=columns, page_checksum_verification=True)
        mark = json.loads((rows.schema.metadata or {})[_MARK])
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        raise errors.CorruptFileError(
            f"{path} can't be read ({str(error)[:200]}); remove it, and embed_shards writes it again"
        ) from error
    if mark != [run["rows_digest"], shard] or rows.num_rows != len(places_of(shard, run)):
        raise errors.CorruptFileError(
            f"{path} is of other photos; remove it, and embed_shards writes it again"
        )
    return rows


def rows_of_shard(rows: pyarrow.Table, dim: int) -> Iterator[Rows]:
    """Yield the items of a shard, without the photos that can't be read, many at once."""
    kept = rows.filter(rows["embedding"].is_valid())
    for start in range(0, kept.num_rows, _READ_AT_ONCE):
        part = kept.slice(start, _READ_AT_ONCE).combine_chunks()
        flat = part["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors = check_vectors(np.asarray(flat, dtype=np.float32).reshape(part.num_rows, dim), dim)
        columns = (map(json.loads, part[name].to_pylist()) for name in ("id", "metadata", "path"))
        ids, metadata, paths = (list(column) for column in columns)
        yield Rows(ids, vectors, metadata, paths)


def _path(root: Path, shard: int) -> Path:
    return root / f"shard-{shard:05}.parquet"


def places_of(shard: int, run: dict[str, Any]) -> range:
    """Return the photos of a shard, by their position in the table."""
    return range(shard * run["shard_size"], min((shard + 1) * run["shard_size"], run["rows"]))


def is_written(root: Path, shard: int, run: dict[str, Any]) -> bool:
    """Return whether a shard is there.

    Raises:
        CorruptFileError: if it is damaged.
    """
    if not _path(root, shard).exists():
        return False
    read_shard(root, shard, run)
    return True


def failures_of(root: Path, shard: int, run: dict[str, Any]) -> Sequence[errors.ImageFailure]:
    """Return the photos of a shard that can't be read."""
    import pyarrow.compute as pc

    rows = read_shard(root, shard, run, ["path", "error"])  # the embeddings are nearly all of the file
    places = np.flatnonzero(pc.is_valid(rows["error"]).to_numpy(zero_copy_only=False))
    start = places_of(shard, run).start
    return [
        errors.ImageFailure(
            start + int(place),
            json.loads(rows["path"][int(place)].as_py()),
            rows["error"][int(place)].as_py(),
        )
        for place in places
    ]
