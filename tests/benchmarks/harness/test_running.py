"""What was measured is not measured again, and a rerun measures what its file holds."""

import importlib.metadata
import json
import re

import numpy as np
import pytest
import torch
from harness import candidates, figures, rows, running, tasks

import fashionsearch as fs


def test_a_row_says_everything(bench, tmp_path, candidate, measured):
    found = measured(bench, candidate(), ["masterCategory", "retrieval"], tmp_path / "out")
    for row in found:
        assert set(rows.FIELDS) <= set(row)
        assert row["value"] is None or row["low"] - 1e-9 <= row["value"] <= row["high"] + 1e-9 <= 1 + 2e-9
        assert row["environment"]["torch"] == importlib.metadata.version("torch")
        assert row["environment"]["fashionsearch-kit"] == importlib.metadata.version("fashionsearch-kit")
        assert re.fullmatch("[0-9a-f]{12}(-changed)?", row["environment"]["commit"] or 12 * "0")
        assert len(row["configuration"]["network"]) == 64
    assert {(row["task"], row["split"]) for row in found} == {
        *(("masterCategory", split) for split in ("train", "validation", "study-test")),
        *((task, split) for task in tasks.RELEVANCE for split in ("validation", "test")),
    }
    assert {row["metric"] for row in found if row["split"] == "study-test"} == set(figures.STUDY_METRICS)
    assert {row["metric"] for row in found if row["split"] == "test"} == set(figures.RETRIEVAL_METRICS)
    assert rows.read_folder(tmp_path / "out") == {candidate().stem: found}
    kept = json.loads((tmp_path / "out" / "details" / f"{candidate().stem}.json").read_text())
    test = bench.study.test
    assert np.array(kept["classes"])[kept["labels"]].tolist() == test["masterCategory"].tolist()
    guessed = np.array(kept["classes"])[np.argmax(kept["probabilities"], axis=1)]
    accuracy = next(
        row["value"] for row in found if (row["split"], row["metric"]) == ("study-test", "accuracy")
    )
    assert (guessed == test["masterCategory"]).mean() == pytest.approx(accuracy)


def test_what_is_there_is_not_measured_again(bench, tmp_path, monkeypatch, candidate, measured):
    each, folder = candidate(), tmp_path / "out"
    before = measured(bench, each, ["masterCategory"], folder)
    monkeypatch.setattr(tasks, "fit_to_embeddings", None)
    assert measured(bench, each, ["masterCategory"], folder) == before
    monkeypatch.undo()
    # One figure lost and one that was measured otherwise: the first comes again, the second stays.
    changed = [{**row, "value": 0.123} if row["metric"] == "auc" else row for row in before[1:]]
    rows.write(folder / f"{each.stem}.json", changed)
    again = measured(bench, each, ["masterCategory"], folder)
    assert again[:-1] == changed
    assert (rows.key(again[-1]), again[-1]["value"]) == (rows.key(before[0]), before[0]["value"])


def test_a_recipe_is_chosen_without_the_test_part(bench, tmp_path, candidate):
    steps = ["masterCategory", "retrieval", "distortions"]
    running.measure(bench, candidate(), [0], steps, out=tmp_path / "out", validation_only=True)
    found = rows.read_folder(tmp_path / "out", recipes=True)
    assert {row["split"] for each in found.values() for row in each} == {"train", "validation"}
    assert not (tmp_path / "out" / "details").exists()


def test_a_row_is_measured_again_from_its_own_file(bench, table, tmp_path, candidate, measured):
    folder = tmp_path / "out"
    one_epoch = fs.FineTuning(epochs=1, learning_rate=0.02)
    each = candidate(weights=None, training=one_epoch)
    before = measured(bench, each, ["masterCategory"], folder)
    recipe = one_epoch.recipe("scratch", normalised=False).to_dict()
    assert before[0]["configuration"]["training"] == {
        name: value for name, value in recipe.items() if value is not None
    }
    assert (before[0]["epochs"], before[0]["arithmetic"]) == (1, "fp32 channels_last")
    with fs.EmbeddingCache() as cache:
        elsewhere = tasks.Bench(
            table, clothing=None, checkpoints=tmp_path / "others", cache=cache, details=lambda *given: None
        )
        pairs = running.rerun(elsewhere, folder / f"{each.stem}.json", out=tmp_path / "again")
    assert [then["value"] for then, _ in pairs] == [now["value"] for _, now in pairs]
    with pytest.raises(ValueError, match="another folder"):
        running.rerun(bench, folder / f"{each.stem}.json", out=folder)
    with pytest.raises(ValueError, match="holds no rows"):
        running.rerun(bench, folder / "study-none.json", out=tmp_path)


