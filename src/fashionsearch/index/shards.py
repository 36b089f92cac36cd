"""Embeddings of more photos than one sitting embeds, and into an index; `runs` says what lies in their folder."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fashionsearch import errors, storage
from fashionsearch.embedding import progress_bar
from fashionsearch.encoder import Embeds
from fashionsearch.files import as_path
from fashionsearch.index import encoders, runs
from fashionsearch.index.copying import differing
from fashionsearch.index.holding import Holding
from fashionsearch.index.rows import check_ids, check_number
from fashionsearch.results import Sharded

if TYPE_CHECKING:
    from fashionsearch.datasets.table import Table


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
    embedding, and the reason; the next call tries those photos again, and leaves the others as they are.

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
        >>> from pathlib import Path
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
    run = runs.begin(root, chosen, table, shard_size)
    pending = [shard for shard in range(run["shards"]) if not runs.is_written(root, shard, run)]
    written = sorted(set(range(run["shards"])) - set(pending))
    there = sum(len(runs.places_of(shard, run)) for shard in written)
    with progress_bar(len(table), "embedding", "photo", shown=progress) as advance:
        mended = sum(runs.try_again(chosen, root, shard, run) for shard in written)
        advance(there)
        if workers and pending:
            from fashionsearch.index.cluster import embed_on_ray

            # Workers may begin in another folder.
            paths = [Path(str(image)).resolve() for image in table.images]
            for done in embed_on_ray(root, replace(table, images=paths), pending, workers):
                advance(done)
        else:
            for shard in pending:
                runs.write_shard(chosen, table, root, shard, run)
                advance(len(runs.places_of(shard, run)))
    for draft in root.glob("shard-*.new"):  # of calls that were killed
        draft.unlink(missing_ok=True)
    failures = [failure for shard in range(run["shards"]) for failure in runs.failures_of(root, shard, run)]
    return Sharded(str(root), run["shards"], len(table) - there + mended, there - mended, tuple(failures))


def _check_package(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise errors.MissingPackageError(
            f"embeddings in shards need a package that isn't installed: pip install '{package}'"
        )


def add_shards(host: Holding, folder: str | os.PathLike[str], *, progress: bool) -> int:
    """Bring the embeddings of a finished run into an index; rows that are there unchanged are left.

    Returns:
        How many items were added or replaced.

    Raises:
        StorageError: if the folder holds no run.
        CorruptFileError: if a shard is missing or damaged; those before it are in the index.
        EncoderMismatchError: if the index's encoder is another, or is exchanged for another meanwhile.
    """
    _check_package("pyarrow", "pyarrow")
    with host._held() as engine:
        encoder = host._encoder
    root = as_path(folder)
    saved = storage.open_saved(root / runs.RUN, runs.KIND)
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
            for rows in runs.rows_of_shard(runs.read_shard(root, shard, run), run["dim"]):
                fresh = differing(rows, engine)
                if len(fresh):
                    check_ids(fresh.ids, len(fresh), engine.id_kind, 0)
                    with host._held_for(encoder) as engine:
                        engine.upsert(fresh)
                copied += len(fresh)
                advance(len(rows))
    return copied
