"""What the tests of an index share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tally() -> Callable[..., None]:
    """Return a function that writes what a test has counted to the results, where scripts/test.sh --all asks for them.

    `tally("what was done", cases=200, lost=0)`; it is called before the test says whether that is right.
    """
    from reliability import FOLDER, note

    def write(what: str, **counts: Any) -> None:
        folder = os.environ.get(FOLDER)
        if folder:
            note(Path(folder), {"what": what, **counts})

    return write
