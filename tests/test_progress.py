"""Where a bar is drawn. In a cell of a notebook: `test_notebooks.py`."""

import io
import sys

import pytest

from fashionsearch import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def drawn(monkeypatch):
    """Return a function that gives what a bar writes to a standard error of a kind."""

    def draw(stream, **options):
        with monkeypatch.context() as patch:  # in the test: pytest sets its own before
            patch.setattr(sys, "stderr", stream)
            patch.setattr(progress, "_DELAY", 0)
            with progress.open_bar(2, "embedding", "image", done=1, **options) as bar:
                bar.update()
                bar.set_postfix({"epoch": 1})
        return stream.getvalue()

    return draw


def test_a_terminal_shows_it(drawn):
    written = drawn(Terminal())
    assert "embedding: 100%" in written
    assert "epoch=1" in written


def test_nobody_is_shown_what_is_not_wanted(drawn):
    assert drawn(Terminal(), shown=False) == ""


def test_a_file_is_not_written_to(drawn):
    assert drawn(io.StringIO()) == ""


def test_outside_of_a_notebook_nothing_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "tqdm.auto", raising=False)
    progress.quiet_tqdm()
    assert "tqdm.auto" not in sys.modules
