"""The pages of results: they show what the rows say, and tell of aims, trials and errors as they were."""

import json
import shutil
import sys
from pathlib import Path

import make_pages
import pytest
from harness.rows import StudyError
from report import pages, study
from report.results import load
from report.tables import RESULTS

import fashionsearch as fs

DOCS = pages.DOCS


def test_every_page_shows_what_the_code_and_the_results_say() -> None:
    results = load(RESULTS)
    made = [page for page in DOCS.rglob("*.md") if pages.BLOCK.search(page.read_text(encoding="utf-8"))]
    assert len(made) >= 8
    shown = set()
    for page in made:
        text = page.read_text(encoding="utf-8")
        assert pages.filled(text, results) == text, "run: python benchmarks/make_pages.py"
        shown |= {match[2] for match in pages.BLOCK.finditer(text) if match[1] == "study"}
    assert shown == set(study.MAKERS)


def rows_of(folder: Path, stem: str, *changes: dict[str, object]) -> None:
    """Write rows like one of ours, each changed."""
    (row, *_) = json.loads((RESULTS / "study-baseline-majority.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"study-{stem}.json").write_text(json.dumps([row | change for change in changes]))


def test_rows_of_your_own_stand_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine: dict[str, object] = {"model": "my_backbone", "weights": "default", "metric": "accuracy"}
    rows_of(tmp_path / "rows", "mine", mine | {"split": "study-test"})
    words = ["make_pages.py", "--results", str(tmp_path / "rows"), "--out", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", [*words, "--no-charts"])
    make_pages.main()
    page = (tmp_path / "docs" / "results" / "study.md").read_text(encoding="utf-8")
    assert "`my_backbone` | ImageNet | linear head" in page
    assert "| `baseline-majority` |" in page
    assert "With the rows in `rows` beside ours; the sentences are about ours." in page
    rows_of(tmp_path / "twice", "baseline-majority", {})
    with pytest.raises(StudyError, match=r"study-baseline-majority; move them away"):
        load(RESULTS, tmp_path / "twice")
    rows_of(tmp_path / "rows", "again", mine | {"split": "study-test"})
    with pytest.raises(StudyError, match=r"my_backbone.* is also in"):
        load(tmp_path / "rows")
    monkeypatch.setattr(sys, "argv", words[:3])
    with pytest.raises(SystemExit):
        make_pages.main()


def test_names_of_the_rows_time_are_compared_by_todays(tmp_path: Path) -> None:
    cnn: dict[str, object] = {"model": "cnn", "weights": None, "scorer": "finetuned", "metric": "accuracy"}
    training = {"epochs": 40, "small_first": True, "average_weights": True, "precision": "fastest"}
    about = cnn | {"image_size": 64, "value": 0.9, "configuration": {"training": training}}
    rows_of(tmp_path, "cnn", *(about | {"split": split} for split in ("train", "validation")))
    line = study.tried_recipe(load(tmp_path).rows["study-cnn"], "masterCategory")
    assert line is not None
    assert line[1][5] == "`small_first=True`"


def test_an_aim_is_met_by_the_size_that_validation_chose(tmp_path: Path) -> None:
    cnn: dict[str, object] = {"model": "cnn", "weights": None, "scorer": "finetuned", "metric": "accuracy"}
    for size, chosen, tested in ((64, 0.97, 0.99), (96, 0.98, 0.97)):
        rows_of(
            tmp_path,
            str(size),
            cnn | {"image_size": size, "split": "validation", "value": chosen},
            cnn | {"image_size": size, "split": "study-test", "value": tested},
        )
    rows_of(
        tmp_path / "superseded",
        "cnn",
        cnn | {"image_size": 96, "split": "study-test", "value": 0.96, "low": 0.95, "high": 0.965},
    )
    lines = study.aims(load(tmp_path)).splitlines()
    (line,) = (line for line in lines if line.startswith("| `cnn`"))
    assert "| 96 px |" in line
    assert "96.0 (95.0 – 96.5) | **no** |" in line
    assert sum("not measured yet" in line for line in lines) == len(study.AIMS) - 1
    # What missed at the first look is not told as if it had reached at once.
    rows_of(
        tmp_path,
        "96",
        cnn | {"image_size": 96, "split": "validation", "value": 0.98},
        cnn | {"image_size": 96, "split": "study-test", "value": 0.99},
    )
    (line,) = (line for line in study.aims(load(tmp_path)).splitlines() if line.startswith("| `cnn`"))
    assert line.endswith("| 96.0 (95.0 – 96.5) | no at the first look, then yes |")


def test_trials_are_told_beside_what_was_measured(tmp_path: Path) -> None:
    cnn: dict[str, object] = {"model": "cnn", "weights": None, "scorer": "finetuned", "metric": "accuracy"}
    for where, epochs, value in (("trials", 20, 0.98), (".", 40, 0.97)):
        training = fs.FineTuning(epochs=epochs, autotune=True).recipe("scratch").to_dict()
        rows_of(
            tmp_path / where,
            f"cnn-{epochs}",
            *(
                cnn | {"split": split, "value": value, "configuration": {"training": training}}
                for split in ("train", "validation", "study-test")
            ),
        )
    # The trial of what was measured is the same recipe, and one with better validation is still a trial.
    shutil.copy(tmp_path / "study-cnn-40.json", tmp_path / "trials")
    results = load(tmp_path)
    _, _, best, other = study.trials(results).splitlines()
    assert best == "| masterCategory | `cnn` | scratch | trained | – | – | 0 | 97.0 | 97.0 | measured |"
    assert other == "| masterCategory | `cnn` | scratch | trained | – | `epochs=20` | 0 | 98.0 | 98.0 | – |"
    # A trial is no row of a table of test figures.
    assert study.table_one(results).count("`cnn`") == 1


@pytest.mark.parametrize(
    ("model", "weights", "given", "normalised"),
    [("vgg19", None, {}, False), ("vgg19_bn", "distilled", {"teacher": "a"}, True)],
)
def test_the_librarys_own_recipe_is_no_deviation_from_it(
    model: str, weights: str | None, given: dict[str, str], normalised: bool
) -> None:
    training = fs.FineTuning(**given).recipe("scratch", normalised=normalised).to_dict()
    training.pop("teacher")
    row = {"task": "masterCategory", "metric": "accuracy", "seed": 0, "value": 0.9, "seconds": 60}
    about = {"model": model, "weights": weights, "scorer": "finetuned", "image_size": 64}
    rows = [
        row | about | {"split": split, "configuration": {"training": training}}
        for split in ("train", "validation")
    ]
    line = study.tried_recipe(rows, "masterCategory")
    assert line is not None
    assert line[1][5] == "–"


def test_what_all_networks_get_wrong_is_counted(tmp_path: Path) -> None:
    # Of six photos the fifth is wrong by one network, and the sixth by both.
    for stem, wrong in (("one", (4, 5)), ("two", (5,))):
        about = {
            "model": stem,
            "weights": None,
            "scorer": "finetuned",
            "image_size": 64,
            "metric": "accuracy",
        }
        rows_of(tmp_path, stem, about)
        labels = [0, 0, 0, 1, 1, 1]
        guesses = [label ^ (place in wrong) for place, label in enumerate(labels)]
        kept = about | {
            "classes": ["a", "b"],
            "labels": labels,
            "probabilities": [[1.0 - guess, float(guess)] for guess in guesses],
            "history": [],
        }
        (tmp_path / "details").mkdir(exist_ok=True)
        (tmp_path / "details" / f"study-{stem}.json").write_text(json.dumps(kept))
    told = study.errors_in_common(load(tmp_path))
    assert "| 1 | 1 |\n| 2 | 1 |\n" in told
    assert "| b | a | 1 |" in told
    assert "| `one` | scratch | trained | 64 px | 66.7 | 80.0 | 66.67 | 75.00 |" in told
    assert "| `two` | scratch | trained | 64 px | 83.3 | 100.0 | 83.33 | 100.00 |" in told


def test_twins_are_told_where_they_are_measured(tmp_path: Path) -> None:
    row: dict[str, object] = {"task": "articleType", "metric": "accuracy", "low": 0.1, "high": 0.9}
    measured = (("test", 0.5), ("test-by-photo", 0.6))
    rows_of(tmp_path, "both", *(row | {"split": split, "value": value} for split, value in measured))
    rows_of(tmp_path, "one", row | {"model": "cnn", "split": "test", "value": 0.5})
    (line,) = study.MAKERS["twins"](load(tmp_path)).splitlines()[2:]
    assert line.endswith("| 50.0 (10.0 – 90.0) | 60.0 (10.0 – 90.0) |")
