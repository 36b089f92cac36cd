"""Rows of the study: what names them, and that no process loses another's."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import names, rows
from report.tables import RESULTS


def test_several_add_to_one_file_at_a_time(tmp_path):
    row = dict.fromkeys(rows.FIELDS, "x") | {"value": 0.5, "configuration": {}}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: rows.add(tmp_path / "study-a.json", [row | {"seed": seed}]), range(24)))
    assert {each["seed"] for each in rows.read(tmp_path / "study-a.json")} == set(range(24))
    # What is there stays.
    rows.add(tmp_path / "study-a.json", [row | {"seed": 3, "value": 0.9}])
    assert {each["value"] for each in rows.read(tmp_path / "study-a.json")} == {0.5}


def test_files_and_keys_of_rows(tmp_path):
    row = dict.fromkeys(rows.FIELDS, "x") | {"image_size": [32, 24], "value": 0.5, "configuration": {}}
    rows.write(tmp_path / "study-a.json", [row, row | {"seed": 1}])
    assert rows.read_folder(tmp_path) == {"study-a": [row, row | {"seed": 1}]}
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


def test_the_rows_of_the_repository_are_whole():
    files = rows.read_folder(RESULTS)
    found = [row for each in files.values() for row in each]
    assert {row["scorer"] for row in found} <= set(names.SCORERS)
    for row in found:
        assert (
            row["value"] is None or 0 <= row["low"] <= row["value"] + 1e-9 <= row["high"] + 2e-9 <= 1 + 3e-9
        )
