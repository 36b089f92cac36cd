"""One visitor's page: what was asked, what was found, and what each button does to both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.app import adding, uploads, wording
from fashionsearch.app.catalogue import Catalogue, Photo, Tags
from fashionsearch.app.why import Why, explain
from fashionsearch.app.wishes import Wishes, wishes_of
from fashionsearch.results import Match

if TYPE_CHECKING:
    from fashionsearch.index.session import Session

PAGE = 5
_MOST = 200  # items on a page
_MOST_JUDGED = 50


class Visit:
    """What a visitor sees, changed by `act` and by nothing else.

    Args:
        catalogue: that is searched.
        uploads: folder of what browsers have uploaded.

    Attributes:
        turn: how often something was done; a button of an earlier turn does nothing.
        photo: that was dropped on the page, or None.
        tags: of the photo, or None.
        wishes: what else is asked for.
        liked: items that are good.
        unliked: items that are not what is wanted.
        found: items on the page, best first.
        has_more: whether there may be more.
        words: what the page says of the last thing that was done.
        is_problem: whether that went wrong.
        why: why the photo and an item match, when that was asked last.
        leaving: the item that is to be removed, until that is confirmed.
        resets: how often everything was cleared; fields that the visitor has typed into are cleared with it.
    """

    def __init__(self, catalogue: Catalogue, uploads: Path) -> None:
        self.catalogue, self._uploads = catalogue, uploads
        self.turn = self.resets = 0
        self.has_more = False
        self.found: list[Match] = []
        self._looked_at = 0  # of the items that were found, those that aren't alike enough included
        self.why: Why | None = None
        self.leaving: Match | None = None
        self._forget()

    def _forget(self) -> None:
        self.photo: Photo | None = None
        self.tags: Tags | None = None
        self.wishes = Wishes()
        self.liked: list[Match] = []
        self.unliked: list[Match] = []
        self._session: Session | None = None
        self.words, self.is_problem = "", False

    @property
    def says_something(self) -> bool:
        """Whether anything says what is looked for."""
        return bool(self.photo or self.wishes.text or self.wishes.towards or self.liked)

    def act(self, said: object) -> None:
        """Do what a button says; what can't be done is told in `words`, and leaves everything else as it was.

        Args:
            said: what the browser sent: a mapping with what to "do", and what that needs.
        """
        self.turn += 1
        self.why = None
        leaving, self.leaving = self.leaving, None
        do = said.get("do") if isinstance(said, Mapping) else None
        actions: dict[object, Callable[[Mapping[str, Any]], None]] = {
            "start": lambda _: self._search(),
            "photo": self._take_photo,
            "no-photo": self._drop_photo,
            "search": self._ask,
            "more": lambda _: self._more(),
            "like": lambda said: self._judge(said, self.liked),
            "unlike": lambda said: self._judge(said, self.unliked),
            "forget": self._unjudge,
            "why": self._explain,
            "remove": self._leave,
            "remove-surely": lambda _: self._remove(leaving),
            "add": self._add,
            "reset": lambda _: self._reset(),
        }
        before = dict(vars(self))
        self.is_problem = False
        try:
            if not isinstance(said, Mapping) or not isinstance(do, str) or do not in actions:
                raise errors.InputError("the page sent something that isn't known here; load it again")
            actions[do](said)
        except errors.FashionSearchError as error:
            vars(self).update(before)
            self.words, self.is_problem = wording.problem(error), True

    def _take_photo(self, said: Mapping[str, Any]) -> None:
        if not self.catalogue.takes_photos:
            raise errors.InputError("this catalogue holds vectors alone, and can't be searched by a photo")
        photo = self.catalogue.read(*uploads.take(said.get("path"), self._uploads))
        self.photo, self.tags = photo, self.catalogue.tags_of(photo)
        self._search()

    def _drop_photo(self, _: Mapping[str, Any]) -> None:
        self.photo = self.tags = None
        self._search()

    def _ask(self, said: Mapping[str, Any]) -> None:
        self.wishes = wishes_of(said.get("form"), self.catalogue)
        self._search()

    def _reset(self) -> None:
        self._forget()
        self.resets += 1
        self._search()

    def _judge(self, said: Mapping[str, Any], judged: list[Match]) -> None:
        match = self._at(said)
        if len(self.liked) + len(self.unliked) >= _MOST_JUDGED:
            raise errors.InputError(f"{_MOST_JUDGED} items are judged already; take some back first")
        kept = [each for each in judged if each.id != match.id]
        if judged is self.liked:
            self.liked = [*kept, match]
        else:
            self.unliked = [*kept, match]
        self._search()

    def _unjudge(self, said: Mapping[str, Any]) -> None:
        both = [*self.liked, *self.unliked]
        gone = both[self._place(said, len(both))]
        self.liked = [each for each in self.liked if each.id != gone.id]
        self.unliked = [each for each in self.unliked if each.id != gone.id]
        self._search()

    def _explain(self, said: Mapping[str, Any]) -> None:
        self.why = explain(self.catalogue, self.photo, self._at(said))

    def _leave(self, said: Mapping[str, Any]) -> None:
        self._check_writable()
        self.leaving = self._at(said)

    def _remove(self, leaving: Match | None) -> None:
        self._check_writable()
        if leaving is None:
            raise errors.InputError("no item was chosen to be removed; press its button again")
        name = self.catalogue.name_of(leaving)
        self.catalogue.index.remove(leaving.id)
        self.liked = [each for each in self.liked if each.id != leaving.id]
        self.unliked = [each for each in self.unliked if each.id != leaving.id]
        self._search()
        self.words = f"Removed {name}. {wording.holds(self.catalogue)}"

    def _add(self, said: Mapping[str, Any]) -> None:
        self._check_writable()
        if self.photo is None:
            raise errors.InputError("there is no photo to add; drop one on the page first")
        item, told = adding.add(self.catalogue, self.photo, said.get("form"))
        self._search()
        self.words = f"Added {item}. {wording.holds(self.catalogue)}{told}"

    def _check_writable(self) -> None:
        if not self.catalogue.writable:
            raise errors.InputError(
                "this page only shows the catalogue; start it with --writable to change that"
            )

    def _at(self, said: Mapping[str, Any]) -> Match:
        """Return the item whose button was pressed."""
        return self.found[self._place(said, len(self.found))]

    def _place(self, said: Mapping[str, Any], count: int) -> int:
        place, turn = said.get("place"), said.get("turn")
        if turn != self.turn - 1:
            raise errors.InputError("the page has changed meanwhile; press the button again")
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < count:
            raise errors.InputError("there is no such item on the page; press the button again")
        return place

    def _search(self) -> None:
        """Find the first items anew."""
        self.found, self.has_more, self._session, self._looked_at = [], False, None, 0
        self._more()

    def _more(self) -> None:
        """Find the next items, and say what is on the page."""
        if len(self.catalogue.index):
            page = self._asked(self._looked_at) if self.says_something else self._varied()
            self._looked_at += len(page)
            kept = [match for match in page if self._is_wanted(match)]
            # Ranked otherwise than by likeness, a page may lack what a later one has.
            goes_on = len(kept) == len(page) or bool(self.wishes.towards)
            self.found = [*self.found, *kept]
            self.has_more = len(page) == PAGE and goes_on and len(self.found) < _MOST
        self.words = wording.found(self)

    def _is_wanted(self, match: Match) -> bool:
        """Return whether an item is alike enough; where chances are known, the index has seen to that."""
        is_asked = self.wishes.least > 0 and self.says_something and not self.catalogue.is_calibrated
        return not is_asked or match.similarity >= self.wishes.least

    def _asked(self, offset: int) -> list[Match]:
        wishes, catalogue = self.wishes, self.catalogue
        index = catalogue.index
        towards = {name: catalogue.class_named(name, value) for name, value in wishes.towards.items()}
        # An id that isn't there any more would be taken for a file's name.
        liked, unliked = (
            [each.id for each in some if each.id in index] for some in (self.liked, self.unliked)
        )
        least = wishes.least if catalogue.is_calibrated and not wishes.text and wishes.least else None
        found = index.search(
            None if self.photo is None else self.photo.pixels,
            PAGE,
            text=wishes.text or None,
            text_weight=wishes.text_weight,
            like=liked,
            unlike=unliked,
            towards=towards or None,
            tagger=catalogue.given_tagger if towards else None,
            where=wishes.filters(catalogue.fields.filters),
            offset=offset,
            diversity=wishes.diversity,
            min_probability=least,
        )
        return found[0]

    def _varied(self) -> list[Match]:
        """Return items that have little in common, where nothing says what is looked for."""
        if self._session is None:
            index = self.catalogue.index
            self._session = index.session(where=self.wishes.filters(self.catalogue.fields.filters))
            self._session.unliked = [each.id for each in self.unliked if each.id in index]
        return self._session.next(PAGE)[0]
