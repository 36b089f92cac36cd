"""Losses of logits: labels plain, blended and unknown, and what a teacher says."""

import pytest
import torch
from torch.nn import functional

from fashionsearch.training.augmentation import MixUp
from fashionsearch.training.losses import accuracy, cross_entropy, distillation

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])
WEIGHTS = torch.tensor([1.0, 5.0, 0.5])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_an_unknown_label_counts_for_nothing(smoothing, weights):
    some = torch.where(torch.arange(6) < 4, LABELS, -1)
    options = {"class_weights": weights, "label_smoothing": smoothing}
    expected = cross_entropy(LOGITS[:4], LABELS[:4], **options)
    torch.testing.assert_close(cross_entropy(LOGITS, some, **options), expected)
    shares = functional.one_hot(LABELS, 3).float() * (some >= 0)[:, None]
    torch.testing.assert_close(cross_entropy(LOGITS, shares, **options), expected)
    assert accuracy(LOGITS, some) == accuracy(LOGITS, shares) == accuracy(LOGITS[:4], LABELS[:4])


def test_blended_labels_are_torchs_cross_entropy():
    shares = torch.softmax(torch.randn(6, 3), dim=1)
    torch.testing.assert_close(
        cross_entropy(LOGITS, shares, label_smoothing=0.2),
        functional.cross_entropy(LOGITS, shares, label_smoothing=0.2),
    )


def test_where_nothing_is_known_there_is_nothing_to_learn():
    logits = LOGITS.clone().requires_grad_()
    for targets in (torch.full((6,), -1), torch.zeros(6, 3)):
        loss = cross_entropy(logits, targets)
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()
        assert accuracy(logits, targets) == 0


def test_the_distillation_loss_is_hintons():
    teacher, student = torch.randn(5, 3), torch.randn(5, 3, requires_grad=True)
    assert distillation(teacher, teacher, temperature=4.0).item() == pytest.approx(0, abs=1e-5)
    p, q = (each.div(4).softmax(dim=1) for each in (teacher, student))
    expected = 16 * (p * (p.log() - q.log())).sum(dim=1).mean()
    torch.testing.assert_close(distillation(student, teacher, temperature=4.0), expected, rtol=1e-4, atol=0)


def test_mixup_blends_photos_and_labels_of_every_attribute_alike():
    photos = torch.arange(4, dtype=torch.float32)[:, None, None, None].expand(4, 3, 2, 2)
    targets = torch.tensor([[0, 1], [1, -1], [2, 0], [0, 1]])
    torch.manual_seed(0)
    blended, (first, second) = MixUp(0.4, [3, 2])(photos, targets)
    share = float(first[2, 2])
    assert 0 < share < 1
    torch.testing.assert_close(blended[2], photos[2] * share + photos[1] * (1 - share))
    torch.testing.assert_close(first.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(second[1], torch.tensor([0.0, 1 - share]))  # half of it is unknown
    assert torch.equal(targets, torch.tensor([[0, 1], [1, -1], [2, 0], [0, 1]]))


def test_photos_whose_classes_all_weigh_nothing_teach_nothing():
    weightless = torch.tensor([0.0, 1.0, 0.0])
    logits = LOGITS[:2].clone().requires_grad_()
    for targets in (torch.tensor([0, 2]), functional.one_hot(torch.tensor([0, 2]), 3).float()):
        loss = cross_entropy(logits, targets, class_weights=weightless)
        loss.backward()
        assert loss.item() == 0
