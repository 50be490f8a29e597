"""The program ``dataflix``."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Find, watch, rate films.")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo("dataflix 0.1.0")


def main() -> None:
    """Entry point."""
    app()
