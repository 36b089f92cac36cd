"""The words that ship beside a network."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors, pretrained
from fashionsearch.words import shipped_words

FOLDER = Path(pretrained.__file__).parent


def test_they_ship_for_the_embeddings_of_fashion_alone():
    words = shipped_words(fs.create_backbone("fashion").fingerprint)
    assert words.dim == 256
    assert shipped_words("another") is None


def test_both_files_together_are_as_small_as_promised():
    files = ("fashion.safetensors", "fashion-words.safetensors")
    assert sum((FOLDER / name).stat().st_size for name in files) <= 12_000_000


def test_no_word_can_be_read_from_the_file():
    content = (FOLDER / "fashion-words.safetensors").read_bytes().lower()
    assert not any(word in content for word in (b"shirt", b"dress", b"women", b"puma"))


def test_a_damaged_file_is_told(tmp_path):
    shutil.copy(FOLDER / "fashion-words.safetensors", tmp_path)
    path = tmp_path / "fashion-words.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        errors.CorruptFileError, match=r"fashion-words\.safetensors is not the file that ships.*install"
    ):
        pretrained.open_words("fashion", tmp_path)


def test_words_of_the_same_thing_are_near_each_other():
    words = shipped_words(fs.create_backbone("fashion").fingerprint)
    said = words.read(["red dress", "a red dres", "mens black leather belt"])[1]
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    assert said[0] @ said[1] > 0.6 > said[0] @ said[2] + 0.2
