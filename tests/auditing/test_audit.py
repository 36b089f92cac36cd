"""The doctor for catalogues finds what was planted, and says nothing of what is in order."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors, pretrained
from fashionsearch.images import digests
from fashionsearch.pretrained import learned

GRID = fs.Backbone(
    torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten()),
    fs.Preprocess((32, 32)),
    name="grid",
)
COPIED = {101: 10, 121: 20}
COLOURS = {"Red": (200, 30, 30), "Green": (30, 160, 40), "Blue": (30, 40, 200)}
KINDS = {
    "Shirt": ("Topwear", 0),
    "Vest": ("Topwear", 1),
    "Jeans": ("Bottomwear", 2),
    "Skirt": ("Bottomwear", 3),
}


@pytest.fixture(scope="module", autouse=True)
def _one_round():
    """Ask small networks once, where a catalogue is small: a third of the time."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr("fashionsearch.auditing.out_of_fold._ROUNDS", 1)
        yield


def drawn(kind, colour, generator):
    """A photo whose bright corner says its kind, and whose ground its colour."""
    pixels = np.full((40, 32, 3), COLOURS[colour], float)
    row, column = divmod(KINDS[kind][1], 2)
    pixels[20 * row : 20 * row + 20, 16 * column : 16 * column + 16] += 90
    pixels += generator.normal(0, 40, (20, 16, 1)).repeat(2, axis=0).repeat(2, axis=1)
    return pixels.clip(0, 255).astype(np.uint8)


