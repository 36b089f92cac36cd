"""The command line of study.py."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import study
from report.tables import ROOT

import fashionsearch as fs


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


def test_the_commands_that_are_shown_parse(capsys):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "benchmark-a-backbone.md").read_text()
    lines = [line.strip() for line in page.splitlines()]
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("python benchmarks/study.py")]
    assert len(commands) == 8
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


def test_help_is_told_at_once():
    """Nothing that measures is loaded for it."""
    code = (
        "import runpy, sys\n"
        "sys.path.insert(0, 'benchmarks')\n"
        "sys.argv = ['study.py', '--help']\n"
        "try:\n    runpy.run_path('benchmarks/study.py', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'sklearn', 'numpy', 'scipy', 'PIL'} & {*sys.modules}\n"
        "assert not heavy, heavy"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "--quick" in told.stdout
