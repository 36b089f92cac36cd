"""What is fetched from a repository, whoever wrote it, and what is left when that goes wrong."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

from fashionsearch import errors, storage
from fashionsearch.hub import pull, pulling

NAME = "anna/shop"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of a saved folder, by their paths in a repository."""
    folder = tmp_path_factory.mktemp("saved")
    writers = {
        "classifier.json": storage.write_json({"classes": ["a", "b"]}),
        "encoder/backbone.safetensors": storage.write_arrays({"weight": np.arange(5000, dtype=np.float32)}),
    }
    storage.save(folder, "classifier", writers)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def with_manifest(files, change):
    """Return the files with another manifest."""
    manifest = json.loads(files["manifest.json"])
    change(manifest)
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def kept(tmp_path):
    """Every file in the cache, by its name."""
    return [
        path.name
        for path in (tmp_path / "hub-cache").rglob("*")
        if path.is_file() and ".locks" not in path.parts
    ]


def test_the_folder_is_what_was_pushed(hub, files):
    commit = hub.commit(NAME, files)
    pulled = pull(NAME, "classifier", revision=commit)
    assert (pulled.commit, str(pulled)) == (commit, f"{NAME}@{commit}")
    for path, content in files.items():
        assert (pulled.folder / path).read_bytes() == content


def test_what_another_process_fetched_meanwhile_stays(hub, files, monkeypatch):
    """It may be loading that file already."""
    commit = hub.commit(NAME, files)
    there = pull(NAME, "classifier", revision=commit)
    path = there.folder / "generation-1" / "encoder" / "backbone.safetensors"
    before = path.stat().st_ino
    monkeypatch.setattr(pulling, "_missing", lambda saved, without: list(saved.files))
    pull(NAME, "classifier", revision=commit)
    assert path.stat().st_ino == before


def test_only_what_the_manifest_names_is_fetched(hub, files, tmp_path):
    more = {"weights.pkl": b"\x80\x04.", "generation-1/pytorch_model.bin": b"x", "model.py": b"import os"}
    hub.commit(NAME, {**files, **more})
    pull(NAME, "classifier")
    asked = " ".join(path for _, path in hub.requests)
    assert not any(name.rpartition("/")[2] in asked for name in more)
    assert not {"weights.pkl", "pytorch_model.bin", "model.py"} & set(kept(tmp_path))


def test_a_second_call_opens_no_socket(hub, files, no_sockets):
    commit = hub.commit(NAME, files)
    first = pull(NAME, "classifier")
    asked = len(hub.requests)
    no_sockets()
    assert pull(NAME, "classifier") == first
    assert pull(NAME, "classifier", revision=commit) == first
    assert len(hub.requests) == asked


def test_a_pinned_commit_is_found_offline_and_another_is_not(hub, files, monkeypatch, no_sockets):
    commit = hub.commit(NAME, files)
    pull(NAME, "classifier", revision=commit)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    no_sockets()
    assert pull(NAME, "classifier", revision=commit).commit == commit
    with pytest.raises(errors.HubError, match="HF_HUB_OFFLINE"):
        pull(NAME, "classifier", revision="main")


def test_a_branch_stays_what_it_was_until_it_is_asked_for_again(hub, files):
    first = hub.commit(NAME, files)
    assert pull(NAME, "classifier").commit == first
    second = hub.commit(NAME, {**files, "README.md": b"new"})
    assert pull(NAME, "classifier").commit == first
    assert pull(NAME, "classifier", refresh=True).commit == second
    assert pull(NAME, "classifier").commit == second
    assert pull(NAME, "classifier", revision=first).commit == first


def test_files_that_are_not_needed_are_fetched_when_they_are(hub, files):
    hub.commit(NAME, files)
    left_out = "encoder/backbone.safetensors"
    pulled = pull(NAME, "classifier", without=[left_out])
    assert not (pulled.folder / "generation-1" / left_out).exists()
    again = pull(NAME, "classifier")
    assert (again.folder / "generation-1" / left_out).is_file()


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil.json",
        "/etc/evil.json",
        "encoder/../../evil.json",
        "weights.pkl",
        "model.pt",
        "run.py",
        ".bashrc",
        "a\\..\\..\\b.json",
        "con\n.json",
    ],
)
def test_a_manifest_that_names_anything_else_is_refused(hub, files, name, tmp_path):
    def change(manifest):
        manifest["files"][name] = {"sha256": "0" * 64, "bytes": 3}

    hub.commit(NAME, {**with_manifest(files, change), f"generation-1/{name}": b"abc"})
    with pytest.raises(errors.CorruptFileError):
        pull(NAME, "classifier")
    assert (
        len([path for _, path in hub.requests if "/resolve/" in path and not path.endswith("manifest.json")])
        == 0
    )
    with pytest.raises(errors.CorruptFileError):
        pull(NAME, "classifier")


def test_a_generation_outside_the_folder_is_refused(hub, files):
    hub.commit(NAME, with_manifest(files, lambda manifest: manifest.update(generation="../other")))
    with pytest.raises(errors.CorruptFileError):
        pull(NAME, "classifier")


