"""The page's parts as HTML; whatever comes from a catalogue or a visitor is escaped."""

from __future__ import annotations

import math
from html import escape

from fashionsearch.app.adding import fields_to_add
from fashionsearch.app.catalogue import Tags
from fashionsearch.app.fields import Field, words_of
from fashionsearch.app.uploads import MOST_BYTES
from fashionsearch.app.visit import Visit
from fashionsearch.app.why import Why
from fashionsearch.results import Match

_MOST_VALUES = 60  # of a field, the commonest


def asking(visit: Visit) -> str:
    """Return the side on which a visitor says what is wanted."""
    catalogue = visit.catalogue
    photo = _photo(visit) if catalogue.takes_photos else ""
    return (
        f"<div data-most='{MOST_BYTES}'><h1>{escape(catalogue.name)}</h1>{photo}{_tags(visit.tags, visit)}"
        f"<form id='wishes' data-form='search' data-resets='{visit.resets}' aria-label='What you look for'>"
        f"{_words(visit)}<div class='row'><button class='main'>Search</button>"
        "<button type='button' data-do='reset'>Start again</button></div>"
        f"{_options(visit)}</form>{_adding(visit)}</div>"
    )


def _options(visit: Visit) -> str:
    inside = _filters(visit) + _towards(visit) + _sliders(visit)
    return _folded("options", "Filters and fine control", "", inside, "options")


def finding(visit: Visit) -> str:
    """Return the side on which the items are that were found."""
    cards = "".join(_card(visit, place, match) for place, match in enumerate(visit.found))
    more = "<button data-do='more'>More results</button>" if visit.has_more else ""
    problem = " class='problem'" if visit.is_problem else ""
    return (
        f"<section data-turn='{visit.turn}' aria-label='Results'>"
        f"<h2 class='unseen'>Results</h2><p id='status' role='status'{problem}>{escape(visit.words)}</p>"
        f"<div>{_judged(visit)}</div><ol class='cards'>{cards}</ol><p class='more'>{more}</p></section>"
    )


def window(visit: Visit) -> str:
    """Return the window over the page, or nothing."""
    if visit.why is not None:
        return _window(visit, f"Why {escape(visit.catalogue.name_of(visit.why.match))}?", _why(visit.why), "")
    if visit.leaving is not None:
        name = escape(visit.catalogue.name_of(visit.leaving))
        told = f"<p>{name} is removed from the catalogue. The file of its photo stays where it is.</p>"
        sure = "<button class='main' data-do='remove-surely'>Remove</button>"
        return _window(visit, f"Remove {name}?", told, sure)
    return ""


def _photo(visit: Visit) -> str:
    photo = visit.photo
    shown = (
        "<span class='hint'><b>Drop a photo here</b>, paste one, or choose a file</span>"
        if photo is None
        else f"<img src='{photo.picture}' alt='Your photo, {escape(photo.name, quote=True)}'>"
        "<span class='soft'>Drop another one to replace it</span>"
    )
    away = "" if photo is None else "<button type='button' data-do='no-photo'>Take the photo away</button>"
    named = "Choose a photo" if photo is None else "Choose another photo"
    return (
        f"<label class='drop'><span class='unseen'>{named}</span>{shown}"
        f"<input type='file' id='photo' accept='image/*' class='unseen'></label><div class='away'>{away}</div>"
    )


def _tags(tags: Tags | None, visit: Visit) -> str:
    if tags is None:
        missing = visit.photo is not None
        return (
            "<p class='soft'>There is no tagger for this catalogue, so the photo has no tags.</p>"
            if missing
            else ""
        )
    strange = (
        "<p class='soft'>This photo is unlike anything the tagger has learned from.</p>"
        if tags.unfamiliar
        else ""
    )
    rows = "".join(
        f"<li{'' if tag.sure else ' class=unsure'}><span>{escape(words_of(tag.attribute))}</span>"
        f"<b>{escape(tag.value)}</b><span>{_percent(tag.confidence)}{'' if tag.sure else ', not sure'}</span></li>"
        for tag in tags.tags
    )
    return f"<section aria-label='Tags of your photo'><h2>Tags</h2>{strange}<ul class='tags'>{rows}</ul></section>"


def _percent(share: float) -> str:
    # Never above what it is: 99.6 % is no certainty.
    return f"{math.floor(100 * share + 1e-9)} %"


def _words(visit: Visit) -> str:
    if not visit.catalogue.has_words:
        return "<p class='soft'>This catalogue has not learned words. The command learn-text teaches it.</p>"
    text = escape(visit.wishes.text, quote=True)
    return (
        "<label for='text'>In words</label>"
        f"<input id='text' name='text' type='search' maxlength='500' value='{text}' placeholder='such as: red floral dress'>"
    )


