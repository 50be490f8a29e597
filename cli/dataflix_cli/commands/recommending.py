"""``dataflix recommend``."""

from __future__ import annotations

from typing import Annotated

import typer

from dataflix_cli import output
from dataflix_cli.options import AsJson, Genre, OwnUser, group
from dataflix_cli.prompts import pick_movie, pick_user
from dataflix_cli.runtime import runtime

app = group("What to watch next.")


@app.command()
def recommend(
    ctx: typer.Context,
    user: OwnUser = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=100, help="How many films.")] = 10,
    genre: Genre = None,
    include_watched: Annotated[bool, typer.Option(help="Also films that were watched.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out this film: id or title; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recommend films, with predicted stars and the film that each one resembles."""
    run = runtime(ctx)
    excluded = [str(pick_movie(run, one, as_json=as_json)["movie_id"]) for one in exclude or []]
    document = run.api.get(
        f"/recommendations/{pick_user(run, user, as_json=as_json)}",
        n=number,
        genre=genre,
        exclude_watched="false" if include_watched else None,
        exclude=",".join(excluded) or None,
    )
    output.emit(document, as_json=as_json, show=output.recommendations)
