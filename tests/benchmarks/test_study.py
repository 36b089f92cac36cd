"""The study's harness: its rows, parts, distortions and figures, and that what was measured is not measured again."""

import importlib.metadata
import json
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import study
import torch
from harness import contenders, data, distortions, figures, rows, running, tasks
from sklearn.metrics import f1_score

import fashionsearch as fs
from fashionsearch.cache import cache_folder


@fs.register_backbone("grid_for_the_study", image_size=8)
def grid(weights):
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(220, seed=0)


@pytest.fixture
def bench(table, tmp_path):
    with fs.EmbeddingCache() as cache:
        yield tasks.Bench(
            table,
            clothing=None,
            checkpoints=tmp_path / "checkpoints",
            cache=cache,
            details=lambda *given: running.keep_details(tmp_path / "out", *given),
        )


def contender(model="grid_for_the_study", weights="default", **options):
    return contenders.make_contenders(model, weights=weights, **options)[0]


def measured(bench, each, steps, folder, **options):
    running.measure(bench, each, [0], steps, out=folder, **options)
    return rows.read(folder / f"{each.stem}.json")


def test_a_row_says_everything(bench, tmp_path):
    found = measured(bench, contender(), ["masterCategory", "retrieval"], tmp_path / "out")
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
    assert rows.read_folder(tmp_path / "out") == found
    kept = json.loads((tmp_path / "out" / "details" / f"{contender().stem}.json").read_text())
    test = bench.study.test
    assert np.array(kept["classes"])[kept["labels"]].tolist() == test["masterCategory"].tolist()
    guessed = np.array(kept["classes"])[np.argmax(kept["probabilities"], axis=1)]
    accuracy = next(
        row["value"] for row in found if (row["split"], row["metric"]) == ("study-test", "accuracy")
    )
    assert (guessed == test["masterCategory"]).mean() == pytest.approx(accuracy)


def test_every_step_gives_the_figures_it_promises(bench, tmp_path):
    each = contender("baseline-pixels-pca-16-knn")
    steps = [step for step in tasks.TASKS if step != "clothing"]
    for measurement in tasks.plan(bench, each, 0, steps):
        made, fitted = measurement.measure()
        assert tuple(figure.metric for figure in made) == measurement.metrics
        assert fitted.seconds >= 0
    assert {measurement.step for measurement in tasks.plan(bench, each, 0, steps)} == {*steps}


def test_what_is_there_is_not_measured_again(bench, tmp_path, monkeypatch):
    each, folder = contender(), tmp_path / "out"
    before = measured(bench, each, ["masterCategory"], folder)
    monkeypatch.setattr(tasks, "fit", None)
    assert measured(bench, each, ["masterCategory"], folder) == before
    monkeypatch.undo()
    # One figure lost and one that was measured otherwise: the first comes again, the second stays.
    changed = [{**row, "value": 0.123} if row["metric"] == "auc" else row for row in before[1:]]
    rows.write(folder / f"{each.stem}.json", changed)
    again = measured(bench, each, ["masterCategory"], folder)
    assert again[:-1] == changed
    assert (rows.key(again[-1]), again[-1]["value"]) == (rows.key(before[0]), before[0]["value"])


def test_a_recipe_is_chosen_without_the_test_part(bench, tmp_path):
    steps = ["masterCategory", "retrieval", "distortions"]
    running.measure(bench, contender(), [0], steps, out=tmp_path / "out", validation_only=True)
    assert {row["split"] for row in rows.read_folder(tmp_path / "out")} == {"train", "validation"}
    assert not (tmp_path / "out" / "details").exists()


def test_a_row_is_measured_again_from_its_own_file(bench, table, tmp_path):
    folder = tmp_path / "out"
    one_epoch = fs.FineTuning(epochs=1, learning_rate=0.02)
    each = contender(weights=None, training=one_epoch)
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


def test_figures_of_another_recipe_or_other_data_are_not_mixed(bench, table, tmp_path):
    folder = tmp_path / "out"
    measured(bench, contender(weights=None, training=fs.FineTuning(epochs=1)), ["masterCategory"], folder)
    other = contender(weights=None, training=fs.FineTuning(epochs=2))
    for seed in (0, 1):
        with pytest.raises(rows.StudyError, match="another recipe"):
            running.measure(bench, other, [seed], ["masterCategory"], out=folder)
    # Nor in one line of a table, which has figures of several steps.
    with pytest.raises(rows.StudyError, match="of training, epochs was 1, and is 2 here"):
        running.measure(bench, other, [0], ["learning-curve"], out=folder)
    each = contender("baseline-pixels-pca-16-knn")
    measured(bench, each, ["masterCategory"], folder)
    with fs.EmbeddingCache() as cache:
        smaller = tasks.Bench(
            table[:200], clothing=None, checkpoints=tmp_path, cache=cache, details=lambda *given: None
        )
        with pytest.raises(rows.StudyError, match="other data"):
            measured(smaller, each, ["masterCategory"], folder)


