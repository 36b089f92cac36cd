"""Which candidates a name gives, and what their rows say of how they learn."""

import json

import pytest
from harness import candidates

import fashionsearch as fs


def test_a_teacher_of_a_teacher_leaves_no_folder_in_a_row(table, tmp_path, candidate):
    fs.Classifier("grid_for_the_study").fit(table.images, table["masterCategory"]).save(tmp_path / "first")
    taught = fs.FineTuning(epochs=1, teacher=str(tmp_path / "first"))
    second = fs.Classifier("grid_for_the_study", weights=None, training=taught, progress=False)
    second.fit(table.images, table["masterCategory"]).save(tmp_path / "second")
    each = candidate(weights="distilled", training=fs.FineTuning(epochs=1, teacher=str(tmp_path / "second")))
    assert each.learning["teacher"]["training"]["epochs"] == 1
    assert str(tmp_path) not in json.dumps(each.learning)


def test_an_autoencoders_rows_say_what_it_learned_from():
    pair = candidates.make_candidates("autoencoder-cnn", weights="suitable")
    saved = pair[0].learning
    assert saved["autoencoder"] == {"latent_dim": 16, "perceptual": 1.0}
    assert pair[0].weights is None
    assert candidates.make_candidates("autoencoder-cnn", weights="default")[0].weights == "default"


@pytest.mark.parametrize(
    ("model", "weights", "scorers", "expected"),
    [
        ("cnn", None, (), ["finetuned"]),
        ("cnn", "suitable", (), ["finetuned"]),
        ("grid_for_the_study", "default", (), ["head"]),
        ("grid_for_the_study", "default", ("knn", "head", "finetuned"), ["head", "finetuned", "knn"]),
        ("baseline-majority", "default", (), ["head"]),
        ("baseline-pixels-pca-64-knn", "default", ("knn",), ["knn"]),
        ("autoencoder-cnn", None, ("probe",), ["probe"]),
    ],
)
def test_a_model_has_the_scorers_that_suit_it(model, weights, scorers, expected):
    made = candidates.make_candidates(model, weights=weights, scorers=scorers)
    assert [each.scorer for each in made] == expected
    for each in made:
        configuration = {"training": None, "autoencoder": {"perceptual": each.perceptual}}
        assert candidates.Candidate.again({**each.fields(), "configuration": configuration}) == each


def test_what_is_distilled_needs_a_teacher():
    with pytest.raises(ValueError, match="need a teacher"):
        candidates.make_candidates("cnn", weights="distilled", training=fs.FineTuning(epochs=1))


def test_a_scorer_that_suits_nothing_is_refused():
    with pytest.raises(ValueError, match="it has finetuned"):
        candidates.make_candidates("cnn", weights=None, scorers=["head"])
