"""What of an index can be shared on the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.encoder import GRAPHS, Embeds
from fashionsearch.index import encoders, engines, snapshot
from fashionsearch.index.searchable import Searchable
from fashionsearch.results import fields_table

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from fashionsearch import storage
    from fashionsearch.hub import Card, Figures

# Files of graphs: native code would read what a stranger wrote, and vectors and weights are enough to make them again.
_GRAPHS = (
    "graph.hnsw",
    "graph.faiss",
    "graph.safetensors",
    *(f"{encoders.PREFIX}{name}" for name in GRAPHS),
)


class Shared(Searchable):
    """A searchable index that can be pushed to the hub, and had from there."""

    commit: str | None = None

    if TYPE_CHECKING:

        def save(self, folder: storage.PathLike) -> None: ...  # noqa: D102

        @classmethod
        def load(  # noqa: D102
            cls,
            folder: storage.PathLike,
            *,
            encoder: Embeds | None = None,
            rebuild: bool = False,
            device: str = "auto",
            precision: str = "auto",
            runtime: str = "auto",
            batch_size: int | None = None,
            progress: bool = True,
        ) -> Self: ...

    def push_to_hub(
        self,
        name: str,
        *,
        evaluation: Figures | None = None,
        license: str | None = None,
        about: str = "",
        sources: bool = False,
        private: bool = True,
        message: str | None = None,
    ) -> str:
        """Push what `save` writes to a repository of Hugging Face's hub, in one commit, with a card that says what it is.

        Vectors, ids, all metadata, what was learned beside them and the encoder are pushed; photos are not, and neither is
        where they lie on this machine, unless `sources` is True. Look at ids and metadata before you share them: ids that
        `sync` made are paths in the folder of photos. `huggingface_hub` finds the token (`hf auth login`, or `HF_TOKEN`).

        Args:
            name: of the repository, "user/name"; it is made where it is missing.
            evaluation: for the card: name -> number, such as {"recall@10": index.health().recall}, or what `evaluate` of the
                encoder returned.
            license: likewise: the hub's identifier, such as "cc-by-4.0"; None reserves all rights.
            about: likewise: Markdown in your own words, such as what the photos show.
            sources: push the paths that items were added from too.
            private: whether a repository that is made is private; one that is there stays as it is.
            message: of the commit.

        Returns:
            The full hash of the commit, to be given as `from_pretrained(name, revision=…)`.

        Raises:
            InputError: if the items are on a server, or the name, the licence or the evaluation can't be used.
            HubError: if the hub refuses, can't be reached, or holds something else there, which stays as it is.
            MissingPackageError: if huggingface_hub isn't installed.
        """
        from fashionsearch import hub

        if self.engine in engines.REMOTE:
            raise errors.InputError(
                f"the items of this index are on a server (engine={self.engine!r}), and what is saved names only that; copy "
                "them by index.copy_to(other) into an index of this machine, and push that"
            )
        card = self._card(sources).text(
            name, type(self).__name__, license=license, about=about, evaluation=evaluation
        )
        without = {} if sources else {"items.json": _without_sources}
        return hub.push(name, self.save, card, private=private, message=message, without=without)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        revision: str | None = None,
        refresh: bool = False,
        encoder: Embeds | None = None,
        rebuild: bool = True,
        device: str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Self:
        """Load an index that `push_to_hub` pushed; what was fetched before is loaded without a network.

        Only the files that the repository's manifest names are fetched, and only such as `save` writes; each is compared
        with its hash before anything is made of it, and nothing is unpickled. `index.save(folder)` keeps it elsewhere, and
        `VisualIndex.open(folder)` makes a saved one durable.

        Args:
            name: of the repository, "user/name".
            revision: full hash of a commit, which pins it; or a branch or tag, which is looked up at the first call and
                remembered. None is the branch main. `commit` says which commit it was.
            refresh: ask the hub what the revision is now.
            encoder: as for `load`.
            rebuild: as for `load`, and True by default: files of graphs are not even fetched. With False native code reads
                them: only for a repository that you trust.
            device: as for `load`.
            precision: likewise.
            runtime: likewise.
            batch_size: likewise.
            progress: show bars.

        Raises:
            InputError: if the name or the revision can't be one.
            HubError: if it isn't in the cache, and the hub lacks it, refuses or can't be reached.
            CorruptFileError: if a file isn't what the manifest says.
            StorageError: if something else was saved there, or its items are on a server, which is never asked.
            EncoderMismatchError: if the encoder isn't the one the vectors came from.
            MissingPackageError: if huggingface_hub isn't installed.
        """
        from fashionsearch import hub

        without = _GRAPHS if rebuild else ()
        pulled = hub.pull(
            name, "index", revision=revision, refresh=refresh, without=without, progress=progress
        )
        with hub.loading(pulled) as folder:
            _check_local(folder, name)
            self = cls.load(
                folder,
                encoder=encoder,
                rebuild=rebuild,
                device=device,
                precision=precision,
                runtime=runtime,
                batch_size=batch_size,
                progress=progress,
            )
        self.commit = pulled.commit
        return self

    def _facts(self) -> list[tuple[str, str]]:
        """Return what a card and a notebook say of the index."""
        encoder = self.encoder
        return [
            ("items", f"{len(self):,}"),
            ("encoder", "none: vectors only" if encoder is None else encoders.name(encoder)),
            ("dim of a vector", f"{self.dim:,}"),
            ("metric", self._engine.settings.metric),
            ("engine", self.engine),
            ("backgrounds of photos", self.background),
            ("likeness as a chance", "calibrated" if "calibration" in self._learned else "not calibrated"),
            ("learned beside the items", ", ".join(sorted(self._learned)) or "nothing"),
        ]

    def _repr_html_(self) -> str:
        return fields_table(type(self).__name__, self._facts())

    def _card(self, sources: bool) -> Card:
        from fashionsearch.hub import Card

        encoder = self.encoder
        embeds = encoder is not None and encoders.identity(encoder)["fingerprint"] is not None
        notes = [
            "Photos are not in the repository. "
            + (
                "The paths they were added from are."
                if sources
                else "Neither are the paths they were added from."
            )
        ]
        if encoder is not None and not embeds:
            notes.append(
                "Its encoder is an object of the author's, which is not in the repository: give `encoder=`."
            )
        call = (
            'index.search("photo.jpg", k=5)'
            if embeds
            else f"index.search_vectors(vectors, k=5)  # (n, {self.dim})"
        )
        return Card(
            f"An index of {len(self):,} items to search by photo, made with fashionsearch.",
            "image-feature-extraction",
            self._facts(),
            f"index = {{load}}\nprint({call.split('  #')[0]}){call[len(call.split('  #')[0]) :]}",
            notes=notes,
        )


def _without_sources(content: storage.Fields) -> dict[str, Any]:
    return {**content, "sources": [None] * len(content["sources"])}


def _check_local(folder: Path, name: str) -> None:
    """Raise StorageError for an index whose items are on a server: a stranger would choose whom this machine calls."""
    with snapshot.reading(folder) as (_, config):
        if config["engine"] in engines.REMOTE:
            raise errors.StorageError(
                f"{name} names a server ({str(config['engine'])[:20]!r}) that holds its items, and a repository is not "
                "believed about that; load a copy of it by VisualIndex.load"
            )
