import socket
import sys

import pytest

import fashionsearch as fs
from fashionsearch.app import server
from fashionsearch.cli import main


@pytest.fixture
def folder(tmp_path):
    index = fs.VisualIndex(dim=2)
    index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"])
    index.save(tmp_path / "catalogue")
    return tmp_path / "catalogue"


@pytest.fixture
def served(monkeypatch):
    """Serve nothing, and return what would have been served."""
    seen = []
    monkeypatch.setattr(server, "check_packages", lambda: None)
    monkeypatch.setattr(server, "serve", lambda catalogue, port, ready: seen.append((catalogue, port, ready)))
    return seen


def test_the_options_say_what_is_served(folder, served, capsys):
    assert main(["app", str(folder), "--port", "8080", "--hide-photos", "--rebuild"]) == 0
    (catalogue, port, ready) = served[0]
    assert (catalogue.name, catalogue.writable, port) == ("catalogue", False, 8080)
    assert catalogue.index.show_photos is False
    ready("http://127.0.0.1:8080")
    told = capsys.readouterr().out
    assert told.splitlines()[0] == f"opening {folder} …"
    assert "2 items: open http://127.0.0.1:8080 in a browser" in told


def test_a_saved_index_becomes_an_opened_one_where_it_may_be_changed(folder, served):
    assert main(["app", str(folder)]) == 0
    fs.VisualIndex.load(folder)
    assert main(["app", str(folder), "--writable"]) == 0
    assert served[1][0].writable
    with fs.VisualIndex.open(folder, read_only=True) as index:
        assert len(index) == 2
    assert main(["app", str(folder)]) == 0


def test_what_is_missing_is_told(folder, tmp_path, monkeypatch, capsys):
    assert main(["app", str(tmp_path)]) == 1
    assert "holds nothing saved" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app", str(folder)]) == 1
    assert "the page needs Gradio: pip install gradio" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told_or_passed_over():
    with socket.create_server((server.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(fs.errors.InputError, match=f"port {port} of this machine is taken"):
            server.listening(port)
    with server.listening(None) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"
        assert opened.getsockname()[1] >= server.PORT


def test_uploads_have_a_folder_of_their_own_that_goes(monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "before")
    with server.uploads_folder() as folder:
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
