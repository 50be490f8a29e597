"""What the programs of this package print of a fault, PostgreSQL's among them: one line, and exit code 1."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import psycopg
import typer

from dataflix_contract import SettingsError
from dataflix_contract.faults import Fault
from dataflix_contract.terminal import visible

_ADVICE: dict[tuple[type[psycopg.Error], ...], str] = {
    (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction): (
        ". The tables are not those of Dataflix: bin/dataflix-migrate makes what is missing, and"
        " bin/dataflix-connector preflight names what is otherwise"
    ),
    (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory): (
        ". Make room on PostgreSQL's machine, then run the same again"
    ),
}


@contextlib.contextmanager
def exit_on_fault() -> Iterator[None]:
    """Turn faults into a message on standard error and exit code 1, without a traceback."""
    try:
        yield
    except (Fault, psycopg.Error, SettingsError) as error:
        sys.stderr.write(visible(f"error: {describe(error)}\n"))
        raise typer.Exit(1) from error


def describe(error: Exception) -> str:
    """The fault in words; never PostgreSQL's DETAIL, which quotes values of rows."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        said = f"PostgreSQL says: {error.diag.message_primary} (SQLSTATE {error.sqlstate})"
        advice = next((text for kinds, text in _ADVICE.items() if isinstance(error, kinds)), "")
        return said + advice
    return str(error)
