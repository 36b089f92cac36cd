"""`--plugin`: a file of the user's own registers a backbone for one command."""

import json

import pytest
from PIL import Image

from fashionsearch.backbones import architectures
from fashionsearch.cli import main

PLUGIN = """
import torch
import fashionsearch as fs

@fs.register_backbone("corner", image_size=8)
def corner(weights):
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
"""


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    architectures._registered.pop("corner", None)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_a_plugin_brings_a_backbone_to_a_command_and_to_what_was_saved_with_it(tmp_path, capsys):
    photo, plugin, out = tmp_path / "a.png", tmp_path / "corner.py", tmp_path / "catalogue"
    Image.new("RGB", (9, 9), "red").save(photo)
    plugin.write_text(PLUGIN)
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos" / "a.png")
    photo = tmp_path / "photos" / "a.png"
    index = ("index", tmp_path / "photos", "--encoder", "corner", "--out", out)
    assert run(*index) == 1
    assert "there is no backbone 'corner'" in capsys.readouterr().err
    assert run(*index, "--plugin", plugin) == 0
    architectures._registered.pop("corner")
    assert run("search", out, photo) == 1
    assert "corner" in capsys.readouterr().err
    assert run("search", out, photo, "--plugin", plugin) == 0
    assert "a.png" in capsys.readouterr().out.splitlines()[1]


def test_what_a_plugin_prints_is_not_part_of_the_answer(tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text("print('hello')")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.png")
    assert run("tag", tmp_path / "a.png", "--json", "--plugin", plugin) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["tagged"] == 1
    assert "hello" in told.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "failed: SystemExit: 3"),
        ("def", "failed: SyntaxError"),
    ],
)
def test_a_plugin_that_fails_is_one_line(content, message, tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    if content is not None:
        plugin.write_text(content)
    assert run("embed", tmp_path, "--out", tmp_path / "v.npz", "--plugin", plugin) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"fashionsearch: --plugin {plugin}")
    assert message in told
    assert told.count("\n") == 1