def _filters(visit: Visit) -> str:
    fields = visit.catalogue.fields.filters
    groups = "".join(_filter(visit, field) for field in fields.values())
    return f"<section aria-label='Filters'><h2>Filters</h2>{groups}</section>" if groups else ""


def _filter(visit: Visit, field: Field) -> str:
    name, title = escape(field.name, quote=True), escape(words_of(field.name))
    chosen = visit.wishes.where.get(field.name, ())
    if field.is_range:
        low, high = visit.wishes.between.get(field.name, (None, None))
        inside = "".join(
            f"<label>{word} <input type='number' step='any' name='{kind}:{name}' value='{_plain(value)}' "
            f"placeholder='{_plain(bound)}'></label>"
            for word, kind, value, bound in (
                ("From", "from", low, field.low),
                ("To", "to", high, field.high),
            )
        )
        told = " · chosen" if (low, high) != (None, None) else ""
        return _folded(f"filter:{name}", title, told, f"<div class='row'>{inside}</div>")
    boxes = []
    for words, count in _counts(visit, field):
        value, checked = escape(words, quote=True), " checked" if words in chosen else ""
        boxes.append(
            f"<label class='box'><input type='checkbox' name='where:{name}' value='{value}'{checked}>"
            f"<span>{escape(words)}</span><span class='count'>{count:,}</span></label>"
        )
    more = len(field.values) - len(boxes)
    rest = f"<p class='soft'>The {len(boxes)} commonest of {len(field.values)}.</p>" if more > 0 else ""
    told = f" · {len(chosen)} chosen" if chosen else ""
    inside = (
        f"<fieldset class='boxes'><legend class='unseen'>{title}</legend>{''.join(boxes)}</fieldset>{rest}"
    )
    return _folded(f"filter:{name}", title, told, inside)


def _counts(visit: Visit, field: Field) -> list[tuple[str, int]]:
    """Return what is shown of a field's values, with how many items have each that fit the other filters."""
    catalogue, wishes = visit.catalogue, visit.wishes
    others = wishes.filters(catalogue.fields.filters, without=field.name)
    held = catalogue.index.facets(field.name, where=others)
    counted = {words: sum(held.get(value, 0) for value in values) for words, values in field.values.items()}
    chosen = wishes.where.get(field.name, ())
    shown = [
        *list(counted)[:_MOST_VALUES],
        *(words for words in list(counted)[_MOST_VALUES:] if words in chosen),
    ]
    return [(words, counted[words]) for words in shown]


def _towards(visit: Visit) -> str:
    classes = visit.catalogue.classes
    if not classes:
        return ""
    rows = []
    for attribute, names in classes.items():
        chosen = visit.wishes.towards.get(attribute, "")
        options = "".join(
            f"<option value='{escape(name, quote=True)}'{' selected' if name == chosen else ''}>{escape(name)}</option>"
            for name in names
        )
        rows.append(
            f"<label class='pair'><span>{escape(words_of(attribute))}</span>"
            f"<select name='towards:{escape(attribute, quote=True)}'><option value=''>as it is</option>{options}"
            "</select></label>"
        )
    told = f" · {len(visit.wishes.towards)} chosen" if visit.wishes.towards else ""
    inside = _folded("towards", "Choose what to change", told, "".join(rows))
    return f"<section aria-label='Changes'><h2>Like this, but</h2>{inside}</section>"


def _sliders(visit: Visit) -> str:
    catalogue, wishes = visit.catalogue, visit.wishes
    least = "Smallest chance to be of the same kind" if catalogue.is_calibrated else "Smallest likeness"
    sliders = [("diversity", "Variety", wishes.diversity)]
    if catalogue.is_calibrated or catalogue.index.metric == "cosine":
        sliders.insert(0, ("least", least, wishes.least))
    if catalogue.has_words and catalogue.takes_photos:
        sliders.insert(0, ("text_weight", "Weight of the words beside a photo", wishes.text_weight))
    rows = "".join(
        f"<label class='slider'><span>{title} <output>{value:g}</output></span>"
        f"<input type='range' name='{name}' min='0' max='1' step='0.05' value='{value:g}'></label>"
        for name, title, value in sliders
    )
    return f"<section aria-label='Fine control'><h2>Fine control</h2>{_folded('sliders', 'Sliders', '', rows)}</section>"


