"""What every engine does alike: one suite for those in memory, for an opened folder, and for those on a server."""

import random
import threading

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import filters

ENGINES = ("hnsw", "faiss", "exact", "opened", "qdrant", "pgvector")
DIM = 6
NASTY = (
    "red",
    "Red dress",
    "a red  DRESS, long",
    "'; DROP TABLE items; --",
    '"} || {"',
    "%s %(x)s {0} $1",
    "zero\0inside",
    "half \ud800 pair",
    "ünïcödé ẞ 😀",
    "",
    "7",
    "007",
    "7.0",
    "-1e3",
    "1e999",
    "true",
    "False",
    "2012-05-01",
    7,
    7.0,
    7.5,
    -3,
    0,
    2**53 + 1,
    2**60 + 3,
    float(2**53),
    1e300,
    -(2**70),
    True,
    False,
    None,
)
FIELDS = ("plain", "with space", "quo\"te's", "dot.ted[0]", "ü→", "a\0b", "n_5f_m")


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def make(engine, place, tmp_path):
    """Return a function that makes an index, or comes back to it; all that it made are closed at the end."""
    made = []

    def index(**options):
        options = options if "encoder" in options else {"dim": DIM, **options}
        if engine in ("opened", "qdrant"):  # of which one at a time has the folder
            for other in made:
                other.close()
        if engine == "opened":
            found = fs.VisualIndex.open(tmp_path / "opened", progress=False, **options)
        else:
            found = fs.VisualIndex(engine=engine, progress=False, **place(engine), **options)
        made.append(found)
        return found

    yield index
    for found in made:
        found.close()


def vectors(count, seed=0, dim=DIM):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def nearest(asked, held, k, metric="cosine"):
    """Return the positions of the k nearest, by NumPy."""
    if metric == "cosine":
        one, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (asked, held))
        scores = one @ other.T
    else:
        scores = -np.linalg.norm(asked[:, None] - held[None], axis=2)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k], -np.sort(-scores, axis=1)[:, :k]


def holds(condition, metadata):
    if isinstance(condition, filters.Not):
        return not holds(condition.condition, metadata)
    if isinstance(condition, filters.AllOf):
        return all(holds(part, metadata) for part in condition.conditions)
    if isinstance(condition, filters.AnyOf):
        return any(holds(part, metadata) for part in condition.conditions)
    return condition.holds(metadata.get(condition.field))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_are_those_of_numpy(make, metric):
    index = make(metric=metric)
    held, asked = vectors(120), vectors(17, seed=1)
    index.add_vectors(held, ids=[f"p{n}" for n in range(120)])
    for exact in (False, True):
        found = index.search_vectors(asked, k=7, exact=exact)
        places, scores = nearest(asked, held, 7, metric)
        assert found.ids.tolist() == [[f"p{place}" for place in row] for row in places]
        np.testing.assert_allclose(found.similarities, scores, atol=1e-5)
        assert found.similarities.dtype == np.float32
        assert found.counts.tolist() == [7] * 17
    assert index.search_vectors(held[:3], k=200).ids.shape == (3, 120)


def test_an_empty_index_finds_nothing_and_says_nothing(make):
    index = make()
    assert len(index) == 0
    assert list(index) == []
    assert "a" not in index
    assert index.search_vectors(vectors(2), k=5, where={"colour": "red"}).ids.shape == (2, 0)
    assert index.facets("colour") == {}
    index.add_vectors(np.zeros((0, DIM)))
    index.remove([])
    assert len(index) == 0