def test_what_is_measured_again_is_what_the_file_holds(bench, tmp_path):
    each = contender("baseline-pixels-pca-16-knn")
    running.measure(bench, each, [0], ["masterCategory"], out=tmp_path / "trials", validation_only=True)
    file = running.rows_file(tmp_path / "trials", each, validation_only=True)
    pairs = running.rerun(bench, file, out=tmp_path / "again")
    assert {now["split"] for _, now in pairs} == {"train", "validation"}
    assert {row["split"] for row in rows.read_folder(tmp_path / "again")} == {"train", "validation"}
    changed = rows.read(file)
    for row in changed:
        row["configuration"]["autoencoder"] = {"latent_dim": 8}
    rows.write(tmp_path / "study-changed.json", changed)
    with pytest.raises(rows.StudyError, match=r"autoencoder was .*, and is None here"):
        running.rerun(bench, tmp_path / "study-changed.json", out=tmp_path / "again")


def test_another_network_of_the_same_name_has_other_figures(bench, tmp_path):
    def narrow(weights):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())

    training = fs.FineTuning(epochs=1)
    fs.register_backbone("edited", image_size=8)(grid)
    first = contender("edited", weights=None, training=training)
    measured(bench, first, ["masterCategory"], tmp_path)
    fs.register_backbone("edited", image_size=8, replace=True)(narrow)
    second = contender("edited", weights=None, training=training)
    assert first.digest != second.digest
    with pytest.raises(rows.StudyError, match="the network had other layers"):
        measured(bench, second, ["masterCategory"], tmp_path)


def test_a_rerun_without_the_photos_of_a_task_is_refused(bench, tmp_path):
    each = contender("baseline-pixels-pca-16-knn")
    found = measured(bench, each, ["masterCategory"], tmp_path)
    for row in found:
        row["configuration"]["step"] = "clothing"
    rows.write(tmp_path / "home" / "study-home.json", found)
    with pytest.raises(rows.StudyError, match="--clothing"):
        running.rerun(bench, tmp_path / "home" / "study-home.json", out=tmp_path / "again")


def test_a_teacher_must_know_every_class_before_anything_is_learned(bench, table, tmp_path):
    fs.Classifier("grid_for_the_study").fit(table.images, table["masterCategory"]).save(tmp_path / "teacher")
    given = fs.FineTuning(epochs=1, teacher=str(tmp_path / "teacher"))
    each = contender(weights="distilled", training=given)
    running.check_teacher(bench, each, ["masterCategory", "distortions"])
    with pytest.raises(
        rows.StudyError, match=r"classes of the task articleType, such as '.*'; name with --tasks"
    ):
        running.check_teacher(bench, each, ["masterCategory", "articleType"])


def test_a_distilled_row_names_its_teacher_and_not_its_folder(bench, table, tmp_path, capsys):
    fs.Classifier("grid_for_the_study").fit(table.images, table["masterCategory"]).save(tmp_path / "teacher")
    given = fs.FineTuning(epochs=1, teacher=str(tmp_path / "teacher"))
    each = contender(weights="distilled", training=given)
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


def test_a_teacher_of_a_teacher_leaves_no_folder_in_a_row(table, tmp_path):
    fs.Classifier("grid_for_the_study").fit(table.images, table["masterCategory"]).save(tmp_path / "first")
    taught = fs.FineTuning(epochs=1, teacher=str(tmp_path / "first"))
    second = fs.Classifier("grid_for_the_study", weights=None, training=taught, progress=False)
    second.fit(table.images, table["masterCategory"]).save(tmp_path / "second")
    each = contender(weights="distilled", training=fs.FineTuning(epochs=1, teacher=str(tmp_path / "second")))
    assert each.configuration()["teacher"]["training"]["epochs"] == 1
    assert str(tmp_path) not in json.dumps(each.configuration())


