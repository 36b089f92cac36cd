"""Figures and their intervals, against scikit-learn and by hand."""

import numpy as np
import pytest
from harness import figures
from sklearn.metrics import f1_score

import fashionsearch as fs


def test_macro_f1_is_scikit_learns_over_the_common_classes():
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c", "rare"], 400, p=[0.5, 0.3, 0.18, 0.02])
    labels[:3] = "rare"
    shares = rng.random((400, 4))
    shares[np.arange(400), np.searchsorted(["a", "b", "c", "rare"], labels)] += 0.7
    shares /= shares.sum(axis=1, keepdims=True)
    evaluation = fs.metrics.evaluate(labels, shares, ["a", "b", "c", "rare"])
    common = [row.label for row in evaluation.per_class if row.support >= 20]
    assert common == ["a", "b", "c"]
    figure = figures.macro_f1(evaluation, 20)
    assert figure.value == pytest.approx(
        f1_score(labels, evaluation.predictions, labels=common, average="macro")
    )
    assert figure.low < figure.value < figure.high
    assert np.isnan(figures.macro_f1(evaluation, 1000).value)
    assert str(figures.macro_f1(evaluation, 1000)) == "–"
    by_metric = {figure.metric: figure for figure in figures.harder_figures(evaluation)}
    assert by_metric["macro_f1"].classes == sum(row.support >= 10 for row in evaluation.per_class)
    cells = [(0, 0, 600), (0, 2, 1), (1, 1, 397), (2, 2, 3)]
    true = np.repeat(["a", "b", "c"], [601, 397, 3])
    guesses = np.concatenate([np.repeat(predicted, count) for _, predicted, count in cells])
    rare = figures.macro_f1(fs.metrics.evaluate(true, np.eye(3)[guesses], ["a", "b", "c"]), 1)
    assert 0.8 < rare.low < rare.high <= 1  # one in twenty resamples has none of the three
    error = fs.metrics.calibration_error(labels, shares, ["a", "b", "c", "rare"])
    assert by_metric["calibration_error"].value == pytest.approx(error)
    assert by_metric["calibration_error"].low < error < by_metric["calibration_error"].high


def test_a_network_whose_confidences_are_right_lies_among_what_chance_gives():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 1000)
    shares, classes = np.stack([confidence, 1 - confidence], axis=1), np.array(["a", "b"])
    value, low, high = figures.calibration_by_chance(shares, classes)
    assert 0 < low < value < high < 0.08
    labels = np.where(rng.random(1000) < confidence, "a", "b")
    found, least, most = figures.calibration_interval(labels, shares, classes, equal_mass=True)
    assert low < found < high
    assert found == fs.metrics.calibration_error(labels, shares, classes, equal_mass=True)
    assert least < found < most
    certain = figures.calibration_by_chance(np.eye(2)[[0, 1, 0]], classes)
    assert certain == (0, 0, 0)


def test_auc_leaves_out_rare_classes_and_the_weighted_one_does_not():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "rare"], [60, 60, 3])
    shares = rng.dirichlet([1, 1, 1], 123)
    evaluation = fs.metrics.evaluate(labels, shares, ["a", "b", "rare"])
    by_metric = {figure.metric: figure for figure in figures.study_figures(evaluation)}
    aucs = [row.auc for row in evaluation.per_class]
    assert by_metric["auc"].value == pytest.approx(np.mean(aucs[:2]))
    assert by_metric["weighted_auc"].value == pytest.approx(np.average(aucs, weights=[60, 60, 3]))
    assert (by_metric["auc"].classes, by_metric["weighted_auc"].classes) == (2, 3)


def test_retrieval_figures_by_hand():
    relevant = np.zeros((3, 10), bool)
    relevant[0, [0, 2]] = True
    relevant[1, 7] = True
    made = {
        figure.metric: figure.value for figure in figures.retrieval_figures(relevant, np.array([2, 50, 0]))
    }
    assert made["p_at_1"] == made["recall_at_1"] == 0.5  # the third query has nothing to find
    assert made["p_at_5"] == pytest.approx((2 / 5 + 0) / 2)
    assert (made["recall_at_5"], made["recall_at_10"]) == (0.5, 1)
    assert made["map_at_10"] == pytest.approx(((1 + 2 / 3) / 2 + (1 / 8) / 10) / 2)
