"""The hub's errors in the library's words, and quickly."""

import socket
import sys
import threading
import time

import pytest

from fashionsearch import errors
from fashionsearch.hub import calls, is_hub_name, pull

NAME = "anna/shop"


@pytest.mark.parametrize(
    "name",
    [
        "fashion",
        "a/b/c",
        "a b/c",
        "../etc",
        "/a",
        "a/",
        "a/b.git",
        "a--b/c",
        "a/" + "x" * 100,
        "ä/b",
        3,
        "a/b\n",
    ],
)
def test_what_is_no_repository_is_refused(hub, name):
    with pytest.raises(errors.InputError, match="'user/name'"):
        pull(name, "classifier")
    assert hub.requests == []


def test_a_network_that_ships_is_no_repository():
    assert not is_hub_name("fashion")
    assert is_hub_name("anna/fashion")


def test_a_repository_that_is_not_there_is_named(hub):
    with pytest.raises(errors.HubError, match=r"no repository anna/shop on http://127.*hf auth login"):
        pull(NAME, "classifier")


def test_a_private_one_needs_a_token(hub, monkeypatch):
    hub.commit(NAME, {"manifest.json": b"{}"}, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_and_secret")
    with pytest.raises(errors.HubError, match="it is private") as caught:
        pull(NAME, "classifier")
    assert "hf_wrong" not in str(caught.value)


def test_a_gated_one_says_where_to_ask(hub):
    hub.commit(NAME, {"manifest.json": b"{}"})
    hub.repositories[NAME].gated = True
    with pytest.raises(errors.HubError, match="gated: ask for access on http"):
        pull(NAME, "classifier")


def test_a_revision_that_is_not_there_is_named(hub):
    hub.commit(NAME, {"manifest.json": b"{}"})
    for revision in ("v9", "0" * 40):
        with pytest.raises(errors.HubError, match=f"no revision '{revision}'"):
            pull(NAME, "classifier", revision=revision)


def test_a_repository_without_anything_saved_is_named(hub):
    hub.commit(NAME, {"README.md": b"hello"})
    with pytest.raises(errors.HubError, match=r"it has no manifest\.json"):
        pull(NAME, "classifier")


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "doesn't allow"), (409, "somebody else"), (500, "HTTP 500"), (429, "HTTP 429")],
)
def test_what_the_hub_answers_is_told(hub, status, words):
    hub.before = lambda *_: status
    started = time.monotonic()
    with pytest.raises(errors.HubError, match=words):
        pull(NAME, "classifier")
    assert time.monotonic() - started < 5


def test_no_network_is_an_error_at_once(hub, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    with pytest.raises(errors.HubError, match="can't be asked"):
        pull(NAME, "classifier")
    assert time.monotonic() - started < 5


def test_a_hub_that_never_answers_is_given_up(hub, monkeypatch):
    monkeypatch.setattr("fashionsearch.hub.pulling.TIMEOUT", 0.3)
    released = threading.Event()
    hub.before = lambda *_: released.wait() and None
    with pytest.raises(errors.HubError, match="can't be asked"):
        pull(NAME, "classifier")
    released.set()


def test_an_address_with_a_password_is_not_told(monkeypatch):
    told = str(calls._hub_error(OSError("no route to https://anna:secret@proxy/ with hf_abc"), NAME, None))
    assert "secret" not in told
    assert "hf_abc" not in told


def test_a_missing_client_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(errors.MissingPackageError, match="pip install huggingface_hub"):
        pull(NAME, "classifier")
