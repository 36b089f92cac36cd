"""What each button does, without a browser."""

import subprocess
import sys
import textwrap

import pytest

import fashionsearch as fs
from fashionsearch.app import html
from fashionsearch.app.catalogue import Catalogue
from fashionsearch.app.visit import PAGE, Visit

pytestmark = pytest.mark.filterwarnings("ignore::fashionsearch.errors.DataWarning")


def ids(visit):
    return [match.id for match in visit.found]


def press(visit, do, place=0):
    visit.act({"do": do, "place": place, "turn": visit.turn})


def ask(visit, *pairs):
    visit.act({"do": "search", "form": [list(pair) for pair in pairs]})


def show(visit, upload, drawn, number):
    visit.act({"do": "photo", "path": upload(drawn / "photos" / f"garment-{number:02}.png")})
    assert not visit.is_problem, visit.words


def test_it_begins_with_varied_items_and_goes_on_with_others(visit):
    assert len(visit.found) == PAGE
    assert visit.words == (
        "5 of 30 items, as different as can be. Drop a photo, say what you look for or like an item to search."
    )
    visit.act({"do": "more"})
    assert len(set(ids(visit))) == 2 * PAGE


def test_a_photo_finds_the_nearest_and_has_tags(visit, upload, drawn, uploads):
    show(visit, upload, drawn, 7)
    assert ids(visit)[0] == "garment-07"
    assert visit.words == "5 of 30 items, the nearest to your photo first."
    assert {tag.attribute for tag in visit.tags.tags} >= {"articleType", "baseColour", "gender"}
    assert all(0 < tag.confidence <= 1 for tag in visit.tags.tags)
    assert [path for path in uploads.rglob("*") if path.is_file()] == [], "what was read doesn't stay"
    while visit.has_more:
        visit.act({"do": "more"})
    assert sorted(ids(visit)) == sorted(visit.catalogue.index), "each item once"
    visit.act({"do": "no-photo"})
    assert visit.photo is None
    assert "as different as can be" in visit.words


def test_words_filters_and_attributes_are_asked_for(visit, upload, drawn):
    ask(visit, ("text", " red dress "), ("where:baseColour", "Red"), ("where:baseColour", "Blue"))
    assert visit.wishes.text == "red dress"
    assert {match.metadata["baseColour"] for match in visit.found} <= {"Red", "Blue"}
    assert visit.words.endswith("that fit your filters, the nearest to “red dress” first.")
    ask(visit, ("from:price", "10"), ("to:price", "12.5"))
    assert sorted(match.metadata["price"] for match in visit.found) == [10.5, 11.5, 12.5]
    show(visit, upload, drawn, 7)
    ask(visit, ("towards:baseColour", "Red"), ("towards:gender", ""), ("diversity", "0.2"))
    assert visit.words.endswith("the nearest to your photo first, with base colour Red.")
    assert "attributes" in visit.found[0].parts


def test_what_nothing_fits_is_told(visit, upload, drawn):
    ask(visit, ("from:price", "1000"))
    assert (visit.found, visit.words) == (
        [],
        "No item fits these filters. Take one away, or start again.",
    )
    assert not visit.is_problem
    show(visit, upload, drawn, 7)
    ask(visit, ("least", "0.99"))
    assert ids(visit) == ["garment-07"]
    assert not visit.has_more
    ask(visit, ("least", "1"), ("text", "red"))
    assert visit.words == "No item has a likeness of 1.00 or more. Ask for less."


def test_likes_change_what_is_found_and_can_be_taken_back(visit):
    first, second = ids(visit)[:2]
    press(visit, "like", 0)
    assert [match.id for match in visit.liked] == [first]
    assert visit.words == "5 of 30 items, the nearest to what you liked first."
    liked = ids(visit)
    assert first not in liked
    press(visit, "unlike", 0)
    assert liked[0] not in ids(visit)
    assert ids(visit) != liked
    press(visit, "forget", 1)
    assert ids(visit) == liked
    press(visit, "forget", 0)
    assert ids(visit)[:2] == [first, second]


