"""The API's connections to PostgreSQL, with a role that may only read and write rows."""

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

#: The most connections of one process, which has as many threads.
MOST_CONNECTIONS = 8
_CONNECT_SECONDS = 2
#: How long a request waits for a connection: normally, and while PostgreSQL is known to be unreachable.
_WAIT_SECONDS, _SHORT_WAIT_SECONDS = 2.0, 0.2
#: The pool gives up connecting after this time, and the next request begins a new attempt at once. With the
#: default of five minutes, the pause between two tries grows to minutes, also when PostgreSQL is back.
_RECONNECT_SECONDS = 2.0
#: Words that are at least so similar match in a search. "amelie" and "Amélie" have 0.4; with PostgreSQL's
#: default of 0.6, a short word with one wrong letter would not be found.
_LEAST_SIMILARITY = 0.39
#: A statement is cancelled after five seconds: nobody waits longer. Policies on rows are obeyed: the API
#: shows and writes only the rows that they allow.
_SESSION = {
    "statement_timeout": "5s",
    "row_security": "on",
    "pg_trgm.word_similarity_threshold": str(_LEAST_SIMILARITY),
}


#: Errors of a prepared statement that no longer fits, since a table was changed after it was prepared.
_OUTDATED = (errors.FeatureNotSupported, errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)


class RowRefusedError(errors.SerializationFailure):
    """PostgreSQL did not write or delete a row, and gave no reason.

    Either another client changed the row at the same moment: then trying again helps. Or a trigger or a rule
    of the table discards changes of its rows.

    Args:
        deed: what PostgreSQL did not do: store or delete.
        table: the row's table.
    """

    def __init__(self, deed: str, table: str) -> None:
        super().__init__(f"the database did not {deed} a row of {table}")
        self.table = table


class Pool(ConnectionPool[Connection[TupleRow]]):
    """A pool of connections whose callers wait only shortly while the server is known to be unreachable.

    Its connections keep prepared statements. PostgreSQL refuses such a statement once a column of its result
    has another type; then the pool replaces all connections.
    """

    _away = False

    def getconn(self, timeout: float | None = None) -> Connection[TupleRow]:
        """Take a working connection from the pool.

        Raises:
            PoolTimeout: no connection became free or could be made in time.
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
    """Make a pool, still closed. Open it in the process that uses it; PostgreSQL need not run for that.

    Each statement commits by itself, unless a transaction is opened.
    """
    # it logs each request at level INFO
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
    r"""The ILIKE pattern for texts that contain this text; None if the text is empty or None.

    >>> containing("50%")
    '%50\\%%'
    """
    return None if not text else "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def blocked_tables(connection: Connection[TupleRow]) -> list[str]:
    """Say which of the contract's tables are locked against reading, by which process, and what to do.

    Raises:
        psycopg.OperationalError: PostgreSQL does not answer.
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
    """Warn of a setting of the API's sessions that switches triggers and foreign keys off."""
    row = connection.execute("SELECT current_setting('session_replication_role')").fetchone()
    if row != ("replica",):
        return []
    return [
        (
            "session_replication_role is replica for the API's sessions: triggers and foreign keys are off;"
            " bin/dataflix-connector preflight says how to change that"
        )
    ]


def columns_of_other_types(connection: Connection[TupleRow]) -> list[str]:
    """Say which columns have another type than in the contract. No row is read.

    Raises:
        psycopg.errors.LockNotAvailable: another session has locked a table: see `blocked_tables`.
        psycopg.Error: a table or a column is missing, or the role may not read it.
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
    """PostgreSQL's number of a type, without regard to a length or precision in parentheses."""
    return adapters.types.get_oid(spelling.partition("(")[0])


_SHORT_LOCK_WAIT = "SET LOCAL lock_timeout = '1s'"
# A session that waits for an exclusive lock also blocks all later readers. Then the query names the sessions
# for which it waits.
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
    """Raise an error if the connection is dead.

    If no data has arrived on it, it counts as alive, and no query is sent: a server that stops, or ends a
    session, closes the connection, and the close can be read from it.
    """
    try:
        if _has_news(connection):
            Pool.check_connection(connection)
    except Exception:
        # probably PostgreSQL was restarted: the other connections are dead too, and each check takes a second
        pool = connection._pool  # noqa: SLF001 - there is no public way to the pool
        if isinstance(pool, Pool):
            pool.drain()
        raise


def _has_news(connection: Connection[TupleRow]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
