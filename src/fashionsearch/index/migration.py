"""Another encoder for an index that is in use: searched by the new one at once, embedded again in the background.

1. *Mapping.* Some items are embedded by the new encoder, a map between the two spaces is learned from most of them, and what
   it loses is measured on the others and printed. Until then the index is as it was.
2. *Embedding.* The index has the new encoder. Its queries, mapped, search the old vectors of the items that are still to be
   embedded again, and as they are the new vectors of the others; both answers are one, on one scale. What is added, removed
   and updated is so in both.
3. *Switched.* All items have new vectors, which alone are searched. The old ones are kept in step.
4. *Finished*, by `finish`: the old vectors are gone. Or *rolled back*, at any time before: the new ones are.

In memory the new vectors are a second engine, on a server a second collection, and in the folder of an opened index a folder
of their own (see `relocation`), from where the next opening goes on.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fashionsearch import errors
from fashionsearch.encoder import Embeds
from fashionsearch.index import beside, encoders, relocation, snapshot
from fashionsearch.index.engines.base import Engine, fetch_present
from fashionsearch.index.engines.durable import DurableEngine
from fashionsearch.index.engines.migrating import MigratingEngine
from fashionsearch.index.engines.noted import MAPPED, picked, plain
from fashionsearch.index.learned import Part
from fashionsearch.index.photos import Photos
from fashionsearch.index.reembedding import Reembedding, embedded
from fashionsearch.index.rows import Id
from fashionsearch.results import MigrationReport, fields_table

if TYPE_CHECKING:
    from fashionsearch.cache import EmbeddingCache

_AT_ONCE = 100
_LOOK = 0.2  # seconds


class Host(Protocol):
    """The index of a migration."""

    engine: str
    dim: int
    background: str
    progress: bool
    _engine: Engine
    _encoder: Embeds | None
    _folder: Path | None
    _items: str
    _learned: Mapping[str, Part]
    _migration: Migration | None

    def _take(
        self, engine: Engine, encoder: Embeds | None, parts: Mapping[str, Part], items: str
    ) -> None: ...


@dataclass(frozen=True, eq=False)
class Before:
    """What an index had before its migration, beside the old vectors.

    Attributes:
        encoder: returns the encoder, None of an index of vectors only.
        learned: what was learned of the old vectors.
        items: where in the folder of an opened index they are.
    """

    encoder: Callable[[], Embeds | None]
    learned: Mapping[str, Part]
    items: str


class Migration:
    """What `VisualIndex.migrate` has begun; `index.migration` is the one that is under way.

    Attributes:
        report: how well mapped queries do.
    """

    def __init__(
        self,
        host: Host,
        engine: MigratingEngine,
        encoder: Embeds | None,
        before: Before,
        report: MigrationReport,
        note: relocation.Note | None,
    ) -> None:
        self._host, self._engine, self._before, self._note = host, engine, before, note
        self._encoder, self.report = encoder, report
        self._work: Reembedding | None = None
        self._ended = ""

    @property
    def encoder(self) -> Embeds | None:
        """The new encoder; None where it is of a class of your own, and isn't at hand."""
        return self._encoder if self._ended else self._host._encoder

    @property
    def state(self) -> str:
        """One of "embedding", "stopped" (items are left, and nobody embeds them), "switched", "finished", "rolled back"."""
        if self._ended:
            return self._ended
        if self.done >= self.total:
            return "switched"
        return "embedding" if self._work is not None and self._work.is_running else "stopped"

    @property
    def done(self) -> int:
        """How many items have new vectors."""
        return self._engine.done

    @property
    def total(self) -> int:
        """How many items there are."""
        return len(self._engine.old)

    @property
    def collection(self) -> str | None:
        """The name of the new vectors' collection on a server; None of an index that is on none."""
        server = self._engine.new.settings.server
        return None if server is None else server.collection

    @property
    def missing(self) -> dict[Id, str]:
        """Items whose photos can't be embedded -> why; they are found by mapped queries."""
        known = {} if self._work is None else self._work.missing
        left = set(self._left(list(known)))
        return {item: why for item, why in known.items() if item in left}

    def __repr__(self) -> str:
        told = (
            f"Migration to {self.report.new_encoder!r}: {self.state}, {self.done:,} of {self.total:,} items"
        )
        missing = len(self.missing)
        return told + (f", the photos of {missing:,} are missing" if missing else "")

    def _repr_html_(self) -> str:
        rows = [
            ("state", self.state),
            ("done", f"{self.done:,} of {self.total:,}"),
            ("missing", len(self.missing)),
        ]
        return fields_table(f"Migration to {self.report.new_encoder!r}", rows)

    def start(
        self,
        photos: Mapping[Any, Any] | str | Path | None = None,
        *,
        cache: EmbeddingCache | None = None,
    ) -> None:
        """Go on embedding in the background, if it isn't done: after it was stopped, or where photos were missing.

        Args:
            photos: as for `VisualIndex.migrate`.
            cache: likewise.

        Raises:
            InputError: if the migration has ended, or its encoder isn't at hand.
        """
        self._check_under_way()
        if self.encoder is None:
            raise errors.InputError(
                "the new encoder is of a class of your own; open the index with it to go on"
            )
        found = Photos(photos, self._host.background)
        if self._work is not None and self._work.is_running:
            return
        self._work = Reembedding(self._engine, self.encoder, found, cache)
        self._work.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all items are embedded again, or can't be.

        Args:
            timeout: seconds to wait at most; None waits for as long as it takes.

        Returns:
            Whether all have new vectors. Where not, `missing` says why, or the time is over.

        Raises:
            FashionSearchError: what ended the work before its time; what was embedded is kept.
        """
        work, left = self._work, math.inf if timeout is None else timeout
        if work is not None:
            from fashionsearch.embedding import progress_bar  # here: it brings the decoding of photos

            with progress_bar(self.total, "embedding again", "item", shown=self._host.progress) as advance:
                shown = 0
                while work.is_running and left > 0:
                    work.wait(min(_LOOK, left))
                    left -= _LOOK
                    done = self.done
                    advance(max(0, done - shown))
                    shown = max(shown, done)
            work.wait(0)
        return self.done >= self.total

    def translate(self) -> tuple[Id, ...]:
        """Give the items whose photos are missing what the map makes of their old vectors, for good.

        Returns:
            Their ids.

        Raises:
            InputError: if the migration has ended.
        """
        self._check_under_way()
        done: list[Id] = []
        ids = list(self.missing)
        for start in range(0, len(ids), _AT_ONCE):
            rows = fetch_present(self._engine.old, ids[start : start + _AT_ONCE])
            self._engine.place(rows, self._engine.mapping.estimates(rows.vectors))
            done += rows.ids
        return tuple(done)

    def finish(self) -> None:
        """Give up the old encoder and its vectors; there is no way back.

        Of an index on a server the old collection stays there; the index is the new one then, of the name `collection`.

        Raises:
            InputError: if items have no new vectors yet, or the migration has ended.
            StorageError: if it can't be written; the migration goes on.
        """
        self._check_under_way()
        self._check_whole()
        self._stop()  # before the lock is taken, for which its piece may wait
        with self._engine.changing:
            self._check_under_way()
            self._check_whole()
            if self._note is not None and self._host._folder is not None:
                relocation.adopt(self._host._folder, self._note, self.encoder)
            if self._engine.new.settings.server is not None:
                beside.end(self._engine.new)
            self._end("finished", self._engine.new, self.encoder, self._host._learned, self._host._items)
            _discard(self._engine.old)
        if self._note is not None and self._host._folder is not None:
            relocation.tidy(self._host._folder, self._note.items)

    def _check_whole(self) -> None:
        left = self._left(list(self._engine))
        if left:
            raise errors.InputError(
                f"{len(left):,} items have no new vector, such as {left[0]!r}{self._why(left[0])}; wait(), give their "
                "photos to start(), remove them, or let translate() give them what the map makes of their old vectors"
            )

    def rollback(self) -> tuple[Id, ...]:
        """Go back to the old encoder and its vectors; items that were added meanwhile are embedded by it.

        Returns:
            The ids of those whose photos are missing: their vectors are what the map makes of the new ones.

        Raises:
            InputError: if the migration has ended.
            StorageError: if it can't be written; the migration goes on.
        """
        self._check_under_way()
        photos = None if self._work is None else self._work.photos
        self._stop()
        encoder, old = self._before.encoder(), self._engine.old
        with self._engine.changing:
            self._check_under_way()
            kept = self._repaired(encoder, photos or Photos(None, self._host.background))
            if self._note is not None and self._host._folder is not None:
                relocation.cancel(self._host._folder)
            self._end("rolled back", old, encoder, self._before.learned, self._before.items)
        self._remove_new()
        return kept

    def saved(self) -> tuple[Engine, Embeds | None, Mapping[str, Part]]:
        """Return the engine, the encoder and what was learned to save: as before, until all items have new vectors."""
        left = self.total - self.done + len(self._engine.gone)
        if left <= 0:
            encoder = self.encoder if self._note is None else relocation.kept(self._note, self.encoder)
            return self._engine.new, encoder, self._host._learned
        warnings.warn(
            f"{left:,} items are still to be embedded again, so the index is saved as it was before, with "
            "its old encoder; save it again after migration.wait()",
            errors.DataWarning,
            stacklevel=4,
        )
        encoder = self._before.encoder()
        if (
            encoder is None and self._host._folder is not None
        ):  # of a class of the user's own, to be recognised again
            encoder = snapshot.unread_encoder(self._host._folder)
        return self._engine.old, encoder, self._before.learned

    def check_encoder(self, encoder: Embeds) -> None:
        """Raise EncoderMismatchError unless an encoder is the one that the index is being migrated to."""
        identity = self._note.identity if self._note is not None else None
        if identity is None and self.encoder is not None:
            identity = encoders.identity(self.encoder)
        if identity is not None:
            encoders.check_same(
                encoder,
                identity,
                "the index is being migrated, and finish() or rollback() comes first: it holds",
            )

    def _remove_new(self) -> None:
        new = self._engine.new
        if new.settings.server is not None and not beside.is_ended(new):
            ids = list(new)
            for start in range(0, len(ids), _AT_ONCE):
                new.delete(ids[start : start + _AT_ONCE])
        with contextlib.suppress(errors.StorageError):
            _discard(new)
        if self._note is not None and self._host._folder is not None:
            relocation.tidy(self._host._folder, self._before.items)

    def _repaired(self, encoder: Embeds | None, photos: Photos) -> tuple[Id, ...]:
        """Embed by the old encoder what was added meanwhile, and return the ids of what can't be."""
        old, kept = self._engine.old, []
        ids = list(old)
        for start in range(0, len(ids), _AT_ONCE):
            rows = fetch_present(old, ids[start : start + _AT_ONCE])
            rows = picked(rows, [place for place, held in enumerate(rows.metadata) if MAPPED in held])
            if not len(rows):
                continue
            places: list[int] = []
            if encoder is not None:
                places, vectors, _ = embedded(encoder, photos, rows, None)
                if places:
                    again = picked(rows, places)
                    old.upsert(
                        replace(again, vectors=vectors, metadata=[plain(held) for held in again.metadata])
                    )
            kept += [item for place, item in enumerate(rows.ids) if place not in places]
        return tuple(kept)

    def _left(self, ids: Sequence[Id]) -> list[Id]:
        there = set(self._engine.renewed(ids))
        return [item for item in ids if item not in there and item in self._engine]

    def _why(self, item: Id) -> str:
        why = self.missing.get(item)
        return f" ({why})" if why else ""

    def _check_under_way(self) -> None:
        if self._ended:
            raise errors.InputError(f"this migration is {self._ended}; begin another by migrate")

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop()

    def _end(
        self, how: str, engine: Engine, encoder: Embeds | None, parts: Mapping[str, Part], items: str
    ) -> None:
        self._encoder, self._ended = self.encoder, how
        self._host._take(engine, encoder, parts, items)
        self._host._migration = None

    def __getstate__(self) -> dict[str, Any]:
        raise errors.InputError(
            "an index that is being migrated can't be pickled; finish() or rollback() first"
        )


def _discard(engine: Engine) -> None:
    """Close an engine whose files, if it has any, are to be removed."""
    if isinstance(engine, DurableEngine):
        engine.discard()
    else:
        engine.close()