def test_a_file_of_another_size_is_refused_before_it_is_fetched(hub, files):
    hub.commit(NAME, {**files, "generation-1/classifier.json": b"x" * 10_000_000})
    with pytest.raises(errors.CorruptFileError, match="10,000,000 bytes on the hub"):
        pull(NAME, "classifier")
    assert not any(path.endswith("classifier.json") for _, path in hub.requests)


def test_a_large_file_of_another_hash_is_refused_before_it_is_fetched(hub, files):
    name = "generation-1/encoder/backbone.safetensors"
    hub.commit(NAME, {**files, name: bytes(len(files[name]))})
    with pytest.raises(errors.CorruptFileError, match="another SHA-256 on the hub"):
        pull(NAME, "classifier")
    assert not any(path.startswith("/cdn/") for _, path in hub.requests)


def test_a_small_file_of_another_hash_is_not_kept(hub, files, tmp_path):
    content = files["generation-1/classifier.json"]
    hub.commit(NAME, {**files, "generation-1/classifier.json": content.replace(b"a", b"z")})
    with pytest.raises(errors.CorruptFileError, match="it was not kept"):
        pull(NAME, "classifier")
    assert "classifier.json" not in kept(tmp_path)


def test_a_manifest_that_is_huge_is_not_fetched(hub, files):
    hub.commit(NAME, {**files, "manifest.json": b" " * 2_000_000})
    with pytest.raises(errors.CorruptFileError, match="at most 1,048,576"):
        pull(NAME, "classifier")
    assert not any("resolve" in path for _, path in hub.requests)


def test_more_than_the_disk_holds_is_refused(hub, files, monkeypatch):
    hub.commit(NAME, files)
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=5000))
    with pytest.raises(errors.StorageError, match="5,000 are free"):
        pull(NAME, "classifier")


def test_a_link_is_only_the_text_that_the_hub_serves_of_it(hub, files):
    """A link in git is a file that holds the path it leads to."""
    hub.commit(NAME, {**files, "generation-1/classifier.json": b"/etc/passwd"})
    with pytest.raises(errors.CorruptFileError):
        pull(NAME, "classifier")


def test_another_kind_is_named(hub, files):
    hub.commit(NAME, files)
    with pytest.raises(errors.StorageError, match="holds a saved 'classifier', not an index"):
        pull(NAME, "index")


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_manifest_is_an_error_of_ours_each_time(hub, files, manifest):
    hub.commit(NAME, {**files, "manifest.json": manifest})
    for _ in range(2):
        with pytest.raises(errors.StorageError):
            pull(NAME, "classifier")


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again_when_asked(hub, files):
    hub.commit(NAME, files)
    folder = pull(NAME, "classifier").folder
    path = folder / "generation-1" / "classifier.json"
    content = path.read_bytes()
    path.resolve().write_bytes(content.replace(b"a", b"z"))
    pull(NAME, "classifier")  # of the same size: `load` compares the hash
    assert pull(NAME, "classifier", refresh=True).folder == folder
    assert path.read_bytes() == content
    path.resolve().write_bytes(b"cut")
    pull(NAME, "classifier")
    assert path.read_bytes() == content


@pytest.mark.parametrize("revision", ["../main", "", "a b", "-x", "a//b", "x" * 300, 7, "main\n"])
def test_what_is_no_revision_is_refused(hub, revision):
    with pytest.raises(errors.InputError, match="revision"):
        pull(NAME, "classifier", revision=revision)
    assert hub.requests == []


def test_a_fetch_that_was_killed_leaves_nothing_half(hub, files, tmp_path):
    large = np.random.default_rng(0).integers(0, 256, 400_000, dtype=np.uint8).tobytes()
    name = "encoder/backbone.safetensors"

    def change(manifest):
        manifest["files"][name] = {"sha256": hashlib.sha256(large).hexdigest(), "bytes": len(large)}

    commit = hub.commit(NAME, {**with_manifest(files, change), f"generation-1/{name}": large})
    hub.stall = threading.Event()
    code = f"from fashionsearch.hub import pull; pull({NAME!r}, 'classifier')"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": str(tmp_path / "hub-cache")},
        stderr=subprocess.DEVNULL,
    )
    assert hub.halfway.wait(60)
    time.sleep(0.1)
    child.kill()
    child.wait()
    hub.stall.set()
    hub.stall = None
    found = [path for path in (tmp_path / "hub-cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert not any(path.name.endswith("backbone.safetensors") for path in found)
    assert not list((tmp_path / "hub-cache").rglob("refs/*"))
    pulled = pull(NAME, "classifier")
    assert pulled.commit == commit
    assert Path(pulled.folder, "generation-1", name).read_bytes() == large


def test_a_fetch_that_was_stopped_between_files_goes_on(hub, files):
    hub.commit(NAME, files)

    def stop(method, path):
        return 404 if path.endswith("backbone.safetensors") else None

    hub.before = stop
    with pytest.raises(errors.HubError):
        pull(NAME, "classifier")
    hub.before = None
    folder = pull(NAME, "classifier").folder
    assert storage.open_saved(folder, "classifier").arrays("encoder/backbone.safetensors")[
        "weight"
    ].shape == (5000,)
