"""Connections to PostgreSQL: one lock for all processes, errors in words, and patience while the server is away."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from fashionsearch import errors
from fashionsearch.index.engines.base import Server
from fashionsearch.index.engines.remote import patiently

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

T = TypeVar("T")
_CONNECTIONS = 8
_KEPT = ("host", "port", "dbname", "user", "sslmode", "sslrootcert", "connect_timeout", "application_name")
_COMING = ("refused", "starting up", "shutting down", "No such file", "timeout", "recovery")


class Session:
    """What an engine asks a database by.

    Args:
        server: where the table is.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._changing = threading.RLock()
        self._opened: ConnectionPool[Any] | None = None
        self._opening = threading.Lock()
        self._writing: tuple[int, Connection[Any]] | None = (
            None  # the thread that changes, and its connection
        )

    @property
    def address(self) -> str:
        """Where the table is, without what is secret: what libpq takes as a connection string."""
        return without_secrets(self._server.url)

    @property
    def _pool(self) -> ConnectionPool[Any]:
        with self._opening:
            if self._opened is None:
                from psycopg_pool import ConnectionPool

                self._opened = ConnectionPool(
                    self._server.url,
                    min_size=0,
                    max_size=_CONNECTIONS,
                    timeout=self._server.timeout,
                    kwargs=self._options(),
                    configure=self._configure,
                    open=True,
                )
            return self._opened

    def _options(self) -> dict[str, Any]:
        """Return how to connect: such that a host that is gone is noticed, and not waited for for hours."""
        seconds = max(2, math.ceil(self._server.timeout))
        return {
            "autocommit": True,
            "connect_timeout": seconds,
            "keepalives_idle": seconds,
            "keepalives_interval": seconds,
            "keepalives_count": 2,
            "tcp_user_timeout": 3000 * seconds,
        }

    def _configure(self, connection: Connection[Any]) -> None:
        from pgvector.psycopg import register_vector

        wait = str(math.ceil(1000 * self._server.timeout))
        with connection.transaction():
            for name in ("statement_timeout", "lock_timeout"):
                connection.execute("SELECT set_config(%s, %s, false)", [name, wait])
            # Without it a filter that follows the index leaves too few rows (pgvector#751).
            connection.execute("SELECT set_config('hnsw.iterative_scan', 'strict_order', false)")
        register_vector(connection)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Raise what the database refuses as an error of ours."""
        import psycopg
        from psycopg_pool import PoolTimeout

        where = f"the table {self._server.collection!r} on PostgreSQL ({self.address})"
        try:
            yield
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
            raise errors.StorageError(
                f"{where} did not answer within {self._server.timeout:g} seconds, or another process is changing it; give "
                "a larger timeout="
            ) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise errors.StorageError(
                f"{where} could not be reached within {self._server.timeout:g} seconds: {_first_line(error)}; what was "
                "under way may have been done wholly or not at all, and can be done again"
            ) from error
        except psycopg.Error as error:
            raise errors.StorageError(f"{where} refused: {_first_line(error)}") from error

    def ask(self, action: Callable[[Connection[Any]], T]) -> T:
        """Do something that only reads, again while the server can't be reached.

        Raises:
            StorageError: if it can't be reached in time, or refuses.
        """
        with self.told():
            writing = self._writing  # another thread may end it meanwhile
            if writing is not None and writing[0] == threading.get_ident():
                return action(writing[1])

            def act() -> T:
                with self._pool.connection() as connection:
                    return action(connection)

            return patiently(act, self._server.timeout, _is_passing)

    def has(self, part: str) -> bool:
        """Return whether the database has the table or index of that ending of the collection's name."""
        name = [f'"{self._server.collection}_{part}"']
        found = self.ask(lambda c: c.execute("SELECT to_regclass(%s) IS NOT NULL", name).fetchone())
        return bool(found and found[0])

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[Connection[Any]]:
        """Give one thread of all processes the lock on changes, which it may take several times, and its connection."""
        with self._changing:
            if self._writing is not None:
                yield self._writing[1]
                return
            with contextlib.ExitStack() as stack:
                with self.told():
                    connection = patiently(lambda: self._locked(stack), self._server.timeout, _is_passing)
                self._writing = threading.get_ident(), connection
                try:
                    yield connection
                finally:
                    self._writing = None

    def _locked(self, stack: contextlib.ExitStack) -> Connection[Any]:
        """Return a connection that has the table's lock until the stack is left."""
        import psycopg

        with contextlib.ExitStack() as own:
            connection: Connection[Any] = own.enter_context(self._pool.connection())
            number = ["fashionsearch " + self._server.collection]

            def unlock() -> None:
                # A connection that is lost has lost its lock; one of which that isn't known is not to be used again.
                try:
                    connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", number)
                except psycopg.Error:
                    connection.close()
                except BaseException:
                    connection.close()
                    raise

            own.callback(unlock)
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", number)
            stack.push(own.pop_all())
        return connection

    def write(self, action: Callable[[Connection[Any]], object]) -> None:
        """Change something in one transaction."""
        with self.exclusively() as connection, self.told(), connection.transaction():
            # A large change takes as long as it takes; a connection that is lost is still noticed.
            connection.execute("SET LOCAL statement_timeout = 0")
            action(connection)

    def begin(self) -> None:
        """Connect once by itself, because a pool tells nothing of a wrong password, and see to it that pgvector is there.

        Raises:
            StorageError: if the server can't be reached, or refuses.
        """
        import psycopg

        def connect() -> None:
            with psycopg.connect(self._server.url, **self._options()) as connection:
                if (
                    connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone()
                    is None
                ):
                    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

        def may_come(error: Exception) -> bool:
            # Of two processes that make the extension at once one fails so.
            if isinstance(error, psycopg.errors.UniqueViolation):
                return True
            told = str(error)
            return _is_passing(error) and any(sign in told for sign in _COMING)

        with self.told():
            patiently(connect, self._server.timeout, may_come)

    def close(self) -> None:
        """Close connections; the next call opens them again."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def after_fork(self) -> None:
        """Open connections of its own in a child, and renew the locks."""
        self._opened = self._writing = None
        self._opening, self._changing = threading.Lock(), threading.RLock()


def available() -> bool:
    """Return whether psycopg, its pool and pgvector's package are installed."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("psycopg", "psycopg_pool", "pgvector"))


def is_there(server: Server) -> bool:
    """Return whether a server has the table.

    Raises:
        StorageError: if it can't be reached.
    """
    session = Session(server)
    try:
        session.begin()
        return session.has("facts")
    finally:
        session.close()


def without_secrets(url: str) -> str:
    """Return of a connection string what says where a database is, as libpq takes it.

    Raises:
        InputError: if it is none.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise errors.InputError(
            "url is no address of a PostgreSQL server; give one such as postgresql://user@host:5432/database"
        ) from None  # whose message repeats all of it
    return make_conninfo("", **{name: value for name, value in parts.items() if name in _KEPT})


def without_password(url: str) -> str:
    """Return a connection string with which libpq doesn't look for PGPASSWORD; a line of ~/.pgpass for its host is taken.

    Raises:
        InputError: if it is none.
    """
    from psycopg.conninfo import make_conninfo

    return make_conninfo(without_secrets(url), password="")


def _is_passing(error: Exception) -> bool:
    import psycopg
    from psycopg_pool import PoolTimeout

    slow = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)
    return isinstance(error, psycopg.OperationalError | PoolTimeout) and not isinstance(error, slow)


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    if "no password supplied" in line:
        line += " (to an address that a folder names PGPASSWORD isn't sent; give url= for that)"
    return line