def test_what_is_only_not_wanted_is_left_out_of_varied_items(visit):
    first = ids(visit)[0]
    press(visit, "unlike", 0)
    assert not visit.is_problem
    while visit.has_more:
        visit.act({"do": "more"})
    assert first not in ids(visit)


def test_why_is_told_in_words_and_as_a_picture(visit, upload, drawn):
    press(visit, "why", 0)
    assert visit.why.note == "Drop a photo to see where it and this item are alike."
    show(visit, upload, drawn, 7)
    press(visit, "why", 0)
    assert visit.why.picture.startswith("data:image/png;base64,")
    assert dict(visit.why.parts)["likeness to your photo"] > 0.99
    assert len(visit.why.shared) + len(visit.why.different) >= 5
    assert "<dialog" in html.window(visit)
    visit.act({"do": "more"})
    assert html.window(visit) == ""


def test_all_is_forgotten_at_once(visit, upload, drawn):
    before = ids(visit)
    show(visit, upload, drawn, 7)
    ask(visit, ("text", "red"))
    press(visit, "like", 2)
    visit.act({"do": "reset"})
    assert (visit.photo, visit.tags, visit.liked, visit.wishes.text, visit.resets) == (None, None, [], "", 1)
    assert ids(visit) == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xd8\xff\xe0 no photo", "This photo is damaged; choose another one."),
        (b"only words", "This photo "),
        (b"", "This photo "),
    ],
)
def test_a_damaged_photo_is_told_and_changes_nothing(visit, upload, content, told):
    before = ids(visit)
    visit.act({"do": "photo", "path": upload(content)})
    assert visit.is_problem
    assert visit.words.startswith(told)
    assert (ids(visit), visit.photo) == (before, None)
    assert "class='problem'" in html.finding(visit)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        "start",
        {},
        {"do": []},
        {"do": "act"},
        {"do": "_search"},
        {"do": "photo"},
        {"do": "photo", "path": "/etc/passwd"},
        {"do": "photo", "path": {"path": "/etc/passwd"}},
        {"do": "photo", "path": "a\0b"},
        {"do": "like"},
        {"do": "like", "place": 0},
        {"do": "like", "place": 0, "turn": 0},
        {"do": "like", "place": 99, "turn": 1},
        {"do": "like", "place": -1, "turn": 1},
        {"do": "like", "place": "0", "turn": 1},
        {"do": "like", "place": True, "turn": 1},
        {"do": "like", "place": "/etc/passwd", "turn": 1},
        {"do": "why", "place": 1.5, "turn": 1},
        {"do": "search"},
        {"do": "search", "form": {"text": "red"}},
        {"do": "search", "form": [["text"]]},
        {"do": "search", "form": [["text", 5]]},
        {"do": "search", "form": [["text", "x" * 2000]]},
        {"do": "search", "form": [["text", "x"]] * 2000},
        {"do": "search", "form": [["like", "/etc/passwd"]]},
        {"do": "search", "form": [["where:baseColour", "Nocolour"]]},
        {"do": "search", "form": [["where:nofield", "Red"]]},
        {"do": "search", "form": [["from:price", "nan"]]},
        {"do": "search", "form": [["least", "7"]]},
        {"do": "search", "form": [["towards:baseColour", "Nocolour"]]},
        {"do": "remove", "place": 0, "turn": 1},
        {"do": "remove-surely"},
        {"do": "add", "form": []},
    ],
    ids=str,
)
def test_whatever_a_client_sends_is_refused_in_words(visit, said):
    before = ids(visit)
    visit.act(said)
    assert visit.is_problem
    assert visit.words.endswith((".", "?"))
    assert "root:" not in html.finding(visit)
    assert ids(visit) == before
    assert len(visit.catalogue.index) == 30


