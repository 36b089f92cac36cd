"""Pictures of training: what they show, and what they refuse to draw."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import fashionsearch as fs
from fashionsearch import errors, plots

PHOTOS = fs.datasets.make_catalogue(5, seed=0).images
EPOCHS = fs.History(
    tuple(
        {
            "epoch": epoch,
            "training_loss": 1 / epoch,
            "training_accuracy": 0.5 + epoch / 20,
            "validation_loss": abs(epoch - 3) + 0.5,
            "validation_accuracy": 0.6,
            "learning_rate": 0.1,
            "seconds": 1.0,
        }
        for epoch in range(1, 6)
    )
)


def test_curves_show_each_part_and_the_epoch_that_was_kept():
    loss, accuracy = plots.training_curves(EPOCHS, figure=Figure())
    lines = {line.get_label(): line for line in loss.get_lines()}
    assert list(lines) == ["training", "validation", "kept: epoch 3"]
    assert lines["training"].get_ydata().tolist() == EPOCHS["training_loss"]
    assert accuracy.get_lines()[0].get_ydata().tolist() == EPOCHS["training_accuracy"]
    assert list(lines["kept: epoch 3"].get_xdata()) == [3, 3]


def test_the_kept_epoch_is_one_at_the_full_size():
    losses, sizes = (0.1, 0.5, float("nan"), 0.4), (32, 64, 64, 64)
    rows = zip(range(1, 5), losses, sizes, strict=True)
    history = fs.History(
        tuple(
            {"epoch": epoch, "training_loss": 1.0, "validation_loss": loss, "image_size": size}
            for epoch, loss, size in rows
        )
    )
    (ax,) = plots.training_curves(history, figure=Figure())
    assert ax.get_lines()[-1].get_label() == "kept: epoch 4"


def test_curves_of_something_else_are_refused():
    with pytest.raises(errors.InputError, match="this history has no epochs, but C, validation_loss"):
        plots.training_curves(fs.History(({"C": 1.0, "validation_loss": 0.3},)), figure=Figure())
    with pytest.raises(errors.InputError, match="can't draw a list"):
        plots.training_curves([1, 2], figure=Figure())
    with pytest.raises(errors.InputError, match="but nothing"):
        plots.training_curves(fs.History(), figure=Figure())


def test_augmented_copies_stand_beside_their_photo():
    axes = plots.augmentation(PHOTOS[:2], "strong", copies=3, figure=Figure())
    assert len(axes) == 8
    pictures = [ax.images[0].get_array() for ax in axes]
    assert np.array_equal(pictures[0], PHOTOS[0])
    assert len({picture.tobytes() for picture in pictures}) == 8
    again = plots.augmentation(PHOTOS[:2], "strong", copies=3, figure=Figure())
    assert np.array_equal(again[3].images[0].get_array(), pictures[3])


def test_reconstructions_stand_under_their_photos():
    drawn = np.stack([photo.astype(np.float32) / 255 for photo in PHOTOS])
    axes = plots.reconstructions(PHOTOS, drawn, figure=Figure())
    assert len(axes) == 10
    assert np.array_equal(axes[7].images[0].get_array(), PHOTOS[2])
    assert axes[7].get_xlabel() == "error 0.0000"


def test_predictions_are_ordered_and_marked():
    shares = np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
    axes = plots.predictions(PHOTOS[:2], shares, ["a", "b", "c"], labels=["b", "c"], most=2, figure=Figure())
    names = [[text.get_text() for text in ax.get_yticklabels()] for ax in axes[1::2]]
    assert names == [["b", "a"], ["a", "b"]]
    assert [round(bar.get_width(), 3) for bar in axes[1].patches] == [0.7, 0.2]
    assert axes[1].get_title() == ""
    assert axes[3].get_title() == "is c"
    colours = [ax.patches[0].get_facecolor() for ax in axes[1::2]]
    assert colours[0] != colours[1]


def test_an_explanation_lies_on_its_photo():
    heat = np.zeros(PHOTOS[0].shape[:2], np.float32)
    heat[40:60, 30:50] = 1
    photo, overlay = plots.explanation(PHOTOS[0], heat, figure=Figure())
    assert np.array_equal(photo.images[0].get_array(), PHOTOS[0])
    alpha = overlay.images[1].get_alpha()
    assert alpha[50, 40] > 0.8
    assert alpha[0, 0] == 0


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.augmentation([], figure=Figure()), "1 to 24 photos"),
        (lambda: plots.augmentation(PHOTOS * 5, figure=Figure()), "1 to 24 photos"),
        (
            lambda: plots.augmentation(PHOTOS, "much", figure=Figure()),
            "'much', and not one of none, flips, light",
        ),
        (lambda: plots.augmentation(PHOTOS, copies=0, figure=Figure()), "at least 1"),
        (lambda: plots.reconstructions(PHOTOS, np.zeros((2, 4, 4, 3)), figure=Figure()), "for 5 photos"),
        (lambda: plots.predictions(PHOTOS, np.zeros((5, 2)), ["a"], figure=Figure()), r"need \(5, 1\)"),
        (
            lambda: plots.predictions(PHOTOS, np.zeros((5, 1)), ["a"], labels=["a"], figure=Figure()),
            "one label for each of 5",
        ),
        (lambda: plots.predictions(PHOTOS, np.zeros((5, 1)), ["a"], most=0, figure=Figure()), "at least 1"),
        (lambda: plots.explanation(PHOTOS[0], np.zeros((4, 4)), figure=Figure()), r"shape \(4, 4\)"),
    ],
)
def test_what_can_not_be_drawn_is_said(draw, words):
    with pytest.raises(errors.InputError, match=words):
        draw()
