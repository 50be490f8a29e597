"""``dataflix watch``, ``unwatch``, ``watched``."""

from __future__ import annotations

import typer

from dataflix_cli import output
from dataflix_cli.name_lookup import titled
from dataflix_cli.options import AsJson, Limit, Movie, OwnUser, User, Yes, group
from dataflix_cli.prompts import confirm, pick_movie, pick_user
from dataflix_cli.runtime import runtime

app = group("What a user has watched.")


@app.command()
def watch(ctx: typer.Context, user: User, movie: Movie, as_json: AsJson = False) -> None:
    """Mark a film as watched."""
    run = runtime(ctx)
    user_id, film = pick_user(run, user, as_json=as_json), pick_movie(run, movie, as_json=as_json)
    document = run.api.post("/watched", {"user_id": user_id, "movie_id": film["movie_id"]})
    told = f"user {user_id} has watched {titled(film)}"
    output.emit(document, as_json=as_json, show=output.say(told))


@app.command()
def unwatch(ctx: typer.Context, user: User, movie: Movie, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a film off the watched ones; its rating goes too."""
    run = runtime(ctx)
    user_id, film = pick_user(run, user, as_json=as_json), pick_movie(run, movie, as_json=as_json)
    confirm(f"Forget that user {user_id} watched {titled(film)}, and the rating?", yes=yes, as_json=as_json)
    run.api.delete(f"/watched/{user_id}/{film['movie_id']}")
    document = {"deleted": True, "user_id": user_id, "movie_id": film["movie_id"]}
    output.emit(document, as_json=as_json, show=output.say(f"{titled(film)} is not watched any more"))


@app.command()
def watched(ctx: typer.Context, user: OwnUser = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what a user has watched, newest first."""
    run = runtime(ctx)
    items, more = run.api.items(f"/users/{pick_user(run, user, as_json=as_json)}/watched", limit)
    output.emit({"items": items, "more": more}, as_json=as_json, show=output.rated)
