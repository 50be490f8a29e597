"""What PostgreSQL takes, everything behind it takes: stream, reconciliation, marts and API hold the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from psycopg.errors import CheckViolation

from dataflix_contract import Settings, tables
from support.equality import differences
from support.reconciliation import reconciled
from support.waiting import wait_until
from support.webhook import Webhook

#: Far from every id that PostgreSQL gives, and one that the API takes.
FIRST = 1 << 50
SECONDS = 240
TITLES = ("\t", "\u00a0", "two\nlines", "\x01\x7f", "🎬" * 2_000, "x" * 8_000, "'\"\\{}NULL", "a", "b")
GENRES = ("{}", "[2:2]={Drama}", "[-5:-4]={A,B}", '{""}', '{"\x02\x1f"}', '{"🎬","a,b"}', "{NULLS}", "{' '}")
MOMENTS = ("1900-01-01 00:00:00Z", "2299-12-31 23:59:59.999999Z")
_FILMS = "movie_id, title, release_year, genres, created_at"


@pytest.fixture
def films(source: psycopg.Connection) -> Iterator[dict[int, tuple[str, list[str]]]]:
    """Odd films and one user at every bound; the films' titles and genres by id."""
    for number, title in enumerate(TITLES):
        source.execute(
            "INSERT INTO movies (movie_id, title, release_year, genres, created_at)"
            " VALUES (%s, %s, %s, %s::text[], %s)",
            [
                FIRST + number,
                title,
                (1870, 2200)[number % 2],
                GENRES[number % len(GENRES)],
                MOMENTS[number % 2],
            ],
        )
    source.execute("UPDATE movies SET genres[2] = 'Drama' WHERE movie_id = %s", [FIRST])  # of an empty array
    for number, moment in enumerate(MOMENTS):
        source.execute(
            "INSERT INTO users (user_id, birth_year, city, state, created_at, updated_at)"
            " VALUES (%(id)s, %(year)s, '', E'\\t', %(moment)s, %(moment)s)",
            {"id": FIRST + number, "year": (1900, 2100)[number], "moment": moment},
        )
        source.execute("INSERT INTO watched_movies VALUES (%s, %s, %s)", [FIRST + number, FIRST, moment])
        source.execute(
            "INSERT INTO ratings VALUES (%(id)s, %(film)s, %(stars)s, %(moment)s, %(moment)s)",
            {"id": FIRST + number, "film": FIRST, "stars": ("0.5", "5.0")[number], "moment": moment},
        )
    rows = source.execute("SELECT movie_id, title, genres FROM movies WHERE movie_id >= %s", [FIRST])
    yield {int(film): (title, genres) for film, title, genres in rows}
    source.execute("DELETE FROM users WHERE user_id >= %s", [FIRST])
    source.execute("DELETE FROM movies WHERE movie_id >= %s", [FIRST])


def test_odd_rows_are_equal_in_stream_reconciliation_marts_and_api(
    settings: Settings,
    source: psycopg.Connection,
    warehouse: Client,
    films: dict[int, tuple[str, list[str]]],
) -> None:
    wait_until(lambda: differences(source, warehouse, settings) == [], "the stream has brought them", SECONDS)
    found = reconciled(settings).values()
    assert [(one["missing"], one["different"], one["ghosts"]) for one in found] == [(0, 0, 0)] * len(tables())
    Webhook(settings).succeeds()
    mart = warehouse.query(f"SELECT movie_id, title, genres FROM analytics.movies WHERE movie_id >= {FIRST}")
    assert {film: (title, genres) for film, title, genres in mart.result_rows} == films
    with httpx.Client(base_url=settings.backend_url, trust_env=False) as api:
        for film, (title, genres) in films.items():
            shown = api.get(f"/movies/{film}").raise_for_status().json()
            assert (shown["title"], shown["genres"]) == (title, genres)
        assert films.keys() <= _listed(api)
        api.get("/genres").raise_for_status()


def _listed(api: httpx.Client) -> set[int]:
    """The ids of all films by title, a few at a time, so that a page ends at each odd title."""
    ids: set[int] = set()
    query: dict[str, Any] = {"sort": "title", "limit": 1}
    while query.get("cursor", "") is not None and len(ids) < 2 * len(TITLES):
        page = api.get("/movies", params=query).raise_for_status().json()
        ids |= {film["movie_id"] for film in page["items"]}
        query["cursor"] = page["next"]
    query = {"sort": "title", "limit": 100}
    while query.get("cursor", "") is not None:
        page = api.get("/movies", params=query).raise_for_status().json()
        ids |= {film["movie_id"] for film in page["items"]}
        query["cursor"] = page["next"]
    return ids


def test_an_array_of_arrays_is_refused_by_the_source(source: psycopg.Connection) -> None:
    with pytest.raises(CheckViolation, match="movies_genres_flat"):
        source.execute("INSERT INTO movies (title, genres) VALUES ('Flat', '{{a},{b}}')")
