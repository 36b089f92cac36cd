"""Searching, tagging, looking up and changing, by an application in this process."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import fashionsearch as fs
from fashionsearch.service.settings import Limits
from fashionsearch.service.tokens import Tokens

pytestmark = pytest.mark.filterwarnings("ignore::fashionsearch.errors.DataWarning")
WRITES = {"writable": True, "tokens": Tokens("w" * 20)}
BEARER = {"Authorization": "Bearer " + "w" * 20}


def text_of(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def _form(*names: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nx\r\n' for name in names]
    return "".join([*parts, "--b--\r\n"]).encode()


def ids_of(answer: httpx.Response) -> list[object]:
    assert answer.status_code == 200, answer.text
    return [match["id"] for match in answer.json()["matches"]]


def test_a_photo_is_given_in_three_ways(client: Callable, encoded: list[bytes], saved: Path) -> None:
    ask, query = client(), {"k": 3, "where": {"masterCategory": ["Apparel", "Footwear"]}}
    raw = ask(
        "POST",
        "/search",
        content=encoded[3],
        headers={"content-type": "image/jpeg"},
        params={"query": json.dumps(query)},
    )
    form = ask("POST", "/search", files={"photo": encoded[3]}, data={"query": json.dumps(query)})
    fields = ask.post("/search", {"photo": text_of(encoded[3]), **query})
    expected = fs.VisualIndex.load(saved, progress=False).search(encoded[3], **query)
    assert ids_of(raw) == ids_of(form) == ids_of(fields) == expected.ids[0].tolist()
    first = fields.json()["matches"][0]
    assert first["similarity"] == pytest.approx(float(expected.similarities[0, 0]), abs=1e-4)
    assert set(first) == {"id", "similarity", "probability", "metadata", "parts"}
    assert first["metadata"] == expected.metadata[0][0]
    assert first["probability"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"text": "red shirt", "k": 4},
        {"id": "item/2", "k": 3, "group_by": "masterCategory"},
        {"id": "item/2", "text": "blue", "text_weight": 0.8, "offset": 2, "exact": True},
        {"like": ["item/1", "item/2"], "unlike": ["item/5"], "exclude": ["item/7"], "diversity": 0.4},
        {"text": "shirt", "text_match": True},
        {"id": "item/4", "towards": {"baseColour": "Red"}},
        {"towards": {"baseColour": "Blue"}},
    ],
)
def test_everything_that_search_takes_can_be_said(
    client: Callable, saved: Path, query: dict[str, object]
) -> None:
    assert (
        ids_of(client().post("/search", query))
        == fs.VisualIndex.load(saved, progress=False).search(**query).ids[0].tolist()
    )


def test_photos_are_said_beside_other_things(client: Callable, encoded: list[bytes], saved: Path) -> None:
    ask, index = client(), fs.VisualIndex.load(saved, progress=False)
    beside = {"text": "red", "unlike": ["item/3"], "region": [0.1, 0.1, 0.9, 0.9]}
    assert (
        ids_of(ask.post("/search", {"photo": text_of(encoded[0]), **beside}))
        == index.search(encoded[0], **beside).ids[0].tolist()
    )
    liked = {"like": [{"photo": text_of(encoded[1])}, "item/2"], "k": 4}
    assert (
        ids_of(ask.post("/search", liked)) == index.search(like=[encoded[1], "item/2"], k=4).ids[0].tolist()
    )
    fused = index.search(encoded[2], background="fuse").ids[0].tolist()
    assert ids_of(ask.post("/search", {"photo": text_of(encoded[2]), "background": "fuse"})) == fused


def test_photos_at_the_same_time_share_a_pass(client: Callable, encoded: list[bytes]) -> None:
    ask = client()
    alone = [ids_of(ask.post("/search", {"photo": text_of(photo)})) for photo in encoded[:8]]
    asked = [("POST", "/search", {"json": {"photo": text_of(photo)}}) for photo in encoded[:8]]
    asked[5][2]["json"]["photo"] = text_of(
        encoded[5][:50]
    )  # one that can't be read is no matter to the others
    asked[6][2]["json"]["where"] = {"\n": "nothing"}
    together = ask.together(*asked)
    assert [answer.status_code for answer in together] == [200] * 5 + [422, 422, 200]
    assert [ids_of(answer) for answer in together[:5]] == alone[:5]
    metrics = ask("GET", "/metrics").text
    assert "fashionsearch_batch_photos_count" in metrics
    batches = next(
        line for line in metrics.splitlines() if line.startswith("fashionsearch_batch_photos_count")
    )
    assert float(batches.split()[1]) < 16


def test_tags_are_those_of_the_tagger(client: Callable, encoded: list[bytes]) -> None:
    tags = fs.Tagger.from_pretrained("fashion", progress=False).tag(encoded[4], confidence=0.8)
    answer = client()(
        "POST", "/tag", files={"photo": encoded[4]}, data={"tagging": '{"confidence": 0.8}'}
    ).json()
    for name in tags.attributes:
        assert answer["tags"][name]["value"] == tags.value[name][0]
        assert answer["tags"][name]["confidence"] == pytest.approx(float(tags.confidence[name][0]), abs=1e-3)
        assert answer["tags"][name]["sure"] == bool(tags.sure[name][0])
    assert answer["unfamiliar"] == bool(tags.unfamiliar[0])
    assert answer["for_review"] == (0 in tags.for_review)


def test_facets_items_and_the_catalogue(client: Callable, saved: Path) -> None:
    ask, index = client(), fs.VisualIndex.load(saved, progress=False)
    where = {"masterCategory": "Apparel"}
    counted = ask.post("/facets", {"field": "baseColour", "where": where, "most": 2}).json()
    expected = list(index.facets("baseColour", where=where).items())[:2]
    assert [(each["value"], each["count"]) for each in counted["values"]] == expected
    assert ask("GET", "/items/item/3").json() == {
        "id": "item/3",
        "metadata": dict(index.get("item/3").metadata),
    }
    about = ask("GET", "/catalogue").json()
    assert about["items"] == len(index)
    assert about["attributes"] == list(fs.Tagger.from_pretrained("fashion").attributes_)
    assert not about["writable"]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ({}, 422, "nothing says what to search for"),
        ({"text": "x", "colour": "red"}, 422, "colour"),
        ({"text": "x", "k": 0}, 422, "k: "),
        ({"text": "x", "k": 900, "offset": 200}, 422, "over 1,000"),
        ({"text": "x", "k": "5"}, 422, "k: "),
        ({"text": "x", "where": {"colour": {"near": 1}}}, 422, "comparisons"),
        ({"text": "x", "group_by": "nix"}, 422, "nix"),
        ({"id": "nix"}, 404, "no item has the id 'nix'"),
        ({"id": 3}, 404, "ids here are of type str"),
        ({"like": ["/etc/hostname"]}, 404, "no item has this id"),
        ({"like": [str(Path(__file__))]}, 404, "no item has this id"),
        ({"photo": str(Path(__file__))}, 422, "base64"),
        ({"photo": text_of(b"no photo")}, 422, "the photo is not a JPEG"),
        ({"text": "x", "region": [0, 0, 1, 1]}, 422, "region"),
        ({"vector": [1.0]}, 422, "vectors have shape"),
        ({"vector": [1.0], "text": "x"}, 422, "leave the other fields out"),
        ({"text": "x", "min_probability": 0.5}, 422, "asks for chances"),
        ({"towards": {"neckline": "V"}}, 422, "neckline"),
    ],
)
def test_what_is_wrong_is_told(client: Callable, query: dict[str, object], status: int, told: str) -> None:
    answer = client().post("/search", query)
    assert answer.status_code == status, answer.text
    assert told in answer.text


def test_a_filter_that_fits_nothing_finds_nothing(client: Callable) -> None:
    assert client().post("/search", {"text": "x", "where": {"baseColour": "None such"}}).json() == {
        "matches": []
    }


@pytest.mark.parametrize(
    ("kind", "content", "path", "status"),
    [
        ("text/plain", b"x", "/search", 415),
        (None, b"x", "/search", 415),
        ("image/jpeg", b"", "/search", 422),
        ("image/jpeg", b"x", "/search?k=5", 422),
        ("image/jpeg", b"x", "/search?query={}&query={}", 422),
        ("image/jpeg", b"x", '/search?query={"photo":"eA=="}', 422),
        ("application/json", b"{", "/search", 422),
        ("application/json", b'{"text": "x", "text_weight": NaN}', "/search", 422),
        ("application/json", b"[" * 100_000, "/search", 422),
        ("application/json", b"{}", "/search?query={}", 422),
        ("multipart/form-data", b"x", "/search", 422),
        ("multipart/form-data; boundary=b", b"x", "/search", 422),
        ("multipart/form-data; boundary=b", _form("photo", 'photo"; filename="x'), "/search", 422),
        ("image/jpeg", b"x", "/facets", 415),
        ("application/json", b"{}", "/nowhere", 404),
    ],
)
def test_bodies_that_can_not_be_read(
    client: Callable, kind: str | None, content: bytes, path: str, status: int
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client()("POST", path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) <= {"error", "details"}


def test_limits_on_what_is_asked(client: Callable, encoded: list[bytes]) -> None:
    ask = client(limits=Limits(pixels=1000, k=10))
    answer = ask("POST", "/search", content=encoded[0], headers={"content-type": "image/jpeg"})
    assert answer.status_code == 422
    assert "160 pixels, and at most 1,000" in answer.text
    assert ask.post("/search", {"text": "x", "k": 11}).status_code == 422


def test_items_are_added_changed_and_removed(client: Callable, opened: Path, encoded: list[bytes]) -> None:
    ask = client(fs.VisualIndex.open(opened, progress=False), **WRITES)
    count, metadata = (
        ask("GET", "/catalogue").json()["items"],
        {"baseColour": "Green", "price": 19.5, "sold": None},
    )
    put = ask(
        "POST",
        "/items",
        files={"photo": encoded[9]},
        data={"item": json.dumps({"id": "new", "metadata": metadata})},
        headers=BEARER,
    )
    assert put.json() == {"id": "new", "items": count + 1}
    assert ids_of(ask.post("/search", {"photo": text_of(encoded[9]), "k": 2})) in (
        ["new", "item/9"],
        ["item/9", "new"],
    )
    assert ask("GET", "/items/new").json()["metadata"] == metadata
    changed = ask("PATCH", "/items/new", json={"metadata": {"price": 5}}, headers=BEARER)
    assert changed.json() == {"id": "new", "items": count + 1}
    assert ask("GET", "/items/new").json()["metadata"] == {**metadata, "price": 5}
    assert ask("DELETE", "/items/new", headers=BEARER).json() == {"id": "new", "items": count}
    for method, fields in (("DELETE", {}), ("PATCH", {"json": {"metadata": {"price": 5}}}), ("GET", {})):
        assert ask(method, "/items/new", headers=BEARER, **fields).status_code == 404
    photo = text_of(encoded[0])
    wrong = [{"id": "x"}, {"id": "x", "vector": [1.0]}, {"id": 5, "photo": photo}, {"photo": photo},
             {"id": "x", "photo": photo, "metadata": {"\0file": "x"}},
             {"id": "x", "photo": photo, "metadata": {"a": [1]}}]  # fmt: skip
    for item in wrong:
        assert ask.post("/items", item, headers=BEARER).status_code == 422, item
    with fs.VisualIndex.open(opened, read_only=True, progress=False) as index:
        assert len(index) == count


def test_an_index_of_vectors(client: Callable, vectors: Path) -> None:
    ask = client(fs.VisualIndex.open(vectors, read_only=True, progress=False))
    assert ids_of(ask.post("/search", {"vector": [1, 0.1], "k": 2, "where": {"colour": "red"}})) == [1, 3]
    assert ids_of(ask.post("/search", {"id": 1, "k": 1})) == [3]
    assert ids_of(ask.post("/search", {"vector": [1, 0.1], "unlike": [3], "k": 3})) == [1, 2]
    assert ask("GET", "/items/2").json() == {"id": 2, "metadata": {"colour": "blue"}}
    for item in ("text", "99", "-1", "9" * 50, "1.0"):
        assert ask("GET", f"/items/{item}").status_code == 404
    answer = ask.post("/search", {"photo": text_of(b"x")})
    assert answer.status_code == 422
    assert "vectors only" in answer.text


def test_an_id_may_hold_and_end_with_line_breaks(client: Callable, tmp_path: Path) -> None:
    index = fs.VisualIndex.open(tmp_path / "index", dim=2, progress=False)
    index.add_vectors([[1, 0], [0, 1], [1, 1]], ids=["a", "a\n", "\na\nb"])
    ask = client(index, **WRITES)
    for item, path in (("a\n", "a%0A"), ("\na\nb", "%0Aa%0Ab")):
        assert ask("GET", f"/items/{path}").json()["id"] == item
    assert ask("DELETE", "/items/a%0A", headers=BEARER).json() == {"id": "a\n", "items": 2}
    assert ask("DELETE", "/items/a%0A", headers=BEARER).status_code == 404
    assert ask("GET", "/items/a").status_code == 200


@pytest.mark.parametrize(
    "where",
    [
        {"or": [{"colour": {"not": "red"}}] * 101},
        {"not": {"and": [{"a": 1, "b": 2, "c": 3}] * 100}},
        {"colour": ["x"] * 10_001},
    ],
)
def test_a_filter_has_a_size(client: Callable, where: dict[str, object]) -> None:
    for path, fields in (("/search", {"text": "x"}), ("/facets", {"field": "baseColour"})):
        answer = client().post(path, {**fields, "where": where})
        assert answer.status_code == 422
        assert "where: a filter has at most 200 conditions" in answer.json()["error"]


def test_photos_are_shown_where_that_is_wanted(
    client: Callable, encoded: list[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    (folder / "item").mkdir(parents=True)
    (folder / "item" / "3.jpg").write_bytes(encoded[3])
    (folder / "secret.jpg").write_bytes(encoded[3])
    ask = client(photos=folder)
    answer = ask("GET", "/photos/item/3")
    assert answer.content == encoded[3]
    assert answer.headers["content-type"] == "image/jpeg"
    for path in (
        "/photos/item/4",
        "/photos/secret",
        "/photos/secret.jpg",
        "/photos/../secret.jpg",
        "/photos/%2e%2e/secret.jpg",
    ):
        assert ask("GET", path).status_code == 404
    assert client()("GET", "/photos/item/3").status_code == 404


def test_it_says_how_it_is(client: Callable) -> None:
    ask = client()
    assert ask("GET", "/health").json() == {"status": "ok"}
    assert ask("GET", "/ready").json() == {"status": "ready"}
    assert ask("GET", "/").headers["location"] == "docs"


def test_it_is_not_ready_where_the_catalogue_is_gone(client: Callable, opened: Path) -> None:
    index = fs.VisualIndex.open(opened, read_only=True, progress=False)
    ask = client(index)
    index.close()
    answer = ask("GET", "/ready")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert str(opened) not in answer.text
    assert 'route="/ready",status="503"' in ask("GET", "/metrics").text


def test_an_error_that_nobody_foresaw_tells_nothing(
    client: Callable, saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = fs.VisualIndex.load(saved, progress=False)

    def broken(*_: object, **__: object) -> None:
        raise KeyError("/secret/path")

    ask = client(index)
    index.facets = broken
    answer = ask.post("/facets", {"field": "baseColour"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    reference = answer.json()["error"].rpartition(" ")[2]
    assert reference in caplog.text
    assert ask("GET", "/health").status_code == 200