def test_a_rerun_learns_and_embeds_in_its_own_folder(tmp_path, monkeypatch, table):
    made = []
    monkeypatch.setattr(fs.datasets, "load_fashion_products", lambda path: table)
    monkeypatch.setattr(study, "rerun", lambda bench, path, *, out, teacher: made.append(bench) or [])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHIONSEARCH_CACHE", "elsewhere")
    words = ["--data", "x", "--rerun", "study-x.json"]
    with pytest.raises(rows.StudyError, match="--out again"):
        study.run(study.parser().parse_args(words))
    study.run(study.parser().parse_args([*words, "--out", "again"]))
    assert made[0].checkpoints == Path("again/checkpoints")
    # The cache of linear heads, which open their own, too.
    assert cache_folder() == Path("again/embeddings")
    assert any(Path("again/embeddings").iterdir())


def test_trials_lie_beside_the_results_and_not_among_them(tmp_path, monkeypatch, table, capsys):
    monkeypatch.setattr(fs.datasets, "load_fashion_products", lambda path: table)
    monkeypatch.chdir(tmp_path)
    words = ["--data", "x", "--validation-only", "--tasks", "masterCategory"]
    study.run(study.parser().parse_args([*words, "--backbone", "baseline-pixels-pca-16-knn"]))
    assert len(list(Path("study-trials").glob("study-baseline-pixels-pca-16-knn-????????.json"))) == 1
    before = capsys.readouterr().out
    study.run(study.parser().parse_args([*words, "--backbone", "baseline-pixels-pca-16-knn"]))
    assert set(before.splitlines()) < set(capsys.readouterr().out.splitlines())


def test_recipes_are_tried_side_by_side(bench, tmp_path):
    trials = [contender(weights=None, training=fs.FineTuning(epochs=epochs)) for epochs in (1, 2)]
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


def test_an_autoencoders_rows_say_what_it_learned_from():
    pair = contenders.make_contenders("autoencoder-cnn", weights="suitable")
    saved = pair[0].configuration()
    assert saved["autoencoder"] == {"latent_dim": 16, "perceptual": 1.0}
    assert pair[0].weights is None
    assert contenders.make_contenders("autoencoder-cnn", weights="default")[0].weights == "default"


def test_several_add_to_one_file_at_a_time(tmp_path):
    row = dict.fromkeys(rows.FIELDS, "x") | {"value": 0.5, "configuration": {}}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: rows.add(tmp_path / "study-a.json", [row | {"seed": seed}]), range(24)))
    assert {each["seed"] for each in rows.read(tmp_path / "study-a.json")} == set(range(24))
    # What is there stays.
    rows.add(tmp_path / "study-a.json", [row | {"seed": 3, "value": 0.9}])
    assert {each["value"] for each in rows.read(tmp_path / "study-a.json")} == {0.5}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", ".", "--tasks", "clothing"], "--clothing"),
        (["--data", ".", "--plugin", "nowhere.py"], "nowhere.py is no Python file"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(words, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study.py", *words])
    with pytest.raises(SystemExit, match=message) as refused:
        study.main()
    assert str(refused.value.code).startswith("error: ")


def test_photos_and_weights_that_are_not_there_are_named_with_their_options(tmp_path, monkeypatch, table):
    monkeypatch.setattr(fs.datasets, "load_fashion_products", lambda path: table)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rows.StudyError, match="--clothing"):
        study.run(study.parser().parse_args(["--data", "x", "--tasks", "clothing"]))

    @fs.register_backbone("without_weights", image_size=8, replace=True)
    def without_weights(weights):
        if weights == "default":
            raise fs.errors.WeightsError("without_weights has no default weights; give a file")
        return grid(weights)

    with pytest.raises(rows.StudyError, match="give a file; or train it from scratch: --weights none"):
        study.run(study.parser().parse_args(["--data", "x", "--backbone", "without_weights"]))


def test_every_backbone_is_known_before_the_first_is_measured():
    options = study.parser().parse_args(["--data", "x", "--backbone", "baseline-majority"])
    assert [each.model for each in study.contenders(options)] == ["baseline-majority"]
    options.backbone.append("baseline-minority")
    with pytest.raises(ValueError, match="is no baseline; there are baseline-majority"):
        study.contenders(options)


def test_a_plugin_is_a_file_with_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "layers_of_the_plugin.py").write_text("import torch\nflat = torch.nn.Flatten\n")
    (tmp_path / "plugin_of_the_test.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import fashionsearch as fs\n"
        "from layers_of_the_plugin import flat\n"
        "@dataclass\n"
        "class Settings:\n"
        "    side: int = 8\n"
        "@fs.register_backbone('from_a_file', image_size=Settings().side)\n"
        "def build(weights):\n"
        "    return flat()\n"
    )
    study._register(tmp_path / "plugin_of_the_test.py")
    assert contender("from_a_file").image_size == (8, 8)


