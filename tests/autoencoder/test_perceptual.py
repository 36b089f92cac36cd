"""What an autoencoder must tell of how photos look, through kills, processes and precisions."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.autoencoder.perceptual import PerceptualTargets

TABLE = fs.datasets.make_catalogue(64, seed=0)
TRAIN, REST = TABLE.images[:48], TABLE.images[48:]


def autoencoder(**options):
    training = options.pop("training", fs.FineTuning(epochs=3, batch_size=16))
    return fs.Autoencoder("cnn", image_size=32, training=training, random_state=0, progress=False, **options)


def test_a_killed_run_resumes_with_the_targets_it_began_with(killer, tmp_path, monkeypatch):
    whole = autoencoder().fit(TRAIN, validation=REST, checkpoints=tmp_path / "whole")
    with pytest.raises(killer.StopError):
        autoencoder().fit(TRAIN, validation=REST, checkpoints=tmp_path / "run", loggers=[killer()])
    assert {path.name for path in (tmp_path / "run").glob("*.npy")} == {"training.npy", "validation.npy"}
    # Another runtime, or an emptied cache, would make them otherwise.
    monkeypatch.setattr(PerceptualTargets, "of_training", lambda targets: np.zeros((48, 1280), np.float16))
    monkeypatch.setattr(PerceptualTargets, "of", lambda targets, images: np.zeros((16, 1280), np.float16))
    again = autoencoder().fit(TRAIN, validation=REST, checkpoints=tmp_path / "run")
    assert np.array_equal(again.embed(REST), whole.embed(REST))
    assert again.history_["validation_loss"] == whole.history_["validation_loss"]
    assert not list((tmp_path / "run").glob("*.npy"))


def test_a_finished_run_embeds_nothing(tmp_path, monkeypatch):
    first = autoencoder().fit(TRAIN, validation=REST, checkpoints=tmp_path / "run")
    monkeypatch.setattr(
        PerceptualTargets, "_unit_vectors", lambda targets, images: pytest.fail("embedded again")
    )
    again = autoencoder().fit(TRAIN, validation=REST, checkpoints=tmp_path / "run")
    assert np.array_equal(again.embed(REST), first.embed(REST))


def test_damaged_targets_are_made_again(killer, tmp_path):
    whole = autoencoder().fit(TRAIN)
    with pytest.raises(killer.StopError):
        autoencoder().fit(TRAIN, checkpoints=tmp_path, loggers=[killer()])
    (tmp_path / "training.npy").write_bytes(b"nothing")
    with pytest.warns(errors.DataWarning, match=r"training\.npy is damaged.*made again"):
        again = autoencoder().fit(TRAIN, checkpoints=tmp_path)
    assert again.history_["training_loss"] == whole.history_["training_loss"]


def test_options_are_refused_before_a_photo_is_embedded(monkeypatch):
    monkeypatch.setattr(PerceptualTargets, "_unit_vectors", lambda targets, images: pytest.fail("embedded"))
    with pytest.raises(errors.InputError, match="not a list of Lightning loggers"):
        autoencoder().fit(TRAIN, loggers=5)


def test_two_processes_learn_them():
    training = fs.FineTuning(epochs=1, batch_size=16, devices=2)
    model = autoencoder(training=training, device="cpu").fit(TRAIN, validation=REST)
    row = model.history_.rows[0]
    assert row["validation_loss"] > row["validation_error"] > 0


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bf16", "training": fs.FineTuning(epochs=1, batch_size=16)},
        {"training": fs.FineTuning(epochs=1, autotune=True)},
    ],
)
def test_lower_precision_learns_them(options):
    row = autoencoder(**options).fit(TRAIN, validation=REST).history_.rows[0]
    assert np.isfinite(row["validation_loss"])
    assert row["validation_loss"] > row["validation_error"]
