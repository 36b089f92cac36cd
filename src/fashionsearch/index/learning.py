"""What an index learns beside its items, and keeps with them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.index import encoders, learned
from fashionsearch.index.rows import Id, check_cosine, check_vectors, metadata_rows
from fashionsearch.index.substituting import Substituting

if TYPE_CHECKING:
    from fashionsearch.images import Images
    from fashionsearch.index.click_log import Log
    from fashionsearch.index.filters import Where
    from fashionsearch.index.session import Session
    from fashionsearch.results import Calibrated, ClickReport
    from fashionsearch.values import Value

_SOON = 0.5  # seconds after which a reader looks whether more was learned


class Learning(Substituting):
    """Items, and what was learned of them."""

    progress: bool
    _folder: Path | None  # of an opened index
    _items: str  # where in that folder the rows are, and what was learned of them
    _followed: bytes | None = (
        None  # by what a reader tells whether more was learned; None of an index that isn't one
    )
    _looked = 0.0

    def refresh(self) -> None:
        """Take over at once what another process has written; by itself an opened index does so within a second.

        Raises:
            StorageError: if the index is closed, or can't be read.
        """
        super().refresh()
        self._follow()

    def close(self) -> None:
        """Close an opened index's files; it can still be searched, but not changed.

        Raises:
            StorageError: if a checkpoint can't be written; no change is lost.
        """
        super().close()
        self._followed = None

    def _look(self) -> None:
        if self._followed is None or time.monotonic() - self._looked <= _SOON:
            return
        try:
            self._follow()
        except errors.StorageError as error:
            warnings.warn(
                f"what was learned elsewhere can't be read, and searches go on with what was known: {error}",
                errors.DataWarning,
                stacklevel=4,
            )

    def _follow(self) -> None:
        """Take over what another process has learned, if this index only reads."""
        self._looked = time.monotonic()
        with self._held():
            while self._folder is not None and self._followed is not None:
                place = self._folder / self._items
                found = learned.mark(place)
                if found in (b"", self._followed):  # or its folder is gone with a migration
                    break
                try:
                    parts = learned.kept(place)
                except errors.StorageError:
                    if learned.mark(place) != found:  # it was written again at this moment
                        continue
                    self._followed = found
                    raise
                self._learned, self._followed = parts, found

    def learn_text(
        self,
        titles: str | Sequence[str | None],
        images: Images | None = None,
        *,
        random_state: int = 0,
        on_error: str = "raise",
    ) -> None:
        """Learn what words mean in photos, from titles; `search(text=…)` then finds by them, and the index keeps them.

        It takes about a minute for 12,000 titles. Words that were learned before are replaced; where words ship with the
        encoder, as with "fashion", they are what is started from. Of more than 100,000 items, so many are drawn.

        Args:
            titles: the metadata field that holds the items' titles; or one text for each of the images, or of the index's own
                items in their order, None where unknown.
            images: n photos that bear the titles; None is the index's own items.
            random_state: of what is drawn while learning.
            on_error: "raise" at an image that can't be read, or "skip" such images and their titles with a `DataWarning`
                that names them.

        Raises:
            InputError: if fewer than 20 titles differ, there aren't as many as photos, no item has the field, or a title
                isn't text or has over 2,000 words.
            ImageError: if an image can't be read.
            StorageError: if the folder of an opened index can't be written.

        Examples:
            >>> import fashionsearch as fs
            >>> shop = fs.datasets.make_catalogue(60, seed=0)
            >>> titles = [f"{colour} {kind}" for colour, kind in zip(shop["baseColour"], shop["articleType"])]
            >>> index = fs.VisualIndex("fashion", progress=False)
            >>> _ = index.add(shop.images, metadata={"title": titles})
            >>> index.learn_text("title")
            >>> index.search(text="red shirt", k=3).counts
            array([3])
        """
        from fashionsearch.index import wording  # here, as below: most programs learn nothing

        self._check_writing()
        before = self._exchanged
        words = wording.learn(
            self._engine,
            self._encoder,
            titles,
            images,
            background=self.background,
            random_state=random_state,
            on_error=on_error,
            progress=self.progress,
        )
        self._keep(words, before)

    def session(
        self,
        images: Images | None = None,
        *,
        text: str | None = None,
        id: Id | None = None,
        where: Where | None = None,
    ) -> Session:
        """Return a buyer's session: `session.next(k)` shows a page, and `session.like(id)` makes the next ones better.

        Args:
            images: one photo to start from, in any form.
            text: words to start from.
            id: a stored item to start from. Without any of these the first pages are varied.
            where: only items whose metadata fit, as for `search`.

        Raises:
            InputError: if there are several photos or texts.

        Examples:
            >>> import fashionsearch as fs
            >>> index = fs.VisualIndex(dim=2)
            >>> _ = index.add_vectors([[1, 0], [0, 1], [1, 0.1]], ids=["a", "b", "c"])
            >>> session = index.session(id="a")
            >>> session.next(1).ids, session.next(1).ids
            (array([['c']], dtype=object), array([['b']], dtype=object))
        """
        from fashionsearch.index.session import Session

        return Session(self, images, text=text, id=id, where=where)

    def learn_clicks(self, log: Log) -> ClickReport:
        """Learn from what was clicked which of the embeddings' axes matter, with the bias of positions taken out.

        The weights are kept with the index, and searches are by them once `use_clicks(True)` was called; the report says what
        that is likely to bring. Weights that were learned before are replaced, and are out of use until then.

        Args:
            log: one (query, shown ids in their order, clicked ids) a page. A query is an id of the index, a photo in any
                form, a vector (dim,), or a text: that of a file is a photo, and any other is words.

        Raises:
            InputError: if the log can't be used or has fewer than 200 clicks, or clicks don't rise with likeness.
            DataError: if all clicks are of one query, or the index holds one item.
            UnknownIdError: if it names items that aren't there.
            ImageError: if a photo can't be read.
            StorageError: if the folder of an opened index can't be written.

        Examples:
            >>> import numpy as np
            >>> import fashionsearch as fs
            >>> rng = np.random.default_rng(0)
            >>> index = fs.VisualIndex(dim=8)
            >>> vectors = rng.normal(size=(300, 8))
            >>> _ = index.add_vectors(vectors)
            >>> pages = [(number, index.search(id=number, k=10).ids[0].tolist()) for number in range(300)]
            >>> log = [(number, shown, [i for i in shown if (vectors[i] * vectors[number])[:2].sum() > 1])
            ...        for number, shown in pages]
            >>> report = index.learn_clicks(log)
            >>> report.pages, report.interval[0] <= report.gain <= report.interval[1]
            (300, True)
            >>> index.use_clicks(True)
        """
        from fashionsearch.index import click_log

        self._check_writing()
        before = self._exchanged
        check_cosine("clicks", self._engine.settings.metric)
        read = click_log.read(log, self._engine, self._embedded, self._of_texts)
        metric, report = click_log.learn(read, self._engine, self._sample())
        self._keep(metric, before)
        return report

    def use_clicks(self, use: bool) -> None:
        """Search by what was learned from clicks, or as before; saved with the index.

        Raises:
            InputError: if nothing was learned from clicks.
            StorageError: if the folder of an opened index can't be written.
        """
        if not isinstance(use, bool):
            raise errors.InputError(f"use_clicks takes True or False, and not {use!r}")
        with self._held():
            known = self._clicks
            if known is not None:
                self._keep(known.used(use))
            elif use:
                raise errors.InputError("nothing was learned from clicks; call learn_clicks with a log first")

    def calibrate(
        self, field: str = "articleType", *, images: Images | None = None, labels: Sequence[Any] | None = None
    ) -> Calibrated:
        """Learn what a likeness is worth, so that every match bears the chance that it is of the query's kind.

        `search` then fills `matches.probabilities`, and takes `min_probability` and `coverage`. The index keeps it; learn it
        again when the catalogue has changed much.

        Args:
            field: the metadata field whose value is an item's kind.
            images: photos that are not in the index, to search by; None takes up to 2,000 of the index's own items, without
                those that the encoder is known to have learned from, whose likeness would promise too much.
            labels: the value of the field for each of the images.

        Returns:
            `Calibrated`: how well the chances hold on queries that were held out.

        Raises:
            InputError: if no item has the field, there are fewer than 50 queries whose kind is known, or nothing can be told
                apart.
            ImageError: if an image can't be read.
            StorageError: if the folder of an opened index can't be written.

        Examples:
            >>> import fashionsearch as fs
            >>> shop = fs.datasets.make_catalogue(300, seed=0)
            >>> index = fs.VisualIndex("fashion", progress=False)
            >>> _ = index.add(shop.images, metadata={"articleType": shop["articleType"]})
            >>> report = index.calibrate("articleType")
            >>> bool(index.search(shop.images[0], k=3).probabilities[0, 0] > 0.5)
            True
        """
        from fashionsearch.index import calibrating

        self._check_writing()
        before = self._exchanged
        check_cosine("chances", self._engine.settings.metric)
        if not isinstance(field, str):
            raise errors.InputError(f"field={field!r:.60} is not the name of a metadata field")
        self._engine.check_field(field, "calibrate")
        if (images is None) != (labels is None):
            raise errors.InputError("images and labels belong together; give both, or neither")
        if images is None:
            asked = calibrating.own_queries(self._engine, field, self._learned_from)
        else:
            vectors = self._embedded(images)
            kinds = metadata_rows({field: labels}, len(vectors))
            known = [n for n, row in enumerate(kinds) if row[field] not in (None, "")]
            asked = calibrating.Queries(vectors[known], [kinds[n][field] for n in known])
        is_tagged = self._seen(field, asked.vectors[:1]) is not None

        def told(vectors: NDArray[np.float32]) -> list[dict[Value, float]]:
            return self._seen(field, vectors) or []

        calibration, report = calibrating.fit(
            self._engine, field, asked, told if is_tagged else None, progress=self.progress
        )
        self._keep(calibration, before)
        return report

    def _embedded(self, images: Images) -> NDArray[np.float32]:
        from fashionsearch.images import iterate

        pictures = list(iterate(images))
        return check_vectors(
            encoders.embed_queries(self._seeing(self._required_encoder("embed photos")), pictures), self.dim
        )

    def _of_texts(self, texts: list[str]) -> NDArray[np.float32]:
        from fashionsearch.index import wording

        return wording.term(self._encoder, self._words, texts, 1.0, self.dim).probes

    def _learned_from(self, sources: Sequence[str | None]) -> NDArray[np.bool_]:
        """Return (n,) bool: from which photos the encoder is known to have learned, as far as they may be opened."""
        from fashionsearch.pretrained import learned_from

        found = np.zeros(len(sources), dtype=bool)
        there = {n: source for n, source in enumerate(sources) if source is not None}
        if there and self.show_photos:
            found[list(there)] = learned_from(self._encoder, list(there.values()))
        return found

    def _keep(self, part: learned.Part, before: int | None = None) -> None:
        """Take over what was learned, and keep it in the folder of an opened index.

        Args:
            part: what was learned.
            before: how often the encoder had been exchanged when that began; None where it took no time.

        Raises:
            StorageError: if the folder can't be written or was opened to be read only; what was known before stays.
            EncoderMismatchError: if the index was migrated meanwhile.
        """
        with self._held():
            if before not in (None, self._exchanged):
                raise errors.EncoderMismatchError(
                    "the index was migrated while it learned, and this is of the vectors before; let it learn again"
                )
            self._replace({**self._learned, part.name: part})

    def _forget(self) -> None:
        """Forget what was learned, in the folder of an opened index too."""
        with self._held():
            self._replace({})

    def _replace(self, parts: dict[str, learned.Part]) -> None:
        if self._folder is not None:
            self._check_writing()
            learned.keep(self._folder / self._items, parts)
        self._learned = parts

    def _check_writing(self) -> None:
        from fashionsearch.index.engines.durable import DurableEngine
        from fashionsearch.index.engines.migrating import MigratingEngine

        if isinstance(self._engine, DurableEngine | MigratingEngine) and not self._engine.is_writing:
            raise errors.StorageError(
                f"{self._folder} was opened with read_only=True or is closed, so nothing learned can be kept; open it "
                "for writing"
            )
