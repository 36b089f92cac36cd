"""A collection of Qdrant made for an index, or recognised as one."""

from __future__ import annotations

from fashionsearch import errors
from fashionsearch.index.engines.base import Server, Settings
from fashionsearch.index.engines.qdrant.session import Session

_FORMAT = 1


def begin(session: Session, settings: Settings) -> None:
    """Make the collection, or check the one that is there.

    Raises:
        InputError: if it holds vectors of another kind, or wasn't made by this library.
        StorageError: if a newer version made it.
    """
    from qdrant_client import models

    name, distance = session.server.collection, models.Distance.COSINE
    if settings.metric == "euclidean":
        distance = models.Distance.EUCLID
    where = f"the collection {name!r} on {session.address}"
    if not session.ask(lambda client: client.collection_exists(name)):
        _make(session, settings, distance)
    config = session.ask(lambda client: client.get_collection(name)).config
    kind = config.params.vectors
    if not isinstance(kind, models.VectorParams) or (kind.size, kind.distance) != (settings.dim, distance):
        raise errors.InputError(
            f"{where} holds vectors of another kind ({kind!r:.200}), and these are of length {settings.dim} and compared by "
            f"metric={settings.metric!r}; use another collection"
        )
    found = (config.metadata or {}).get("format")
    if found is None:
        if session.ask(lambda client: client.count(name, exact=True)).count:
            raise errors.InputError(f"{where} was not made by this library; use another collection")
        session.tell({"format": _FORMAT})
        found = session.known(now=True).get("format")
    if found is None:
        raise errors.StorageError(
            f"{session.address} keeps no metadata of a collection; Qdrant 1.16 or newer is needed"
        )
    if found != _FORMAT:
        raise errors.StorageError(
            f"{where} has format {found!r}, and this version knows {_FORMAT}; use a newer fashionsearch"
        )


def is_there(server: Server) -> bool:
    """Return whether a server has the collection.

    Raises:
        StorageError: if it can't be reached.
    """
    session = Session(server)
    try:
        return session.ask(lambda client: client.collection_exists(server.collection))
    finally:
        session.close()


def _make(session: Session, settings: Settings, distance: object) -> None:
    from qdrant_client import models

    name = session.server.collection
    try:
        session.ask(
            lambda client: client.create_collection(
                name,
                vectors_config=models.VectorParams(size=settings.dim, distance=distance),  # type: ignore[arg-type]
                hnsw_config=models.HnswConfigDiff(
                    m=settings.m, ef_construct=max(4, settings.ef_construction)
                ),
                metadata={"format": _FORMAT},
            )
        )
    except errors.StorageError:  # another process may have been faster
        if not session.ask(lambda client: client.collection_exists(name)):
            raise
