"""Consoles that can't show every letter, and file names that would move the cursor."""

import io
import os
import subprocess
import sys

import pytest

from fashionsearch import cli
from fashionsearch.cli.console import any_encoding, shown


@pytest.mark.parametrize("encoding", ["cp932", "latin-1", "cp437", "ascii", "utf-8"])
def test_every_console_takes_every_text(encoding, monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with any_encoding():
        print("0.9 – 1.0 × 2 … \u732b \udcff")
    stream.flush()
    text = raw.getvalue().decode(encoding)
    assert text.replace("–", "-").replace("×", "x").replace("…", "...").startswith("0.9 - 1.0 x 2 ... ")
    assert text.endswith("\\udcff" + os.linesep)
    assert stream.errors == "strict"


def test_a_command_ends_well_on_an_old_console(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "cp437", "PYTHONUTF8": "0"}
    command = [
        sys.executable,
        "-m",
        "fashionsearch",
        "train",
        str(tmp_path / "caf\u00e9 \u732b"),
        "--out",
        "x",
    ]
    ran = subprocess.run(command, env=environment, capture_output=True, cwd=tmp_path, check=False)
    assert ran.returncode == 1
    assert b"there is no such folder" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_escape_sequences_in_names_do_not_reach_the_console(tmp_path, capsys):
    assert shown("a\x1b[2J\n\u202eb \u732b.jpg") == "a\\x1b[2J\\n\\u202eb \u732b.jpg"
    name = "red\x1b[31m.jpg"
    assert cli.main(["search", str(tmp_path / name), "photo.jpg"]) == 1
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert "red\\x1b[31m.jpg" in error