def test_items_are_replaced_removed_and_kept_in_order(make):
    index = make()
    index.add_vectors(vectors(5), ids=["d", "b", "a", "c", "e"], metadata=[{"n": n} for n in range(5)])
    index.add_vectors(vectors(2, seed=3), ids=["b", "f"], metadata=[{"other": True}, {}])
    assert list(index) == ["d", "b", "a", "c", "e", "f"]
    assert index.get("b").metadata == {"other": True}
    np.testing.assert_allclose(index.get("b").vector, vectors(2, seed=3)[0], rtol=1e-5)
    index.remove(["a", "d"])
    assert list(index) == ["b", "c", "e", "f"]
    assert "a" not in index
    assert index.search_vectors(vectors(5)[2], k=10).counts.tolist() == [4]
    with pytest.raises(errors.UnknownIdError, match="'a'"):
        index.remove(["b", "a"])
    assert "b" in index
    with pytest.raises(errors.UnknownIdError):
        index.get("a")
    with pytest.raises(errors.UnknownIdError, match="type str"):
        index.get(3)
    index.add_vectors(vectors(1), ids=["a"])
    assert list(index)[-1] == "a"


def test_ids_of_two_kinds_are_not_mixed_and_numbers_go_on(make):
    index = make()
    assert index.add_vectors(vectors(3)).ids == (0, 1, 2)
    index.remove([2])
    assert index.add_vectors(vectors(2)).ids == (3, 4)
    index.add_vectors(vectors(1), ids=[10**12])
    assert index.add_vectors(vectors(1)).ids == (10**12 + 1,)
    with pytest.raises(errors.InputError, match="'a'"):
        index.add_vectors(vectors(1), ids=["a"])
    with pytest.raises(errors.InputError, match="twice"):
        index.add_vectors(vectors(2), ids=[5, 5])
    assert 5 not in index
    big = 2**70 + 1
    index.add_vectors(vectors(1), ids=[big])
    assert index.get(big).id == big


def test_fields_are_set_and_the_others_stay(make):
    index = make()
    index.add_vectors(vectors(2), ids=["a", "b"], metadata=[{"x": 1, "y": "one"}, {"x": 2}])
    index.update("a", {"y": None, "z": "two words"})
    assert index.get("a").metadata == {"x": 1, "y": None, "z": "two words"}
    assert index.search_vectors(vectors(1), k=2, where={"z": {"contains": "WORDS"}}).ids.tolist() == [
        ["a", None]
    ]
    assert index.search_vectors(vectors(1), k=2, where={"y": None}).counts.tolist() == [2]
    with pytest.raises(errors.UnknownIdError):
        index.update("c", {"x": 1})


def test_every_value_comes_back_as_it_was(make):
    index = make()
    rows = [dict.fromkeys(FIELDS, value) for value in NASTY]
    ids = [f"id {n} {value!r}"[:40] for n, value in enumerate(NASTY)]
    index.add_vectors(vectors(len(rows)), ids=ids, metadata=rows)
    for item, row in zip(ids, rows, strict=True):
        found = index.get(item).metadata
        assert found == row
        assert {name: type(value) for name, value in found.items()} == {
            name: type(v) for name, v in row.items()
        }
    counted = index.facets("plain")
    expected = {}
    for value in NASTY:
        if value is not None:
            expected[value] = expected.get(value, 0) + 1
    assert counted == expected


