"""The drawn catalogue: the same on every run, labelled like the real one, neither trivial nor hopeless."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from fashionsearch import errors
from fashionsearch.datasets.catalogue import COLOURS, GARMENTS, garment_masks, make_catalogue


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue(600, seed=0)


@pytest.fixture(scope="module")
def masks():
    return garment_masks(600, seed=0)


def test_the_same_arguments_give_the_same_bits():
    first, second = make_catalogue(12, seed=3), make_catalogue(12, seed=3)
    np.testing.assert_array_equal(np.stack(first.images), np.stack(second.images))
    for column in first.columns:
        np.testing.assert_array_equal(first[column], second[column])


def test_another_seed_gives_other_products():
    first, second = make_catalogue(12, seed=0), make_catalogue(12, seed=1)
    assert list(first["productDisplayName"]) != list(second["productDisplayName"])
    assert not np.array_equal(np.stack(first.images), np.stack(second.images))


def test_a_small_catalogue_is_the_start_of_a_large_one():
    small, large = make_catalogue(20), make_catalogue(50)[:20]
    np.testing.assert_array_equal(np.stack(small.images), np.stack(large.images))
    for column in small.columns:
        np.testing.assert_array_equal(small[column], large[column])


def test_drawing_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_catalogue(3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_columns_are_those_of_the_real_data(catalogue):
    expected = (
        "id gender masterCategory subCategory articleType baseColour season year usage productDisplayName"
    )
    assert catalogue.columns == tuple(expected.split())
    for column in catalogue.columns:
        assert catalogue[column].shape == (600,)
        assert catalogue[column].dtype.kind == "U"
        assert "" not in catalogue[column]
    assert len(set(catalogue["id"])) == 600
    assert set(catalogue["year"]) == {str(year) for year in range(2010, 2019)}


def test_every_class_comes_up_and_apparel_most(catalogue):
    articles = Counter(catalogue["articleType"].tolist())
    assert articles.keys() == GARMENTS.keys()
    assert len(articles) >= 14
    assert min(articles.values()) >= 12
    assert max(articles.values()) < 6 * min(articles.values())
    masters = Counter(catalogue["masterCategory"].tolist())
    assert set(masters) == {"Apparel", "Footwear", "Accessories"}
    assert masters.most_common(1)[0][0] == "Apparel"
    assert set(catalogue["baseColour"]) == set(COLOURS)


def test_even_a_small_catalogue_holds_every_article_type():
    assert set(make_catalogue(40)["articleType"]) == set(GARMENTS)


def test_labels_of_a_row_agree(catalogue):
    for row in range(len(catalogue)):
        garment = GARMENTS[catalogue["articleType"][row]]
        name = catalogue["productDisplayName"][row]
        assert catalogue["masterCategory"][row] == garment.master_category
        assert catalogue["subCategory"][row] == garment.sub_category
        assert catalogue["gender"][row] in garment.genders.split()
        assert name.startswith(f"{catalogue['gender'][row]} {catalogue['baseColour'][row]} ")
        assert name.endswith(garment.noun)


@pytest.mark.parametrize("size", [(120, 160), (300, 100), (16, 16)])
def test_photos_and_masks_have_the_asked_size(size):
    shape = size[::-1]
    for image in make_catalogue(4, size=size).images:
        assert image.shape == (*shape, 3)
        assert image.dtype == np.uint8
    drawn = garment_masks(4, size=size)
    assert drawn.shape == (4, *shape)
    assert drawn.dtype == np.bool_
    assert drawn.any(axis=(1, 2)).all()


def test_masks_hold_the_garment(catalogue, masks):
    cover = masks.mean(axis=(1, 2))
    assert cover.min() > 0.05
    assert cover.max() < 0.8
    photos = np.stack(catalogue.images).astype(np.float64)
    contrast = [
        np.abs(photo[mask].mean(axis=0) - photo[~mask].mean(axis=0)).max()
        for photo, mask in zip(photos, masks, strict=True)
    ]
    assert np.median(contrast) > 60
    assert np.mean(np.array(contrast) < 10) < 0.02


def _nearest_colour(photos, masks):
    known = np.array([dye.rgb for dye in COLOURS.values()])
    seen = np.array([np.median(photo[mask], axis=0) for photo, mask in zip(photos, masks, strict=True)])
    nearest = np.square(seen[:, None] - known).sum(axis=-1).argmin(axis=1)
    return np.array(list(COLOURS))[nearest]


def test_swapped_channels_show_in_the_base_colour(catalogue, masks):
    swapped = [photo[..., ::-1] for photo in catalogue.images]
    right = np.mean(_nearest_colour(catalogue.images, masks) == catalogue["baseColour"])
    wrong = np.mean(_nearest_colour(swapped, masks) == catalogue["baseColour"])
    assert right > 0.7
    assert wrong < 0.5


def test_colour_says_nothing_about_the_article_type(catalogue):
    colours, articles = catalogue["baseColour"], catalogue["articleType"]
    gaps = [
        abs(np.mean(articles[colours == colour] == article) - np.mean(articles == article))
        for colour in COLOURS
        for article in GARMENTS
    ]
    assert np.mean(gaps) < 0.05


def test_raw_pixels_do_not_solve_the_article_type(catalogue):
    pixels = [np.asarray(Image.fromarray(photo).resize((16, 16))).ravel() for photo in catalogue.images]
    labels = catalogue["articleType"]
    scores = []
    for seed in range(5):
        train, test = train_test_split(np.arange(600), test_size=0.2, random_state=seed)
        features = np.array(pixels, dtype=np.float64)
        neighbours = KNeighborsClassifier(5, metric="cosine").fit(features[train], labels[train])
        scores.append(neighbours.score(features[test], labels[test]))
    assert 0.5 < np.mean(scores) < 0.8


@pytest.mark.parametrize("n", [0, -3, 2.5, "20", None, True])
def test_a_bad_number_of_products_is_named(n):
    with pytest.raises(errors.DataError, match=r"n=.*positive integer") as caught:
        make_catalogue(n)
    assert repr(n) in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_a_bad_seed_is_named(seed):
    with pytest.raises(errors.DataError, match=f"seed={seed!r} is not a seed"):
        make_catalogue(5, seed=seed)


@pytest.mark.parametrize("size", [(8, 160), (120, 15), (120.0, 160), (120,), 120, (1, 2, 3), None])
def test_a_bad_size_is_named(size):
    with pytest.raises(errors.DataError, match=r"size=.*\(width, height\).*from 16 to 8192") as caught:
        garment_masks(5, size=size)
    assert repr(size) in str(caught.value)


def test_numpy_integers_are_integers():
    photos = make_catalogue(np.int64(2), seed=np.int32(0), size=(np.int64(120), np.int64(160))).images
    np.testing.assert_array_equal(np.stack(photos), np.stack(make_catalogue(2).images))
