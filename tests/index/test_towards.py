"""“Like this, but red”: by the heads of a tagger, on stored vectors or on photos."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors

COLOURS, KINDS = ("blue", "green", "red"), ("bag", "shirt")


class Space:
    """Photos and words in one space: three numbers of the colour, two of the kind, read from the first row of pixels."""

    dim = 5

    def __init__(self, shift=0):
        self.shift = shift
        self.asked = 0

    def embed(self, images):
        found = []
        for image in images:
            self.asked += 1
            pixels = np.asarray(fs.images.read_image(image))[0, :5, 0] / 255
            found.append(np.roll(pixels, self.shift))
        return np.array(found, np.float32).reshape(len(found), 5) + 1e-3

    def embed_text(self, texts):
        names = (*COLOURS, *KINDS)
        return np.roll([[float(name in text) for name in names] for text in texts], self.shift, axis=1)


def photo(colour, kind, strength=255):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[0, COLOURS.index(colour)] = pixels[0, 3 + KINDS.index(kind)] = strength
    return pixels


CLASSES = {"colour": COLOURS, "kind": KINDS}
ITEMS = [(colour, kind) for colour in COLOURS for kind in KINDS]


def tagger_of(encoder):
    return fs.Tagger.zero_shot(encoder, CLASSES, templates=["{}"], scale=10)


def named(index, **options):
    return [match.id for match in index.search(**options)[0]]


@pytest.fixture
def index():
    made = fs.VisualIndex(Space())
    made.add([photo(*item) for item in ITEMS], ids=[" ".join(item) for item in ITEMS])
    return made


def test_a_photo_in_another_colour_keeps_its_kind(index):
    tagger = tagger_of(index.encoder)
    found = index.search(photo("blue", "shirt"), k=3, towards={"colour": "red"}, tagger=tagger)
    assert found.ids[0, 0] == "red shirt"
    first = found[0][0]
    assert set(first.parts) == {"photo", "attributes"}
    assert first.parts["attributes"] <= 0
    assert [sum(match.parts.values()) for match in found[0]] == sorted(
        (sum(match.parts.values()) for match in found[0]), reverse=True
    )
    asked = {"colour": "red", "kind": "bag"}
    assert named(index, images=photo("blue", "shirt"), k=1, towards=asked, tagger=tagger) == ["red bag"]


def test_a_stored_item_and_attributes_alone_are_searched_by(index):
    tagger = tagger_of(index.encoder)
    assert named(index, id="blue shirt", k=1, towards={"colour": "green"}, tagger=tagger) == ["green shirt"]
    both = named(index, k=2, towards={"colour": "green"}, tagger=tagger)
    assert sorted(both) == ["green bag", "green shirt"]


def test_several_photos_are_asked_for_in_one_colour(index):
    photos = [photo("blue", "shirt"), photo("green", "bag")]
    found = index.search(photos, k=1, towards={"colour": "red"}, tagger=tagger_of(index.encoder))
    assert found.ids.tolist() == [["red shirt"], ["red bag"]]


def test_it_goes_with_filters_pages_groups_and_diversity():
    index = fs.VisualIndex(Space())
    metadata = [{"kind": kind, "n": n} for n, (_, kind) in enumerate(ITEMS)]
    index.add([photo(*item) for item in ITEMS], ids=[" ".join(item) for item in ITEMS], metadata=metadata)
    said = {
        "images": photo("blue", "shirt"),
        "towards": {"colour": "red"},
        "tagger": tagger_of(index.encoder),
    }
    everything = named(index, k=6, **said)
    assert named(index, k=1, where={"kind": "bag"}, **said) == ["red bag"]
    assert [named(index, k=2, offset=start, **said) for start in (0, 2, 4)] == [
        everything[start : start + 2] for start in (0, 2, 4)
    ]
    assert named(index, k=5, exclude=["red shirt"], **said) == everything[1:]
    assert {item.split()[1] for item in named(index, k=2, group_by="kind", **said)} == set(KINDS)
    assert sorted(named(index, k=6, diversity=0.5, **said)) == sorted(everything)


def test_a_tagger_that_embeds_otherwise_looks_at_the_photos(tmp_path):
    from PIL import Image

    index, other = fs.VisualIndex(Space()), Space(shift=2)
    for colour, kind in ITEMS:
        path = tmp_path / f"{colour}-{kind}.png"
        Image.fromarray(photo(colour, kind)).save(path)
        index.add([path], ids=[f"{colour} {kind}"])
    index.add([photo("red", "shirt")], ids=["no file"])
    (tmp_path / "green-bag.png").write_bytes(b"gone bad")
    tagger = tagger_of(other)
    other.asked = 0
    said = {"images": photo("blue", "shirt"), "towards": {"colour": "red"}, "tagger": tagger}
    found = index.search(k=7, **said)
    assert found.ids[0, 0] == "red shirt"
    assert set(found.ids[0, -3:]) >= {"no file", "green bag"}
    assert other.asked <= len(ITEMS) + 1  # each photo once
    with pytest.raises(errors.InputError, match="alone can't be searched by"):
        index.search(towards={"colour": "red"}, tagger=tagger)
    index.show_photos = False
    with pytest.raises(errors.InputError, match="show_photos = True if you trust"):
        index.search(**said)


def test_an_index_of_vectors_alone_takes_a_tagger_of_their_length(index):
    plain = fs.VisualIndex(dim=5)
    plain.add_vectors(Space().embed([photo(*item) for item in ITEMS]), ids=[" ".join(item) for item in ITEMS])
    assert named(plain, id="blue bag", k=1, towards={"colour": "red"}, tagger=tagger_of(Space())) == [
        "red bag"
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"color": "red"}, "'color', which is no attribute .* Did you mean 'colour'"),
        ({"colour": "Red"}, "colour='Red', which the tagger doesn't know; .* Did you mean 'red'"),
        ({"colour": 3}, "colour=3, which"),
        ({"colour": ["red"]}, r"colour=\['red'\]"),
        ({}, "is not a mapping"),
        ("red", "is not a mapping"),
    ],
)
def test_what_the_tagger_lacks_is_an_error_that_says_what_it_has(index, asked, words):
    with pytest.raises(errors.InputError, match=words):
        index.search(photo("blue", "bag"), towards=asked, tagger=tagger_of(index.encoder))


def test_without_a_tagger_it_says_what_to_give(index):
    with pytest.raises(errors.InputError, match="'Space', is none; give tagger="):
        index.search(photo("blue", "bag"), towards={"colour": "red"})
    with pytest.raises(errors.InputError, match="it has none; give tagger="):
        fs.VisualIndex(dim=2).search(towards={"colour": "red"})
    with pytest.raises(errors.InputError, match="is not a Tagger"):
        index.search(photo("blue", "bag"), towards={"colour": "red"}, tagger="fashion")
    with pytest.raises(errors.NotFittedError):
        index.search(photo("blue", "bag"), towards={"colour": "red"}, tagger=fs.Tagger())
    with pytest.raises(errors.InputError, match="give towards= too"):
        index.search(photo("blue", "bag"), tagger=tagger_of(index.encoder))
    euclidean = fs.VisualIndex(dim=5, metric="euclidean")
    with pytest.raises(errors.InputError, match="cosine"):
        euclidean.search(towards={"colour": "red"}, tagger=tagger_of(Space()))


def test_an_empty_index_has_nothing_to_go_to():
    index = fs.VisualIndex(Space())
    found = index.search(photo("blue", "bag"), towards={"colour": "red"}, tagger=tagger_of(index.encoder))
    assert found.counts.tolist() == [0]