def test_figures_of_another_recipe_or_other_data_are_not_mixed(bench, table, tmp_path, candidate, measured):
    folder = tmp_path / "out"
    measured(bench, candidate(weights=None, training=fs.FineTuning(epochs=1)), ["masterCategory"], folder)
    other = candidate(weights=None, training=fs.FineTuning(epochs=2))
    for seed in (0, 1):
        with pytest.raises(rows.StudyError, match="another recipe"):
            running.measure(bench, other, [seed], ["masterCategory"], out=folder)
    # Nor in one line of a table, which has figures of several steps.
    with pytest.raises(rows.StudyError, match="of training, epochs was 1, and is 2 here"):
        running.measure(bench, other, [0], ["learning-curve"], out=folder)
    each = candidate("baseline-pixels-pca-16-knn")
    measured(bench, each, ["masterCategory"], folder)
    with fs.EmbeddingCache() as cache:
        smaller = tasks.Bench(
            table[:200], clothing=None, checkpoints=tmp_path, cache=cache, details=lambda *given: None
        )
        with pytest.raises(rows.StudyError, match="other data"):
            measured(smaller, each, ["masterCategory"], folder)


def test_what_is_measured_again_is_what_the_file_holds(bench, tmp_path, candidate):
    each = candidate("baseline-pixels-pca-16-knn")
    running.measure(bench, each, [0], ["masterCategory"], out=tmp_path / "trials", validation_only=True)
    file = running.rows_file(tmp_path / "trials", each, validation_only=True)
    pairs = running.rerun(bench, file, out=tmp_path / "again")
    assert {now["split"] for _, now in pairs} == {"train", "validation"}
    again = rows.read_folder(tmp_path / "again")
    assert {row["split"] for each in again.values() for row in each} == {"train", "validation"}
    changed = rows.read(file)
    for row in changed:
        row["configuration"]["autoencoder"] = {"latent_dim": 8}
    rows.write(tmp_path / "study-changed.json", changed)
    with pytest.raises(rows.StudyError, match=r"autoencoder was .*, and is None here"):
        running.rerun(bench, tmp_path / "study-changed.json", out=tmp_path / "again")


def test_another_network_of_the_same_name_has_other_figures(bench, tmp_path, candidate, measured):
    def pooled(side):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(side), torch.nn.Flatten())

    training = fs.FineTuning(epochs=1)
    fs.register_backbone("edited", image_size=8)(lambda weights: pooled(4))
    first = candidate("edited", weights=None, training=training)
    measured(bench, first, ["masterCategory"], tmp_path)
    fs.register_backbone("edited", image_size=8, replace=True)(lambda weights: pooled(2))
    second = candidate("edited", weights=None, training=training)
    assert first.digest != second.digest
    with pytest.raises(rows.StudyError, match="the network had other layers"):
        measured(bench, second, ["masterCategory"], tmp_path)


def test_a_rerun_without_the_photos_of_a_task_is_refused(bench, tmp_path, candidate, measured):
    each = candidate("baseline-pixels-pca-16-knn")
    found = measured(bench, each, ["masterCategory"], tmp_path)
    for row in found:
        row["configuration"]["step"] = "clothing"
    rows.write(tmp_path / "home" / "study-home.json", found)
    with pytest.raises(rows.StudyError, match="--clothing"):
        running.rerun(bench, tmp_path / "home" / "study-home.json", out=tmp_path / "again")


def test_a_teacher_must_know_every_class_before_anything_is_learned(bench, table, tmp_path, candidate):
    fs.Classifier("grid_for_the_study").fit(table.images, table["masterCategory"]).save(tmp_path / "teacher")
    given = fs.FineTuning(epochs=1, teacher=str(tmp_path / "teacher"))
    each = candidate(weights="distilled", training=given)
    running.check_teacher(bench, each, ["masterCategory", "distortions"])
    with pytest.raises(
        rows.StudyError, match=r"classes of the task articleType, such as '.*'; name with --tasks"
    ):
        running.check_teacher(bench, each, ["masterCategory", "articleType"])


