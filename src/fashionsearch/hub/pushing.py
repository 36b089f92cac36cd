"""A saved folder to the hub: in one commit, beside a card, and without the paths of this machine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from fashionsearch import errors, storage
from fashionsearch.hub.calls import TIMEOUT, calling, check_name, client, endpoint
from fashionsearch.hub.card import MARK

_CARD = "README.md"
_OURS = re.compile(r"generation-\d+/.+")
_BESIDE = (".gitattributes", _CARD, "LICENSE", "LICENSE.md")  # of a repository in which nothing was saved yet
_MAX_CARD = 2**20
# Where a saved folder may name a file of the machine it was made on: in options, and as where weights came from.
_OPTIONS = ("tagger.json", "classifier.json", "autoencoder.json")


def push(
    name: str,
    save: Callable[[Path], object],
    card: str,
    *,
    private: bool,
    message: str | None,
    without: Mapping[str, Callable[[storage.Fields], dict[str, Any]]] | None = None,
) -> str:
    """Save something, and make that the content of a repository, in one commit.

    Args:
        name: "user/name", made where it is missing.
        save: writes the folder it is given.
        card: the page.
        private: whether a repository that is made is private; one that is there stays as it is.
        message: of the commit; None says what was pushed.
        without: file -> a function that returns the content of a JSON file as it is to be pushed.

    Returns:
        The full hash of the commit.

    Raises:
        InputError: if the name can't be one.
        HubError: if the hub refuses or can't be reached, or the repository holds something else; it is as it was.
        MissingPackageError: if huggingface_hub isn't installed.
    """
    check_name(name)
    hub = client()
    with tempfile.TemporaryDirectory() as scratch, calling(name) as api:
        save(Path(scratch, "saved"))
        saved = _cleaned(storage.open_saved(Path(scratch, "saved")), Path(scratch, "pushed"), without or {})
        there = _content(api, name, private)
        listed = {str(each.rfilename): each for each in there.siblings or ()}
        _check_replaceable(name, saved.kind, listed, there.sha, Path(scratch))
        files = {f"{saved.generation.name}/{each}": saved.generation / each for each in saved.files}
        files[storage.MANIFEST] = saved.folder / storage.MANIFEST
        operations = [hub.CommitOperationAdd(path, str(file)) for path, file in files.items()]
        if not _is_kept(name, listed, there.sha, Path(scratch)):
            operations.append(hub.CommitOperationAdd(_CARD, card.encode()))
        operations += [
            hub.CommitOperationDelete(each) for each in listed if _OURS.fullmatch(each) and each not in files
        ]
        done = api.create_commit(
            name,
            operations,
            commit_message=message or f"The {saved.kind} as fashionsearch saves it",
            parent_commit=there.sha,
        )
    return str(done.oid)


def _content(api: Any, name: str, private: bool) -> Any:
    """Return what is in a repository, which is made if it isn't there."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return api.model_info(name, timeout=TIMEOUT, files_metadata=True)
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        api.create_repo(name, private=private)
        return api.model_info(name, timeout=TIMEOUT, files_metadata=True)


def _check_replaceable(name: str, kind: str, listed: Mapping[str, Any], commit: str, scratch: Path) -> None:
    """Raise HubError if a push would lay what it saves among files of another thing."""
    if storage.MANIFEST not in listed:
        others = sorted(set(listed) - set(_BESIDE))
        if others:
            raise errors.HubError(
                f"{name} holds {others[0]!r:.80} and nothing that fashionsearch saved; push to another repository"
            )
        return
    try:
        held = storage.open_saved(_read(name, storage.MANIFEST, listed, commit, scratch).parent).kind
    except errors.CorruptFileError as error:
        raise errors.HubError(
            f"{name} has a {storage.MANIFEST} that fashionsearch didn't write; push to another repository"
        ) from error
    if held != kind:
        raise errors.HubError(
            f"{name} holds a saved {held!r:.40}, which a push of the kind {kind!r} would replace; push to another repository"
        )


def _is_kept(name: str, listed: Mapping[str, Any], commit: str, scratch: Path) -> bool:
    """Return whether somebody wrote the repository's card by hand."""
    if _CARD not in listed:
        return False
    return MARK not in _read(name, _CARD, listed, commit, scratch).read_text(
        encoding="utf-8", errors="replace"
    )


def _read(name: str, file: str, listed: Mapping[str, Any], commit: str, scratch: Path) -> Path:
    if (listed[file].size or 0) > _MAX_CARD:
        raise errors.HubError(f"{name} has a {file} of {listed[file].size:,} bytes, which is no such file")
    return Path(
        client().hf_hub_download(
            name,
            file,
            revision=commit,
            endpoint=endpoint(),
            etag_timeout=TIMEOUT,
            local_dir=scratch / "there",
        )
    )


def _cleaned(
    saved: storage.Saved, folder: Path, without: Mapping[str, Callable[[storage.Fields], dict[str, Any]]]
) -> storage.Saved:
    """Return a copy of a saved folder that names no file of this machine."""
    files: dict[str, storage.Writer] = {}
    for name in saved.files:
        last = PurePosixPath(name).name
        if name in without:
            files[name] = storage.write_json(without[name](saved.json(name)))
        elif last in _OPTIONS:
            files[name] = storage.write_json(_without_folders(saved.json(name)))
        else:
            files[name] = storage.write_copy(saved, name)
    storage.save(folder, saved.kind, files)
    return storage.open_saved(folder)


def _without_folders(config: storage.Fields) -> dict[str, Any]:
    options = dict(config["options"])
    options["weights"] = without_folder(options.get("weights"))
    training = options.get("training")
    if isinstance(training, dict) and isinstance(training.get("teacher"), str):
        options["training"] = {**training, "teacher": without_folder(training["teacher"])}
    return {**config, "options": options}


def without_folder(path: str | None) -> str | None:
    """Return the name of a file alone, or None.

    Examples:
        >>> without_folder("/home/anna/shop/weights.safetensors"), without_folder("default")
        ('weights.safetensors', 'default')
    """
    return None if path is None else PureWindowsPath(path).name
