"""`fashionsearch completion`: bash completes commands, options, words and files by the script, without Python."""

import shutil
import subprocess

import pytest

from fashionsearch.cli import main

SHELLS = ("bash", "zsh", "fish", "tcsh")


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def completed(source, words, folder):
    """Return what bash offers for a command line, by its own machinery: the function that `complete` was given."""
    program = f"""
source {source}
COMP_WORDS=({words} "$LAST")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="{words} $LAST"
COMP_POINT=${{#COMP_LINE}}
name=$(complete -p fashionsearch | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$name fashionsearch "$LAST" "${{COMP_WORDS[$((COMP_CWORD - 1))]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    *first, last = words.split(" ")
    program = program.replace(words, " ".join(first)).replace("$LAST", last)
    bash = ["bash", "--norc", "--noprofile", "-c", program]
    ran = subprocess.run(bash, cwd=folder, capture_output=True, text=True, check=True, timeout=30)
    assert ran.stderr == ""
    return [word.rstrip() for word in ran.stdout.splitlines() if word.strip()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_completes_commands_options_words_and_files(tmp_path, capsys):
    source = tmp_path / "complete.sh"
    source.write_text(script("bash", capsys))
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "catalogue").mkdir()
    (folder / "photo.jpg").touch()
    assert completed(source, "fashionsearch se", folder) == ["search", "serve"]
    assert {"add", "remove", "update", "completion", "info"} <= set(
        completed(source, "fashionsearch ", folder)
    )
    assert {"--tag", "--tagger"} == set(completed(source, "fashionsearch search --ta", folder))
    assert completed(source, "fashionsearch index --engine q", folder) == ["qdrant"]
    assert completed(source, "fashionsearch completion z", folder) == ["zsh"]
    assert completed(source, "fashionsearch search cat", folder) == ["catalogue"]
    assert completed(source, "fashionsearch search catalogue pho", folder) == ["photo.jpg"]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_that_names_the_commands(shell, tmp_path, capsys):
    written = script(shell, capsys)
    for name in ("fashionsearch", "search", "group-by", "completion"):
        assert name in written
    if shutil.which(shell):
        file = tmp_path / "script"
        file.write_text(written)
        subprocess.run([shell, "-n", str(file)], check=True, timeout=30)


def test_the_package_that_writes_it_is_named_where_it_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install shtab" in capsys.readouterr().err
