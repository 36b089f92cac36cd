"""The one place where a file is opened that the browser named: only what it uploaded itself."""

from __future__ import annotations

from pathlib import Path

from fashionsearch import errors

MOST_BYTES = 25_000_000


def take(path: object, folder: Path) -> tuple[bytes, str]:
    """Return the bytes and the name of an uploaded file, which is deleted.

    Args:
        path: what the browser says the path is.
        folder: where uploads lie.

    Raises:
        InputError: if it names anything else than an uploaded file, or one that is too large.
    """
    refused = errors.InputError("that is no photo that was uploaded here; drop it on the page again")
    if not isinstance(path, str):
        raise refused
    try:
        real = Path(path).resolve()  # a link, or "..", would lead elsewhere
        if not real.is_relative_to(folder.resolve()) or not real.is_file():
            raise refused
        with real.open("rb") as file:
            encoded = file.read(MOST_BYTES + 1)
        real.unlink()
    except (OSError, ValueError, RuntimeError) as error:
        if error is refused:
            raise
        raise refused from error
    if len(encoded) > MOST_BYTES:
        raise errors.InputError(f"this photo has over {MOST_BYTES // 1_000_000} MB; give a smaller copy")
    return encoded, real.name