def test_a_network_goes_on_from_its_checkpoints(bench, table, tmp_path):
    each = contender(weights=None, training=fs.FineTuning(epochs=2))
    first = measured(bench, each, ["masterCategory"], tmp_path / "out")
    (run,) = (tmp_path / "checkpoints").glob("*/study-masterCategory/seed-0")
    written = {path.name: path.stat().st_mtime_ns for path in run.iterdir() if path.suffix == ".ckpt"}
    assert written
    tagger = fs.Classifier.load(run.with_name("tagger-0"))
    test = bench.study.test
    accuracy = next(
        row["value"] for row in first if (row["split"], row["metric"]) == ("study-test", "accuracy")
    )
    assert tagger.score(test.images, test["masterCategory"]) == accuracy
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


def test_an_autoencoder_is_scored_by_neighbours_and_by_a_probe(bench, tmp_path):
    pair = contenders.make_contenders(
        "autoencoder-cnn", weights="suitable", image_size=32, training=fs.FineTuning(epochs=1)
    )
    assert [each.scorer for each in pair] == ["knn", "probe"]
    for each in pair:
        found = measured(bench, each, ["masterCategory"], tmp_path / "out")
        assert found[0]["configuration"]["training"]["epochs"] == 1
        assert found[0]["weights"] is None
    # One network for both: the probe goes on with the same run.
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


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
    made = contenders.make_contenders(model, weights=weights, scorers=scorers)
    assert [each.scorer for each in made] == expected
    assert [contenders.Contender.from_configuration(each.configuration()).fields() for each in made] == [
        each.fields() for each in made
    ]


def test_what_is_distilled_needs_a_teacher():
    with pytest.raises(ValueError, match="need a teacher"):
        contenders.make_contenders("cnn", weights="distilled", training=fs.FineTuning(epochs=1))


def test_a_scorer_that_suits_nothing_is_refused():
    with pytest.raises(ValueError, match="it has finetuned"):
        contenders.make_contenders("cnn", weights=None, scorers=["head"])


def test_files_and_keys_of_rows(tmp_path):
    row = dict.fromkeys(rows.FIELDS, "x") | {"image_size": [32, 24], "value": 0.5, "configuration": {}}
    rows.write(tmp_path / "study-a.json", [row, row | {"seed": 1}])
    assert rows.read_folder(tmp_path) == [row, row | {"seed": 1}]
    assert len((tmp_path / "study-a.json").read_text().splitlines()) == 4
    assert rows.read(tmp_path / "study-none.json") == []
    rows.write(tmp_path / "study-b.json", [row])
    with pytest.raises(ValueError, match=r"study-b.json.*study-a.json"):
        rows.read_folder(tmp_path)
    rows.write(tmp_path / "study-b.json", [{"task": "x"}])
    with pytest.raises(ValueError, match="lacks split, model"):
        rows.read_folder(tmp_path)
    for text in ("[{]", "{}"):
        (tmp_path / "study-b.json").write_text(text)
        with pytest.raises(ValueError, match=r"study-b.json is no .*; mend it, or move it away"):
            rows.read(tmp_path / "study-b.json")
    with pytest.raises(ValueError, match="JSON compliant"):
        rows.write(tmp_path / "study-b.json", [row | {"value": float("nan")}])
    assert rows.stem("timm:resnet18", "default", "head", 64) == "study-timm-resnet18-default-head-64px"
    assert rows.stem("cnn", None, "finetuned", [32, 24]) == "study-cnn-scratch-finetuned-32x24px"


def test_no_name_is_in_two_parts(table):
    parts = data.larger_parts(table)
    names = [set(part["productDisplayName"]) for part in (parts.train, parts.validation, parts.test)]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert sum(map(len, (parts.train, parts.validation, parts.test))) == len(table)
    twins = data.parts_by_photo(table)
    assert set(twins.train["productDisplayName"]) & set(twins.test["productDisplayName"])
    assert not set(twins.train["id"]) & set(twins.test["id"])


