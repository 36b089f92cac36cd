"""A saved folder from the hub: one commit, only the files that its manifest names, each hash checked, and then no network.

Files lie in the cache of `huggingface_hub` (`HF_HOME` moves it), a folder for each commit. What a branch was resolved to
is noted there as that package notes it, once everything of the commit is there and has been verified.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashionsearch import errors, storage
from fashionsearch.hub.calls import TIMEOUT, calling, check_name, client, endpoint, is_hub_name

__all__ = ["Pulled", "is_hub_name", "loading", "pull"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_MAX_MANIFEST = 2**20
_MAX_FILES = 1000
# What `save` writes; nothing else is fetched, whatever a manifest names.
_PART = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_SUFFIXES = (".json", ".safetensors", ".onnx", ".hnsw", ".faiss")


@dataclass(frozen=True)
class Pulled:
    """A saved folder of the hub on this machine.

    Attributes:
        name: of the repository.
        commit: its full hash.
        folder: which `load` reads.
    """

    name: str
    commit: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.name}@{self.commit}"


def pull(
    name: str,
    kind: str,
    *,
    revision: str | None = None,
    refresh: bool = False,
    without: Collection[str] = (),
    progress: bool = True,
) -> Pulled:
    """Return the folder of a repository's commit, from the cache if it is there whole, else from the hub.

    Args:
        name: "user/name".
        kind: what was saved there.
        revision: the full hash of a commit; or a branch or tag, which is looked up at the first call and remembered; None
            is the branch main.
        refresh: ask the hub what the revision is now, and fetch again what isn't as its manifest says.
        without: files that aren't needed.
        progress: show bars.

    Raises:
        InputError: if the name or the revision can't be one.
        HubError: if it can't be had.
        CorruptFileError: if a file isn't what the manifest says, or the manifest names what is never fetched.
        StorageError: if something of another kind is saved there, or the disk has no room.
        MissingPackageError: if huggingface_hub isn't installed.
    """
    check_name(name)
    wanted = "main" if revision is None else _checked_revision(revision)
    client()
    if not refresh:
        kept = _remembered(name, wanted)
        if kept is not None and not _missing(_opened(kept, name, kind), without):
            return kept
        commit = wanted if kept is None else kept.commit
    else:
        commit = wanted
    with calling(name, revision) as api:
        info = api.model_info(name, revision=commit, timeout=TIMEOUT, files_metadata=True)
        found = _fetch(name, kind, info, without, refresh=refresh, progress=progress)
    if _COMMIT.fullmatch(wanted) and wanted != found.commit:
        raise errors.HubError(
            f"{endpoint()} gave commit {found.commit!r:.60} for {wanted}; nothing was loaded"
        )
    if wanted != found.commit:
        note = found.folder.parents[1] / "refs" / Path(*wanted.split("/"))
        storage.write_atomically(note, lambda file: file.write(found.commit.encode()))
    return found


@contextlib.contextmanager
def loading(pulled: Pulled) -> Iterator[Path]:
    """Give the folder to load; a file of it that was damaged since it was fetched is an error that says how to mend it."""
    try:
        yield pulled.folder
    except errors.CorruptFileError as error:
        raise errors.CorruptFileError(
            f"{error}; from_pretrained({pulled.name!r}, refresh=True) fetches it again"
        ) from error


def _checked_revision(revision: object) -> str:
    if (
        not isinstance(revision, str)
        or len(revision) > 200
        or not _REVISION.fullmatch(revision)
        or ".." in revision
    ):
        raise errors.InputError(
            f"revision={revision!r:.120} is not one; give the full hash of a commit (40 digits), a branch or a tag"
        )
    return revision


def _remembered(name: str, revision: str) -> Pulled | None:
    """Return the folder of a revision in the cache, which may lack files; None where its manifest isn't there."""
    path = client().try_to_load_from_cache(name, storage.MANIFEST, revision=revision)
    if not isinstance(path, str):  # None, or a mark that the repository has none
        return None
    folder = Path(path).parent
    return Pulled(name, folder.name, folder)


def _opened(pulled: Pulled, name: str, kind: str) -> storage.Saved:
    """Return the manifest of a folder, whose names have been checked.

    Raises:
        CorruptFileError: if it names what is never fetched.
        StorageError: if it is of another kind.
    """
    try:
        saved = storage.open_saved(pulled.folder)
    except errors.CorruptFileError as error:
        raise errors.CorruptFileError(f"{pulled}: {error}; refresh=True fetches it again") from error
    if saved.kind != kind:
        raise errors.StorageError(
            f"{name} holds a saved {saved.kind!r:.40}, not {_article(kind)}; load it with the class that pushed it"
        )
    strange = [each for each in saved.files if not _is_ours(each)]
    if strange or len(saved.files) > _MAX_FILES:
        told = (
            f"{strange[0]!r:.80}, which nothing that fashionsearch saves is called"
            if strange
            else "too many files"
        )
        raise errors.CorruptFileError(f"the manifest of {pulled} names {told}; nothing of it was fetched")
    return saved


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _is_ours(name: str) -> bool:
    return name.endswith(_SUFFIXES) and all(
        _PART.fullmatch(part) and ".." not in part for part in name.split("/")
    )


