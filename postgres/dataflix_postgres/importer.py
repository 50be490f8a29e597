"""``dataflix-import``: load a MovieLens release."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console

from dataflix_contract import Settings, load_settings
from dataflix_postgres.database import connect_owner
from dataflix_postgres.faults import exit_on_fault
from dataflix_postgres.movielens import ledger
from dataflix_postgres.movielens.formats import recognise
from dataflix_postgres.movielens.report import FileReport, RejectsFile, as_table, reject_lines
from dataflix_postgres.movielens.runner import load_release
from dataflix_postgres.movielens.source import open_release

app = typer.Typer(add_completion=False)


@app.command()
def main(
    path: Annotated[Path, typer.Argument(exists=True, help="Folder or zip archive of a MovieLens release.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="First delete all users, movies, viewings and ratings.")
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write rejected lines there, as CSV.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Import users, movies and ratings of MovieLens in any of its formats.

    The tables must be empty, hold a part of the same release (a killed import goes on where
    it was), or be emptied by --replace: ids of the sample data collide with MovieLens's.
    MovieLens names nobody: names and addresses of users are made up, the same ones each time.
    """
    started = time.monotonic()
    with exit_on_fault():
        reports = import_release(load_settings(), path, replace=replace, rejects=rejects)
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps({"seconds": round(seconds, 3), "files": [each.as_json() for each in reports]}))
        return
    Console().print(as_table(reports))
    for line in reject_lines(reports):
        typer.echo(line)
    typer.echo(f"done in {seconds:.1f} s")


def import_release(
    settings: Settings, path: Path, *, replace: bool = False, rejects: Path | None = None
) -> list[FileReport]:
    """Load the release at ``path``, or what is left of it.

    Raises:
        Fault: it is no release, or the tables hold something else and ``replace`` is not given.
    """
    with open_release(path) as entries, connect_owner(settings) as connection:
        # Autocommit: each batch has its own transaction, and a lock of the session outlives them.
        connection.autocommit = True
        release = recognise(entries)
        digests = {name: entries[name].sha256() for name in release.file_names}
        with connection.transaction():
            resume = ledger.claim(connection, digests, replace=replace)
        with RejectsFile(rejects, resume=resume) as rejects_file:
            console = Console(stderr=True)
            reports = list(load_release(connection, release, entries, rejects_file, console))
        _refresh_statistics(connection)
        return reports


def _refresh_statistics(connection: psycopg.Connection) -> None:
    """Let the planner know what came, without waiting for autovacuum."""
    connection.execute("ANALYZE users, movies, watched_movies, ratings")