def test_items_are_added_and_removed_where_that_is_allowed(shop, upload, uploads):
    with fs.VisualIndex.open(shop / "catalogue", progress=False) as index:
        catalogue = Catalogue(index, photos=shop / "photos", writable=True)
        visit = Visit(catalogue, uploads)
        visit.act({"do": "start"})
        visit.act({"do": "add", "form": []})
        assert visit.words == "There is no photo to add; drop one on the page first."
        visit.act({"do": "photo", "path": upload(shop / "photos" / "garment-03.png", "new.png")})
        form = [["id", "new one"], ["field:productDisplayName", "My shirt"], ["field:price", "7"]]
        visit.act({"do": "add", "form": form})
        assert visit.words == "Added My shirt. The catalogue holds 31 items."
        assert index.get("new one").metadata == {"productDisplayName": "My shirt", "price": 7}
        assert (shop / "photos" / "new-one.png").read_bytes() == (
            shop / "photos" / "garment-03.png"
        ).read_bytes()
        visit.act({"do": "add", "form": form})
        assert visit.words.startswith("There is an item 'new one' already")
        assert not (shop / "photos" / "new-one-2.png").exists()
        visit.act({"do": "add", "form": [["id", 200 * "\U00020000"]]})
        assert not visit.is_problem, visit.words
        assert (shop / "photos" / f"{50 * chr(0x20000)}.png").exists()
        index.remove(200 * "\U00020000")
        visit.act({"do": "search", "form": []})
        place = ids(visit).index("new one")
        press(visit, "remove", place)
        assert visit.leaving.id == "new one"
        assert len(index) == 31, "it is asked first"
        visit.act({"do": "remove-surely"})
        assert visit.words == "Removed My shirt. The catalogue holds 30 items."
        assert "new one" not in index
        visit.act({"do": "remove-surely"})
        assert visit.is_problem


def test_an_empty_index_of_vectors_alone_says_so(uploads):
    visit = Visit(Catalogue(fs.VisualIndex(dim=2), writable=True), uploads)
    visit.act({"do": "start"})
    assert visit.words.startswith("The catalogue is empty.")
    assert "Drop a photo here" not in html.asking(visit)


def test_an_index_of_vectors_alone_can_be_looked_through(uploads):
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1], [1, 1]], ids=[1, 2, 3], metadata={"kind": ["a", "b", "a"]})
    visit = Visit(Catalogue(index), uploads)
    visit.act({"do": "start"})
    assert visit.words.endswith("Like an item to search.")
    visit.act({"do": "photo", "path": "x"})
    assert "holds vectors alone" in visit.words
    assert "has not learned words" in html.asking(visit)
    press(visit, "like", 0)
    assert len(visit.found) == 2


def test_chances_are_shown_and_asked_for_where_they_are_known(drawn, uploads, upload):
    index = fs.VisualIndex.load(drawn / "catalogue", progress=False)
    extra = fs.datasets.make_catalogue(60, seed=1)
    index.add(extra.images, metadata={"articleType": extra["articleType"].tolist()}, ids=list(extra["id"]))
    index.calibrate("articleType")
    visit = Visit(Catalogue(index), uploads)
    show(visit, upload, drawn, 7)
    assert "sure to be of the same kind" in html.finding(visit)
    assert "Smallest chance" in html.asking(visit)
    ask(visit, ("least", "0.5"))
    assert all(match.probability >= 0.5 for match in visit.found)
    ask(visit, ("least", "0.5"), ("text", "red"))
    assert visit.words.endswith("so the smallest chance is left out.")


def test_a_visit_imports_no_torch(drawn, tmp_path):
    """In a process of its own: opened, drawn, searched by a photo and tagged, with Gradio there."""
    code = f"""
        import shutil, sys
        from pathlib import Path
        import fashionsearch as fs
        import fashionsearch.app.page, fashionsearch.app.server
        from fashionsearch.app import html
        from fashionsearch.app.catalogue import Catalogue
        from fashionsearch.app.visit import Visit
        folder, uploads = Path({str(drawn)!r}), Path({str(tmp_path)!r})
        index = fs.VisualIndex.load(folder / "catalogue", progress=False)
        visit = Visit(Catalogue(index, photos=folder / "photos"), uploads)
        shutil.copy(folder / "photos" / "garment-07.png", uploads / "photo.png")
        visit.act({{"do": "photo", "path": str(uploads / "photo.png")}})
        assert visit.found[0].id == "garment-07", visit.words
        print(sorted({{"torch", "timm", "sklearn"}} & sys.modules.keys()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[]\n", done.stderr
