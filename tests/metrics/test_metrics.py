"""Figures equal scikit-learn's, intervals hold what they promise, and nothing is silently left out."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from fashionsearch import errors
from fashionsearch.metrics import (
    average_precision_at_k,
    bootstrap_interval,
    calibration_error,
    evaluate,
    precision_at_k,
    recall_at_k,
    wilson_interval,
)


def draw(n=400, classes=("dress", "jeans", "shirt", "shoe"), seed=0, shares=None):
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(classes), n, p=shares)
    scores = rng.normal(size=(n, len(classes)))
    scores[np.arange(n), truth] += 1.2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return np.array(classes)[truth], probabilities, np.array(classes)


def test_every_figure_is_scikit_learns():
    truth, probabilities, classes = draw(shares=[0.6, 0.25, 0.1, 0.05])
    predictions = classes[probabilities.argmax(axis=1)]
    evaluation = evaluate(truth, probabilities, classes)
    assert evaluation.accuracy == pytest.approx(sk.accuracy_score(truth, predictions))
    for average, prefix in (("macro", ""), ("weighted", "weighted_")):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, predictions, average=average)
        assert getattr(evaluation, f"{prefix}precision") == pytest.approx(precision)
        assert getattr(evaluation, f"{prefix}recall") == pytest.approx(recall)
        assert getattr(evaluation, f"{prefix}f1") == pytest.approx(f1)
        auc = sk.roc_auc_score(truth, probabilities, multi_class="ovr", average=average, labels=classes)
        assert getattr(evaluation, f"{prefix}auc") == pytest.approx(auc)
    np.testing.assert_array_equal(
        evaluation.confusion, sk.confusion_matrix(truth, predictions, labels=classes)
    )
    report = sk.classification_report(truth, predictions, output_dict=True)
    for row in evaluation.per_class:
        assert row.precision == pytest.approx(report[row.label]["precision"])
        assert row.f1 == pytest.approx(report[row.label]["f1-score"])
        assert row.support == report[row.label]["support"]
    assert evaluation.unscored == ()


def test_two_classes():
    truth, probabilities, classes = draw(classes=("no", "yes"))
    evaluation = evaluate(truth, probabilities, classes)
    expected = sk.roc_auc_score(truth == "yes", probabilities[:, 1])
    assert evaluation.auc == pytest.approx(expected)
    assert evaluation.weighted_auc == pytest.approx(expected)
    assert evaluation.precision == pytest.approx(
        sk.precision_score(truth, evaluation.predictions, average="macro")
    )


def test_classes_in_any_order_and_of_any_type():
    truth, probabilities, classes = draw()
    order = [2, 0, 3, 1]
    expected, shuffled = (
        evaluate(truth, probabilities, classes),
        evaluate(truth, probabilities[:, order], classes[order]),
    )
    assert shuffled.to_dict() == expected.to_dict()
    numbers = np.searchsorted(classes, truth)
    assert evaluate(numbers, probabilities, [0, 1, 2, 3]).f1 == pytest.approx(expected.f1)
    assert evaluate(truth.astype(object), probabilities, list(classes)).auc == pytest.approx(expected.auc)


def test_a_class_the_classifier_does_not_know_is_an_error_and_reported():
    evaluation = evaluate(["a", "b", "c", "c"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], ["a", "b"])
    assert evaluation.classes.tolist() == ["a", "b", "c"]
    assert evaluation.accuracy == 0.5
    assert evaluation.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [2, 0, 0]]
    assert evaluation.probabilities[:, 2].tolist() == [0, 0, 0, 0]
    assert {row.label: row.recall for row in evaluation.per_class} == {"a": 1, "b": 1, "c": 0}
    assert {row.label: row.precision for row in evaluation.per_class} == {
        "a": pytest.approx(1 / 3),
        "b": 1,
        "c": 0,
    }


def test_rare_classes_are_named_and_not_scored():
    truth, probabilities, classes = draw(n=60)
    truth[truth == "shoe"] = "dress"
    truth[:2] = "shoe"
    evaluation = evaluate(truth, probabilities, classes, min_support=3)
    assert evaluation.unscored == ("shoe",)
    assert "no AUC (too few examples): shoe" in repr(evaluation)
    scored = [
        sk.roc_auc_score(truth == label, probabilities[:, i])
        for i, label in enumerate(classes)
        if label != "shoe"
    ]
    assert evaluation.auc == pytest.approx(np.mean(scored))
    absent = evaluate(["a", "b"], [[0.9, 0.1, 0], [0.1, 0.9, 0]], ["a", "b", "never"])
    assert absent.unscored == ("never",)
    assert absent.precision == 1.0


def test_one_class_only():
    evaluation = evaluate(["a", "a"], [[1.0], [1.0]], ["a"])
    assert evaluation.accuracy == 1
    assert math.isnan(evaluation.auc)
    assert evaluation.unscored == ("a",)
    assert evaluation.to_dict()["auc"] is None


@pytest.mark.parametrize("n", [5, 60, 400])
def test_intervals_hold_the_value(n):
    evaluation = evaluate(*draw(n=n))
    assert set(evaluation.intervals) >= {
        "accuracy",
        "precision",
        "recall",
        "f1",
        "auc",
        "weighted_f1",
        "weighted_auc",
    }
    for figure in evaluation.intervals:
        low, high = evaluation.interval(figure)
        assert 0 <= low <= getattr(evaluation, figure) <= high <= 1
    with pytest.raises(errors.InputError, match="Did you mean 'accuracy'"):
        evaluation.interval("acuracy")


def test_an_interval_is_of_the_same_classes_as_its_figure():
    """Three of 100 photos are of a class that is never guessed; a resample without them is no reason to leave it out."""
    labels = np.repeat(["a", "b", "rare"], [60, 37, 3])
    shares = np.eye(3)[np.repeat([0, 1, 0], [60, 37, 3])]
    evaluation = evaluate(labels, shares, ["a", "b", "rare"])
    assert evaluation.recall == pytest.approx(2 / 3)
    for name in ("precision", "recall", "f1"):
        low, high = evaluation.interval(name)
        assert low <= getattr(evaluation, name) <= high <= 2 / 3 + 1e-9
    # Nor is one photo wrongly given that class, in a resample without it, a reason to count the class as never found.
    labels = np.repeat(["a", "b", "rare"], [600, 397, 3])
    guessed = np.repeat([0, 1, 2], [600, 397, 3])
    guessed[0] = 2
    low, high = evaluate(labels, np.eye(3)[guessed], ["a", "b", "rare"]).interval("recall")
    assert 0.99 < low < high <= 1


def test_intervals_are_the_same_every_time():
    assert evaluate(*draw(), random_state=3).intervals == evaluate(*draw(), random_state=3).intervals


def test_intervals_cover():
    """Of 120 studies, about 95 % of the intervals hold the value of a study of 40,000."""
    large = evaluate(*draw(n=40_000, seed=10_000))
    held = dict.fromkeys(("accuracy", "f1", "auc", "weighted_auc"), 0)
    for seed in range(120):
        small = evaluate(*draw(n=200, seed=seed))
        for figure in held:
            low, high = small.interval(figure)
            held[figure] += low <= getattr(large, figure) <= high
    for figure, count in held.items():
        assert count >= 106, (figure, count)


def test_auc_interval_against_the_bootstrap():
    truth, probabilities, classes = draw(n=300)
    low, high = evaluate(truth, probabilities, classes).interval("auc")
    rng = np.random.default_rng(0)
    values = []
    for _ in range(200):
        rows = rng.integers(0, 300, 300)
        values.append(sk.roc_auc_score(truth[rows], probabilities[rows], multi_class="ovr", labels=classes))
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(values), rel=0.2)


def test_wilson_against_published_values():
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(20, 20)[1] == 1
    for hits, n in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(errors.InputError, match="are not a proportion"):
            wilson_interval(hits, n)


@pytest.mark.parametrize(
    ("labels", "probabilities", "classes", "words"),
    [
        ([], np.zeros((0, 2)), ["a", "b"], "there are no labels"),
        (
            ["a"],
            [[0.5, 0.5], [0.5, 0.5]],
            ["a", "b"],
            r"shape \(2, 2\), and 1 labels of 2 classes need \(1, 2\)",
        ),
        (["a"], [[1.0]], ["a", "b"], "need"),
        (["a"], [0.5, 0.5], ["a", "b"], "need"),
        (["a"], [[np.nan, 0.5]], ["a", "b"], "NaN or infinity"),
        (["a"], [["x", "y"]], ["a", "b"], "not an .* array of numbers"),
        (["a", "b"], [[0.5, 0.5], [0.5]], ["a", "b"], "not an .* array of numbers"),
        ([["a"]], [[0.5, 0.5]], ["a", "b"], r"labels have shape \(1, 1\)"),
        ("a", [[0.5, 0.5]], ["a", "b"], r"labels have shape \(\)"),
        (["a"], [[0.5, 0.5]], ["a", "a"], "each once"),
        (["a"], np.zeros((1, 0)), [], "classes"),
        ([1], [[0.5, 0.5]], ["a", "b"], "both as text, or both as numbers"),
        ([None, "b"], [[0.5, 0.5]] * 2, ["a", "b"], "can't be compared"),
        ([1.0, np.nan], [[0.5, 0.5]] * 2, [1.0, 2.0], "hold NaN"),
    ],
)
def test_what_is_refused(labels, probabilities, classes, words):
    with pytest.raises(errors.InputError, match=words):
        evaluate(labels, probabilities, classes)


def test_recall_at_k():
    assert recall_at_k([["a", "b"], ["c", "x"]], [["a", "b"], ["c", "d"]]) == 0.75
    assert recall_at_k(np.array([[3, 1, 2]]), np.array([[1, 2, 3]])) == 1
    assert recall_at_k([[1, 2, 3, 4]], [[4]]) == 1
    assert recall_at_k([[None, 1]], [[1, None]]) == 1
    assert recall_at_k([[1], [2]], [[1], [None]]) == 1  # the second query expects nothing
    with pytest.raises(errors.InputError, match="found has 1 queries and expected has 2"):
        recall_at_k([[1]], [[1], [2]])
    for nothing in ([], [[]], [[None]]):
        with pytest.raises(errors.InputError, match="no recall to measure"):
            recall_at_k(nothing, nothing)


def test_precision_at_k():
    assert precision_at_k([["a", "b"], ["b", "b"], ["c", None]], ["a", "b", "c"]) == pytest.approx(4 / 6)
    for matched, expected in (
        ([], []),
        ([["a"]], ["a", "b"]),
        (["a"], ["a"]),
        ([["a"], ["a", "b"]], ["a", "b"]),
    ):
        with pytest.raises(errors.InputError, match="matched has"):
            precision_at_k(matched, expected)


def test_the_calibration_error_is_the_distance_of_confidence_from_accuracy():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 4000)
    right = rng.random(4000) < confidence
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert calibration_error(np.where(right, "a", "b"), probabilities, ["a", "b"]) < 0.03
    too_sure = [[1.0, 0.0]] * 10
    assert calibration_error(["a"] * 6 + ["b"] * 4, too_sure, ["a", "b"]) == pytest.approx(0.4)
    # By hand, two bins: (0.5, 1] holds 0.6 right, 0.8 wrong and 1.0 right; the other is empty.
    shares = [[0.6, 0.4], [0.8, 0.2], [0.0, 1.0]]
    expected = abs((1 - 0.6) + (0 - 0.8) + (1 - 1.0)) / 3
    assert calibration_error(["a", "c", "b"], shares, ["a", "b"], bins=2) == pytest.approx(expected)
    # A confidence on an edge belongs to the bin below it.
    assert calibration_error(["a", "b"], [[0.5, 0.5], [0.6, 0.4]], ["a", "b"], bins=2) == pytest.approx(0.55)


def test_bins_of_equal_mass_hold_as_many_predictions():
    # By hand, two bins: 0.6 wrong and 0.7 right; 0.8 right and 0.9 wrong. All four are in one bin of equal width.
    shares = [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3]]
    expected = (abs((0 - 0.6) + (1 - 0.7)) + abs((1 - 0.8) + (0 - 0.9))) / 4
    labels = ["b", "b", "a", "a"]
    assert calibration_error(labels, shares, ["a", "b"], bins=2, equal_mass=True) == pytest.approx(expected)
    # Equal confidences stay together, whatever their order.
    same, labels = [[0.7, 0.3]] * 4, ["a", "b", "a", "b"]
    assert calibration_error(labels, same, ["a", "b"], bins=2, equal_mass=True) == pytest.approx(0.2)
    # More bins than predictions: each is alone.
    alone = calibration_error(["a", "b"], [[0.9, 0.1], [0.6, 0.4]], ["a", "b"], bins=15, equal_mass=True)
    assert alone == pytest.approx((0.1 + 0.6) / 2)


@pytest.mark.parametrize(
    ("labels", "probabilities", "bins", "message"),
    [
        ([], np.zeros((0, 2)), 15, "at least one label"),
        (["a"], [[0.2, 0.3, 0.5]], 15, "need"),
        (["a"], [[0.9, 1.7]], 15, "outside"),
        (["a"], [[0.9, np.nan]], 15, "outside"),
        (["a"], [[0.9, 0.1]], 0, "bins=0"),
    ],
)
def test_the_calibration_error_says_what_is_wrong(labels, probabilities, bins, message):
    with pytest.raises(errors.InputError, match=message):
        calibration_error(np.array(labels, dtype=str), probabilities, ["a", "b"], bins=bins)


def test_average_precision_at_k_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    relevant = rng.random((50, 20)) < 0.3
    relevant[:, 0] |= ~relevant.any(axis=1)
    ours = average_precision_at_k(relevant, relevant.sum(axis=1))
    ranks = -np.arange(20)
    theirs = [sk.average_precision_score(row, ranks) for row in relevant]
    assert ours == pytest.approx(theirs)
    # More relevant items than places: all places relevant is perfect.
    assert average_precision_at_k([[True] * 5, [False] * 5], [100, 3]).tolist() == [1, 0]
    assert average_precision_at_k([[False, True]], [4]).tolist() == [0.25]


@pytest.mark.parametrize(
    ("relevant", "available"),
    [
        ([[True, True]], [1]),
        ([[False]], [0]),
        ([[True]], [1, 1]),
        ([[]], [1]),
        ([[True], [True, False]], [1, 1]),
    ],
)
def test_average_precision_at_k_says_what_is_wrong(relevant, available):
    with pytest.raises(errors.InputError):
        average_precision_at_k(relevant, available)


def test_the_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, random_state=1) != (low, high)
    assert bootstrap_interval([0.5]) == (0.5, 0.5)
    for wrong in ([], [np.nan], [[1.0]], ["a"]):
        with pytest.raises(errors.InputError, match="values"):
            bootstrap_interval(wrong)
    with pytest.raises(errors.InputError, match="resamples"):
        bootstrap_interval([1.0], resamples=0)