@pytest.mark.data
def test_the_studys_parts_are_the_studys(real_data):
    table = fs.datasets.load_fashion_products(real_data / "fashion-product-images-small")
    parts = data.study_parts(table)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [3200, 800, 1000]
    assert (parts.test["masterCategory"] == "Free Items").sum() == 3
    clothing = data.clothing_parts(real_data / "clothing-dataset-small")
    assert (len(clothing.test), clothing.splits[2]) == (341, "validation")
    assert not {*map(str, clothing.train.images)} & {*map(str, clothing.validation.images)}


@pytest.mark.parametrize("name", distortions.DISTORTIONS)
def test_a_distortion_changes_a_photo_the_same_way_each_time(name, table):
    photos = table.images[:3]
    first, second = (distortions.distorted(photos, name, seed=0) for _ in range(2))
    for photo, changed, again in zip(photos, first, second, strict=True):
        assert changed.dtype == np.uint8
        assert changed.ndim == 3
        assert np.array_equal(changed, again)
        # Drawn garments lie on tinted paper, which is no white background to replace.
        assert name == "clutter" or changed.shape != photo.shape or not np.array_equal(changed, photo)
    # A photo's change doesn't depend on the photos beside it.
    assert np.array_equal(distortions.distorted(photos[:1], name, seed=0)[0], first[0])


def test_clutter_replaces_the_background_alone():
    photo = np.full((80, 60, 3), 255, np.uint8)
    photo[20:60, 15:45] = (200, 30, 30)
    photo[35:45, 25:35] = 255  # white inside the garment is not background
    changed = distortions.clutter(photo, np.random.default_rng(0))
    assert np.array_equal(changed[20:60, 15:45], photo[20:60, 15:45])
    assert (changed[:20] < 235).all()
    assert len(np.unique(changed[:20].reshape(-1, 3), axis=0)) > 3


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
    value, low, high = figures.macro_f1(evaluation.confusion, 20)
    assert value == pytest.approx(f1_score(labels, evaluation.predictions, labels=common, average="macro"))
    assert low < value < high
    assert np.isnan(figures.macro_f1(evaluation.confusion, 1000)).all()
    by_metric = {figure.metric: figure for figure in figures.harder_figures(evaluation)}
    assert by_metric["macro_f1"].classes == sum(row.support >= 10 for row in evaluation.per_class)
    rare = np.array([[600, 0, 1], [0, 397, 0], [0, 0, 3]])
    _, low, high = figures.macro_f1(rare, 1)
    assert 0.8 < low < high <= 1  # one in twenty resamples has none of the three
    error = fs.metrics.calibration_error(labels, shares, ["a", "b", "c", "rare"])
    assert by_metric["calibration_error"].value == pytest.approx(error)
    assert by_metric["calibration_error"].low < error < by_metric["calibration_error"].high


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


def test_an_unknown_label_is_relevant_to_nothing():
    table = fs.datasets.Table(
        images=[np.zeros((4, 4, 3), np.uint8)] * 3,
        data={"articleType": np.array(["Shirts", "", "Shirts"]), "baseColour": np.array(["Red", "Red", ""])},
    )
    assert tasks.keys(table, ("articleType",)).tolist() == ["Shirts", "", "Shirts"]
    assert tasks.keys(table, ("articleType", "baseColour")).tolist() == ["Shirts | Red", "", ""]


def test_the_commands_that_are_shown_parse(capsys):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "benchmark-a-backbone.md").read_text()
    lines = [line.strip() for line in page.splitlines()]
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("python benchmarks/study.py")]
    assert len(commands) == 7
    for words in commands:
        study.parser().parse_args(words)
    chosen = study.parser().parse_args(["--data", "x", "--training", '{"epochs": 60}', "--seeds", "0", "1"])
    assert (chosen.training, chosen.seeds) == (fs.FineTuning(epochs=60), [0, 1])
    with pytest.raises(SystemExit):
        study.parser().parse_args(["--data", "x", "--training", '{"epoch": 60}'])
    for unusable in ("null", "[1]", '{"augment": {"foo": 1}}'):
        with pytest.raises(SystemExit):
            study.parser().parse_args(["--data", "x", "--training", unusable])
    assert "is not a recipe" in capsys.readouterr().err


def test_the_rows_of_the_repository_are_whole():
    found = rows.read_folder(Path(__file__).parents[2] / "benchmarks" / "results")
    assert {row["scorer"] for row in found} <= set(contenders.SCORERS)
    for row in found:
        assert (
            row["value"] is None or 0 <= row["low"] <= row["value"] + 1e-9 <= row["high"] + 2e-9 <= 1 + 3e-9
        )