def _adding(visit: Visit) -> str:
    catalogue = visit.catalogue
    if not catalogue.writable:
        return ""
    if visit.photo is None:
        inside = "<p class='soft'>Drop a photo first; then its item can be added.</p>"
        return _folded("add", "Add an item", "", inside, "adding")
    tagged = {} if visit.tags is None else {tag.attribute: tag.value for tag in visit.tags.tags}
    rows = [
        "<label class='pair'><span>Id</span><input name='id' maxlength='200' placeholder='made for you'></label>"
    ]
    for name in fields_to_add(catalogue):
        field = catalogue.fields.filters.get(name)
        value = tagged.get(name, "") if field is not None and tagged.get(name) in field.values else ""
        rows.append(
            f"<label class='pair'><span>{escape(words_of(name))}</span>"
            f"<input name='field:{escape(name, quote=True)}' maxlength='500' value='{escape(value, quote=True)}'></label>"
        )
    form = (
        f"<form data-form='add' data-resets='{visit.resets}' aria-label='The new item'>{''.join(rows)}"
        "<button class='main'>Add this photo</button></form>"
    )
    return _folded("add", "Add an item", "", form, "adding")


def _folded(name: str, title: str, told: str, inside: str, kind: str = "") -> str:
    told = f"<span class='soft'>{told}</span>" if told else ""
    return f"<details class='{kind}' data-name='{name}'><summary>{title}{told}</summary>{inside}</details>"


def _judged(visit: Visit) -> str:
    both = [("Liked", match) for match in visit.liked] + [("Not wanted", match) for match in visit.unliked]
    if not both:
        return ""
    chips = "".join(
        f"<li>{_picture(visit, match)}<span>{said}: {escape(visit.catalogue.name_of(match))}</span>"
        f"{_button(visit, 'forget', place, 'Take back', match)}</li>"
        for place, (said, match) in enumerate(both)
    )
    return f"<ul class='judged' aria-label='What you said of items'>{chips}</ul>"


def _card(visit: Visit, place: int, match: Match) -> str:
    name = visit.catalogue.name_of(match)
    buttons = [("like", "Like"), ("unlike", "Not this"), ("why", "Why?")]
    if visit.catalogue.writable:
        buttons.append(("remove", "Remove"))
    row = "".join(_button(visit, do, place, words, match) for do, words in buttons)
    about = escape(visit.catalogue.about(match))
    return (
        f"<li class='card'>{_picture(visit, match)}<h3 title='{escape(str(match.id), quote=True)}'>{escape(name)}</h3>"
        f"<p class='soft'>{about}</p><p class='score'>{_score(match)}</p><div class='row'>{row}</div></li>"
    )


def _button(visit: Visit, do: str, place: int, words: str, match: Match) -> str:
    named = escape(f"{words}: {visit.catalogue.name_of(match)}", quote=True)
    return (
        f"<button type='button' data-do='{do}' data-place='{place}' data-turn='{visit.turn}' aria-label='{named}'>"
        f"{escape(words)}</button>"
    )


def _picture(visit: Visit, match: Match) -> str:
    address = visit.catalogue.picture_of(match)
    name = escape(visit.catalogue.name_of(match), quote=True)
    if address is None:
        return f"<div class='picture none' role='img' aria-label='No picture of {name}'><span>{name}</span></div>"
    return f"<div class='picture'><img src='{address}' alt='{name}'></div>"


def _score(match: Match) -> str:
    if not math.isnan(match.probability):
        return f"{_percent(match.probability)} sure to be of the same kind"
    return "" if math.isnan(match.similarity) else f"Likeness {match.similarity:.2f}"


def _why(why: Why) -> str:
    parts = "".join(f"<li>{escape(words)}: <b>{value:+.2f}</b></li>" for words, value in why.parts)
    made = f"<h3>What its place is made of</h3><ul>{parts}</ul>" if parts else ""
    shared = "".join(f"<li>{escape(name)}: <b>{escape(value)}</b></li>" for name, value in why.shared)
    other = "".join(
        f"<li>{escape(name)}: {escape(one)} in your photo, {escape(two)} here</li>"
        for name, one, two in why.different
    )
    alike = f"<h3>What both have</h3><ul>{shared}</ul>" if shared else ""
    unlike = f"<h3>What differs</h3><ul>{other}</ul>" if other else ""
    picture = (
        f"<img src='{why.picture}' alt='Your photo and the item side by side; numbers join places that are alike, and what "
        "is unlike is pale'>"
        if why.picture
        else f"<p class='soft'>{escape(why.note)}</p>"
    )
    return f"<div class='why'><div>{picture}</div><div>{alike}{unlike}{made}</div></div>"


def _window(visit: Visit, title: str, inside: str, buttons: str) -> str:
    return (
        f"<dialog data-turn='{visit.turn}' aria-labelledby='window-title'><h2 id='window-title'>{title}</h2>{inside}"
        f"<form method='dialog' class='row'>{buttons.replace('<button', '<button type=button')}"
        "<button>Close</button></form></dialog>"
    )


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"
