"""What a push makes of a repository, and what it leaves alone."""

import json

import pytest

from fashionsearch import errors, storage
from fashionsearch.hub import push
from fashionsearch.hub.card import MARK

NAME = "anna/shop"
CARD = f"---\nlicense: mit\n---\n\n# shop\n\n{MARK}\n"


def saver(*names, kind="classifier", options=None):
    """Return what saves a folder with some files."""

    def save(folder):
        writers = {name: storage.write_json({"name": name}) for name in names}
        if options is not None:
            writers["classifier.json"] = storage.write_json({"options": options, "classes": ["a"]})
        storage.save(folder, kind, writers)

    return save


def pushed(save=None, card=CARD, *, private=True, message=None, without=None):
    return push(
        NAME, save or saver("a.json", "b.json"), card, private=private, message=message, without=without
    )


def test_the_repository_holds_the_folder_and_the_card(hub):
    commit = pushed()
    files = hub.files(NAME)
    assert hub.repositories[NAME].commits[-1] == commit
    assert set(files) == {
        ".gitattributes",
        "README.md",
        "manifest.json",
        "generation-1/a.json",
        "generation-1/b.json",
    }
    assert files["README.md"].decode() == CARD
    assert len(hub.repositories[NAME].commits) == 2  # the hub's own first one, and one for all


@pytest.mark.parametrize("private", [True, False])
def test_a_repository_is_made_private_unless_that_is_said(hub, private):
    pushed(private=private)
    assert hub.repositories[NAME].private is private


def test_a_repository_that_is_there_stays_as_public_as_it_is(hub):
    pushed(private=False)
    pushed(saver("c.json"))
    assert not hub.repositories[NAME].private


def test_the_message_is_the_commits(hub):
    pushed(message="Autumn")
    assert hub.repositories[NAME].messages[-1] == "Autumn"
    pushed(saver("c.json"))
    assert hub.repositories[NAME].messages[-1] == "The classifier as fashionsearch saves it"


def test_a_second_push_replaces_the_first_and_leaves_other_files(hub):
    pushed()
    hub.commit(NAME, {**hub.files(NAME), "picture.png": b"png", "generation-7/old.json": b"{}"})
    pushed(saver("a.json", "c.json"))
    assert set(hub.files(NAME)) == {
        ".gitattributes", "README.md", "manifest.json", "generation-1/a.json", "generation-1/c.json", "picture.png",
    }  # fmt: skip


def test_the_same_again_makes_no_commit(hub):
    assert pushed() == pushed()


def test_a_card_by_hand_is_left_alone(hub):
    pushed()
    own = b"---\nlicense: mit\n---\n# Our shop\n"
    hub.commit(NAME, {**hub.files(NAME), "README.md": own})
    pushed(saver("c.json"))
    assert hub.files(NAME)["README.md"] == own


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"pytorch_model.bin": b"x"}, "holds 'pytorch_model.bin'"),
        ({"manifest.json": b"{}"}, "didn't write"),
        ({"manifest.json": b" " * 2_000_000}, "2,000,000 bytes"),
    ],
)
def test_a_repository_of_something_else_is_left_alone(hub, files, words):
    hub.commit(NAME, files)
    with pytest.raises(errors.HubError, match=words):
        pushed()
    assert hub.files(NAME) == files


def test_another_kind_is_not_replaced(hub):
    pushed()
    with pytest.raises(errors.HubError, match="holds a saved 'classifier'"):
        pushed(saver("x.json", kind="index"))


def test_two_at_once_do_not_mix(hub):
    pushed()
    before = hub.files(NAME)

    def somebody_else(method, path):
        if "/preupload/" in path:
            hub.before = None
            hub.commit(NAME, {**before, "note.txt": b"hello"})

    hub.before = somebody_else
    with pytest.raises(errors.HubError, match="changed by somebody else"):
        pushed(saver("c.json"))
    assert hub.files(NAME) == {**before, "note.txt": b"hello"}


def test_without_a_token_nothing_is_made(hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(errors.HubError, match="log in by"):
        pushed()
    assert hub.repositories == {}


def test_a_push_that_fails_leaves_the_repository_as_it_was(hub):
    pushed()
    before = hub.files(NAME)
    hub.before = lambda method, path: 500 if "/commit/" in path else None
    with pytest.raises(errors.HubError, match="HTTP 500"):
        pushed(saver("c.json"))
    assert hub.files(NAME) == before


def test_paths_of_this_machine_are_not_pushed(hub):
    options = {"weights": "/home/anna/secret/net.safetensors", "training": {"teacher": "C:\\Anna\\teacher"}}
    pushed(saver(options=options))
    files = hub.files(NAME)
    held = json.loads(files["generation-1/classifier.json"])
    assert held == {
        "options": {"weights": "net.safetensors", "training": {"teacher": "teacher"}},
        "classes": ["a"],
    }
    assert not any(b"anna" in content.lower().replace(b"anna/shop", b"") for content in files.values())


def test_what_is_to_be_left_out_is_left_out(hub):
    pushed(without={"a.json": lambda fields: {"name": None}})
    assert json.loads(hub.files(NAME)["generation-1/a.json"]) == {"name": None}


def test_the_token_is_in_no_file_and_no_message(hub, tmp_path):
    pushed()
    hub.before = lambda method, path: 403 if "/commit/" in path else None
    with pytest.raises(errors.HubError) as caught:
        pushed(saver("c.json"))
    assert hub.TOKEN not in str(caught.value)
    assert not any(hub.TOKEN.encode() in content for content in hub.objects.values())
    assert not any(hub.TOKEN.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
