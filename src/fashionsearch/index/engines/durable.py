"""The engine of an opened index: the local one, whose rows in memory follow a journal on the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors, storage
from fashionsearch.files import bytes_of
from fashionsearch.index.codec import Head
from fashionsearch.index.engines.base import DAMAGE, Facts, Graph, Settings
from fashionsearch.index.engines.blocks import DamagedBlockError
from fashionsearch.index.engines.mapped import MappedEngine
from fashionsearch.index.engines.store import Store
from fashionsearch.index.filters import Condition
from fashionsearch.index.journal import Journal
from fashionsearch.index.rows import Id, Rows
from fashionsearch.results import Matches
from fashionsearch.values import Value

T = TypeVar("T")
CHECKPOINT, _NOTES = "checkpoint", "checkpoint.json"
_PATIENCE = 60  # seconds in which a graph that is being made may be saved with the rest
_AT_ONCE = 2000  # rows that are taken over while searches wait
_SOON = 0.5  # seconds after which a reader looks whether there is more
_FEWEST, _SHARE = 20_000, 0.5  # changed rows from which on a checkpoint is written without being asked for


class DurableEngine(MappedEngine):
    """Rows in memory that follow a journal: each change is written there first.

    Memory is behind the journal where a change was interrupted, and where another process writes; whoever reads next catches
    up. A checkpoint is a saved index with the number of the change that it stands at: it saves reading all rows again.

    Args:
        settings: as for every engine.
        graph_type: likewise.
        folder: of the index.
        journal: in it.
        read_only: whether changes are refused.

    Attributes:
        at: where memory stands.
    """

    def __init__(
        self,
        settings: Settings,
        graph_type: type[Graph] | None,
        folder: Path,
        journal: Journal,
        *,
        read_only: bool,
    ) -> None:
        super().__init__(settings, graph_type, folder=_room_in(folder))
        self._folder, self._journal, self._read_only = folder, journal, read_only
        self.at = Head(0, "", 0, None, 0, 0)
        self._unsaved = 0  # rows that changed since the last checkpoint
        self._trusting = self._is_sound = True
        self._behind = self._following = self._has_saved_graph = False
        self._looked = 0.0
        self._closed = ""

    def start(self, *, rebuild: bool) -> None:
        """Fill memory: from the checkpoint, where there is one that fits, and from the journal.

        Args:
            rebuild: leave the checkpoint unread, the graph's file above all, now and later.

        Raises:
            CorruptFileError: if the journal is damaged.
        """
        with self._changing:
            self._trusting = self._is_sound = not rebuild
            self._journal.check()
            self._follow()
            self._tidy()

    @property
    def is_writing(self) -> bool:
        """Whether changes are possible: it is neither closed nor a reader's."""
        return not (self._read_only or self._closed)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Store]:
        is_due = self._read_only and not self._closed and time.monotonic() - self._looked > _SOON
        if not self._following and (self._behind or is_due):
            self._unless_changing(self._follow)
        with super()._reading() as store:
            yield store

    def refresh(self) -> None:
        """Take over what another process has written.

        Raises:
            StorageError: if the index is closed, or the journal can't be read.
        """
        with self._changing:
            self._check_open()
            self._follow()

    def _follow(self) -> None:
        """Bring memory to where the journal stands; whoever calls holds `changing`."""
        if self._closed:
            return
        self._following = self._behind = True
        try:
            with self._journal.snapshot():
                head = self._journal.head()
                if (head.change, head.epoch) != (self.at.change, self.at.epoch):
                    self._take_over(head)
            self._behind = False
            self._looked = time.monotonic()
        finally:
            self._following = False

    def _take_over(self, head: Head) -> None:
        since = self.at.change
        is_known = head.epoch == self.at.epoch and head.known_from <= since <= head.change
        if not is_known or not self._is_whole_on_disk():
            self._take_over_all(head)
        else:
            gone, fresh = self._journal.removed(since), list(self._journal.rows(since))
            few = len(gone) + sum(map(len, fresh)) <= _AT_ONCE  # more is shown bit by bit
            with self._lock if few else contextlib.nullcontext():
                with self._held() as store:
                    gone = [item for item in gone if item in store.slot_of]
                if gone:
                    super().delete(gone)
                for rows in fresh:
                    super().upsert(rows)
            self._unsaved += len(gone) + sum(map(len, fresh))
        with self._held() as store:
            store.id_kind, store.next_id = head.id_kind, head.next_id
        if (count := len(store)) == head.count:
            self.at = head
            return
        self.at = replace(head, epoch="")  # nothing is known then, and all is read again
        if not self._trusting:
            raise errors.CorruptFileError(
                f"{self._journal.path} is damaged: it gives {count:,} items, and {head.count:,} were written; restore it "
                "from a copy"
            )
        self._trusting = self._is_sound = False
        self._take_over(head)

    def _take_over_all(self, head: Head) -> None:
        """Fill another engine, and become that: nobody sees it half filled."""
        engine = MappedEngine(self.settings, self._graph_type, folder=_room_in(self._folder))
        if not (since := self._read_checkpoint(engine, head) if self._trusting else 0):
            engine = MappedEngine(self.settings, self._graph_type, folder=_room_in(self._folder))
        gone = [item for item in self._journal.removed(since) if item in engine]
        try:
            if gone:
                engine.delete(gone)
            self._unsaved += len(gone)
            for rows in self._journal.rows(since):
                engine.upsert(rows)
                self._unsaved += len(rows)
        except DamagedBlockError as error:
            self._leave_checkpoint(error)
            self._take_over_all(head)
            return
        self._become(engine)

    def _read_checkpoint(self, engine: MappedEngine, head: Head) -> int:
        """Fill a new engine from the checkpoint, and return its change; 0 where there is none that fits."""
        if not (self._folder / CHECKPOINT / storage.MANIFEST).exists():
            return 0  # none yet, or the first was interrupted
        try:
            saved = storage.open_saved(self._folder / CHECKPOINT, CHECKPOINT)
            change = (notes := saved.json(_NOTES))["change"]
            if notes["epoch"] != head.epoch or not head.known_from <= change <= head.change:
                return 0  # of a time that is gone
            engine.read_mapped(saved, notes)
        except (errors.StorageError, *DAMAGE) as error:
            self._leave_checkpoint(error)
            return 0
        self._unsaved, self._has_saved_graph = 0, notes["graph"] is not None
        return int(change)

    def _leave_checkpoint(self, error: BaseException) -> None:
        self._trusting = self._is_sound = False
        warnings.warn(
            f"the checkpoint is left unread, and everything is read from the journal: {error}",
            errors.DataWarning,
            stacklevel=8,
        )

    def _is_whole_on_disk(self) -> bool:
        """Return whether the vectors that are mapped from the checkpoint are what was written."""
        try:
            self._state.store.verify()
        except DamagedBlockError as error:
            self._leave_checkpoint(error)
            return False
        return True

    def _read_again(self, error: DamagedBlockError, store: Store) -> None:
        """Take over everything from the journal, because what a store maps from the checkpoint is damaged."""
        with self._changing:
            if self._state.store is not store:
                return  # another thread has met the same, and was faster
            self._check_open()
            self._leave_checkpoint(error)
            self.at = replace(self.at, epoch="")
            self._follow()

    def _catch_up(self) -> None:
        """Bring memory to where the journal stands, all of it verified; whoever calls holds `changing`."""
        if self._behind:
            self._follow()
        if not self._is_whole_on_disk():
            self.at = replace(self.at, epoch="")
            self._follow()

    def _from_what_is_whole(self, action: Callable[[], T]) -> T:
        """Do something that looks at vectors, and again where some of those that are mapped turn out to be damaged."""
        store = self._state.store
        try:
            return action()
        except DamagedBlockError as error:
            self._read_again(error, store)
        return action()

    def search(
        self, vectors: NDArray[np.float32], k: int, condition: Condition | None, exact: bool
    ) -> Matches:
        """Return the k nearest rows of each vector (n, dim), of those that meet a condition, nearest first."""
        return self._from_what_is_whole(partial(super().search, vectors, k, condition, exact))

    def fetch(self, ids: Sequence[Id]) -> Rows:
        """Return rows by id.

        Raises:
            UnknownIdError: if one isn't there.
        """
        return self._from_what_is_whole(partial(super().fetch, ids))

    def _report_failure(self) -> None:
        if self._rebuild is not None and isinstance(self._rebuild.failure, DamagedBlockError):
            self._read_again(self._rebuild.failure, self._state.store)
        super()._report_failure()

    def upsert(self, rows: Rows) -> None:
        """Add rows; those whose ids are there replace vector, metadata and source."""
        with self._writing(len(rows)):
            self._state.store.make_room(len(rows))  # before the journal has them, for what it may raise
            self._journal.upsert(rows)
            super().upsert(rows)

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove rows; all the ids are there, each once."""
        with self._writing(len(ids)):
            self._journal.delete(ids)
            super().delete(ids)

    def update(self, item: Id, metadata: Mapping[str, Value]) -> None:
        """Set fields of the metadata of a row that is there; its other fields stay."""
        with self._writing(1):
            self._journal.update(item, metadata)
            super().update(item, metadata)

    @contextlib.contextmanager
    def _writing(self, rows: int) -> Iterator[None]:
        """Let a change happen in the journal and in memory; one that doesn't reach memory is caught up with later."""
        with self._changing:
            self._check_open()
            if self._read_only:
                raise errors.InputError(
                    f"{self._folder} was opened with read_only=True; open it without, to change it"
                )
            self._catch_up()
            self._behind = self._following = True
            try:
                yield
                self.at = self._journal.head()
                self._behind = False
            finally:
                self._following = False
            self._unsaved += rows
            if self._unsaved > max(_FEWEST, _SHARE * len(self)):
                self._try_checkpoint()

    def _try_checkpoint(self) -> None:
        try:
            self.checkpoint()
        except errors.StorageError as error:
            self._unsaved = 0  # what has changed is in the journal; it is tried again after as many changes
            warnings.warn(
                f"the changes are kept, and no checkpoint could be written, without which the next opening takes longer: "
                f"{error}",
                errors.DataWarning,
                stacklevel=6,
            )

    def _check_open(self) -> None:
        if self._closed:
            raise errors.StorageError(
                f"{self._folder} {self._closed}; open it again with VisualIndex.open, which several processes may do with "
                "read_only=True"
            )

    def checkpoint(self) -> None:
        """Write what memory holds, so that the next opening needs not read the whole journal.

        Raises:
            StorageError: if it can't be written; the journal has everything.
        """
        with self._changing:
            self._catch_up()
            self.finish_loading()  # a checkpoint without its graph would have it made anew
            files, notes = self.mapped_writers()
            files[_NOTES] = storage.write_json({**notes, "change": self.at.change, "epoch": self.at.epoch})
            if not self._is_sound:  # what is damaged is no use, and would be in the way
                shutil.rmtree(self._folder / CHECKPOINT, ignore_errors=True)
                self._is_sound = True
            storage.save(self._folder / CHECKPOINT, CHECKPOINT, files)
            self._journal.forget_removed(self.at.change)
            self._unsaved, self._has_saved_graph = 0, notes["graph"] is not None

    def writers(self) -> tuple[dict[str, storage.Writer], dict[str, Any]]:
        """Return what writes the engine's files, and what `read` needs beside them, as JSON holds it."""
        if not self._closed:
            self._catch_up()
        return super().writers()

    def facts(self) -> Facts:
        """Return what it knows of itself."""
        written = None
        with contextlib.suppress(OSError):
            manifest = self._folder / CHECKPOINT / storage.MANIFEST
            written = datetime.fromtimestamp(manifest.stat().st_mtime).astimezone()
        with self._changing:
            if not self._closed:
                self._catch_up()
        return replace(super().facts(), disk=bytes_of(self._folder), checkpoint=written)

    def close(self) -> None:
        """Write a checkpoint, if anything has changed, and give the files back."""
        with self._changing:
            if self._closed:
                return
            try:
                if self._behind and not self._read_only:
                    self._follow()
                if not self._read_only and (self._unsaved or not self._has_saved_graph):
                    self.settle(_PATIENCE)  # without its graph each opening would make it again
                    if self._unsaved or self._state.graph is not None:
                        self.checkpoint()
            finally:
                self._closed = "is closed"
                self._journal.close()

    def discard(self) -> None:
        """Give the files back and write no checkpoint: they are to be removed."""
        with self._changing:
            if self._rebuild is not None:
                self._rebuild.stop()
            self._closed, self._behind = "is closed", False
            self._journal.close()

    def before_fork(self) -> None:
        """Close the database for the moment: SQLite's state must not be in two processes."""
        self.finish_loading()  # which no child could go on with
        self._journal.pause()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._journal.resume()

    def after_fork(self) -> None:
        """Renew the locks, and leave the journal to the parent."""
        super().after_fork()
        if not self._closed:
            self._closed = "was opened before this process was forked"
            self._behind = False
            self._journal.forget()

    def __getstate__(self) -> dict[str, Any]:
        raise errors.InputError(
            f"an opened index can't be pickled; open {self._folder} in the other process, with read_only=True"
        )


def _room_in(folder: Path) -> Path | None:
    """Return where unnamed files are made: in the folder, unless a reader may not write there."""
    return folder if os.access(folder, os.W_OK) else None
