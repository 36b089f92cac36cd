"""Losses by name, ours compared with pytorch-metric-learning's."""

import sys

import pytest
import torch

from fashionsearch import errors
from fashionsearch.training.metric import LOSS_NAMES
from fashionsearch.training.metric_losses import LOSSES, KnownOnly


def batch(n=48, classes=6, dim=10):
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(n, dim), dim=1).requires_grad_(True)
    return embeddings, torch.arange(n) % classes


def test_every_name_has_a_loss():
    assert tuple(LOSSES) == LOSS_NAMES


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_each_leads_to_embeddings_that_tell_classes(name):
    pytest.importorskip("pytorch_metric_learning")
    embeddings, labels = batch()
    torch.manual_seed(1)
    loss = LOSSES[name](6, 10, 0.1)
    free = embeddings.detach().clone().requires_grad_(True)
    optimiser = torch.optim.Adam([free, *loss.parameters()], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss(torch.nn.functional.normalize(free, dim=1), labels).backward()
        optimiser.step()
    unit = torch.nn.functional.normalize(free.detach(), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(dim=1)
    assert (labels[nearest] == labels).float().mean() > 0.9


def test_ours_is_theirs():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    embeddings, labels = batch()
    theirs = losses.SupConLoss(temperature=0.1)(embeddings, labels)
    ours = LOSSES["supervised_contrastive"](6, 10, 0.1)(embeddings, labels)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)


def test_unknown_labels_are_left_out():
    embeddings, labels = batch()
    loss = KnownOnly(LOSSES["supervised_contrastive"](6, 10, 0.1))
    half = torch.where(torch.arange(48) < 24, labels, -1)
    there, alone = loss(embeddings, half), loss(embeddings[:24], labels[:24])
    assert float(there.detach()) == pytest.approx(float(alone.detach()))
    nobody = loss(embeddings, torch.full((48,), -1))
    nobody.backward()
    assert float(nobody.detach()) == 0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(errors.MissingPackageError, match="pip install pytorch-metric-learning"):
        LOSSES["proxy_anchor"](3, 4, 0.1)
