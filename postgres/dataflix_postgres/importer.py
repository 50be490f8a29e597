"""The program ``dataflix-import``: loads a MovieLens data set into PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from psycopg import sql

from dataflix_contract import Settings, tables
from dataflix_contract.console import Console
from dataflix_contract.faults import Fault, program_settings
from dataflix_contract.terminal import make_output_safe
from dataflix_postgres.database import connect_owner, describe, take_lock
from dataflix_postgres.movielens import encodings
from dataflix_postgres.movielens.batch_loading import (
    UnusableFileError,
    load_release,
    record_files,
    recorded_digests,
)
from dataflix_postgres.movielens.dataset_files import open_source
from dataflix_postgres.movielens.import_report import FileReport, RejectsFile, as_table, reject_lines
from dataflix_postgres.movielens.releases import FILE_NAMES, Release, choose, recognise
from dataflix_postgres.movielens.replacement import Replacement

make_output_safe()
app = typer.Typer(add_completion=False)

#: The number of the advisory lock by which only one import runs at a time.
_LOCK = 0xDA7AF119
#: How long to wait for the lock: PostgreSQL keeps a killed import's lock until it notices that it has ended.
_LOCK_WAIT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import: the data set's name, and a report for each file."""

    data_set: str
    files: list[FileReport]


@app.command()
def main(
    path: Annotated[
        Path,
        typer.Argument(
            exists=True, help="Folder or archive (zip, tar.gz) of a data set, or one of its files."
        ),
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete all users, movies, viewings and ratings that are there.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write rejected lines there, as CSV.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="How the files with titles are encoded, such as cp1251: where that cannot be told."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Import users, movies and ratings of MovieLens, in any of its releases and as Kaggle has them.

    The tables must be empty, hold a part of the same files (a killed import goes on where it was),
    or be replaced by --replace: ids of the sample data collide with MovieLens's. With --replace the
    old rows stay until the new ones have been read and checked, and are then replaced: in one transaction, or
    in several if one would write more WAL than a replication slot may keep.
    Encoding, separator and columns are detected from the files' contents.
    MovieLens names nobody: names and addresses of users are made up, the same ones each time.
    """
    started = time.monotonic()
    with program_settings(describe) as settings:
        done = import_release(settings, path, replace=replace, rejects=rejects, encoding=encoding)
    seconds = time.monotonic() - started
    if as_json:
        files = [each.as_json() for each in done.files]
        typer.echo(json.dumps({"data_set": done.data_set, "seconds": round(seconds, 3), "files": files}))
        return
    Console().print(as_table(done.files))
    for line in reject_lines(done.files):
        typer.echo(line)
    typer.echo(f"done in {seconds:.1f} s")


def import_release(
    settings: Settings,
    path: Path,
    *,
    replace: bool = False,
    rejects: Path | None = None,
    encoding: str | None = None,
) -> Imported:
    """Load the data set at ``path``, or the rest of it after an interrupted import.

    Args:
        settings: they say where PostgreSQL is.
        path: a folder, an archive, or one of the files.
        replace: whether the tables' present rows are deleted.
        rejects: the file into which rejected lines are written.
        encoding: name of the encoding of the files with titles; None: it is found from their contents.

    Raises:
        Fault: there is no data set, or the tables hold other rows and ``replace`` is not given. Also with
            ``replace``, the tables then keep their rows.
    """
    console = Console(stderr=True)
    named = None if encoding is None else encodings.named(encoding)
    with open_source(path, FILE_NAMES) as folders, connect_owner(settings) as connection:
        # Autocommit, since each batch has its own transaction; the session's lock is kept over all of them.
        connection.autocommit = True
        take_lock(connection, _LOCK, _LOCK_WAIT_SECONDS, "dataflix-import")
        release = recognise(*choose(folders), named)
        console.print(str(release), highlight=False, markup=False)
        recorded = recorded_digests(connection)
        if replace and (recorded or _have_rows(connection)):
            reports = _replace(connection, release, rejects, console)
        else:
            resume = _claim(connection, release.digests, recorded)
            with RejectsFile(rejects, resume=resume) as rejects_file:
                reports = list(load_release(connection, release, rejects_file, console, staged=False))
        _refresh_statistics(connection)
        return Imported(release.name, reports)


def _claim(connection: psycopg.Connection, digests: Mapping[str, str], recorded: Mapping[str, str]) -> bool:
    """Record that these files are being loaded; return whether this continues an earlier import of them."""
    if recorded == digests:
        return True
    if recorded or _have_rows(connection):
        held = "another MovieLens release, or another version of it" if recorded else "other data"
        raise Fault(
            f"the tables hold {held}, whose ids would collide with those of the import."
            " Run again with --replace to delete all users, movies, viewings and ratings first"
        )
    with connection.transaction():
        record_files(connection, digests)
    return False


def _have_rows(connection: psycopg.Connection) -> bool:
    parts = [sql.SQL("(SELECT 1 FROM {} LIMIT 1)").format(sql.Identifier(name)) for name in tables()]
    return connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchone() is not None


def _replace(
    connection: psycopg.Connection, release: Release, rejects: Path | None, console: Console
) -> list[FileReport]:
    """Load the release into staging tables, and replace the tables' rows by them."""
    replacement = Replacement(connection, console)
    resume = replacement.prepare(release.digests)
    try:
        with RejectsFile(rejects, resume=resume) as rejects_file, replacement.staged():
            reports = list(load_release(connection, release, rejects_file, console, staged=True))
    except UnusableFileError:
        replacement.discard()
        raise
    replacement.move()
    return reports


def _refresh_statistics(connection: psycopg.Connection) -> None:
    """Update the query planner's statistics after the load, without waiting for autovacuum."""
    connection.execute("ANALYZE users, movies, watched_movies, ratings")