def catalogue(n=240):
    """Photos of two a product, with kind, the class above it, and colour."""
    generator = np.random.default_rng(0)
    kinds = generator.permutation(np.resize(list(KINDS), n // 2)).repeat(2).tolist()
    colours = generator.permutation(np.resize(list(COLOURS), n // 2)).repeat(2).tolist()
    return fs.datasets.Table(
        [drawn(kind, colour, generator) for kind, colour in zip(kinds, colours, strict=True)],
        {
            "kind": kinds,
            "above": [KINDS[kind][0] for kind in kinds],
            "colour": colours,
            "product": [f"product {row // 2}" for row in range(n)],
            "part": ["train" if row % 12 < 8 else "test" for row in range(n)],
        },
    )


def of_other_class(kind):
    """A kind that is of the other class above."""
    return "Jeans" if KINDS[kind][0] == "Topwear" else "Vest"


def sibling(kind):
    return next(other for other in KINDS if other != kind and KINDS[other][0] == KINDS[kind][0])


def changed(table, *, images=None, **cells):
    """A table with other images or labels in some rows: `images={row: photo}`, `kind={row: label}`."""
    photos = [(images or {}).get(row, photo) for row, photo in enumerate(table.images)]
    data = {name: table[name].astype(object) for name in table.columns}
    for name, values in cells.items():
        for row, value in values.items():
            data[name][row] = value
    return fs.datasets.Table(photos, data)


def audited(table, **options):
    options = {"group": "product", "attributes": ["kind", "above", "colour"], **options}
    return fs.audit(table, GRID, progress=False, **options)


@pytest.fixture(scope="module")
def clean():
    return catalogue()


@pytest.fixture(scope="module")
def ill(clean):
    """Two wrong labels, an exact copy, a near one, a photo that can't be read and an empty one."""
    saved = io.BytesIO()
    Image.fromarray(clean.images[20]).save(saved, "JPEG", quality=95)
    return changed(
        clean,
        images={
            101: clean.images[10].copy(),
            121: saved.getvalue(),
            50: b"not a photo",
            61: np.full((40, 32, 3), 255, np.uint8),
        },
        product={101: "copied", 121: "saved again"},
        kind={
            7: of_other_class(clean["kind"][7]),
            40: sibling(clean["kind"][40]),
            **{row: clean["kind"][of] for row, of in COPIED.items()},
        },
        above={row: clean["above"][of] for row, of in COPIED.items()},
        colour={row: clean["colour"][of] for row, of in COPIED.items()},
    )


@pytest.fixture(scope="module")
def found(ill, tmp_path_factory):
    with pytest.MonkeyPatch.context() as context:
        context.setenv("FASHIONSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return audited(ill, split="part")


def test_wrong_labels_come_first_with_what_they_should_be(found, clean):
    first = {(each.row, each.attribute): each for each in found.mislabels[:4]}
    for row in (7, 40):
        each = first[row, "kind"]
        assert each.suggested == clean["kind"][row]
        assert each.score > 0.9
    assert [each.score for each in found.mislabels] == sorted(
        (each.score for each in found.mislabels), reverse=True
    )


def test_copies_are_found_exact_ones_first(found):
    assert [(each.of, each.row, each.exact) for each in found.duplicates] == [
        (10, 101, True),
        (20, 121, False),
    ]
    assert found.duplicates[0].score == 1
    assert found.duplicates[1].score > 0.97


def test_photos_of_one_product_are_not_copies_of_each_other(clean):
    table = changed(clean, images={1: clean.images[0].copy()})
    assert audited(table, attributes="kind").duplicates == ()
    assert [each.row for each in audited(table, attributes="kind", group=None).duplicates] == [1]


def test_leaks_are_copies_and_products_in_two_parts(found, clean):
    copies = {each.row: each for each in found.leaks}
    assert (copies[10].of, copies[10].part, copies[10].of_part) == (101, "test", "train")
    assert copies[10].reason == "exact copy"
    assert copies[20].reason == "near copy"
    assert set(copies) == {10, 20}
    table = changed(clean, part={2: "test"})
    leaked = audited(table, attributes="kind", split=table["part"]).leaks
    assert [(each.of, each.row, each.reason) for each in leaked] == [(3, 2, "same product")]


def test_the_accuracy_is_told_with_and_without_leaks(found):
    each = next(each for each in found.accuracies if each.attribute == "kind")
    assert (each.learned, each.part, each.leaked) == ("train", "test", 2)
    assert 0.8 < each.without_leaks <= 1
    assert "without its leaks" in repr(found)


def test_photos_that_a_shipped_network_learned_from_are_no_test(clean, monkeypatch):
    shipped = pretrained.open_shipped("fashion")
    tested = np.flatnonzero(clean["part"] == "test")

    def taught(rows):
        photos = [clean.images[row] for row in rows]
        arrays = {**shipped.arrays, "learned": np.sort(digests(photos))}
        monkeypatch.setattr(learned, "open_shipped", lambda name: dataclasses.replace(shipped, arrays=arrays))

    taught(tested[:5])
    told = f"the accuracies leave out 5 of {len(tested)} photos"
    with pytest.warns(errors.DataWarning, match=told):
        found = fs.audit(clean, "fashion", attributes="kind", split="part", progress=False)
    assert [each.n for each in found.accuracies] == [len(tested) - 5]
    taught(tested)
    with pytest.warns(errors.DataWarning, match="the accuracies leave out"):
        assert not fs.audit(clean, "fashion", attributes="kind", split="part", progress=False).accuracies


def test_broken_photos_are_named(found):
    assert {each.row: each.reason for each in found.broken} == {
        50: found.broken[0].reason,
        61: "Nearly one colour",
    }
    assert found.broken[0].reason.startswith("Can't be read: ")


def test_labels_that_contradict_each_other_are_found(found, clean):
    each = {each.row: each for each in found.contradictions}[7]
    assert (each.attribute, each.suggested) == ("kind", clean["kind"][7])
    assert "goes with above" in each.reason
    assert 40 in {each.row for each in found.contradictions}  # the product's other photo is of another kind


def test_what_is_in_order_is_left_alone(clean):
    found = audited(clean)
    assert len(found.duplicates) == len(found.broken) == len(found.contradictions) == 0
    assert len(found.mislabels) <= 3


def test_the_same_seed_gives_the_same_findings(ill):
    one, other = (audited(ill, attributes="kind", random_state=3).to_rows() for _ in range(2))
    assert one == other


def test_a_tagger_is_audited_by_what_lies_below_its_labels(ill):
    tagger = fs.Tagger(GRID, embedding_dim=8, progress=False)
    readable = [row for row in range(len(ill)) if row != 50]
    images = [ill.images[row] for row in readable]
    tagger.fit(images, {"kind": ill["kind"][readable]})
    found = fs.audit(ill, tagger, attributes="kind", group="product", progress=False)
    assert {7, 40} <= {each.row for each in found.mislabels[:4]}


def test_an_encoder_of_ones_own_is_enough(clean):
    class Mean:
        dim = 12

        def embed(self, images):
            return np.stack([image[::20, ::16].reshape(-1)[:12] for image in images]).astype(np.float32)

    assert fs.audit(clean, Mean(), attributes="colour", progress=False).labels["colour"].shape == (240,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["kin"]}, "Did you mean 'kind'"),
        ({"attributes": ["kind"], "group": "prodct"}, "Did you mean 'product'"),
        ({"attributes": ["kind"], "split": "prt"}, "Did you mean 'part'"),
        ({"attributes": ["kind"], "group": ["a", "b"]}, "group holds 2 values, and the table has 240"),
        ({"attributes": ["kind"], "split": ["a"] * 240}, "a leak is between two"),
    ],
)
def test_what_cannot_be_used_is_named(clean, options, message):
    with pytest.raises(fs.errors.DataError, match=message):
        fs.audit(clean, GRID, progress=False, **options)


def test_a_table_and_an_encoder_are_needed(clean):
    with pytest.raises(fs.errors.InputError, match="is not a table"):
        fs.audit(clean.images, GRID)
    with pytest.raises(fs.errors.DataError, match="no rows"):
        fs.audit(clean[:0], GRID)
    with pytest.raises(fs.errors.InputError, match="is not an encoder"):
        fs.audit(clean, 3, attributes="kind")
    with pytest.raises(fs.errors.NotFittedError):
        fs.audit(clean, fs.Tagger(), attributes="kind")


@pytest.mark.parametrize("readable", [0, 1, 2, 9])
def test_hardly_a_photo_that_can_be_read_is_no_crash(clean, readable):
    table = changed(clean[:12], images=dict.fromkeys(range(readable, 12), b"no"))
    found = fs.audit(table, GRID, attributes="kind", progress=False)
    assert len([each for each in found.broken if each.score == 1]) == 12 - readable
    assert found.mislabels == ()


def test_unknown_labels_are_neither_learned_nor_doubted(clean):
    table = changed(clean, kind=dict.fromkeys(range(100), ""))
    found = audited(table, attributes="kind")
    assert all(each.row >= 100 for each in found.mislabels)


def test_the_report_shows_photos_and_the_table_reads_back(found, ill, tmp_path):
    found.report(tmp_path / "audit.html", most=2)
    page = (tmp_path / "audit.html").read_text("utf-8")
    listed = [found.mislabels, found.duplicates, found.leaks, found.broken, found.contradictions]
    assert page.count('<li><div class="photos">') == sum(min(2, len(each)) for each in listed)
    assert "data:image/jpeg;base64," in page
