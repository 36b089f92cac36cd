"""What an index holds under an id, and what was done to its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results.shown import ShowsFields
from fashionsearch.results.tables import html_table


@dataclass(frozen=True, eq=False)
class Item:
    """What an index holds under one id.

    Attributes:
        id: text or integer.
        vector: (dim,) float32, as it was added.
        metadata: field -> value.
        source: the path its photo was added from, or None.
    """

    id: str | int
    vector: NDArray[np.float32] = field(repr=False)
    metadata: Mapping[str, Any]
    source: str | None

    def _repr_html_(self) -> str:
        # Not the photo: a loaded index may name any file.
        rows = [*self.metadata.items(), ("source", self.source), ("vector", f"({len(self.vector)},) float32")]
        return html_table(("field", "value"), rows, f"item {self.id!r}")


@dataclass(frozen=True)
class Synced(ShowsFields):
    """What `VisualIndex.sync` did.

    Attributes:
        added: ids of photos that were new.
        changed: ids of photos that were embedded again.
        removed: ids whose photos are gone.
        kept: how many photos were as they had been.
        failures: photos that can't be read, whose items stay as they were; and files that a table names and that are
            missing, whose items are removed.
    """

    added: tuple[str | int, ...] = ()
    changed: tuple[str | int, ...] = ()
    removed: tuple[str | int, ...] = ()
    kept: int = 0
    failures: tuple[errors.ImageFailure, ...] = ()

    def __repr__(self) -> str:
        left_out = "".join(f"\n  can't be read: {failure}" for failure in self.failures[:10])
        more = f"\n  … and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        return (
            f"Synced: {len(self.added):,} added, {len(self.changed):,} changed, {len(self.removed):,} removed, "
            f"{self.kept:,} as they were{left_out}{more}"
        )


@dataclass(frozen=True)
class Sharded(ShowsFields):
    """What `embed_shards` did.

    Attributes:
        folder: of the Parquet files.
        shards: how many there are.
        embedded: photos that were embedded in this call, those that can't be read among them.
        kept: photos that an earlier call had embedded.
        failures: photos that can't be read.
    """

    folder: str
    shards: int
    embedded: int
    kept: int
    failures: tuple[errors.ImageFailure, ...] = ()

    def __repr__(self) -> str:
        left_out = "".join(f"\n  can't be read: {failure}" for failure in self.failures[:10])
        more = f"\n  … and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        done = f"{self.embedded:,} photos embedded in {self.shards:,} shards, {self.kept:,} were there"
        return f"Sharded: {done}{left_out}{more}"


@dataclass(frozen=True)
class Added:
    """What `VisualIndex.add` did.

    Attributes:
        ids: the ids that were added or replaced, in the order of the images.
        failures: the images that were left out, each with its position and the reason.
    """

    ids: tuple[str | int, ...]
    failures: tuple[errors.ImageFailure, ...] = ()

    def __repr__(self) -> str:
        left_out = "".join(f"\n  left out: {failure}" for failure in self.failures[:10])
        more = f"\n  … and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        return f"Added {len(self.ids):,} items, left out {len(self.failures):,}{left_out}{more}"

    def _repr_html_(self) -> str:
        rows = [(failure.position, failure.source, failure.reason) for failure in self.failures[:10]]
        more = f", the first 10 of {len(self.failures):,}" if len(self.failures) > 10 else ""
        caption = f"{len(self.ids):,} items added, {len(self.failures):,} left out{more}"
        return html_table(("position", "image", "why it was left out"), rows, caption)
