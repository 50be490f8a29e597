"""Generated ids after rows were loaded with ids of their own."""

from __future__ import annotations

import psycopg
from psycopg import sql


def advance_identities(connection: psycopg.Connection) -> None:
    """Let the next generated ids be above every id in the tables; never lower them."""
    for table, column in (("users", "user_id"), ("movies", "movie_id")):
        connection.execute(
            sql.SQL(
                "SELECT setval({sequence}, greatest(max({column}), pg_sequence_last_value({sequence})))"
                " FROM {table} HAVING max({column}) IS NOT NULL"
            ).format(
                sequence=sql.Literal(f"{table}_{column}_seq") + sql.SQL("::regclass"),
                column=sql.Identifier(column),
                table=sql.Identifier(table),
            )
        )
