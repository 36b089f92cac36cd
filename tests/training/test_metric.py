"""`MetricLearning`: its fields, kept as JSON and checked."""

import json

import pytest

from fashionsearch import errors
from fashionsearch.training import MetricLearning


def test_it_is_kept_as_json():
    metric = MetricLearning(loss="triplet", attributes={"a+b": 2}, copies=2)
    assert MetricLearning.from_dict(json.loads(json.dumps(metric.to_dict()))) == metric
    with pytest.raises(errors.InputError, match="upgrade"):
        MetricLearning.from_dict({"magic": 1})


@pytest.mark.parametrize("loss", ["proxy_anchor", "multi_similarity", "triplet"])
def test_a_temperature_that_no_loss_hears_is_refused(loss):
    with pytest.raises(errors.InputError, match=r"temperature=0.2.*leave it out"):
        MetricLearning(loss=loss, temperature=0.2)
    assert MetricLearning(loss=loss, temperature=0.1).loss == loss
    assert MetricLearning(loss=loss, temperature=0.2, copies=2).temperature == 0.2  # between copies
    assert MetricLearning(loss="arcface", temperature=0.2).temperature == 0.2


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "supcon"},
        {"attributes": {}},
        {"attributes": {"a": 0}},
        {"attributes": ["a"]},
        {"attributes": {"a": float("nan")}},
        {"weight": -1},
        {"weight": float("nan")},
        {"balance": 1.5},
        {"temperature": 0},
        {"copies": 0},
        {"copies": True},
        {"distillation": "much"},
    ],
)
def test_what_can_not_be_used_is_refused(options):
    with pytest.raises(errors.InputError, match=next(iter(options))):
        MetricLearning(**options)
