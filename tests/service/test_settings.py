from pathlib import Path

import pytest

from fashionsearch import errors
from fashionsearch.service.settings import Limits, Settings
from fashionsearch.service.tokens import Tokens

WRITE, READ = "w" * 20, "r" * 20


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert Settings(Path(), host=host).is_local


@pytest.mark.parametrize("host", ["192.0.2.1", "::", "192.168.1.2", "shop.example", ""])
def test_others_need_one(host: str) -> None:
    with pytest.raises(errors.InputError, match="FASHIONSEARCH_READ_TOKEN"):
        Settings(Path(), host=host, tokens=Tokens(write=WRITE))
    assert not Settings(Path(), host=host, tokens=Tokens(read=READ)).is_local


def test_changes_need_one() -> None:
    with pytest.raises(errors.InputError, match="FASHIONSEARCH_TOKEN"):
        Settings(Path(), writable=True, tokens=Tokens(read=READ))
    Settings(Path(), writable=True, tokens=Tokens(write=WRITE))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"port": 70_000}, {"cors_origins": ("shop.example",)}])
def test_what_can_not_be_used_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(errors.InputError):
        Settings(Path(), **wrong)
    with pytest.raises(errors.InputError, match="k=0"):
        Limits(k=0)
    with pytest.raises(errors.DataError):
        Settings(Path(), photos=Path("nowhere"))


@pytest.mark.parametrize("origin", ["*", "http://localhost:5173", "https://shop.example", "http://[::1]:80"])
def test_an_origin_is_as_a_browser_sends_it(origin: str) -> None:
    Settings(Path(), cors_origins=(origin,))
    for wrong in (f"{origin}/", f"{origin}/page", f"{origin} ", origin.upper() + "?"):
        with pytest.raises(errors.InputError, match="as a browser sends it"):
            Settings(Path(), cors_origins=(wrong,))


def test_tokens_are_not_shown() -> None:
    shown = repr(Settings(Path(), tokens=Tokens(WRITE, READ)))
    assert WRITE not in shown
    assert READ not in shown
