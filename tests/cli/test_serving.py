import importlib.util
from pathlib import Path

import pytest

import fashionsearch as fs
from fashionsearch.cli import main


def test_what_it_needs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index = fs.VisualIndex(dim=2, progress=False)
    index.save(tmp_path / "index")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("fastapi", "httptools") else find(name)
    )
    assert main(["serve", str(tmp_path / "index")]) == 1
    assert "pip install fastapi httptools" in capsys.readouterr().err


def test_a_folder_without_an_index_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_tokens_can_not_be_given_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    assert "--token FILE" in shown
    assert "--read-token FILE" in shown
