"""What the page says, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fashionsearch import errors
from fashionsearch.app.fields import words_of

if TYPE_CHECKING:
    from fashionsearch.app.catalogue import Catalogue
    from fashionsearch.app.visit import Visit


def holds(catalogue: Catalogue) -> str:
    """Return how many items a catalogue holds."""
    count = len(catalogue.index)
    return f"The catalogue holds {count:,} item{'' if count == 1 else 's'}."


def found(visit: Visit) -> str:
    """Return what was found, and by what."""
    catalogue, wishes = visit.catalogue, visit.wishes
    filtered = bool(wishes.where or wishes.between)
    count, total = len(visit.found), len(catalogue.index)
    if not total:
        return "The catalogue is empty." + (" Drop a photo to add it." if catalogue.writable else "")
    if not count:
        if not visit.says_something or filtered:
            return "No item fits these filters. Take one away, or start again."
        if wishes.least and catalogue.is_calibrated:
            return f"The catalogue has nothing that is of the same kind with a chance of {wishes.least:.0%}. Ask for less."
        if wishes.least:
            return f"No item has a likeness of {wishes.least:.2f} or more. Ask for less."
        return "Nothing was found."
    items = f"{count:,} item{'' if count == 1 else 's'}"
    these = (
        f"{items} that fit{'s' if count == 1 else ''} your filters"
        if filtered
        else f"{count:,} of {total:,} items"
    )
    if not visit.says_something:
        return f"{these.capitalize()}, as different as can be. {_invitation(catalogue)}"
    said, changes = _sayings(visit), _changes(visit)
    nearest = f", the nearest to {_and(said)} first" if said else ""
    return f"{these.capitalize()}{nearest}{changes}." + _left_out(visit)


def problem(error: errors.FashionSearchError) -> str:
    """Return what went wrong, as a sentence to a visitor."""
    if isinstance(error, errors.ImageError) and error.failures:
        reason = error.failures[0].reason
        # What a decoder says of damage means nothing to most people.
        return (
            "This photo is damaged; choose another one." if "damaged" in reason else f"This photo {reason}."
        )
    words = str(error)
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?", "!")) else ".")


def _invitation(catalogue: Catalogue) -> str:
    ways = ["drop a photo"] if catalogue.takes_photos else []
    ways += ["say what you look for"] if catalogue.has_words else []
    return f"{_and([*ways, 'like an item'], 'or').capitalize()} to search."


def _sayings(visit: Visit) -> list[str]:
    wishes = visit.wishes
    said = ["your photo"] if visit.photo else []
    said += [f"“{wishes.text}”"] if wishes.text else []
    return said + (["what you liked"] if visit.liked else [])


def _changes(visit: Visit) -> str:
    asked = [f"{words_of(name).lower()} {value}" for name, value in visit.wishes.towards.items()]
    return f", with {_and(asked)}" if asked else ""


def _and(parts: list[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _left_out(visit: Visit) -> str:
    if visit.catalogue.is_calibrated and visit.wishes.text and visit.wishes.least:
        return " The chance is not known of words, so the smallest chance is left out."
    return ""
