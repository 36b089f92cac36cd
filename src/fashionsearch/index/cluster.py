"""Shards of embeddings on Ray: one actor a worker, with the encoder loaded once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch.index.runs import open_run, write_shard

if TYPE_CHECKING:
    from fashionsearch.datasets.table import Table

# Ray hangs, without an error, once actors hold every processor (ray#44687).
_PROCESSORS = 0.5


class _Worker:
    """Embeds shards; Ray makes one in each process."""

    def __init__(self, folder: str, table: Table) -> None:
        self._root, self._table = Path(folder), table
        self._run, self._encoder = open_run(self._root)

    def embed(self, shard: int) -> int:
        """Write a shard, and return how many photos it has."""
        return write_shard(self._encoder, self._table, self._root, shard, self._run)


def embed_on_ray(root: Path, table: Table, shards: Sequence[int], workers: int) -> Iterator[int]:
    """Embed shards by actors, and yield how many photos each has, as they are done.

    On a machine that is connected to no cluster, a Ray of its own is started and stopped again; it asks for a token, because
    it listens on all interfaces whatever address it is given.

    Args:
        root: folder of the run, which all workers see.
        table: of all photos.
        shards: numbers of those that are to be written.
        workers: how many actors.
    """
    open_run(root)  # before anything is started, for what it may raise
    if "ray" not in sys.modules:  # which reads it when it is imported, and makes a token
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    is_own = not ray.is_initialized()
    if is_own:
        ray.init(
            num_cpus=max(1, -(-workers // 2)) + 1,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            logging_level="ERROR",
            log_to_driver=False,
            configure_logging=False,
        )
    try:
        yield from _embedded(ray, root, table, shards, workers)
    finally:
        if is_own:
            ray.shutdown()


def _embedded(ray: Any, root: Path, table: Table, shards: Sequence[int], workers: int) -> Iterator[int]:
    actor = ray.remote(num_cpus=_PROCESSORS, max_restarts=2, max_task_retries=2)(_Worker)
    shared = ray.put(table)
    actors = [actor.remote(str(root.resolve()), shared) for _ in range(min(workers, len(shards)))]
    left = list(shards)
    busy = {each.embed.remote(left.pop(0)): each for each in actors}
    while busy:
        (done,), _ = ray.wait(list(busy), num_returns=1)
        worker = busy.pop(done)
        yield int(ray.get(done))
        if left:
            busy[worker.embed.remote(left.pop(0))] = worker
        else:
            ray.kill(
                worker
            )  # where there is no room for all workers at once, the next one waits for its place
