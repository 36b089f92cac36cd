"""Embeddings of more photos than one sitting embeds: a folder of Parquet files, each written once and whole.

```text
run/                   the encoder, and of what the run is: `run.json`
shard-00000.parquet    id, path, metadata (as JSON), embedding; error, and no embedding, where a photo can't be read
```

Which photos are in which shard is decided by their order alone, so that a run which was interrupted goes on where it was,
and ends with what one that was not would have written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fashionsearch import errors, storage
from fashionsearch.embedding import progress_bar
from fashionsearch.encoder import Embeds
from fashionsearch.files import as_path, sync
from fashionsearch.index import encoders
from fashionsearch.index.codec import text
from fashionsearch.index.copying import differing
from fashionsearch.index.engines.base import Engine
from fashionsearch.index.rows import Rows, check_ids, check_number, check_vectors, metadata_rows
from fashionsearch.results import Sharded

if TYPE_CHECKING:
    import pyarrow

    from fashionsearch.datasets.table import Table

KIND = "embedding run"
_RUN = "run"
_MARK = b"fashionsearch"
_READ_AT_ONCE = 1000  # rows that are one change of an index


def embed_shards(
    encoder: Embeds | str,
    table: Table,
    folder: str | os.PathLike[str],
    *,
    shard_size: int = 10_000,
    workers: int = 0,
    progress: bool = True,
) -> Sharded:
    """Embed a table's photos into a folder of Parquet files, and go on where an earlier call was interrupted.

    `VisualIndex.add_shards` brings them into an index on any engine. A photo that can't be read has a row without an
    embedding, and the reason; remove its shard to try again.

    Args:
        encoder: as for `VisualIndex`.
        table: photos that are files, with ids and metadata.
        folder: made where it is missing; one of an earlier call must be of the same photos and encoder.
        shard_size: photos of a file: what an interruption costs at most.
        workers: 0 embeds in this process; more are actors of Ray, each with the encoder loaded once, on the cluster that
            this process is connected to or else on this machine. All of them must see the photos and the folder under the
            same paths.
        progress: show a bar.

    Returns:
        `Sharded`: how many photos were embedded in this call and before it, and which can't be read.

    Raises:
        InputError: if the folder is of other photos or another shard size, or photos are no files.
        EncoderMismatchError: if it is of another encoder.
        MissingPackageError: if pyarrow, or Ray with workers, isn't installed.
        StorageError: if the folder can't be written.

    Examples:
        >>> import tempfile
        >>> from dataclasses import replace
    from pathlib import Path
        >>> from PIL import Image
        >>> import fashionsearch as fs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for n in range(5):
        ...         Image.new("RGB", (60, 80), (50 * n, 0, 0)).save(Path(folder, f"{n}.png"))
        ...     table = fs.datasets.load_folder(folder, labelled=False)
        ...     shards = Path(folder, "shards")
        ...     first = fs.embed_shards("fashion", table, shards, shard_size=2, progress=False)
        ...     index = fs.VisualIndex("fashion")
        ...     first, index.add_shards(shards)
        (Sharded: 5 photos embedded in 3 shards, 0 were there, 5)
    """
    _check_package("pyarrow", "pyarrow")
    check_number("shard_size", shard_size, low=1)
    check_number("workers", workers, low=0)
    if workers:
        _check_package("ray", "ray[data]")
    root, chosen = as_path(folder), encoders.named(encoder)
    if chosen is None:
        raise errors.InputError("embed_shards needs an encoder, or a backbone's name")
    encoders.check(chosen)
    run = _begin(root, chosen, table, shard_size)
    pending = [shard for shard in range(run["shards"]) if not _is_there(root, shard, run)]
    there = len(table) - sum(len(_places(shard, run)) for shard in pending)
    with progress_bar(len(table), "embedding", "photo", shown=progress) as advance:
        advance(there)
        if workers and pending:
            from fashionsearch.index.cluster import embed_on_ray

            # Workers may begin in another folder.
            paths = [Path(str(image)).resolve() for image in table.images]
            for done in embed_on_ray(root, replace(table, images=paths), pending, workers):
                advance(done)
        else:
            for shard in pending:
                write_shard(chosen, table, root, shard, run)
                advance(len(_places(shard, run)))
    for draft in root.glob("shard-*.new"):  # of calls that were killed
        draft.unlink(missing_ok=True)
    failures = [failure for shard in range(run["shards"]) for failure in _failures(root, shard, run)]
    return Sharded(str(root), run["shards"], len(table) - there, there, tuple(failures))


def _check_package(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise errors.MissingPackageError(
            f"embeddings in shards need a package that isn't installed: pip install '{package}'"
        )


def _begin(root: Path, encoder: Embeds, table: Table, shard_size: int) -> dict[str, Any]:
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
    target = root / _RUN
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
    saved = storage.open_saved(root / _RUN, KIND)
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
    import pyarrow.parquet

    places = _places(shard, run)
    part = table[places.start : places.stop]
    vectors, positions, _, failures = encoders.embed_all(encoder, list(part.images), "skip", None)
    checked = check_vectors(vectors, run["dim"])
    embeddings: list[Any] = [None] * len(part)
    for position, vector in zip(positions, checked, strict=True):
        embeddings[position] = vector
    reasons: list[str | None] = [None] * len(part)
    for failure in failures:
        reasons[failure.position] = failure.reason
    rows = pyarrow.table(
        {
            "id": pyarrow.array(
                [text(item) for item in (part["id"].tolist() if "id" in part.columns else places)]
            ),
            "path": pyarrow.array([text(str(image)) for image in part.images]),
            "metadata": pyarrow.array([text(fields) for fields in metadata_rows(part.metadata, len(part))]),
            "embedding": pyarrow.array(embeddings, type=pyarrow.list_(pyarrow.float32(), run["dim"])),
            "error": pyarrow.array(reasons, type=pyarrow.string()),
        },
        metadata={_MARK: json.dumps([run["rows_digest"], shard]).encode()},
    )
    path = _path(root, shard)
    draft = path.with_suffix(f".{os.getpid()}.new")
    try:
        pyarrow.parquet.write_table(rows, draft, compression="zstd", write_page_checksum=True)
        sync(draft)
        draft.replace(path)
        sync(root)
    except OSError as error:
        raise errors.StorageError(f"{path} could not be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return len(part)


def read_shard(root: Path, shard: int, run: dict[str, Any]) -> pyarrow.Table:
    """Return the rows of one shard, checked.

    Raises:
        CorruptFileError: if it is missing, damaged or of another run.
    """
    import pyarrow
    import pyarrow.parquet

    path = _path(root, shard)
    try:
        rows = pyarrow.parquet.read_table(path, page_checksum_verification=True)
        mark = json.loads((rows.schema.metadata or {})[_MARK])
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        raise errors.CorruptFileError(
            f"{path} can't be read ({str(error)[:200]}); remove it, and embed_shards writes it again"
        ) from error
    if mark != [run["rows_digest"], shard] or rows.num_rows != len(_places(shard, run)):
        raise errors.CorruptFileError(
            f"{path} is of other photos; remove it, and embed_shards writes it again"
        )
    return rows


def add_shards(
    engine: Engine, encoder: Embeds | None, folder: str | os.PathLike[str], *, progress: bool
) -> int:
    """Bring the embeddings of a finished run into an engine; rows that are there unchanged are left.

    Returns:
        How many items were added or replaced.

    Raises:
        StorageError: if the folder holds no run.
        CorruptFileError: if a shard is missing or damaged; those before it are in the index.
        EncoderMismatchError: if the index's encoder is another.
    """
    _check_package("pyarrow", "pyarrow")
    root = as_path(folder)
    saved = storage.open_saved(root / _RUN, KIND)
    run = saved.json("run.json")
    if encoder is not None:
        encoders.check_same(encoder, run["encoder"], f"{root} holds")
    elif run["dim"] != engine.settings.dim:
        raise errors.EncoderMismatchError(
            f"{root} holds vectors of length {run['dim']}, and the index's are of length {engine.settings.dim}"
        )
    copied = 0
    with progress_bar(run["rows"], "adding", "item", shown=progress) as advance:
        for shard in range(run["shards"]):
            for rows in _rows_of(read_shard(root, shard, run), run["dim"]):
                fresh = differing(rows, engine)
                if len(fresh):
                    check_ids(fresh.ids, len(fresh), engine.id_kind, 0)
                    with engine.changing:
                        engine.upsert(fresh)
                copied += len(fresh)
                advance(len(rows))
    return copied


def _rows_of(rows: pyarrow.Table, dim: int) -> Iterator[Rows]:
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


def _places(shard: int, run: dict[str, Any]) -> range:
    return range(shard * run["shard_size"], min((shard + 1) * run["shard_size"], run["rows"]))


def _is_there(root: Path, shard: int, run: dict[str, Any]) -> bool:
    if not _path(root, shard).exists():
        return False
    read_shard(root, shard, run)
    return True


def _failures(root: Path, shard: int, run: dict[str, Any]) -> Sequence[errors.ImageFailure]:
    import pyarrow.compute as pc

    rows = read_shard(root, shard, run)
    places = np.flatnonzero(pc.is_valid(rows["error"]).to_numpy(zero_copy_only=False))
    start = _places(shard, run).start
    return [
        errors.ImageFailure(
            start + int(place),
            json.loads(rows["path"][int(place)].as_py()),
            rows["error"][int(place)].as_py(),
        )
        for place in places
    ]
