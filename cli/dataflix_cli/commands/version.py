"""``dataflix version``."""

from __future__ import annotations

import json

import typer

from dataflix_cli import __version__
from dataflix_cli.options import AsJson, group

app = group("Print the version.")


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": __version__}) if as_json else f"dataflix {__version__}")
