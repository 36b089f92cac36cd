"""Why two photos match, as a picture."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors, plots


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(6, seed=0)


@pytest.fixture(scope="module")
def index(table):
    made = fs.VisualIndex("fashion", progress=False)
    made.add(table.images[:3], ids=["a", "b", "c"], metadata={"kind": table["articleType"][:3]})
    return made


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_both_photos_are_drawn_and_what_they_share(index, table):
    figure = Figure()
    before = plt.get_fignums()
    axes = plots.why(index, table.images[0], "a", item_photo=table.images[0], figure=figure)
    assert len(axes) == 3
    assert figure.axes == axes
    assert plt.get_fignums() == before
    assert axes[1].get_title() == "a: 1.000"
    for ax in axes[:2]:
        assert ax.images[0].get_array().shape == table.images[0].shape
    tags = words(axes[2])
    assert "articleType" in tags
    assert all(line[0] == "=" for line in tags[1::2])  # the same photo has the same tags
    # Pairs of one photo with itself join each place with itself.
    ends = [[(text.xy, text.get_text()) for text in ax.texts] for ax in axes[:2]]
    assert ends[0] == ends[1]


def test_what_is_known_of_the_photo_is_compared_with_the_items_fields(index, table):
    known = {"kind": "Hat $x$", "price": 3}
    axes = plots.why(index, table.images[3], "b", item_photo=table.images[1], metadata=known, figure=Figure())
    assert words(axes[2]) == ["kind", f"≠ Hat $x$ / {table['articleType'][1]}"]
    axes[0].figure.canvas.draw()


def test_an_item_is_drawn_from_its_file_where_that_may_be_opened(index, table, tmp_path):
    Image.fromarray(table.images[0]).save(tmp_path / "item.png")
    made = fs.VisualIndex(index.encoder, progress=False)
    made.add([tmp_path / "item.png", table.images[1]], ids=[1, 2])
    assert len(plots.why(made, table.images[2], 1, figure=Figure())) == 3
    with pytest.raises(errors.InputError, match=r"item 2 was added without a file; .* item_photo="):
        plots.why(made, table.images[2], 2, figure=Figure())
    made.show_photos = False
    with pytest.raises(errors.InputError, match="show_photos = True if you trust"):
        plots.why(made, table.images[2], 1, figure=Figure())
    with pytest.raises(errors.UnknownIdError):
        plots.why(made, table.images[2], 3, figure=Figure())


def test_an_encoder_without_feature_maps_is_an_error():
    class Plain:
        dim = 2

        def embed(self, images):
            return np.ones((len(images), 2), np.float32)

    photo = np.zeros((9, 9, 3), np.uint8)
    made = fs.VisualIndex(Plain())
    made.add([photo], ids=["a"])
    with pytest.raises(errors.InputError, match="Plain has no network"):
        plots.why(made, photo, "a", item_photo=photo, figure=Figure())
    bare = fs.VisualIndex(dim=2)
    bare.add_vectors([[1, 0]], ids=["a"])
    with pytest.raises(errors.InputError, match="no encoder"):
        plots.why(bare, photo, "a", item_photo=photo, figure=Figure())


def test_a_classifiers_network_will_do_and_it_tells_no_attributes(table):
    classifier = fs.Classifier(
        "cnn", weights=None, image_size=32, training=fs.FineTuning(epochs=1), progress=False
    )
    classifier.fit(table.images, ["x", "y"] * 3)
    made = fs.VisualIndex(classifier, progress=False)
    made.add(table.images[:1], ids=["a"])
    assert len(plots.why(made, table.images[1], "a", item_photo=table.images[0], figure=Figure())) == 2