def test_a_distilled_row_names_its_teacher_and_not_its_folder(
    bench, table, tmp_path, capsys, candidate, measured
):
    fs.Classifier("grid_for_the_study").fit(table.images, table["masterCategory"]).save(tmp_path / "teacher")
    given = fs.FineTuning(epochs=1, teacher=str(tmp_path / "teacher"))
    each = candidate(weights="distilled", training=given)
    found = measured(bench, each, ["masterCategory"], tmp_path / "out")
    about = found[0]["configuration"]["teacher"]
    assert (about["model"], about["weights"], about["image_size"]) == ("grid_for_the_study", "default", 8)
    assert len(about["fingerprint"]) == 64
    assert str(tmp_path) not in json.dumps(found)
    file = tmp_path / "out" / f"{each.stem}.json"
    with pytest.raises(rows.StudyError, match="had a teacher; give the folder"):
        running.rerun(bench, file, out=tmp_path / "again")
    pairs = running.rerun(bench, file, out=tmp_path / "again", teacher=str(tmp_path / "teacher"))
    assert [then["value"] for then, _ in pairs] == [now["value"] for _, now in pairs]
    assert "other weights" not in capsys.readouterr().out
    # The same recipe on another processor gives a teacher of other bits, and one of another recipe is another teacher.
    fs.Classifier("grid_for_the_study").fit(table.images[:90], table["masterCategory"][:90]).save(
        tmp_path / "remade"
    )
    assert running.rerun(bench, file, out=tmp_path / "third", teacher=str(tmp_path / "remade"))
    assert "other weights" in capsys.readouterr().out
    fs.Classifier("grid_for_the_study", image_size=16).fit(table.images, table["masterCategory"]).save(
        tmp_path / "larger"
    )
    with pytest.raises(rows.StudyError, match="of teacher, image_size was 8, and is 16 here"):
        running.rerun(bench, file, out=tmp_path / "fourth", teacher=str(tmp_path / "larger"))
    assert "other weights" not in capsys.readouterr().out


def test_recipes_are_tried_side_by_side(bench, tmp_path, candidate, measured):
    trials = [candidate(weights=None, training=fs.FineTuning(epochs=epochs)) for epochs in (1, 2)]
    for each in trials:
        running.measure(bench, each, [0], ["masterCategory"], out=tmp_path / "trials", validation_only=True)
    files = [running.rows_file(tmp_path / "trials", each, validation_only=True) for each in trials]
    assert [rows.read(file)[0]["epochs"] for file in files] == [1, 2]
    # The chosen one's network is not trained again for its test part.
    runs = list((tmp_path / "checkpoints").glob("*/study-masterCategory/seed-0/last.ckpt"))
    before = {path: path.stat().st_mtime_ns for path in runs}
    measured(bench, trials[1], ["masterCategory"], tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in runs} == before
    assert len(list((tmp_path / "checkpoints").glob("*/study-masterCategory/seed-0/last.ckpt"))) == 2


def test_a_network_goes_on_from_its_checkpoints(bench, table, tmp_path, candidate, measured):
    each = candidate(weights=None, training=fs.FineTuning(epochs=2))
    first = measured(bench, each, ["masterCategory"], tmp_path / "out")
    (run,) = (tmp_path / "checkpoints").glob("*/study-masterCategory/seed-0")
    written = {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.suffix == ".ckpt"}
    assert written
    classifier = fs.Classifier.load(run.with_name("classifier-0"))
    test = bench.study.test
    accuracy = next(
        row["value"] for row in first if (row["split"], row["metric"]) == ("study-test", "accuracy")
    )
    assert classifier.score(test.images, test["masterCategory"]) == accuracy
    with fs.EmbeddingCache() as cache:
        later = tasks.Bench(
            table,
            clothing=None,
            checkpoints=tmp_path / "checkpoints",
            cache=cache,
            details=lambda *given: None,
        )
        second = measured(later, each, ["masterCategory"], tmp_path / "second")
    assert [row["value"] for row in second] == [row["value"] for row in first]
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.suffix == ".ckpt"} == written


def test_an_autoencoder_is_scored_by_neighbours_and_by_a_probe(bench, tmp_path, measured):
    pair = candidates.make_candidates(
        "autoencoder-cnn", weights="suitable", image_size=32, training=fs.FineTuning(epochs=1)
    )
    assert [each.scorer for each in pair] == ["knn", "probe"]
    for each in pair:
        found = measured(bench, each, ["masterCategory"], tmp_path / "out")
        assert found[0]["configuration"]["training"]["epochs"] == 1
        assert found[0]["weights"] is None
    # One network for both: the probe goes on with the same run.
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
