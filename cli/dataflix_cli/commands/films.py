"""The commands ``dataflix movies``, which finds films, and ``dataflix recommend``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dataflix_cli import output
from dataflix_cli.command_line import AsJson, Genre, Limit, Movie, OwnUser, group, runtime
from dataflix_cli.name_lookup import pick_movie, pick_user

app = group("What to watch next.")
movies = group("Search films, look at one, and at those like it.")


class Sort(StrEnum):
    """An order of films."""

    RELEVANCE = "relevance"
    TITLE = "title"
    YEAR = "year"
    RATING = "rating"
    POPULAR = "popular"


@movies.command()
def search(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(help="Title or part of it; typos are forgiven.")] = None,
    genre: Genre = None,
    year_from: Annotated[int | None, typer.Option(help="Not older than this.")] = None,
    year_to: Annotated[int | None, typer.Option(help="Not newer than this.")] = None,
    sort: Annotated[
        Sort | None, typer.Option(help="What comes first: relevance with a text, else the title.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Search films."""
    items, more = runtime(ctx).api.items(
        "/movies", limit, q=text, genre=genre, year_from=year_from, year_to=year_to, sort=sort and sort.value
    )
    output.emit({"items": items, "more": more}, as_json=as_json, show=output.movies)


@movies.command()
def show(ctx: typer.Context, movie: Movie, as_json: AsJson = False) -> None:
    """Show a film."""
    output.emit(pick_movie(runtime(ctx), movie, as_json=as_json), as_json=as_json, show=output.movie)


@movies.command()
def similar(
    ctx: typer.Context,
    movie: Movie,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="The most to list.")] = 10,
    user: Annotated[
        str | None, typer.Option("--user", help="Leave out what this user has watched: id, name, or me.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the films that are most like a film, by what people rated."""
    run = runtime(ctx)
    found = pick_movie(run, movie, as_json=as_json)
    user_id = None if user is None else pick_user(run, user, as_json=as_json)
    document = run.api.get(f"/movies/{found['movie_id']}/similar", limit=limit, user_id=user_id)
    output.emit(document, as_json=as_json, show=output.similar)


@movies.command()
def genres(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the genres."""
    output.emit(runtime(ctx).api.get("/genres"), as_json=as_json, show=output.genres)


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
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="How much it counts that the films are unlike each other.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Recommend films, with predicted stars and the rated films that each one is recommended for."""
    run = runtime(ctx)
    excluded = [str(pick_movie(run, one, as_json=as_json)["movie_id"]) for one in exclude or []]
    document = run.api.get(
        f"/recommendations/{pick_user(run, user, as_json=as_json)}",
        n=number,
        genre=genre,
        exclude_watched="false" if include_watched else None,
        exclude=",".join(excluded) or None,
        diversity=diversity or None,
    )
    output.emit(document, as_json=as_json, show=output.recommendations)
