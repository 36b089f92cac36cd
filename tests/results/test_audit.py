"""An audit's rows, table, words and page."""

import json

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.results import Audit, Broken, Contradiction, Duplicate, Leak, LeakFree, Mislabel

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def photos(tmp_path):
    names = [tmp_path / f"{name}.png" for name in "abc"]
    for name in names:
        Image.new("RGB", (4, 4)).save(name)
    return [str(name) for name in names]


@pytest.fixture
def audit(photos):
    return Audit(
        mislabels=(Mislabel(1, photos[1], "kind", "Shirt", EVIL, 0.9912345),),
        duplicates=(Duplicate(2, photos[2], 0, photos[0], exact=True, score=1.0),),
        leaks=(Leak(2, photos[2], "test", 0, photos[0], "train", "near copy", 0.98),),
        broken=(Broken(0, photos[0], "Blurred", 0.7),),
        contradictions=(Contradiction(1, photos[1], "kind", "Shirt", "", "never seen", 0.9),),
        accuracies=(LeakFree("kind", "train", "test", 0.9, 0.8, 10, 1),),
        labels={"kind": np.array(["Shirt", "Shirt", "Dress"]), "colour": np.array(["Red", "", "Blue"])},
        sources=np.array(photos, object),
        _thumbnail=lambda row: f"data:{row}",
    )


def test_rows_are_plain_and_say_what_kind_of_fault(audit):
    rows = audit.to_rows()
    assert json.loads(json.dumps(rows)) == rows
    assert [row["fault"] for row in rows] == ["mislabel", "duplicate", "leak", "broken", "contradiction"]
    assert len(audit) == 5


def test_a_person_s_corrections_are_read_back(audit, photos, tmp_path):
    path = tmp_path / "audit.csv"
    audit.to_csv(path)
    assert fs.datasets.load_corrections(path) == ([], {})
    text = path.read_text("utf-8").splitlines()
    row = next(place for place, line in enumerate(text) if ",mislabel," in line)
    text[row] = text[row].replace(",Shirt,,", ",Dress,Green,")
    path.write_text("\n".join(text), "utf-8")
    images, corrections = fs.datasets.load_corrections(path)
    assert [str(image) for image in images] == [photos[1]]
    assert corrections == {"kind": ["Dress"], "colour": ["Green"]}


def test_it_says_in_words_what_was_found(audit):
    words = repr(audit)
    assert words.startswith("Audit of 3 photos, by kind, colour:")
    assert "1 exact, 0 nearly the same" in words
    assert "kind of test: accuracy 0.900, without its leaks 0.800" in words
    assert "Audit of 0 photos" in repr(Audit())


def test_nothing_that_a_label_holds_is_html(audit, tmp_path):
    audit.report(tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text("utf-8")
    for text in (page, audit._repr_html_()):
        assert EVIL not in text
        assert "&lt;script&gt;" in text
    assert page.count('src="data:0"') == 3
    assert "Exact copy" in page


def test_a_page_shows_at_least_one(audit, tmp_path):
    with pytest.raises(fs.errors.InputError, match="most=0"):
        audit.report(tmp_path / "audit.html", most=0)