def _missing(saved: storage.Saved, without: Collection[str]) -> list[str]:
    """Return the files that aren't here in their size."""
    return [name for name in saved.files if name not in without and not _is_here(saved, name)]


def _is_here(saved: storage.Saved, name: str) -> bool:
    path = saved.generation / name
    return path.is_file() and path.stat().st_size == saved.files[name]["bytes"]


def _fetch(
    name: str, kind: str, info: Any, without: Collection[str], *, refresh: bool, progress: bool
) -> Pulled:
    """Fetch the files of a commit, and verify each before anybody can load it."""
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise errors.HubError(f"{endpoint()} gave {commit!r:.60} for a commit of {name}; nothing was loaded")
    there = {str(each.rfilename): each for each in info.siblings or ()}
    if storage.MANIFEST not in there:
        raise errors.HubError(f"{name} holds nothing that fashionsearch saved: it has no {storage.MANIFEST}")
    size = there[storage.MANIFEST].size or 0
    if size > _MAX_MANIFEST:
        raise errors.CorruptFileError(
            f"{name}: {storage.MANIFEST} has {size:,} bytes, and at most {_MAX_MANIFEST:,} are fetched"
        )
    manifest = _download(name, storage.MANIFEST, commit, again=refresh, progress=False)
    pulled = Pulled(name, commit, manifest.parent)
    saved = _opened(pulled, name, kind)
    needed = [each for each in saved.files if each not in without]
    for each in needed:
        _check_listed(there, saved, each, pulled)
    if refresh:
        for each in needed:
            _forget_damaged(saved, each)
    missing = _missing(saved, without)
    _check_room(pulled.folder, sum(saved.files[each]["bytes"] for each in missing))
    for each in missing:
        if not _is_here(saved, each):  # which another process may have fetched meanwhile, and be loading
            _forget(saved.generation / each)  # of another size, or a link to what is gone
            _download(name, f"{saved.generation.name}/{each}", commit, again=False, progress=progress)
        try:
            saved.path(each)
        except errors.CorruptFileError as error:
            _forget(saved.generation / each)  # so that the next call fetches it again
            raise errors.CorruptFileError(
                f"{pulled}: {each} is not what its manifest says; it was not kept"
            ) from error
    return pulled


def _check_listed(there: Mapping[str, Any], saved: storage.Saved, name: str, pulled: Pulled) -> None:
    """Raise CorruptFileError, before anything is fetched, unless the hub has a file as the manifest says."""
    entry, expected = there.get(f"{saved.generation.name}/{name}"), saved.files[name]
    if entry is None:
        raise errors.CorruptFileError(
            f"{pulled} lacks {name}, which its manifest names; it was pushed only in part"
        )
    large, size = entry.lfs, expected["bytes"]
    if entry.size is not None and entry.size != size:
        raise errors.CorruptFileError(
            f"{pulled}: {name} has {entry.size:,} bytes on the hub and {size:,} in its manifest; nothing was loaded"
        )
    if large is not None and large["sha256"] != expected["sha256"]:
        raise errors.CorruptFileError(
            f"{pulled}: {name} has another SHA-256 on the hub than in its manifest; nothing was loaded"
        )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise errors.StorageError(
            f"{needed:,} bytes would be fetched, and {free:,} are free where the cache lies; make room, or set HF_HOME"
        )


def _download(name: str, file: str, commit: str, *, again: bool, progress: bool) -> Path:
    path = client().hf_hub_download(
        name,
        file,
        revision=commit,
        endpoint=endpoint(),
        force_download=again,
        etag_timeout=TIMEOUT,
        library_name="fashionsearch",
        tqdm_class=None if progress else _NoBar,
    )
    return Path(path)


class _NoBar:
    """What the hub's client takes for a bar, and never draws anything."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: float | None = 1) -> None:
        """Be told how much more is done."""


def _forget_damaged(saved: storage.Saved, name: str) -> None:
    with contextlib.suppress(errors.StorageError):
        saved.path(name)
        return
    _forget(saved.generation / name)


def _forget(path: Path) -> None:
    """Remove a file from the cache, and what it links to there."""
    from huggingface_hub import constants

    held = path.resolve()
    if held.is_relative_to(Path(constants.HF_HUB_CACHE).resolve()):
        held.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