def test_filters_mean_the_same_whatever_is_asked_of_whatever_is_held(make):
    rng = random.Random(0)
    rows = []
    for _ in range(150):
        held = rng.sample(FIELDS, rng.randint(0, len(FIELDS)))
        rows.append({field: rng.choice(NASTY) for field in held})
    index = make()
    held = vectors(len(rows))
    index.add_vectors(held, metadata=rows)
    asked = vectors(1, seed=9)
    order = nearest(asked, held, len(rows))[0][0].tolist()

    def leaf():
        kind = rng.randrange(6)
        if kind == 0:
            return rng.choice(NASTY)
        if kind == 1:
            return rng.sample(NASTY, rng.randint(1, 5))
        if kind == 2:
            bounds = [value for value in NASTY if value is not None and not isinstance(value, bool)]
            names = rng.sample(["gt", "gte", "lt", "lte"], rng.randint(1, 2))
            return {name: rng.choice(bounds) for name in names}
        if kind == 3:
            return {"exists": rng.random() < 0.5}
        if kind == 4:
            return {
                "contains": rng.choice(["red", "DRESS red", "inside zero", "ẞ", "ss", "7", "2012 05", "😀 ü"])
            }
        return {"not": rng.choice([rng.choice(NASTY), {"gte": 5}, {"contains": "red"}])}

    def tree(deep):
        found = {rng.choice(FIELDS): leaf() for _ in range(rng.randint(0 if deep < 2 else 1, 2))}
        if deep and rng.random() < 0.6:
            found[rng.choice(["and", "or"])] = [tree(deep - 1) for _ in range(rng.randint(1, 3))]
        if deep and rng.random() < 0.3:
            found["not"] = tree(deep - 1)
        return found

    asked_at_all = 0
    for _ in range(150):
        where = tree(2)
        try:
            condition = filters.parse(where)
        except errors.InputError:  # "😀" is no word
            continue
        fitting = [place for place in order if holds(condition, rows[place])]
        if not fitting:
            with pytest.warns(errors.DataWarning, match="no item fits"):
                found = index.search_vectors(asked, k=150, where=where)
        else:
            found = index.search_vectors(asked, k=150, where=where)
            asked_at_all += 1
        assert found.ids[0, : found.counts[0]].tolist() == fitting, where
        assert all(found.metadata[0, place] == rows[item] for place, item in enumerate(fitting[:3]))
        few = index.search_vectors(asked, k=5, where=where) if fitting else found
        assert few.ids[0, : few.counts[0]].tolist() == fitting[:5], where
    assert asked_at_all > 50


def test_a_field_that_nobody_has_is_an_error_that_names_those_there(make):
    index = make()
    index.add_vectors(vectors(2), metadata=[{"colour": "red"}, {"price": 5}])
    for call in (
        lambda: index.search_vectors(vectors(1), where={"color": "red"}),
        lambda: index.facets("color"),
        lambda: index.facets("price", where={"color": "red"}),
        lambda: index.search_vectors(vectors(1), group_by="color"),
    ):
        with pytest.raises(errors.InputError, match=r"'color'.*colour.*Did you mean 'colour'"):
            call()


def test_facets_are_counted_and_the_commonest_come_first(make):
    index = make()
    colours = ["red"] * 3 + ["blue"] * 5 + ["green"] + [None]
    index.add_vectors(vectors(10), metadata=[{"colour": c, "n": n} for n, c in enumerate(colours)])
    assert list(index.facets("colour").items()) == [("blue", 5), ("red", 3), ("green", 1)]
    assert index.facets("colour", where={"n": {"lt": 4}}) == {"red": 3, "blue": 1}


def test_pages_hold_each_item_once_and_each_product_is_shown_once(make):
    index = make()
    held = vectors(60)
    index.add_vectors(held, metadata=[{"product": f"shirt {n // 3}"} for n in range(60)])
    asked = vectors(1, seed=5)
    order = nearest(asked, held, 60)[0][0].tolist()
    pages = [index.search_vectors(asked, k=7, offset=start).ids[0].tolist() for start in range(0, 60, 7)]
    seen = [item for page in pages for item in page if item is not None]
    assert seen == order
    assert index.search_vectors(asked, k=5, exclude=order[:4]).ids[0].tolist() == order[4:9]
    grouped = index.search_vectors(asked, k=20, group_by="product")
    products = [row["product"] for row in grouped.metadata[0]]
    assert len(set(products)) == 20
    first_of_each = list(dict.fromkeys(f"shirt {place // 3}" for place in order))
    assert products == first_of_each


