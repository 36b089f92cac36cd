"""`Autoencoder`: what it learns, what it returns, and that it survives a folder and serves an index."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.autoencoder.perceptual import PerceptualTargets

TABLE = fs.datasets.make_catalogue(72, seed=0)
TRAIN, REST = TABLE.images[:48], TABLE.images[48:]


def autoencoder(name="cnn", **options):
    given = {"training": fs.FineTuning(epochs=1, batch_size=16), "image_size": 32, **options}
    return fs.Autoencoder(name, random_state=0, progress=False, **given)


@pytest.fixture(scope="module")
def learned():
    training = fs.FineTuning(epochs=30, batch_size=16, augment="none")
    return autoencoder(training=training, perceptual=0).fit(TRAIN, validation=REST)


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("cnn", 32), ("resnet50", 64), pytest.param("vgg19", 32, marks=pytest.mark.slow)],
)
def test_every_kind_learns_and_survives_a_folder(name, image_size, tmp_path):
    model = autoencoder(name, image_size=image_size, latent_dim=8).fit(TRAIN, validation=REST)
    assert model.history_.columns == (
        "epoch",
        "training_loss",
        "training_error",
        "validation_loss",
        "validation_error",
        "learning_rate",
        "image_size",
        "seconds",
    )
    latents, drawn = model.embed(REST), model.reconstruct(REST)
    assert latents.shape == (24, 8)
    assert latents.dtype == np.float32
    assert drawn.shape == (24, image_size, image_size, 3)
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert np.isfinite(latents).all()
    model.save(tmp_path / "encoder")
    again = fs.Autoencoder.load(tmp_path / "encoder")
    assert np.array_equal(again.embed(REST), latents)
    assert np.array_equal(again.reconstruct(REST), drawn)
    assert (again.dim, again.latent_dim, again.training) == (8, 8, model.training)


def test_it_draws_better_than_the_mean_photo(learned):
    pixels = np.stack([learned.backbone_.preprocess.resized(image) for image in REST]) / 255
    mean = np.stack([learned.backbone_.preprocess.resized(image) for image in TRAIN]).mean(axis=0) / 255
    assert -learned.score(REST) < 0.8 * ((pixels - mean) ** 2).mean()


def test_errors_are_those_of_the_pixels(learned):
    pixels = np.stack([learned.backbone_.preprocess.resized(image) for image in REST]) / np.float32(255)
    expected = ((pixels - learned.reconstruct(REST)) ** 2).mean(axis=(1, 2, 3))
    each = learned.reconstruction_errors(REST)
    np.testing.assert_allclose(each, expected, rtol=1e-5)
    assert learned.score(REST) == pytest.approx(-each.mean())


def test_what_is_unusual_is_drawn_badly(learned):
    noise = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    assert learned.reconstruction_errors(noise).min() > learned.reconstruction_errors(TRAIN).max()


def test_latents_are_centred_and_the_drawings_as_if_they_were_not(learned):
    assert np.abs(learned.embed(TRAIN).mean(axis=0)).max() < 1e-4
    # The validation loss was measured before the latents were moved.
    assert -learned.score(REST) == pytest.approx(min(learned.history_["validation_loss"]), rel=1e-3)


def test_one_image_has_a_first_axis(learned):
    assert learned.embed(TRAIN[0]).shape == (1, 16)
    assert learned.reconstruct(TRAIN[0]).shape == (1, 32, 32, 3)
    assert learned.reconstruction_errors(TRAIN[0]).shape == (1,)
    assert learned.reconstruct([]).shape == (0, 32, 32, 3)
    assert learned.reconstruction_errors([]).shape == (0,)


def test_it_serves_an_index(learned, tmp_path):
    index = fs.VisualIndex(learned)
    index.add(TRAIN)
    assert index.search(TRAIN[7], k=1).ids.tolist() == [[7]]
    index.save(tmp_path / "index")
    again = fs.VisualIndex.load(tmp_path / "index")
    assert again.search(TRAIN[7], k=3).ids.tolist() == index.search(TRAIN[7], k=3).ids.tolist()
    again = fs.VisualIndex.load(tmp_path / "index", encoder=learned)
    other = autoencoder().set_params(random_state=1).fit(TRAIN)
    with pytest.raises(errors.EncoderMismatchError):
        fs.VisualIndex.load(tmp_path / "index", encoder=other)


def test_the_same_seed_gives_the_same_network(tmp_path):
    first, again = (autoencoder().fit(iter(TRAIN), checkpoints=tmp_path / name) for name in "ab")
    finished = autoencoder().fit(TRAIN, checkpoints=tmp_path / "a")
    assert np.array_equal(first.embed(REST), again.embed(REST))
    assert np.array_equal(first.embed(REST), finished.embed(REST))
    assert np.array_equal(first.reconstruct(REST), finished.reconstruct(REST))
    with pytest.raises(errors.InputError, match="another run: its latent_dim is 16, and now it is 4"):
        autoencoder(latent_dim=4).fit(TRAIN, checkpoints=tmp_path / "a")
    with pytest.raises(errors.InputError, match="another run: its perceptual is"):
        autoencoder(perceptual=0).fit(TRAIN, checkpoints=tmp_path / "a")


def test_scikit_learn_can_copy_it():
    model = autoencoder(latent_dim=4)
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(errors.NotFittedError, match=r"this Autoencoder has not learned yet; call fit"):
        model.embed(TRAIN)
    with pytest.raises(errors.NotFittedError):
        model.reconstruct(TRAIN)
    with pytest.raises(errors.NotFittedError):
        model.save("nowhere")


def test_what_photos_look_like_counts_by_its_weight():
    runs = [autoencoder(perceptual=weight).fit(TRAIN, validation=REST) for weight in (0, 1, 2)]
    alone, once, twice = (run.history_.rows[0] for run in runs)
    assert alone["validation_loss"] == alone["validation_error"]
    assert 0 < once["validation_loss"] - once["validation_error"] < 4
    assert (
        twice["validation_loss"] - twice["validation_error"]
        > once["validation_loss"] - once["validation_error"]
    )
    assert -runs[1].score(REST) == pytest.approx(once["validation_error"], rel=1e-3)


@pytest.mark.slow
def test_latents_tell_how_photos_look():
    training = fs.FineTuning(epochs=30, batch_size=16, augment="none")
    looks = PerceptualTargets(TRAIN)
    wanted, unseen = (each.astype(np.float32) for each in (looks.of_training(), looks.of(REST)))

    def explained(weight):
        model = autoencoder(training=training, perceptual=weight).fit(TRAIN, validation=REST)
        known, asked = (np.c_[model.embed(part), np.ones(len(part))] for part in (TRAIN, REST))
        solution = np.linalg.lstsq(known, wanted, rcond=None)[0]
        return 1 - ((asked @ solution - unseen) ** 2).mean() / (unseen**2).mean()

    assert explained(10) > explained(0) + 0.05


def test_looks_are_centred_and_scaled_on_the_training_photos():
    looks = PerceptualTargets(TRAIN)
    training = looks.of_training().astype(np.float32)
    assert training.shape == (48, looks.dim) == (48, 1280)
    assert abs(training.mean(axis=0)).max() < 1e-2
    assert (training**2).mean() == pytest.approx(1, rel=1e-2)
    assert np.allclose(looks.of(TRAIN[:5]), training[:5], atol=1e-2)
    with pytest.raises(errors.DataError, match="0 training photos, and at least 2"):
        PerceptualTargets([]).of_training()


def test_photos_that_all_look_the_same_are_no_noise():
    looks = PerceptualTargets([TRAIN[0]] * 5)
    assert not looks.of_training().any()
    assert abs(looks.of(REST[:4])).max() < 1


def test_checkpoints_hold_no_frozen_network(tmp_path):
    autoencoder().fit(TRAIN, checkpoints=tmp_path / "run")
    kept = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    parts = {name.removeprefix("learner.").removeprefix("objective.").split(".")[0] for name in kept}
    assert parts == {"network", "decoder", "describer"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"perceptual": -1}, "perceptual=-1 is not a number from 0 up"),
        ({"perceptual": float("nan")}, "perceptual=nan"),
        ({"perceptual": "much"}, "perceptual='much'"),
        ({"latent_dim": 0}, "latent_dim=0 is not a whole number"),
        ({"latent_dim": 2.5}, r"latent_dim=2\.5"),
        ({"training": fs.FineTuning(dropout=0.5)}, r"training has dropout=0\.5, and an autoencoder"),
        ({"training": fs.FineTuning(mixup=0.5)}, "has mixup"),
        ({"training": fs.FineTuning(progressive_resizing=True)}, "has progressive_resizing"),
        ({"training": fs.FineTuning(unfreeze="last")}, "unfreeze='last'"),
        ({"training": 5}, "training=5 is neither"),
        ({"weights": "default"}, "backbone 'cnn_grid' has no default weights"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises((errors.InputError, errors.WeightsError), match=words):
        autoencoder(**options).fit(TRAIN)


def test_bad_images_are_named(learned):
    with pytest.raises(errors.ImageError, match=r"image 1 \(nowhere\.jpg\)"):
        autoencoder().fit([TRAIN[0], "nowhere.jpg"])
    with pytest.raises(errors.ImageError, match=r"image 1 \(nowhere\.jpg\)"):
        learned.reconstruct([TRAIN[0], "nowhere.jpg"])
    with pytest.raises(errors.DataError, match="no images to score"):
        learned.score([])
    with pytest.raises(errors.DataError, match="0 training photos, and at least 2"):
        autoencoder().fit([])


@pytest.mark.parametrize("size", [(32, 32), (50, 34), (16, 100)])
def test_a_decoder_draws_any_size(size):
    drawn = Decoder(5, size)(torch.randn(2, 5))
    assert drawn.shape == (2, 3, *size)
    assert 0 <= drawn.min() <= drawn.max() <= 1
