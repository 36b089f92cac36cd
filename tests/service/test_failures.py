import inspect

import pytest

from fashionsearch import errors
from fashionsearch.service.failures import TABLE, refused


def test_every_error_of_the_tree_that_a_request_may_meet_has_a_status() -> None:
    not_met = {"WeightsError", "TrainingError", "DeviceError", "FidelityError", "FashionSearchError"}
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.FashionSearchError) and name not in not_met:
            assert any(issubclass(kind, listed) for listed, _, _ in TABLE), name


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (errors.UnknownIdError("no item has the id 'a'; the index holds 3"), 404, "no item has the id 'a'"),
        (errors.InputError("where is nested more than 20 deep"), 422, "where is nested"),
        (errors.InputError("/srv/catalogue was opened with read_only=True"), 422, "the request can't be used"),
        (errors.InputError(r"C:\catalogue is open"), 422, "the request can't be used"),
        (errors.InputError("see file:///etc/passwd"), 422, "the request can't be used"),
        (errors.InputError("~/catalogue is open"), 422, "the request can't be used"),
        (errors.InputError("/öffentlich/katalog is open"), 422, "the request can't be used"),
        (errors.StorageError("PostgreSQL (host=10.0.0.5 user=shop) refused"), 503, "the catalogue can't be read"),
        (errors.InputError("ids are strings and/or integers, 1/2"), 422, "ids are strings and/or integers, 1/2"),
        (errors.ImageError([errors.ImageFailure(0, "9 bytes", "is damaged: x")]), 422, "the photo is damaged: x"),
        (errors.CorruptFileError("/srv/catalogue/journal.sqlite is damaged"), 503, "the catalogue can't be read"),
        (MemoryError("anything /at/all"), 503, "there is no memory"),
        (TimeoutError("anything /at/all"), 504, "this took too long"),
    ],
)  # fmt: skip
def test_messages_are_kept_where_they_hold_no_path(error: Exception, status: int, told: str) -> None:
    refusal = refused(error)
    assert refusal is not None
    assert refusal.status == status
    assert refusal.message.startswith(told)
    assert ("retry-after" in refusal.headers) is (status == 503)


def test_whoever_runs_the_service_reads_what_its_storage_says(caplog: pytest.LogCaptureFixture) -> None:
    refused(errors.StorageError("PostgreSQL (host=10.0.0.5 user=shop) refused"))
    assert "host=10.0.0.5" in caplog.text


def test_what_nobody_foresaw_is_told_by_nobody() -> None:
    assert refused(KeyError("secret")) is None
