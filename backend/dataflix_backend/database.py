"""Connections to PostgreSQL, as a role that reads and writes rows and no more."""

from __future__ import annotations

import logging
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection, adapters, errors, sql
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from dataflix_contract import Settings, tables
from dataflix_contract.postgres_sessions import parameters
from dataflix_contract.schema import SOURCE_SCHEMA

#: Each process's connections: as many as its threads.
MOST_CONNECTIONS = 8
_CONNECT_SECONDS = 2
#: How long a request waits for a connection: at first, and while PostgreSQL is known to be away.
_WAIT_SECONDS, _SHORT_WAIT_SECONDS = 2.0, 0.2
#: After so long the pool gives an attempt up, and the next request begins a new one at once. With the
#: default of five minutes, attempts would be minutes apart when PostgreSQL comes back.
_RECONNECT_SECONDS = 2.0
#: What a search takes for the same word. "amelie" and "Amélie" have 0.4: no letter of a short word may be
#: wrong with PostgreSQL's default of 0.6.
_LEAST_SIMILARITY = 0.39
#: A statement that takes longer than five seconds serves nobody. Policies on rows are somebody's will: the
#: API shows and writes what they let through.
_SESSION = {
    "statement_timeout": "5s",
    "row_security": "on",
    "pg_trgm.word_similarity_threshold": str(_LEAST_SIMILARITY),
}


#: A statement that was prepared before a table was changed, and does not fit it any more.
_OUTDATED = (errors.FeatureNotSupported, errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


class RowRefusedError(errors.SerializationFailure):
    """A row was neither written nor found, or neither deleted nor gone, and PostgreSQL gave no reason.

    Somebody else has changed it in the same moment: then it helps to try again. Or a trigger or a rule of the
    table discards what is done to its rows.

    Args:
        deed: what was not done: store or delete.
        table: whose row it is.
    """

    def __init__(self, deed: str, table: str) -> None:
        super().__init__(f"the database did not {deed} a row of {table}")
        self.table = table


class Pool(ConnectionPool[Connection[TupleRow]]):
    """A pool that makes nobody wait for a server that is known to be away.

    Its connections keep prepared statements. PostgreSQL refuses them for ever once a column of their result
    has another type; then all connections are replaced by new ones.
    """

    _away = False

    def getconn(self, timeout: float | None = None) -> Connection[TupleRow]:
        """A connection that works.

        Raises:
            PoolTimeout: there is none, and none can be made.
        """
        wait = _SHORT_WAIT_SECONDS if self._away else _WAIT_SECONDS
        try:
            found = super().getconn(wait if timeout is None else timeout)
        except PoolTimeout:
            self._away = True
            raise
        self._away = False
        return found

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection[TupleRow]]:
        """Borrow a connection; see `getconn`."""
        with super().connection(timeout) as connection:
            try:
                yield connection
            except _OUTDATED:
                self.drain()
                raise


def make_pool(settings: Settings) -> Pool:
    """A closed pool: opening it, in the process that uses it, needs no running PostgreSQL.

    Connections commit each statement unless a transaction is opened.
    """
    # it tells of each request at level INFO
    logging.getLogger("psycopg.pool").setLevel(logging.WARNING)
    return Pool(
        kwargs={
            **parameters(
                settings.postgres_server,
                settings.postgres_api_user,
                settings.postgres_api_password,
                program="dataflix-backend",
                connect_seconds=_CONNECT_SECONDS,
                database=settings.postgres_db,
                own=_SESSION,
            ),
            "autocommit": True,
        },
        min_size=1,
        max_size=MOST_CONNECTIONS,
        timeout=_WAIT_SECONDS,
        reconnect_timeout=_RECONNECT_SECONDS,
        check=_check,
        open=False,
    )


def containing(text: str | None) -> str | None:
    r"""The ILIKE pattern of texts with this text in them; None for no text at all.

    >>> containing("50%")
    '%50\\%%'
    """
    return None if not text else "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def blocked_tables(connection: Connection[TupleRow]) -> list[str]:
    """Each table of the contract that nobody can read now, who is in the way, and what to do.

    Raises:
        psycopg.OperationalError: PostgreSQL is away.
    """
    found = connection.execute(_BLOCKED, {"schema": SOURCE_SCHEMA, "names": list(tables())})
    return [
        (
            f"the table {table} is locked by PostgreSQL's process {pid}: wait until it is done, or end it as"
            f" the superuser (SELECT pg_terminate_backend({pid})); pg_stat_activity shows what it does"
        )
        for table, pid in found
    ]


def session_warnings(connection: Connection[TupleRow]) -> list[str]:
    """What somebody has set for this server's sessions, and should look at."""
    row = connection.execute("SELECT current_setting('session_replication_role')").fetchone()
    if row != ("replica",):
        return []
    return [
        (
            "session_replication_role is replica for the API's sessions: triggers and foreign keys are off;"
            " bin/dataflix-connector preflight says how to change that"
        )
    ]


def unlike_the_contract(connection: Connection[TupleRow]) -> list[str]:
    """The columns that have another type than in the contract. It reads no row.

    Raises:
        psycopg.errors.LockNotAvailable: somebody has locked a table: see `blocked_tables`.
        psycopg.Error: a table or a column is not there, or may not be read.
    """
    wanted = [(table.name, column) for table in tables().values() for column in table.columns.values()]
    with connection.transaction():
        connection.execute(_SHORT_LOCK_WAIT)
        found = connection.execute(_COLUMNS, prepare=False).description or ()
    return [
        f"{table}.{column.name} is not of the type {column.type.value}"
        for (table, column), there in zip(wanted, found, strict=True)
        if there.type_code not in set(map(_oid, column.type.spellings))
    ]


def _oid(spelling: str) -> int | None:
    """The number of a type; what is in parentheses is no part of it."""
    return adapters.types.get_oid(spelling.partition("(")[0])


_SHORT_LOCK_WAIT = "SET LOCAL lock_timeout = '1s'"
# Who waits for such a lock is in the way as well, of everybody who comes later: then those are named who
# let it wait.
_BLOCKED = """
SELECT DISTINCT c.relname, holder
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation,
    unnest(CASE WHEN l.granted THEN ARRAY[l.pid] ELSE pg_blocking_pids(l.pid) END) AS holder
WHERE l.mode = 'AccessExclusiveLock'
    AND c.relnamespace = %(schema)s::regnamespace AND c.relname = ANY(%(names)s)
ORDER BY c.relname, holder
"""
_COLUMNS = sql.SQL("SELECT {columns} FROM {tables} WHERE false").format(
    columns=sql.SQL(", ").join(
        sql.Identifier(table.name, column) for table in tables().values() for column in table.columns
    ),
    tables=sql.SQL(", ").join(map(sql.Identifier, tables())),
)


def _check(connection: Connection[TupleRow]) -> None:
    """Refuse a dead connection. One over which nothing has come is taken to live, without asking.

    A server that goes, and one that ends a session, closes the connection: that can be read from it.
    """
    try:
        if _has_news(connection):
            Pool.check_connection(connection)
    except Exception:
        # PostgreSQL was restarted: the others are dead too, and finding that out takes a second for each
        pool = connection._pool  # noqa: SLF001 - there is no other way to it
        if isinstance(pool, Pool):
            pool.drain()
        raise


def _has_news(connection: Connection[TupleRow]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
