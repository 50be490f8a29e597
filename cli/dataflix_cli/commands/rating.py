"""``dataflix rate``, ``unrate``, ``ratings``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dataflix_cli import output
from dataflix_cli.client import Document
from dataflix_cli.faults import UsageFault
from dataflix_cli.name_lookup import titled
from dataflix_cli.options import AsJson, Limit, Movie, OwnUser, User, Yes, group
from dataflix_cli.prompts import confirm, pick_movie, pick_user
from dataflix_cli.runtime import Runtime, runtime
from dataflix_cli.stars import StarsError, draw, parse_stars

app = group("A user's ratings.")


@app.command()
def rate(
    ctx: typer.Context,
    user: User,
    movie: Movie,
    stars: Annotated[str, typer.Argument(help="0.5 to 5 in halves: 4.5, 4½, ****½.")],
    trace: Annotated[
        bool, typer.Option("--trace", help="Follow the rating into the warehouse, stage by stage.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rate a film; one that was not watched is marked as watched."""
    try:
        rating = parse_stars(stars)
    except StarsError as fault:
        raise UsageFault(str(fault)) from fault
    run = runtime(ctx)
    user_id, film = pick_user(run, user, as_json=as_json), pick_movie(run, movie, as_json=as_json)
    body = {"user_id": user_id, "movie_id": film["movie_id"], "rating": rating}
    document = _traced(run, body, as_json=as_json) if trace else run.api.post("/ratings", body)
    new = ", watched now" if document["watched"] == "now" else ""
    told = f"{draw(rating)} {titled(film)}, rated by user {user_id}{new}"
    output.emit(document, as_json=as_json, show=output.say(told))


def _traced(run: Runtime, body: dict[str, Any], *, as_json: bool) -> Document:
    # the drivers of Kafka and ClickHouse, for those who want to look only
    from dataflix_cli.rating_trace import Tracing  # noqa: PLC0415

    tracing = Tracing(live=not as_json)
    document = tracing.post(run.api, body)
    return {**document, "trace": tracing.plain()}


@app.command()
def unrate(ctx: typer.Context, user: User, movie: Movie, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a rating; the film stays watched."""
    run = runtime(ctx)
    user_id, film = pick_user(run, user, as_json=as_json), pick_movie(run, movie, as_json=as_json)
    confirm(f"Delete the rating that user {user_id} gave {titled(film)}?", yes=yes, as_json=as_json)
    run.api.delete(f"/ratings/{user_id}/{film['movie_id']}")
    document = {"deleted": True, "user_id": user_id, "movie_id": film["movie_id"]}
    output.emit(document, as_json=as_json, show=output.say(f"the rating of {titled(film)} is deleted"))


@app.command()
def ratings(ctx: typer.Context, user: OwnUser = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List a user's ratings, newest first."""
    run = runtime(ctx)
    items, more = run.api.items(f"/users/{pick_user(run, user, as_json=as_json)}/ratings", limit)
    output.emit({"items": items, "more": more}, as_json=as_json, show=output.rated)
