"""Replaces what the tables hold by another data set: staged beside them first, then moved at once.

The staged tables are unlogged and not published: filling them writes no WAL that anybody captures.
docs/decisions/import.md says why it is done so.
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
from dataflix_postgres.movielens.runner import WalHeadroom, record_files, recorded_digests

STAGING_SCHEMA = "movielens_staging"
_LEDGER = "movielens_imports"

#: One statement moves or deletes so much of a table: checks of foreign keys are queued in memory.
_BLOCKS_AT_ONCE = 4_096
_BLOCK_BYTES = 8_192
#: WAL for each byte of a table, measured on ml-latest-small (docs/decisions/import.md).
_WAL_OF_DELETING = 7
_WAL_OF_INSERTING = 12
_LOCK_WAIT_SECONDS = 60


class Replacement:
    """The staged tables, and the move from them into those of the contract."""

    def __init__(self, connection: psycopg.Connection, console: Console) -> None:
        self._connection = connection
        self._console = console
        self._headroom = WalHeadroom(connection, console)

    def prepare(self, digests: Mapping[str, str]) -> bool:
        """Get the staged tables ready for files with these digests.

        Returns:
            Whether they hold a part of the same files already.
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
        """Within it, the names of tables mean the staged ones."""
        self._search(STAGING_SCHEMA)
        try:
            yield
        finally:
            if not self._connection.broken:
                self._search(SOURCE_SCHEMA)

    def move(self) -> None:
        """Put what is staged in the place of what the tables hold; afterwards nothing is staged.

        In one transaction, so that whatever happens leaves the old rows or the new ones; unless that
        would be more WAL than a replication slot may keep. Then in steps, each a transaction.

        Raises:
            Fault: others do not let go of the tables, or nothing reads the replication slot.
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
        """Drop the staged tables."""
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
        """Let readers read and keep writers out: none of them can come between, or deadlock."""
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
        """Delete, not truncate: readers of the stream see each row go. Children first: no cascades."""
        yield sql.SQL("DELETE FROM {}").format(sql.Identifier(SOURCE_SCHEMA, _LEDGER))
        for name in reversed(list(tables())):
            delete = sql.SQL("DELETE FROM {}").format(sql.Identifier(SOURCE_SCHEMA, name))
            for blocks in self._ranges(SOURCE_SCHEMA, name):
                yield delete + blocks
            yield delete  # what has come meanwhile

    def _inserts(self) -> Iterator[sql.Composed]:
        """Parents first; with statistics of each, or the checks of foreign keys to it take a slow plan."""
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
