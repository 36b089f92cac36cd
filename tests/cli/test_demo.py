"""The demo: what it prints, what it writes, and what its report shows."""

import dataclasses

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import cli, errors
from fashionsearch.cli.demo import (
    _in_short,
    _mistakes_section,
    _one_of_each,
    _parts,
    _search,
    _tags,
    run_demo,
)
from fashionsearch.images import digests
from fashionsearch.pretrained import learned, open_shipped


def test_the_demo_does_it_all(tmp_path, monkeypatch, capsys):
    small = fs.datasets.make_catalogue(90, seed=0, size=(48, 64))
    monkeypatch.setattr(fs.datasets, "make_catalogue", lambda *_, **__: small)
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 0
    output = capsys.readouterr().out
    assert "training a classifier for articleType" in output
    assert "90 items indexed" in output
    report = (tmp_path / "demo" / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 8
    assert "In short" in report
    assert "test photos get the right articleType" in report
    assert "Tags at once" in report
    assert "confidence" in report
    assert "http://" not in report
    assert "https://" not in report
    classifier = fs.Classifier.load(tmp_path / "demo" / "classifier")
    index = fs.VisualIndex.load(tmp_path / "demo" / "catalogue", encoder=classifier)
    assert len(index) == 90
    assert index.search(small.images[7], k=1).ids[0, 0] == small["id"][7]


@pytest.mark.slow
def test_the_demo_shows_how_a_network_learns(tmp_path, monkeypatch):
    monkeypatch.setattr("fashionsearch.cli.demo._LEARNING_SIZE", 32)
    table = fs.datasets.make_catalogue(80, seed=0)
    said = []
    result = run_demo(table, tmp_path, label="masterCategory", fine_tune=True, say=said.append)
    report = result.report.read_text()
    assert "How it learned" in report
    assert "What it says, and why" in report
    assert "Fine-tuned with backbone" in report


def test_the_demos_searches_leave_the_query_out(tmp_path):
    table = fs.datasets.make_catalogue(30, seed=0, size=(48, 64))
    index = fs.VisualIndex(fs.create_backbone("cnn", weights=None, random_state=0))
    index.add(table.images, ids=table["id"].tolist(), metadata=table.metadata)
    queries = _one_of_each(table[20:], "masterCategory")
    matches = _search(index, queries)
    assert matches.ids.shape == (6, 5)
    full = index.search(queries.images, k=6)
    for row in range(6):
        assert matches.ids[row].tolist() == full.ids[row, 1:].tolist()


def test_a_querys_tag_says_how_sure_it_is_and_what_is_true():
    table = fs.datasets.make_catalogue(2, seed=0, size=(24, 32))
    shown = fs.datasets.Table(table.images, {**table.data, "colour": np.array(["red", "blue"])})

    class Classifier:
        classes_ = np.array(["blue", "red"])

        def predict_proba(self, images):
            return np.array([[0.25, 0.75], [0.1, 0.9]])[: len(images)]

    assert _tags(Classifier(), shown, "colour") == ["red 75%", "red 90%, truly blue"]


def evaluation_of(probabilities, labels):
    return fs.metrics.evaluate(np.array(labels), np.array(probabilities), np.array(["blue", "red"]))


def test_mistakes_are_listed_by_name_the_surest_first():
    table = fs.datasets.make_catalogue(4, seed=0, size=(24, 32))
    test = fs.datasets.Table(table.images, {**table.data, "colour": np.array(["blue", "red", "red", "blue"])})
    evaluation = evaluation_of(
        [[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]], ["blue", "red", "red", "blue"]
    )
    section = _mistakes_section(evaluation, test, "colour", "productDisplayName")
    ((head, rows),) = section.tables
    assert head == ("id", "name", "colour", "predicted", "how sure")
    assert [row[0] for row in rows] == [test["id"][2], test["id"][3], test["id"][1]]
    assert rows[0][1:] == (test["productDisplayName"][2], "red", "blue", "80%")
    none = evaluation_of([[0.9, 0.1], [0.1, 0.9]], ["blue", "red"])
    assert _mistakes_section(none, test[:2], "colour", "colour").tables == ()


def test_recall_is_told_in_words_where_there_is_a_graph():
    class Index:
        has_graph = True

        def __len__(self):
            return 12000

    evaluation = evaluation_of([[0.9, 0.1], [0.8, 0.2]], ["blue", "red"])
    words = _in_short(evaluation, "colour", Index(), 0.9975)
    assert "50.0 % of 2 test photos get the right colour" in words
    assert "1 get a wrong one, and are listed below." in words
    assert "finds 99.75 % of the ten nearest that a comparison with all finds (recall@10)" in words
    Index.has_graph = False
    right = evaluation_of([[0.9, 0.1], [0.2, 0.8]], ["blue", "red"])
    assert "none gets a wrong one." in _in_short(right, "colour", Index(), 1.0)
    assert "compares the photo with all of them" in _in_short(evaluation, "colour", Index(), 1.0)


@pytest.mark.parametrize("known", [0, 20, 60, 100])
def test_a_shipped_network_is_tested_on_what_it_did_not_learn_from(monkeypatch, known):
    table = fs.datasets.make_catalogue(100, seed=3, size=(24, 32))
    shipped = open_shipped("fashion")
    arrays = {**shipped.arrays, "learned": digests(table.images[:known])}
    monkeypatch.setattr(learned, "open_shipped", lambda name: dataclasses.replace(shipped, arrays=arrays))
    said = []
    if known == 100:
        with pytest.raises(
            errors.DataError, match=r"learned from all 100 photos of .*--backbone efficientnet_lite0"
        ):
            _parts(table, "masterCategory", "fashion", 100, said.append)
        return
    train, validation, test = _parts(table, "masterCategory", "fashion", 100, said.append)
    left = set(table["id"][known:].tolist())
    assert set(test["id"].tolist()) <= left
    assert set(validation["id"].tolist()) <= left
    assert len(train) > len(validation) > 0
    assert not set(train["id"].tolist()) & set(test["id"].tolist())
    assert [f"learned from {known} of these 100 photos" in line for line in said] == [True] * bool(known)
