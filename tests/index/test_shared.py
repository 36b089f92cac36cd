"""An index on the hub."""

import json

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors, storage

NAME = "anna/catalogue"


@pytest.fixture
def index(photo, tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(photo(seed=number))
    made = fs.VisualIndex(
        fs.create_backbone("efficientnet_lite0", image_size=32, progress=False), progress=False
    )
    paths = [tmp_path / f"{number}.jpg" for number in range(6)]
    made.add(
        paths, ids=[f"id{number}" for number in range(6)], metadata=[{"n": number} for number in range(6)]
    )
    return made


def vectors_index(count=3, dim=4, **options):
    made = fs.VisualIndex(dim=dim, progress=False, **options)
    made.add_vectors(np.random.default_rng(0).normal(size=(count, dim)))
    return made


def test_it_answers_as_before_and_without_a_socket(hub, index, photo, no_sockets):
    query = photo(seed=99)
    before = index.search(query, k=6)
    commit = index.push_to_hub(NAME, evaluation={"recall@10": 1.0}, license="cc-by-4.0")
    first = fs.VisualIndex.from_pretrained(NAME, progress=False)
    no_sockets()
    again = fs.VisualIndex.from_pretrained(NAME, revision=commit, progress=False)
    for loaded in (first, again):
        after = loaded.search(query, k=6)
        assert after.ids.tolist() == before.ids.tolist()
        assert np.array_equal(after.similarities, before.similarities)
        assert after.metadata.tolist() == before.metadata.tolist()
        assert loaded.commit == commit
    card = hub.files(NAME)["README.md"].decode()
    assert "| items | 6 |" in card
    assert "| recall@10 | 1.0000 |" in card


def test_where_photos_lie_is_pushed_only_when_that_is_said(hub, index, tmp_path):
    index.push_to_hub(NAME)
    assert not any(str(tmp_path).encode() in content for content in hub.files(NAME).values())
    assert fs.VisualIndex.from_pretrained(NAME, progress=False).search(id="id0", k=1)[0][0].source is None
    index.push_to_hub(NAME, sources=True)
    assert json.loads(hub.files(NAME)["generation-1/items.json"])["sources"][0].endswith("0.jpg")
    assert index.search(id="id0", k=1)[0][0].source is not None


def test_the_graph_of_a_stranger_is_not_even_fetched(hub, tmp_path):
    made = vectors_index(2200, 1000, m=4, ef_construction=10)
    assert made.has_graph
    made.push_to_hub(NAME)
    assert "generation-1/graph.hnsw" in hub.files(NAME)
    loaded = fs.VisualIndex.from_pretrained(NAME, progress=False)
    assert loaded.has_graph
    assert not list((tmp_path / "hub-cache").rglob("graph.*"))
    trusted = fs.VisualIndex.from_pretrained(NAME, rebuild=False, progress=False)
    assert trusted.has_graph
    assert list((tmp_path / "hub-cache").rglob("graph.hnsw"))


def test_items_on_a_server_are_not_pushed(hub, monkeypatch):
    made = vectors_index()
    monkeypatch.setattr(made, "engine", "qdrant")
    with pytest.raises(errors.InputError, match="are on a server"):
        made.push_to_hub(NAME)
    assert hub.requests == []


def test_a_server_that_a_repository_names_is_never_asked(hub, tmp_path, no_sockets):
    vectors_index().save(tmp_path / "saved")
    saved = storage.open_saved(tmp_path / "saved")
    config = {
        **saved.json("index.json"),
        "engine": "qdrant",
        "url": "http://10.0.0.1:6333",
        "collection": "x",
    }
    storage.save(tmp_path / "hostile", "index", {"index.json": storage.write_json(config)})
    files = list((tmp_path / "hostile").rglob("*.json"))
    hub.commit(NAME, {path.relative_to(tmp_path / "hostile").as_posix(): path.read_bytes() for path in files})
    with pytest.raises(errors.StorageError, match="names a server"):
        fs.VisualIndex.from_pretrained(NAME, progress=False)
    no_sockets()
    with pytest.raises(errors.StorageError, match="names a server"):
        fs.VisualIndex.from_pretrained(NAME, progress=False)


def test_vectors_alone_and_an_encoder_of_ones_own_have_a_card(hub):
    vectors_index().push_to_hub(NAME)
    assert "search_vectors(vectors, k=5))  # (n, 4)" in hub.files(NAME)["README.md"].decode()

    class Own:
        dim = 2

        def embed(self, images):
            return np.ones((len(images), 2), np.float32)

    made = fs.VisualIndex(Own(), progress=False)
    made.add_vectors([[1, 0]])
    made.push_to_hub("anna/own")
    assert "give `encoder=`" in hub.files("anna/own")["README.md"].decode()
