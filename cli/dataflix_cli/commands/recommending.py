"""``dataflix recommend``."""

from __future__ import annotations

from typing import Annotated

import typer

from dataflix_cli import output
from dataflix_cli.options import AsJson, Genre, OwnUser, group
from dataflix_cli.prompts import pick_user
from dataflix_cli.runtime import runtime

app = group("What to watch next.")


@app.command()
def recommend(
    ctx: typer.Context,
    user: OwnUser = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=100, help="How many films.")] = 10,
    genre: Genre = None,
    include_watched: Annotated[bool, typer.Option(help="Also films that were watched.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend films, with predicted stars and the film that each one resembles."""
    run = runtime(ctx)
    document = run.api.get(
        f"/recommendations/{pick_user(run, user, as_json=as_json)}",
        n=number,
        genre=genre,
        exclude_watched="false" if include_watched else None,
    )
    output.emit(document, as_json=as_json, show=output.recommendations)
