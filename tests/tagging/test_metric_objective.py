"""What makes photos alike by default, and what the loss is made of."""

import numpy as np
import pytest
import torch

from fashionsearch import errors
from fashionsearch.tagging.metric_objective import MetricObjective, likenesses, numbered
from fashionsearch.tagging.objective import TaggingObjective
from fashionsearch.targets import Targets
from fashionsearch.training import MetricLearning


def targets(n=400):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 8, n)
    part, colour, season = kind // 2, rng.integers(0, 6, n), rng.integers(0, 2, n)
    classes = {
        name: np.arange(size) for name, size in (("part", 4), ("kind", 8), ("season", 2), ("colour", 6))
    }
    return Targets(np.stack([part, kind, season, colour], axis=1), classes)


def objective(metric, given, *, dim=8, known=None):
    sizes = {name: len(classes) for name, classes in given.classes.items()}
    tags = TaggingObjective(dim, [np.ones(size, np.float32) for size in sizes.values()])
    return MetricObjective(tags, metric, likenesses(metric, given), sizes, dim=dim, known=known)


def test_the_finest_attribute_counts_and_it_with_what_adds_most():
    assert likenesses(MetricLearning(), targets()) == {"kind": 1.0, "kind+colour": 1.0}
    one = Targets(targets().indices[:, :1], {"part": np.arange(4)})
    assert likenesses(MetricLearning(), one) == {"part": 1.0}
    named = MetricLearning(attributes={"colour": 2.0})
    assert likenesses(named, targets()) == {"colour": 2.0}
    with pytest.raises(errors.InputError, match="Did you mean 'colour'"):
        likenesses(MetricLearning(attributes={"kind+color": 1.0}), targets())


def test_photos_are_numbered():
    assert numbered(np.array([[3, -1], [0, 2]])).tolist() == [[3, -1, 0], [0, 2, 1]]


def test_a_better_embedding_has_a_lower_loss():
    given = targets()
    wanted = torch.from_numpy(numbered(given.indices))
    torch.manual_seed(0)
    measure = objective(MetricLearning(weight=1.0, attributes={"kind": 1.0}), given)
    good = torch.nn.functional.one_hot(wanted[:, 1], 8).float()
    bad = torch.nn.functional.normalize(torch.randn(400, 8), dim=1)
    with torch.no_grad():
        metric_part = [
            float(
                measure.training_loss(each, wanted)[0] - measure.tags.training_loss(each, wanted[:, :-1])[0]
            )
            for each in (good, bad)
        ]
    assert metric_part[0] < metric_part[1] - 1


def test_a_photo_with_an_unknown_label_is_like_no_other():
    given = targets(40)
    unknown = given.indices.copy()
    unknown[:, 1] = -1
    wanted = torch.from_numpy(numbered(unknown))
    measure = objective(MetricLearning(attributes={"kind": 1.0, "kind+colour": 1.0}), given)
    embeddings = torch.nn.functional.normalize(torch.randn(40, 8), dim=1)
    with torch.no_grad():
        loss, _ = measure.training_loss(embeddings, wanted)
    assert float(loss) == pytest.approx(
        float(measure.tags.training_loss(embeddings, wanted[:, :-1])[0].detach())
    )


def test_copies_and_what_the_network_knew_count():
    given = targets(40)
    known = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    measure = objective(MetricLearning(weight=0.5, copies=2, distillation=2.0), given, known=known)
    wanted = torch.from_numpy(numbered(given.indices)).repeat_interleave(2, 0)
    apart = torch.nn.functional.normalize(torch.randn(80, 8), dim=1)
    together = apart[::2].repeat_interleave(2, 0)
    with torch.no_grad():
        losses = [float(measure.training_loss(each, wanted)[0]) for each in (together, apart)]
    assert losses[0] < losses[1]
    loss, _ = measure.training_loss(together, wanted)
    loss.backward()
    assert measure.recall.weight.grad.abs().sum() > 0


def test_a_collapsed_embedding_stops_the_training():
    given = targets(40)
    measure = objective(MetricLearning(), given)
    wanted = torch.from_numpy(numbered(given.indices))
    same = torch.nn.functional.normalize(torch.ones(40, 8) + 1e-4 * torch.randn(40, 8), dim=1)
    for _ in range(24):
        measure.training_loss(same, wanted)
    with pytest.raises(errors.TrainingError, match=r"collapsed.*learning_rate"):
        measure.training_loss(same, wanted)
    healthy = objective(MetricLearning(), given)
    for _ in range(30):
        healthy.training_loss(torch.nn.functional.normalize(torch.randn(40, 8), dim=1), wanted)
