"""Generated ids after rows were loaded with ids of their own."""

from __future__ import annotations

import psycopg

from dataflix_contract.schema import ADVANCE_IDENTITIES


def advance_identities(connection: psycopg.Connection) -> None:
    """Let the next generated ids be above the ids in the tables; never lower them."""
    connection.execute(f"SELECT {ADVANCE_IDENTITIES}()".encode())
