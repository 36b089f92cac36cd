"""Why a photo and an item match."""

import pytest

from fashionsearch import errors, plots


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.MissingPackageError("plots.why needs torch: pip install torch"), "pip install torch"),
        (errors.InputError("no map"), "has no map of a photo"),
    ],
)
def test_without_a_picture_it_is_told_in_words(visit, upload, drawn, monkeypatch, error, told):
    def can_not(*_, **__):
        raise error

    monkeypatch.setattr(plots, "why", can_not)
    visit.act({"do": "photo", "path": upload(drawn / "photos" / "garment-03.png")})
    visit.act({"do": "why", "place": 0, "turn": visit.turn})
    assert not visit.is_problem
    assert visit.why.picture is None
    assert told in visit.why.note
    assert visit.why.parts
