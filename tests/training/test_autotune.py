"""The precision and memory format that a network learns in: how they are chosen, kept and used."""

import json

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.tagging.learner import tagging_learner
from fashionsearch.training import autotune
from fashionsearch.training.autotune import ComputeMode, fastest_mode
from fashionsearch.training.data import PhotoDataset, decode_photos
from fashionsearch.training.run_folder import open_run_folder

TABLE = fs.datasets.make_catalogue(48, seed=0)
LABEL = "masterCategory"
USUAL, LOW, PLAIN = ComputeMode("fp32"), ComputeMode("bf16", "contiguous"), ComputeMode("fp32", "contiguous")


def classifier(**options):
    training = fs.FineTuning(autotune=True, epochs=2, batch_size=16, mixup=0.3, **options)
    return fs.Classifier(
        "cnn", weights=None, training=training, image_size=32, random_state=0, progress=False, device="cpu"
    )


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({USUAL: 1.0, LOW: 0.5, PLAIN: 0.8}, LOW),
        ({USUAL: 1.0, LOW: 1.4, PLAIN: 0.85}, PLAIN),
        ({USUAL: 1.0, LOW: 0.92, PLAIN: 0.95}, USUAL),
        ({USUAL: 1.0}, USUAL),
    ],
)
def test_another_mode_must_save_a_tenth(seconds, chosen, monkeypatch, tmp_path):
    monkeypatch.setattr(autotune, "_timed_steps", lambda *_: seconds)
    placement = fs.create_backbone("cnn", weights=None, image_size=32, device="cpu").placement
    with open_run_folder(tmp_path / "run", 0) as run:
        assert fastest_mode(torch.nn.Identity(), None, placement, run) == chosen
        noted = json.loads((tmp_path / "run" / "run.json").read_text())["compute_mode"]
        assert (noted["precision"], noted["layout"]) == (chosen.precision, chosen.layout)
        assert noted["milliseconds"][str(USUAL)] == 1000
        monkeypatch.setattr(autotune, "_timed_steps", lambda *_: pytest.fail("it was timed again"))
        assert fastest_mode(torch.nn.Identity(), None, placement, run) == chosen


def test_timing_leaves_the_network_as_it_was(tmp_path):
    backbone = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0, device="cpu")
    options = fs.FineTuning(mixup=0.3).recipe("scratch")
    learner = tagging_learner(backbone, options, [np.ones(2, np.float32)]).eval()
    photos = decode_photos(TABLE.images, backbone.preprocess, tmp_path / "pixels", progress=False)
    dataset = PhotoDataset(photos, (torch.arange(48) % 2)[:, None], options.augmentation)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    with open_run_folder(None, 0) as run:
        chosen = fastest_mode(learner, dataset, backbone.placement, run)
    assert chosen.precision in ("fp32", "bf16")
    assert not learner.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())
    seconds = autotune._timed_steps(learner, dataset, backbone.placement, USUAL)
    assert USUAL in seconds
    assert all(value > 0 for value in seconds.values())


class Notes(torch.nn.Module):
    """Notes the precision and memory format of every training step."""

    def __init__(self, seen):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3, stride=2)
        self.seen = seen

    def forward(self, images):
        maps = self.layer(images)
        if self.training:
            self.seen.append((maps.dtype, images.is_contiguous(memory_format=torch.channels_last)))
        return maps.float().mean(dim=(2, 3))

    def __deepcopy__(self, memo):
        copy = Notes([])
        copy.load_state_dict(self.state_dict())
        return copy


@pytest.mark.parametrize("mode", [USUAL, LOW, PLAIN])
def test_the_network_learns_in_what_was_chosen(mode, monkeypatch):
    seen = []

    @fs.register_backbone("notes_its_mode", image_size=32, replace=True)
    def notes_its_mode(weights):
        return Notes(seen)

    monkeypatch.setattr(autotune, "_timed_steps", lambda *_: {USUAL: 1.0, mode: 0.5})
    model = classifier(ema=False).set_params(backbone="notes_its_mode")
    model.fit(TABLE.images, TABLE[LABEL])
    dtype = torch.bfloat16 if mode.precision == "bf16" else torch.float32
    assert set(seen) == {(dtype, mode.layout == "channels_last")}
    assert model.backbone_.precision == "fp32", "photos are embedded in the classifier's precision"


def test_a_run_resumes_in_the_mode_it_began_in(monkeypatch, killer, tmp_path):
    few = TABLE[:32]
    monkeypatch.setattr(autotune, "_timed_steps", lambda *_: {USUAL: 1.0, LOW: 0.5})
    whole = classifier().fit(few.images, few[LABEL], checkpoints=tmp_path / "whole")
    with pytest.raises(killer.StopError):
        classifier().fit(few.images, few[LABEL], checkpoints=tmp_path / "killed", loggers=[killer()])
    monkeypatch.setattr(autotune, "_timed_steps", lambda *_: pytest.fail("it was timed again"))
    for _ in range(2):  # resumes, and then only reads
        again = classifier().fit(few.images, few[LABEL], checkpoints=tmp_path / "killed")
        assert again.backbone_.weights_hash == whole.backbone_.weights_hash
        assert again.history_["training_loss"] == whole.history_["training_loss"]


def test_what_can_not_be_timed_is_refused():
    with pytest.raises(errors.InputError, match="learn on cpu; leave it out"):
        classifier(devices=2).fit(TABLE.images, TABLE[LABEL])
    with pytest.raises(errors.InputError, match=r"precision='bf16' is for Classifier or Autoencoder"):
        fs.FineTuning(precision="bf16")