def test_what_stands_in_for_an_item_meets_the_condition_and_is_another_product(make):
    index = make()
    held = vectors(60)
    shop = [{"product": f"shirt {n // 3}", "stock": n % 2} for n in range(60)]
    index.add_vectors(held, metadata=shop)
    order = [place for place in nearest(held[7:8], held, 60)[0][0].tolist() if place // 3 != 2]
    there = [place for place in order if shop[place]["stock"]]
    first_of_each = list({place // 3: place for place in reversed(there)}.values())[::-1]
    found = index.substitutes(7, k=60, where={"stock": 1}, group_by="product")
    assert sorted(found.ids[0, : found.counts[0]].tolist()) == sorted(first_of_each)
    assert found.ids[0, 0] == there[0]
    assert found[0][0].parts == {"item": pytest.approx(found[0][0].similarity)}


def test_a_page_of_unlike_items_begins_with_the_likest(make):
    index = make()
    held = vectors(60)
    index.add_vectors(np.concatenate([held, held + 1e-3]))  # each twice
    asked = vectors(1, seed=5)
    plain, diverse = (
        index.search_vectors(asked, k=10, diversity=share).ids[0].tolist() for share in (0, 0.5)
    )
    assert diverse[0] == plain[0]
    assert len({item % 60 for item in plain}) <= 6
    assert len({item % 60 for item in diverse}) > len({item % 60 for item in plain})


def test_attributes_are_gone_towards_by_the_heads_of_a_tagger(make):
    class Space:
        dim = DIM

        def embed(self, images):
            return np.eye(DIM)[[int(image[0, 0, 0]) for image in images]]

        def embed_text(self, texts):
            return np.eye(DIM)[
                [["blue", "green", "red", "bag", "hat", "shirt"].index(text) for text in texts]
            ]

    tagger = fs.Tagger.zero_shot(
        Space(),
        {"colour": ["blue", "green", "red"], "kind": ["bag", "hat", "shirt"]},
        templates=["{}"],
        scale=10,
    )
    index = make()
    held = [np.eye(DIM)[colour] + np.eye(DIM)[3 + kind] for colour in range(3) for kind in range(3)]
    index.add_vectors(np.array(held, np.float32) + vectors(9) / 50, metadata=[{"n": n} for n in range(9)])
    said = {"towards": {"colour": "red"}, "tagger": tagger}
    for item in range(6):
        found = index.search(id=item, k=3, **said)
        assert found.ids[0, 0] == 6 + item % 3
        assert set(found[0][0].parts) == {"item", "attributes"}
    assert sorted(index.search(k=3, **said).ids[0].tolist()) == [6, 7, 8]
    assert index.search(id=0, k=1, where={"n": {"lt": 6}}, **{**said, "towards": {"kind": "hat"}}).ids[0] == [
        1
    ]


def test_likes_find_what_is_like_them(make):
    index = make()
    kinds = np.arange(80) % DIM
    held = 0.2 * vectors(80) + np.eye(DIM)[kinds]
    index.add_vectors(held, ids=[f"i{n}" for n in range(80)], metadata={"kind": kinds.tolist()})
    liked, unliked = ["i0", "i6"], ["i1", "i7"]
    found = index.search(like=liked, unlike=unliked, k=8)
    assert [match.metadata["kind"] for match in found[0]] == [0] * 8
    assert found.ids[0].tolist() == index.search(like=liked, unlike=unliked, k=8, exact=True).ids[0].tolist()
    either = index.search(id="i2", like=liked, where={"kind": [2, 3]}, k=20)
    assert {match.metadata["kind"] for match in either[0]} == {2, 3}
    assert "i2" not in either.ids[0]
    session = index.session(where={"kind": [0, 1]})
    for match in session.next(4)[0]:
        (session.like if match.metadata["kind"] else session.unlike)(match.id)
    assert [match.metadata["kind"] for match in session.next(5)[0]] == [1] * 5
    with pytest.raises(errors.UnknownIdError):
        index.search(like=["nobody"])


class Colours:
    """Embeds a photo as its mean colour."""

    dim = 3

    def __init__(self, shift=0.0):
        self.shift = np.array([shift, 0, 0])

    def embed(self, images):
        pixels = [
            np.asarray(
                image if isinstance(image, np.ndarray | Image.Image) else Image.open(image), dtype=np.float32
            )
            for image in images
        ]
        return np.stack([each.reshape(-1, 3).mean(axis=0) + 1 + self.shift for each in pixels])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}.items():
        Image.new("RGB", (8, 8), colour).save(folder / f"{name}.png")
    return folder


def test_a_folder_is_kept_in_step(make, photos):
    index = make(encoder=Colours())
    first = index.sync(photos)
    assert len(first.added) == 3
    assert len(index.sync(photos).added) == 0
    (photos / "green.png").unlink()
    Image.new("RGB", (8, 8), (120, 0, 120)).save(photos / "blue.png")
    Image.new("RGB", (8, 8), (9, 9, 9)).save(photos / "black.png")
    second = index.sync(photos)
    assert (len(second.added), len(second.changed), len(second.removed)) == (1, 1, 1)
    found = index.search(photos / "red.png", k=1)
    assert found.ids.tolist() == [["red.png"]]
    assert found.metadata[0, 0] == {}
    assert found.sources[0, 0].endswith("red.png")


def test_another_encoder_is_refused(make, photos, engine, tmp_path):
    index = make(encoder=Colours())
    index.add(sorted(photos.iterdir()))
    index.save(tmp_path / "saved")
    index.close()
    with pytest.raises(errors.EncoderMismatchError, match="another one"):
        fs.VisualIndex.load(tmp_path / "saved", encoder=Colours(shift=100.0))
    loaded = fs.VisualIndex.load(tmp_path / "saved", encoder=Colours())
    assert loaded.search(photos / "red.png", k=1).ids.shape == (1, 1)
    loaded.close()
    if engine in ("opened", "qdrant", "pgvector"):
        with pytest.raises(errors.EncoderMismatchError, match="another one"):
            make(encoder=Colours(shift=100.0))


def test_what_is_saved_finds_the_same(make, tmp_path):
    index = make()
    index.add_vectors(vectors(40), metadata=[{"n": n % 4} for n in range(40)])
    before = index.search_vectors(vectors(3, seed=2), k=5, where={"n": 2})
    index.save(tmp_path / "saved")
    index.close()
    loaded = fs.VisualIndex.load(tmp_path / "saved")
    after = loaded.search_vectors(vectors(3, seed=2), k=5, where={"n": 2})
    assert after.ids.tolist() == before.ids.tolist()
    assert loaded.add_vectors(vectors(1)).ids == (40,)
    loaded.close()


def test_items_are_copied_here_and_there_once(make):
    source, back = fs.VisualIndex(dim=DIM), fs.VisualIndex(dim=DIM, metric="euclidean")
    rows = [dict.fromkeys(FIELDS, value) for value in NASTY]
    source.add_vectors(3 * vectors(len(rows)), ids=[f"p{n}" for n in range(len(rows))], metadata=rows)
    index = make()
    assert source.copy_to(index) == len(rows)
    assert source.copy_to(index) == 0
    assert index.copy_to(back) == len(rows)
    assert list(back) == list(source)
    for item in source:
        assert back.get(item).metadata == source.get(item).metadata
        np.testing.assert_allclose(back.get(item).vector, source.get(item).vector, rtol=1e-5)


def test_threads_change_and_search_at_once(make):
    index = make()
    index.add_vectors(vectors(50), ids=range(50), metadata=[{"n": n} for n in range(50)])
    failures = []

    def work(number):
        try:
            rng = np.random.default_rng(number)
            for turn in range(8):
                own = 1000 * (number + 1) + turn
                index.add_vectors(vectors(1, seed=own), ids=[own], metadata=[{"n": own}])
                found = index.search_vectors(vectors(1, seed=own), k=3)
                assert found.ids[0, 0] == own
                assert index.search_vectors(vectors(1, seed=own), k=3, where={"n": {"lt": 50}}).counts[0] == 3
                if rng.random() < 0.5:
                    index.remove([own])
                    assert own not in index
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(range(50)) <= set(index)


def test_it_audits_itself(make):
    index = make()
    index.add_vectors(np.concatenate([vectors(60), vectors(2)]))
    health = index.health()
    assert health.items == 62
    assert health.recall == 1.0
    assert health.duplicates == pytest.approx(4 / 62)


def test_backgrounds_are_fused_alike(make):
    from fashionsearch.background import fuse

    encoder = fs.create_backbone(
        "cnn", weights=None, image_size=32, random_state=0, runtime="torch", progress=False
    )
    photos = [np.full((40, 30, 3), 255, np.uint8) for _ in range(6)]
    for n, pixels in enumerate(photos):
        pixels[3 * n : 3 * n + 10, 5:20] = (40 * n, 90, 200 - 30 * n)
    index = make(encoder=encoder, background="fuse")
    index.add(photos, ids=[f"p{n}" for n in range(6)])
    for asked in ("fuse", "keep"):
        queries = fuse(encoder, photos) if asked == "fuse" else encoder.embed(photos)
        places, scores = nearest(queries, fuse(encoder, photos), 3)
        found = index.search(photos, k=3, background=asked)
        np.testing.assert_allclose(found.similarities, scores, atol=1e-5)
        assert found.ids[:, 0].tolist() == [f"p{place}" for place in places[:, 0]]


COLOURS, KINDS = ("red", "blue", "green", "black"), ("shirt", "dress", "shoes", "belt", "watch")


def titled(dim=16):
    """Return vectors that show colours and kinds, and titles that name them beside a brand."""
    rng = np.random.default_rng(0)
    shown = {word: rng.normal(size=dim) for word in COLOURS + KINDS}
    pairs = [(COLOURS[n % 4], KINDS[n // 4 % 5]) for n in range(160)]
    held = np.array([shown[one] + shown[two] + 0.2 * rng.normal(size=dim) for one, two in pairs], np.float32)
    return held, [f"Brand{n % 9} {one} {two}" for n, (one, two) in enumerate(pairs)]


def test_words_find_what_they_say(make, monkeypatch):
    monkeypatch.setattr("fashionsearch.words.learning._FEWEST_STEPS", 60)
    held, titles = titled()
    index = make(dim=16)
    index.add_vectors(
        held, ids=[f"p{n}" for n in range(160)], metadata={"title": titles, "row": list(range(160))}
    )
    with pytest.raises(errors.InputError, match=r"knows no words: call index.learn_text"):
        index.search(text="red shirt")
    index.learn_text("title")
    found = index.search(text=["red shirt", "black wacth"], k=4, where={"row": {"lt": 120}})
    assert all("red shirt" in match.metadata["title"] for match in found[0])
    assert all("black watch" in match.metadata["title"] for match in found[1])
    assert all(set(match.parts) == {"text"} and match.metadata["row"] < 120 for match in found[0])
    pages = [index.search(text="red", k=7, offset=7 * page).ids[0].tolist() for page in range(3)]
    assert len({item for page in pages for item in page}) == 21
    both = index.search(id="p0", text="blue dress", text_weight=0.5, k=3)
    assert set(both[0][0].parts) == {"item", "text"}
    for text in (
        "赤いドレス",
        "'; DROP TABLE items; --",
        '"red" OR NEAR(',
        "half \ud800 pair",
        "zero\0inside",
    ):
        assert index.search(text=text, text_match=True, k=3).counts.tolist() == [3]


def test_items_whose_own_text_holds_the_words_come_first(make, monkeypatch):
    monkeypatch.setattr("fashionsearch.words.learning._FEWEST_STEPS", 60)
    held, titles = titled()
    titles[77] = "Brand3 green shoes ZX900"
    index = make(dim=16)
    index.add_vectors(
        held, ids=[f"p{n}" for n in range(160)], metadata={"title": titles, "shop": ["one", "two"] * 80}
    )
    index.learn_text("title")
    assert index.search(text="zx900", text_match=True, k=3).ids[0, 0] == "p77"
    assert "p77" not in index.search(text="zx900", text_match=True, k=160, where={"shop": "one"}).ids
    pages = [
        index.search(text="red shirt", text_match=True, k=10, offset=10 * page).ids[0] for page in range(16)
    ]
    assert sorted(np.concatenate(pages)) == sorted(index)
    with pytest.raises(errors.InputError, match="there is none; give text= too"):
        index.search(id="p0", text_match=True)
