"""The ablation of the autoencoder's loss: each term is there, and only where it belongs."""

import argparse

import autoencoder_losses as script
import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch.autoencoder.decoder import Decoder
from fashionsearch.backbones.projection import Projected

PHOTOS = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LOOKS = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))


def learner(loss):
    torch.manual_seed(0)
    start = fs.create_backbone("cnn_grid", weights=None, image_size=32, random_state=0, device="cpu")
    encoder = Projected(start.module, start.dim, script.LATENTS)
    return script.Learner(encoder, Decoder(script.LATENTS, (32, 32)), start.preprocess, loss, LOOKS.shape[1])


@pytest.mark.parametrize("name", [name for name in script.LOSSES if name != "pixels"])
def test_each_loss_is_another(name):
    loss, plain = script.LOSSES[name], learner(script.Loss())
    model = learner(loss)
    torch.manual_seed(1)
    value, _ = model.training_loss(PHOTOS, LOOKS)
    value.backward()
    assert torch.isfinite(value)
    other, _ = plain.training_loss(PHOTOS, LOOKS)
    assert abs((value - other).item()) > 1e-6
    assert all(
        torch.isfinite(each.grad).all() for each in model.network.parameters() if each.grad is not None
    )


@pytest.mark.parametrize("name", ["pixels, masked input", "pixels, noisy input"])
def test_validation_photos_are_not_spoilt(name):
    model = learner(script.LOSSES[name]).eval()
    plain = learner(script.Loss()).eval()
    found, wanted = (each.validation_figures(PHOTOS, LOOKS) for each in (model, plain))
    assert found["validation_loss"] == wanted["validation_loss"]


def test_masking_blanks_whole_patches():
    torch.manual_seed(0)
    spoilt = learner(script.Loss(masked=0.5))._spoilt(PHOTOS)
    grey = (spoilt == 0.5).all(dim=1).reshape(6, 8, 4, 8, 4)
    patches = grey.all(dim=(2, 4))
    assert (patches == grey.any(dim=(2, 4))).all()
    assert 0.3 < patches.float().mean() < 0.7


def test_a_row_measures_the_latents(tmp_path):
    table = fs.datasets.make_catalogue(60, seed=0)
    options = argparse.Namespace(backbone="cnn", epochs=2, precision=None, image_size=32, seed=0)
    loss = script.LOSSES["pixels and structural similarity"]
    row = script.measure(table[:48], table[48:], loss, options, tmp_path / "run")
    assert 0 < row["accuracy"] <= 1
    assert 0 < row["p_at_5"] <= 1
    assert 0 < row["pixel_error"] < 0.3
    assert row["best_epoch"] in (1, 2)
    assert np.isfinite(row["seconds"])
    # From its checkpoints the same, and not trained again.
    again = script.measure(table[:48], table[48:], loss, options, tmp_path / "run")
    assert again == row


def test_the_looks_of_a_drawing_are_learned_and_their_network_is_not():
    measure = script.DrawnLooks(48)
    before = {name: tensor.clone() for name, tensor in measure.state_dict().items()}
    photos = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    drawn = torch.full_like(photos, 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([drawn], lr=0.02)
    losses = []
    for _ in range(12):
        loss = measure.train()(drawn, photos)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0] < 4
    assert all(torch.equal(tensor, before[name]) for name, tensor in measure.state_dict().items())
    assert float(measure(photos, photos)) == 0
