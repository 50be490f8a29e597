"""Replace the tables' rows by another data set, which is first loaded into staging tables.

The staging tables are unlogged and not published, so that filling them writes hardly any WAL and sends no
changes. docs/decisions/import.md explains this decision.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import psycopg
from psycopg import sql
from rich.console import Console

from dataflix_contract import tables
from dataflix_contract.console import progress
from dataflix_contract.faults import Fault
from dataflix_contract.schema import SOURCE_SCHEMA
from dataflix_postgres.database import advance_identities
from dataflix_postgres.movielens.batch_loading import WalHeadroom, record_files, recorded_digests

STAGING_SCHEMA = "movielens_staging"
_LEDGER = "movielens_imports"

#: One statement moves or deletes so many blocks of a table. The number is bounded, since PostgreSQL queues
#: the checks of foreign keys in memory.
_BLOCKS_AT_ONCE = 4_096
_BLOCK_BYTES = 8_192
#: WAL for each byte of a table, measured on ml-latest-small (docs/decisions/import.md).
_WAL_OF_DELETING = 7
_WAL_OF_INSERTING = 12
_LOCK_WAIT_SECONDS = 60


class Replacement:
    """Creates the staging tables, and moves their rows into the contract's tables."""

    def __init__(self, connection: psycopg.Connection, console: Console) -> None:
        self._connection = connection
        self._console = console
        self._headroom = WalHeadroom(connection, console)

    def prepare(self, digests: Mapping[str, str]) -> bool:
        """Prepare the staging tables for files with these digests.

        Returns:
            Whether they already hold a part of the same files, from an interrupted import.
        """
        if self._exists():
            with self.staged():
                if recorded_digests(self._connection) == digests:
                    return True
        with self._connection.transaction():
            self.discard()
            self._create()
            with self.staged():
                record_files(self._connection, digests)
        return False

    @contextlib.contextmanager
    def staged(self) -> Iterator[None]:
        """Within this context, the names of tables mean the staging tables."""
        self._search(STAGING_SCHEMA)
        try:
            yield
        finally:
            if not self._connection.broken:
                self._search(SOURCE_SCHEMA)

    def move(self) -> None:
        """Replace the tables' rows by the staged ones, and drop the staging tables.

        This is one transaction, so that there are always either the old rows or the new ones. If it would
        write more WAL than a replication slot may keep, it is done in steps, each in its own transaction.

        Raises:
            Fault: other transactions keep the tables locked, or nothing reads the replication slot.
        """
        needed = self._wal_needed()
        limit = self._headroom.limit()
        at_once = limit is None or 4 * needed <= 3 * limit
        self._headroom.wait_for(needed if at_once else 0)
        statements = [*self._deletes(), *self._inserts()]
        step_needs = _BLOCKS_AT_ONCE * _BLOCK_BYTES * _WAL_OF_INSERTING
        with (
            self._connection.transaction() if at_once else contextlib.nullcontext(),
            progress("replacing", self._console, len(statements)) as shown,
        ):
            if at_once:
                self._lock()
            for statement in statements:
                if not at_once:
                    self._headroom.wait_for(step_needs)
                self._connection.execute(statement)
                shown.advance(1)
            with self._connection.transaction():
                advance_identities(self._connection)
                self._connection.execute(_copy(_LEDGER, _LEDGER_COLUMNS))
                self.discard()

    def discard(self) -> None:
        """Drop the staging tables."""
        self._connection.execute(_format("DROP SCHEMA IF EXISTS {schema} CASCADE"))

    def _exists(self) -> bool:
        row = self._connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", [STAGING_SCHEMA]).fetchone()
        return row == (True,)

    def _create(self) -> None:
        self._connection.execute(_format("CREATE SCHEMA {schema}"))
        keys = {name: table.key for name, table in tables().items()} | {_LEDGER: ("file",)}
        for name, key in keys.items():
            self._connection.execute(
                sql.SQL(
                    "CREATE UNLOGGED TABLE {staged}"
                    " (LIKE {live} INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY ({key}))"
                ).format(
                    staged=sql.Identifier(STAGING_SCHEMA, name),
                    live=sql.Identifier(SOURCE_SCHEMA, name),
                    key=sql.SQL(", ").join(map(sql.Identifier, key)),
                )
            )

    def _search(self, schema: str) -> None:
        self._connection.execute("SELECT set_config('search_path', %s, false)", [schema])

    def _lock(self) -> None:
        """Lock the tables against writers, but not readers: nobody can then interfere or cause a deadlock."""
        self._connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_LOCK_WAIT_SECONDS}s"])
        names = sql.SQL(", ").join(sql.Identifier(SOURCE_SCHEMA, name) for name in tables())
        try:
            self._connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
        except psycopg.errors.LockNotAvailable as error:
            raise Fault(
                f"others have changed rows for more than {_LOCK_WAIT_SECONDS} s and not committed: look for"
                " open transactions (SELECT pid, state, xact_start FROM pg_stat_activity WHERE xact_start"
                " IS NOT NULL), end them, and run the import again: it goes on where it is"
            ) from error

    def _wal_needed(self) -> int:
        old = sum(self._bytes(SOURCE_SCHEMA, name) for name in tables())
        new = sum(self._bytes(STAGING_SCHEMA, name) for name in tables())
        return _WAL_OF_DELETING * old + _WAL_OF_INSERTING * new

    def _bytes(self, schema: str, name: str) -> int:
        table = sql.Identifier(schema, name).as_string(self._connection)
        row = self._connection.execute("SELECT pg_relation_size(%s::regclass)", [table]).fetchone()
        return 0 if row is None else int(row[0])

    def _deletes(self) -> Iterator[sql.Composed]:
        """Statements that delete all rows, tables with foreign keys first, so that nothing cascades.

        They do not truncate, so that the stream has a change for each row.
        """
        yield sql.SQL("DELETE FROM {}").format(sql.Identifier(SOURCE_SCHEMA, _LEDGER))
        for name in reversed(list(tables())):
            delete = sql.SQL("DELETE FROM {}").format(sql.Identifier(SOURCE_SCHEMA, name))
            for blocks in self._ranges(SOURCE_SCHEMA, name):
                yield delete + blocks
            yield delete  # rows that were added meanwhile

    def _inserts(self) -> Iterator[sql.Composed]:
        """Statements that insert all rows, referenced tables first.

        Each table is analysed after it was filled; otherwise checks of foreign keys to it have a slow plan.
        """
        for name, table in tables().items():
            insert = _copy(name, table.columns)
            for blocks in self._ranges(STAGING_SCHEMA, name):
                yield insert + blocks
            yield sql.SQL("ANALYZE {}").format(sql.Identifier(SOURCE_SCHEMA, name))

    def _ranges(self, schema: str, name: str) -> Iterator[sql.Composed]:
        """Conditions that split a table into ranges of blocks, in the order in which it was filled."""
        blocks = -(-self._bytes(schema, name) // _BLOCK_BYTES)
        for first in range(0, blocks, _BLOCKS_AT_ONCE):
            yield sql.SQL(" WHERE ctid >= {}::tid AND ctid < {}::tid").format(
                sql.Literal(f"({first},0)"), sql.Literal(f"({first + _BLOCKS_AT_ONCE},0)")
            )


_LEDGER_COLUMNS = ("file", "sha256", "lines_done", "loaded", "rejected", "finished_at")


def _copy(name: str, columns: Iterable[str]) -> sql.Composed:
    return sql.SQL("INSERT INTO {live} ({columns}) SELECT {columns} FROM {staged}").format(
        live=sql.Identifier(SOURCE_SCHEMA, name),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        staged=sql.Identifier(STAGING_SCHEMA, name),
    )


def _format(statement: str) -> sql.Composed:
    return sql.SQL(statement).format(schema=sql.Identifier(STAGING_SCHEMA))
