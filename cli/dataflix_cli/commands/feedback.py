"""The commands for a user's films: ``dataflix rate``, ``watch`` and ``dismiss``, their undoing and lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from dataflix_cli import output
from dataflix_cli.client import Document
from dataflix_cli.command_faults import UsageFault
from dataflix_cli.command_line import AsJson, Limit, Movie, OwnUser, Runtime, User, Yes, group, runtime
from dataflix_cli.name_lookup import confirm, pick_movie, pick_user, titled
from dataflix_cli.stars import StarsError, draw, parse_stars
from dataflix_contract.console import Console

app = group("What a user says of films.")


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
    """Rate a film; it is also marked as watched."""
    try:
        rating = parse_stars(stars)
    except StarsError as fault:
        raise UsageFault(str(fault)) from fault
    run, user_id, film = _of_both(ctx, user, movie, as_json=as_json)
    body = {"user_id": user_id, "movie_id": film["movie_id"], "rating": rating}
    document = _traced(run, body, as_json=as_json) if trace else run.api.post("/ratings", body)
    new = ", watched now" if document["watched"] == "now" else ""
    told = f"{draw(rating)} {titled(film)}, rated by user {user_id}{new}"
    output.emit(document, as_json=as_json, show=output.say(told))


def _traced(run: Runtime, body: dict[str, Any], *, as_json: bool) -> Document:
    # imported here, since only --trace needs the drivers of Kafka and ClickHouse
    from dataflix_cli.rating_trace import Tracing  # noqa: PLC0415

    tracing = Tracing(live=not as_json)
    document = tracing.post(run.api, body)
    return {**document, "trace": tracing.plain()}


@app.command()
def unrate(ctx: typer.Context, user: User, movie: Movie, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a rating; the film stays watched."""
    run, user_id, film = _of_both(ctx, user, movie, as_json=as_json)
    confirm(f"Delete the rating that user {user_id} gave {titled(film)}?", yes=yes, as_json=as_json)
    _delete(run, "ratings", user_id, film, f"the rating of {titled(film)} is deleted", as_json=as_json)


@app.command()
def ratings(ctx: typer.Context, user: OwnUser = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List a user's ratings, newest first."""
    _list(ctx, "ratings", user, limit, output.rated, as_json=as_json)


@app.command()
def watch(ctx: typer.Context, user: User, movie: Movie, as_json: AsJson = False) -> None:
    """Mark a film as watched."""
    run, user_id, film = _of_both(ctx, user, movie, as_json=as_json)
    _mark(run, "watched", user_id, film, f"user {user_id} has watched {titled(film)}", as_json=as_json)


@app.command()
def unwatch(ctx: typer.Context, user: User, movie: Movie, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a film off the watched ones; its rating is deleted too."""
    run, user_id, film = _of_both(ctx, user, movie, as_json=as_json)
    confirm(f"Forget that user {user_id} watched {titled(film)}, and the rating?", yes=yes, as_json=as_json)
    _delete(run, "watched", user_id, film, f"{titled(film)} is not watched any more", as_json=as_json)


@app.command()
def watched(ctx: typer.Context, user: OwnUser = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what a user has watched, newest first."""
    _list(ctx, "watched", user, limit, output.rated, as_json=as_json)


@app.command()
def dismiss(ctx: typer.Context, user: User, movie: Movie, as_json: AsJson = False) -> None:
    """Say that a film is of no interest: it is not recommended to the user again."""
    run, user_id, film = _of_both(ctx, user, movie, as_json=as_json)
    _mark(
        run,
        "dismissed",
        user_id,
        film,
        f"user {user_id} is not interested in {titled(film)}",
        as_json=as_json,
    )


@app.command()
def undismiss(ctx: typer.Context, user: User, movie: Movie, as_json: AsJson = False) -> None:
    """Let a dismissed film be recommended again."""
    run, user_id, film = _of_both(ctx, user, movie, as_json=as_json)
    _delete(run, "dismissed", user_id, film, f"{titled(film)} may be recommended again", as_json=as_json)


@app.command()
def dismissed(ctx: typer.Context, user: OwnUser = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List what a user is not interested in, newest first."""
    _list(ctx, "dismissed", user, limit, output.dismissed, as_json=as_json)


def _of_both(ctx: typer.Context, user: str, movie: str, *, as_json: bool) -> tuple[Runtime, int, Document]:
    """The command's runtime, the id of the user meant, and the film meant."""
    run = runtime(ctx)
    return run, pick_user(run, user, as_json=as_json), pick_movie(run, movie, as_json=as_json)


def _mark(run: Runtime, what: str, user_id: int, film: Document, told: str, *, as_json: bool) -> None:
    """Put a film on one of the user's lists, and print ``told``."""
    document = run.api.post(f"/{what}", {"user_id": user_id, "movie_id": film["movie_id"]})
    output.emit(document, as_json=as_json, show=output.say(told))


def _delete(run: Runtime, what: str, user_id: int, film: Document, told: str, *, as_json: bool) -> None:
    """Take a film off one of the user's lists, and print ``told``."""
    run.api.delete(f"/{what}/{user_id}/{film['movie_id']}")
    document = {"deleted": True, "user_id": user_id, "movie_id": film["movie_id"]}
    output.emit(document, as_json=as_json, show=output.say(told))


def _list(
    ctx: typer.Context,
    what: str,
    user: str | None,
    limit: int,
    show: Callable[[Console, Any], None],
    *,
    as_json: bool,
) -> None:
    """Show one of the user's lists."""
    run = runtime(ctx)
    items, more = run.api.items(f"/users/{pick_user(run, user, as_json=as_json)}/{what}", limit)
    output.emit({"items": items, "more": more}, as_json=as_json, show=show)
