"""What a command line of study.py asks for."""

import dataclasses
import sys
from pathlib import Path

import pytest
import study
import torch
from harness import rows, session

import fashionsearch as fs
from fashionsearch.cache import cache_folder
from fashionsearch.images import digests
from fashionsearch.pretrained import learned, open_shipped


def test_a_rerun_learns_and_embeds_in_its_own_folder(tmp_path, monkeypatch, table):
    made = []
    monkeypatch.setattr(fs.datasets, "load_fashion_products", lambda path: table)
    monkeypatch.setattr(session, "rerun", lambda bench, path, *, out, teacher: made.append(bench) or [])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHIONSEARCH_CACHE", "elsewhere")
    words = ["--data", "x", "--rerun", "study-x.json"]
    with pytest.raises(rows.StudyError, match="--out again"):
        session.run(study.parser().parse_args(words))
    session.run(study.parser().parse_args([*words, "--out", "again"]))
    assert made[0].checkpoints == Path("again/checkpoints")
    # The cache of linear heads, which open their own, too.
    assert cache_folder() == Path("again/embeddings")
    assert any(Path("again/embeddings").iterdir())


def test_trials_lie_beside_the_results_and_not_among_them(tmp_path, monkeypatch, table, capsys):
    monkeypatch.setattr(fs.datasets, "load_fashion_products", lambda path: table)
    monkeypatch.chdir(tmp_path)
    words = ["--data", "x", "--validation-only", "--tasks", "masterCategory"]
    session.run(study.parser().parse_args([*words, "--backbone", "baseline-pixels-pca-16-knn"]))
    assert len(list(Path("study-trials").glob("study-baseline-pixels-pca-16-knn-????????.json"))) == 1
    before = capsys.readouterr().out
    session.run(study.parser().parse_args([*words, "--backbone", "baseline-pixels-pca-16-knn"]))
    assert set(before.splitlines()) < set(capsys.readouterr().out.splitlines())


def test_photos_and_weights_that_are_not_there_are_named_with_their_options(tmp_path, monkeypatch, table):
    monkeypatch.setattr(fs.datasets, "load_fashion_products", lambda path: table)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rows.StudyError, match="--clothing"):
        session.run(study.parser().parse_args(["--data", "x", "--tasks", "clothing"]))

    @fs.register_backbone("without_weights", image_size=8, replace=True)
    def without_weights(weights):
        if weights == "default":
            raise fs.errors.WeightsError("without_weights has no default weights; give a file")
        return torch.nn.Flatten()

    with pytest.raises(rows.StudyError, match="give a file; or train it from scratch: --weights none"):
        session.run(study.parser().parse_args(["--data", "x", "--backbone", "without_weights"]))


def test_every_backbone_is_known_before_the_first_is_measured():
    options = study.parser().parse_args(["--data", "x", "--backbone", "baseline-majority"])
    assert [each.model for each in session.candidates(options)] == ["baseline-majority"]
    options.backbone.append("baseline-minority")
    with pytest.raises(ValueError, match="is no baseline; there are baseline-majority"):
        session.candidates(options)


def test_a_plugin_is_a_file_with_what_lies_beside_it(tmp_path, monkeypatch, candidate):
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
    session._register(tmp_path / "plugin_of_the_test.py")
    assert candidate("from_a_file").image_size == (8, 8)


def test_a_quick_run_needs_no_photos_and_leaves_results_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "QUICK", tmp_path / "quick-study")
    monkeypatch.setattr(session, "QUICK_ROWS", 60)
    monkeypatch.chdir(tmp_path)
    words = ["--quick", "--backbone", "baseline-pixels-pca-16-knn", "--tasks", "masterCategory"]
    for _ in range(2):  # a quick run is measured anew
        session.run(study.parser().parse_args(words))
        (found,) = rows.read_folder(tmp_path / "quick-study").values()
        assert {row["configuration"]["rows"] for row in found} == {60}
    (one,) = session.candidates(study.parser().parse_args(["--quick", "--backbone", "cnn"]))
    assert (one.image_size, one.training.epochs) == ((32, 32), 1)
    with pytest.raises(rows.StudyError, match="--quick for a smoke run"):
        session.run(study.parser().parse_args([]))


def test_photos_that_a_shipped_network_learned_from_are_left_out(monkeypatch, capsys):
    drawn = fs.datasets.make_catalogue(20, seed=3, size=(24, 32))
    shipped = open_shipped("fashion")
    arrays = {**shipped.arrays, "learned": digests(drawn.images[:8])}
    monkeypatch.setattr(learned, "open_shipped", lambda name: dataclasses.replace(shipped, arrays=arrays))
    assert len(session.unlearned(drawn, ["efficientnet_lite0"])) == 20
    assert session.unlearned(drawn, ["fashion"])["id"].tolist() == drawn["id"][8:].tolist()
    assert "8 of 20 photos are left out: 'fashion' learned from them" in capsys.readouterr().out
    with pytest.raises(rows.StudyError, match="learned from all 8 photos"):
        session.unlearned(drawn[:8], ["fashion"])
