"""A tagger by the text that somebody gave."""

from pathlib import Path

import pytest

from fashionsearch import errors
from fashionsearch.tagging.named import named_tagger


def test_a_wrong_path_of_a_tagger_is_not_asked_of_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.StorageError, match="there is no such folder"):
        named_tagger(Path("models/tagger"))
    assert hub.requests == []
    assert "articleType" in named_tagger(Path("fashion")).attributes_
