"""The report is one file that needs nothing else, shows what it was given, and appears whole or not at all."""

import base64
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from fashionsearch import errors, plots
from fashionsearch.cli.report import Picture, Section, figure_png, write_report
from fashionsearch.datasets import make_catalogue
from fashionsearch.metrics import evaluate

EVIL = "<script>alert('\"&$x$')</script>"


@pytest.fixture(scope="module")
def png():
    return figure_png(Figure(figsize=(1, 1)))


@pytest.fixture
def evaluation():
    return evaluate(["a", EVIL, EVIL], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["a", EVIL])


class Elements(HTMLParser):
    """Collects start tags with attributes, and checks that tags nest."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def attributes(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_a_full_report_is_well_formed_and_needs_nothing_else(tmp_path, evaluation):
    figure = Figure()
    plots.confusion(evaluation, ax=figure.subplots())
    table = make_catalogue(12)
    sections = [
        Section("Data", "One.\n\nTwo.", tables=(table.overview(), table)),
        Section("Results", pictures=(Picture(figure_png(figure), "Confusion"),), tables=(evaluation,)),
    ]
    page = write_report(tmp_path / "report.html", title="Shop", sections=sections).read_text("utf-8")
    elements = Elements(page)
    assert elements.open == []
    assert not re.search(r"https?://|@import|url\(", page)
    assert all(image["src"].startswith("data:image/") for image in elements.attributes("img"))
    assert not elements.attributes("script")
    assert not elements.attributes("link")
    policy = elements.attributes("meta")[1]["content"]
    assert policy.startswith("default-src 'none'")
    assert page.count("<p>One.</p>") == page.count("<p>Two.</p>") == 1


def test_the_contents_lead_to_every_section(tmp_path):
    sections = [Section("Same"), Section("Same"), Section("Other")]
    elements = Elements(write_report(tmp_path / "r.html", title="t", sections=sections).read_text("utf-8"))
    links = [link["href"] for link in elements.attributes("a")]
    assert links == [f"#{section['id']}" for section in elements.attributes("section")]
    assert len(set(links)) == 3


def test_the_picture_is_the_png_with_its_caption_read_out(tmp_path, png):
    section = Section("s", pictures=(Picture(png, "A 'caption' & \"more\""),))
    page = write_report(tmp_path / "r.html", title="t", sections=[section]).read_text("utf-8")
    (image,) = Elements(page).attributes("img")
    assert base64.b64decode(image["src"].partition(",")[2]) == png
    assert image["alt"] == "A 'caption' & \"more\""


def test_all_words_are_escaped(tmp_path, png, evaluation):
    table = ((EVIL,), [(EVIL,)])
    section = Section(EVIL, EVIL, (Picture(png, EVIL),), (table, evaluation))
    page = write_report(tmp_path / "r.html", title=EVIL, sections=[section]).read_text("utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 9


def test_braces_and_any_language_pass_unchanged(tmp_path):
    section = Section("{title}", "{0} 連衣裙 ümlaut")
    page = write_report(tmp_path / "r.html", title="{x}", sections=[section]).read_text("utf-8")
    assert "<h2>{title}</h2>" in page
    assert "<p>{0} 連衣裙 ümlaut</p>" in page
    assert "<h1>{x}</h1>" in page


def test_the_file_is_replaced_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "r.html"
    for title in ("first", "second"):
        assert write_report(str(path), title=title, sections=[]) == path
    assert "<h1>second</h1>" in path.read_text("utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["r.html"]


def test_a_failed_write_leaves_the_old_report_and_no_draft(tmp_path, monkeypatch):
    path = write_report(tmp_path / "r.html", title="old", sections=[])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.StorageError, match=r"r\.html could not be written: No space left"):
        write_report(path, title="new", sections=[])
    assert "<h1>old</h1>" in path.read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(errors.StorageError, match=r"is a folder; give the file.*report\.html"):
        write_report(tmp_path, title="t", sections=[])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.StorageError, match="could not be written"):
        write_report(tmp_path / "file" / "r.html", title="t", sections=[])


def test_bad_parts_are_told_before_anything_is_written(tmp_path):
    with pytest.raises(errors.InputError, match="isn't the bytes of a PNG file"):
        Picture(b"GIF89a", "a cat")
    with pytest.raises(errors.InputError, match="a table is a list"):
        write_report(tmp_path / "r.html", title="t", sections=[Section("s", tables=([1, 2],))])
    with pytest.raises(errors.InputError, match="a section is a str"):
        write_report(tmp_path / "r.html", title="t", sections=["words"])
    assert list(tmp_path.iterdir()) == []


def test_figure_png_is_the_same_each_time_and_grows_with_dpi():
    def size(dpi):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        data = figure_png(figure, dpi=dpi)
        assert data == figure_png(figure, dpi=dpi)
        return np.frombuffer(data[16:24], ">u4")

    assert size(200)[0] > 1.8 * size(100)[0]
    with pytest.raises(errors.InputError, match="dpi is 0"):
        figure_png(Figure(), dpi=0)
