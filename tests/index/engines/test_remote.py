"""Patience with a server, and what is asked of options that name one."""

import time

import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines.remote import patiently


def test_what_may_pass_is_tried_again_for_a_while():
    tries = []

    def act():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError
        return "done"

    assert patiently(act, 5, lambda error: isinstance(error, ConnectionError)) == "done"
    assert len(tries) == 3


def test_what_does_not_pass_is_raised_in_the_end_and_other_errors_at_once():
    def away():
        raise ConnectionError

    began = time.monotonic()
    with pytest.raises(ConnectionError):
        patiently(away, 0.3, lambda error: True)
    assert time.monotonic() - began < 2

    tries = []

    def wrong():
        tries.append(1)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - this very one
        patiently(wrong, 5, lambda error: isinstance(error, ConnectionError))
    assert tries == [1]


@pytest.mark.parametrize("option", ["url", "collection", "api_key"])
def test_an_engine_in_this_process_has_no_address(option):
    with pytest.raises(errors.InputError, match=f"{option}= is for the engines qdrant, pgvector"):
        fs.VisualIndex(dim=2, **{option: "x"})


@pytest.mark.parametrize("engine", ["qdrant", "pgvector"])
def test_an_engine_on_a_server_needs_an_address(engine, tmp_path):
    with pytest.raises(errors.InputError, match="url=None"):
        fs.VisualIndex(dim=2, engine=engine, collection="items")
    with pytest.raises(errors.InputError, match="collection=None"):
        fs.VisualIndex(dim=2, engine=engine, url="http://127.0.0.1:9")
    for timeout in (0, -1, "ten", True, float("nan")):
        with pytest.raises(errors.InputError, match="timeout="):
            fs.VisualIndex(
                dim=2, engine=engine, url="http://127.0.0.1:9", collection="items", timeout=timeout
            )
    with pytest.raises(errors.InputError, match="keeps them on a server"):
        fs.VisualIndex.open(tmp_path / "folder", dim=2, engine=engine)


@pytest.mark.parametrize(("engine", "package"), [("qdrant", "qdrant-client"), ("pgvector", "psycopg")])
def test_a_missing_package_is_named(engine, package, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.MissingPackageError, match=package):
        fs.VisualIndex(dim=2, engine=engine, url="http://127.0.0.1:9", collection="items")
