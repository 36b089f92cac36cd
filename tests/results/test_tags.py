"""`Tags`: rows, a table, and what is for a person."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.results import Tags


@pytest.fixture
def tags():
    def column(*values):
        return np.array(values, dtype=object)

    return Tags(
        value={
            "world": column("x", "y", "x"),
            "kind": column("a", "d", None),
            "colour": column("Red", '"é"', "Red"),
        },
        confidence={
            "world": np.array([0.99, 0.97, 0.6]),
            "kind": np.array([0.98, 0.5, 0.0]),
            "colour": np.full(3, 0.96),
        },
        sure={
            "world": np.array([True, True, False]),
            "kind": np.array([True, False, False]),
            "colour": np.full(3, True),
        },
        unfamiliar=np.array([False, False, True]),
        sources=np.array(["a.jpg", None, "c.jpg"], dtype=object),
        threshold=0.95,
        parents={"kind": "world"},
    )


def test_it_says_what_is_sure_and_what_is_for_a_person(tags):
    assert len(tags) == 3
    assert tags.attributes == ("world", "kind", "colour")
    assert tags.for_review.tolist() == [1, 2]
    assert [tags.deepest(place) for place in range(3)] == ["kind", "world", None]


def test_of_several_trees_one_is_asked_for_its_finest_sure_level(tags):
    shades = replace(
        tags,
        value={**tags.value, "shade": tags.value["colour"]},
        confidence={**tags.confidence, "shade": np.full(3, 0.2)},
        sure={**tags.sure, "shade": np.full(3, False)},
        parents={"kind": "world", "shade": "colour"},
    )
    assert [shades.deepest(place, attribute="kind") for place in range(3)] == ["kind", "world", None]
    assert [shades.deepest(place, attribute="shade") for place in range(3)] == ["colour"] * 3
    assert shades.deepest(0, attribute="world") == "world"
    with pytest.raises(errors.InputError, match=r"ends in kind, shade.*attribute='kind'"):
        shades.deepest(0)
    with pytest.raises(errors.InputError, match="no levels"):
        replace(tags, parents={}).deepest(0)
    with pytest.raises(errors.InputError, match="Did you mean 'shade'"):
        shades.deepest(0, attribute="shades")


def test_rows_are_plain(tags):
    rows = tags.to_rows()
    assert json.loads(json.dumps(rows)) == rows
    assert rows[1] == {
        "image": 1,
        "world": "y",
        "world confidence": 0.97,
        "world sure": True,
        "kind": "d",
        "kind confidence": 0.5,
        "kind sure": False,
        "colour": '"é"',
        "colour confidence": 0.96,
        "colour sure": True,
        "unfamiliar": False,
        "review": True,
    }
    assert rows[2]["kind"] is None


def test_the_table_holds_all_and_what_the_tags_were(tags, tmp_path):
    tags.to_csv(tmp_path / "tags.csv")
    with (tmp_path / "tags.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["a", "d", ""]
    assert [row["review"] for row in rows] == ["no", "yes", "yes"]
    assert json.loads(rows[1]["tagged_as"]) == {"world": "y", "kind": "d", "colour": '"é"'}


def test_it_prints_and_shows_itself(tags):
    assert "for a person: 2, unfamiliar: 1" in repr(tags)
    html = tags._repr_html_()
    assert "&quot;é&quot;" in html
    assert "<td><span style='opacity: 0.6'>d 0.50\xa0?</span></td>" in html
    assert "<td>a 0.98</td>" in html
    assert html.count("<b>unfamiliar</b>") == 1
    assert "3 photos, 2 for a person" in html
    assert "sure is 0.95 and above" in html
    assert "<img" not in html


def test_a_confidence_is_not_shown_as_more_than_it_is(tags):
    nearly = replace(tags, confidence={**tags.confidence, "kind": np.array([0.9499, 0.29, 0.999])})
    html = nearly._repr_html_()
    assert "a 0.94" in html
    assert "d 0.29\xa0?" in html
    assert "0.95<" not in html


def test_it_shows_the_first_photos_small(tags):
    shown = replace(
        tags,
        sources=np.array(["shop/<a>.jpg", None, "c.jpg"], object),
        _photos=["one", "two"],
        _thumbnail=lambda photo: f"data:{photo}",
    )
    html = shown._repr_html_()
    assert re.search(
        r"<img alt='' src='data:one'><br><small [^>]*title='shop/&lt;a&gt;.jpg'>&lt;a&gt;.jpg</small>", html
    )
    assert "data:c.jpg" in html  # a photo that wasn't kept is read again
    assert html.count("<img") == 3
    many = np.zeros(30, int)
    thirty = replace(
        tags,
        **{
            name: {k: v[many] for k, v in getattr(tags, name).items()}
            for name in ("value", "confidence", "sure")
        },
        unfamiliar=tags.unfamiliar[many],
        sources=tags.sources[many],
    )
    assert thirty._repr_html_().count("<tr>") == 21
    assert "20 of 30 photos" in thirty._repr_html_()
