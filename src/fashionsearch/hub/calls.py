"""What every call of the hub needs: its client, its address, a quick answer where there is no network, and our errors.

The token is the business of `huggingface_hub`: it finds one in `HF_TOKEN` or where `hf auth login` put it. None is seen,
kept or printed here.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from fashionsearch import errors
from fashionsearch.progress import quiet_tqdm

TIMEOUT = 10.0  # seconds within which the hub must answer what it has
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_SECRET = re.compile(r"hf_\w+|(?<=//)[^/@\s]+@")
_YES = {"1", "ON", "YES", "TRUE"}


def is_hub_name(name: object) -> bool:
    """Return whether a name is of a repository, "user/name", and not of a network that ships with the library.

    Examples:
        >>> is_hub_name("anna/shop-tagger"), is_hub_name("fashion")
        (True, False)
    """
    return isinstance(name, str) and "/" in name


def check_name(name: object) -> str:
    """Return the name of a repository.

    Raises:
        InputError: if it can't be one.
    """
    parts = name.split("/") if isinstance(name, str) else []
    fits = (
        isinstance(name, str)
        and len(name) <= 96
        and _NAME.fullmatch(name)
        and not any("--" in part or ".." in part or part.endswith((".", "-", ".git")) for part in parts)
    )
    if not isinstance(name, str) or not fits:
        raise errors.InputError(
            f"{name!r:.120} is not the name of a repository; give 'user/name', of letters, digits, '-', '_' and '.'"
        )
    return name


def client() -> Any:
    """Return the package `huggingface_hub`.

    Raises:
        MissingPackageError: if it isn't installed.
    """
    quiet_tqdm()
    try:
        import huggingface_hub
    except ImportError as error:
        raise errors.MissingPackageError(
            "the hub needs huggingface_hub, which isn't installed: pip install huggingface_hub"
        ) from error
    return huggingface_hub


def endpoint() -> str:
    """Return the hub's address: `HF_ENDPOINT`, or Hugging Face's own."""
    from huggingface_hub import constants

    return str(os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def is_offline() -> bool:
    """Return whether `HF_HUB_OFFLINE` forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES


@contextlib.contextmanager
def calling(name: str, revision: str | None = None) -> Iterator[Any]:
    """Give the hub's client, once it is known that the hub can be reached; what goes wrong inside is a `HubError`.

    Args:
        name: of the repository.
        revision: which is asked for.

    Raises:
        HubError: if the repository, the revision or the hub can't be had; it says what to do.
    """
    hub = client()
    if is_offline():
        raise errors.HubError(
            f"{name} is needed from the hub, and HF_HUB_OFFLINE forbids the network; take that away, or load a revision "
            "that is in the cache already"
        )
    try:
        check_reachable(endpoint())
        yield hub.HfApi(endpoint=endpoint())
    except errors.FashionSearchError:
        raise
    # The client raises its own, its HTTP library's and the system's errors.
    except Exception as error:
        raise _hub_error(error, name, revision) from error


def check_reachable(address: str) -> None:
    """Fail soon where nothing answers: a client would retry for half a minute, or wait for the system's time-out.

    Raises:
        OSError: if the host doesn't resolve or doesn't answer within five seconds.
    """
    parts = urllib.parse.urlsplit(address)
    if parts.hostname and not urllib.request.getproxies().keys() & {parts.scheme, "all"}:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname, port), timeout=5).close()


def _hub_error(error: Exception, name: str, revision: str | None) -> errors.HubError:
    from huggingface_hub import errors as theirs

    # What went wrong lies below what the client was doing at that moment.
    while not isinstance(error, theirs.HfHubHTTPError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    where, wanted = endpoint(), "main" if revision is None else revision
    status = getattr(getattr(error, "response", None), "status_code", None)
    log_in = "log in by `hf auth login`, or set HF_TOKEN"
    if isinstance(error, theirs.GatedRepoError):
        told = f"{name} is gated: ask for access on {where}/{name}, and {log_in}"
    elif isinstance(error, theirs.RepositoryNotFoundError):
        told = (
            f"there is no repository {name} on {where}, or it is private and your token doesn't open it; check the name, "
            f"or {log_in}"
        )
    elif isinstance(error, theirs.RevisionNotFoundError):
        told = f"{name} has no revision {wanted!r:.80}; see {where}/{name}/commits/main for those it has"
    elif isinstance(error, theirs.RemoteEntryNotFoundError):
        told = f"{name} holds nothing that fashionsearch saved, or only a part of it"
    elif status in (401, 403):
        told = f"{where} doesn't allow this on {name} (HTTP {status}); {log_in} with a token that may"
    elif status in (409, 412):
        told = f"{name} was changed by somebody else at this moment; look at it, and push again"
    elif status is not None:
        told = f"{where} answered with HTTP {status} about {name}; try again later"
    else:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        told = (
            f"{where} can't be asked about {name} ({_SECRET.sub('…', reason)}); try again where there is a network, or load "
            "a revision that is in the cache already"
        )
    return errors.HubError(told)
