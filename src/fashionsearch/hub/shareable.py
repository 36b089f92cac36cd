"""What estimators share of the hub: they are pushed with a card, and loaded from a pinned commit."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

    from fashionsearch import storage
    from fashionsearch.hub.card import Card, Figures


class Shareable:
    """What saves itself to a folder, loads again from one, and can say what it is.

    Attributes:
        commit_: full hash of the hub's commit that `from_pretrained` loaded; None of anything else.
    """

    commit_: str | None = None
    _kind: str

    if TYPE_CHECKING:

        def save(self, folder: storage.PathLike) -> None: ...  # noqa: D102

        @classmethod
        def load(  # noqa: D102
            cls,
            folder: storage.PathLike,
            *,
            device: str = "auto",
            precision: str = "auto",
            runtime: str = "auto",
            batch_size: int | None = None,
            progress: bool = True,
            rebuild: bool = False,
        ) -> Self: ...

        def _check_fitted(self) -> None: ...

    def push_to_hub(
        self,
        name: str,
        *,
        evaluation: Figures | None = None,
        license: str | None = None,
        about: str = "",
        private: bool = True,
        message: str | None = None,
    ) -> str:
        """Push what `save` writes to a repository of Hugging Face's hub, in one commit, with a card that says what it is.

        A file or folder that an option names is pushed by its name alone, without where it lies. A card that somebody wrote
        by hand there is left as it is. `huggingface_hub` finds the token (`hf auth login`, or `HF_TOKEN`).

        Args:
            name: of the repository, "user/name"; it is made where it is missing.
            evaluation: for the card: what `evaluate` returned, or name -> that or a number.
            license: likewise: the hub's identifier, such as "apache-2.0"; None reserves all rights.
            about: likewise: Markdown in your own words, such as what it learned from.
            private: whether a repository that is made is private; one that is there stays as it is.
            message: of the commit.

        Returns:
            The full hash of the commit, to be given as `from_pretrained(name, revision=…)`.

        Raises:
            NotFittedError: before `fit`.
            InputError: if the name, the licence or the evaluation can't be used.
            HubError: if the hub refuses, can't be reached, or holds something else there, which stays as it is.
            MissingPackageError: if huggingface_hub isn't installed.
        """
        from fashionsearch.hub.pushing import push  # here, as below: most programs speak to no hub

        self._check_fitted()
        owner = type(self).__name__
        card = self._card().text(name, owner, license=license, about=about, evaluation=evaluation)
        return push(name, self.save, card, private=private, message=message)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        revision: str | None = None,
        refresh: bool = False,
        rebuild: bool = False,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Self:
        """Load what `push_to_hub` pushed; what was fetched before is loaded without a network.

        Only the files that the repository's manifest names are fetched, and only such as `save` writes; each is compared
        with its hash before anything is made of it, and nothing is unpickled.

        Args:
            name: of the repository, "user/name".
            revision: full hash of a commit, which pins it; or a branch or tag, which is looked up at the first call and
                remembered. None is the branch main. `commit_` says which commit it was.
            refresh: ask the hub what the revision is now.
            rebuild: as for `load`; the network's graphs aren't even fetched then: for a repository that you don't trust.
            device: as for `load`.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: show bars.

        Raises:
            InputError: if the name or the revision can't be one.
            HubError: if it isn't in the cache, and the hub lacks it, refuses or can't be reached.
            CorruptFileError: if a file isn't what the manifest says.
            StorageError: if something else was saved there.
            MissingPackageError: if huggingface_hub isn't installed, or torch, where it takes that.
        """
        from fashionsearch.hub.pulling import loading, pull

        without = cls._graph_files() if rebuild else ()
        pulled = pull(name, cls._kind, revision=revision, refresh=refresh, without=without, progress=progress)
        with loading(pulled) as folder:
            self = cls.load(
                folder,
                device=device,
                precision=precision,
                runtime=runtime,
                batch_size=batch_size,
                progress=progress,
                rebuild=rebuild,
            )
        self.commit_ = pulled.commit
        return self

    @classmethod
    def _graph_files(cls) -> Collection[str]:
        """Return the files that native code reads, and that can be done without."""
        raise NotImplementedError

    def _card(self) -> Card:
        """Return what the hub's page says of what was learned."""
        raise NotImplementedError
