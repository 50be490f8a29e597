"""Searches go through their indexes, in a catalogue that is worth one."""

from collections.abc import Mapping
from typing import Any

import psycopg

from dataflix_backend import users
from dataflix_backend.database import Pool, containing, make_pool
from dataflix_backend.movies import order_of, statement
from dataflix_backend.schemas import MovieSearch
from dataflix_contract import Settings

_ROWS = 4_000
_FILMS = "INSERT INTO movies (title) SELECT 'Film ' || md5(n::text) FROM generate_series(1, %s) n"
_USERS = "INSERT INTO users (name) SELECT 'User ' || md5(n::text) FROM generate_series(1, %s) n"


def test_searches_use_their_indexes(migrated: Settings, empty: psycopg.Connection) -> None:
    empty.execute(_FILMS, [_ROWS])
    empty.execute(_USERS, [_ROWS])
    empty.execute("VACUUM ANALYZE")
    with make_pool(migrated) as pool:
        plan = _search(pool, q="matrx")
        # twice: for words that are alike, and for parts of words
        assert plan.count("Bitmap Index Scan on movies_title_idx") == 2, plan
        assert "Seq Scan on movies" not in plan

        plan = _search(pool)
        assert "Index Scan using movies_title_order_idx" in plan, plan
        plan = _search(pool, ("film m", 7))
        assert "Index Scan using movies_title_order_idx" in plan, plan
        assert "Index Cond: (ROW(lower" in plan, "a page begins where the one before ended"

        plan = _plan(pool, users._LIST_NAMED, {"after": 0, "part": containing("ab12"), "limit": 20})
        assert "Bitmap Index Scan on users_name_idx" in plan, plan


def _plan(pool: Pool, query: str, values: Mapping[str, Any]) -> str:
    with pool.connection() as connection:
        rows = connection.execute(f"EXPLAIN {query}".encode(), values).fetchall()
    return "\n".join(line for (line,) in rows)


def _search(pool: Pool, after: tuple[str, int] | None = None, **wanted: str) -> str:
    search = MovieSearch.model_validate(wanted)
    return _plan(pool, *statement(search, order_of(search), after))
