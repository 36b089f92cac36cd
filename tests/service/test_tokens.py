from pathlib import Path

import pytest

from fashionsearch import errors
from fashionsearch.service.tokens import Tokens, read_token

WRITE, READ = "w" * 20, "r" * 20


def test_who_may() -> None:
    both = Tokens(WRITE, READ)
    assert both.may(WRITE.encode(), write=True)
    assert both.may(WRITE.encode(), write=False)
    assert both.may(READ.encode(), write=False)
    for shown in (None, b"", READ.encode(), WRITE[:-1].encode(), b"\xff"):
        assert not both.may(shown, write=True)
    for shown in (None, b"", b"x", READ[:-1].encode()):
        assert not both.may(shown, write=False)


def test_without_a_token_nobody_writes_and_everybody_reads() -> None:
    for shown in (None, b"", b"anything"):
        assert Tokens().may(shown, write=False)
        assert not Tokens().may(shown, write=True)


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{WRITE}\n")
    monkeypatch.setenv("A_TOKEN", READ)
    assert read_token("A_TOKEN", file) == WRITE
    assert read_token("A_TOKEN", None) == READ
    assert read_token("NO_TOKEN", None) is None


@pytest.mark.parametrize("text", ["", "short", "with a blank in the middle", "ümlaut" * 4])
def test_what_is_no_token_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(errors.InputError, match="secrets"):
        read_token("X", file)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.DataError, match="nowhere"):
        read_token("X", tmp_path / "nowhere")
