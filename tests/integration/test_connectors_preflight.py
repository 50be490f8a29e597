"""The preflight against PostgreSQL: each fault is made in a transaction, seen, and rolled back."""

from typing import LiteralString

import pytest
from psycopg import sql
from pydantic import SecretStr

from dataflix_clients import postgres
from dataflix_clients.preflight import Finding, Level, judge
from dataflix_clients.source_facts import read_facts
from dataflix_contract import Settings
from dataflix_contract.faults import Fault


def findings_after(settings: Settings, statement: LiteralString) -> list[Finding]:
    """What the preflight would say to the replication role if the statement had been run."""
    with postgres.connect(settings, settings.postgres_admin) as admin, admin.transaction(force_rollback=True):
        admin.execute(statement)
        admin.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(settings.debezium_user)))
        return judge(read_facts(admin, settings), settings)


def test_a_migrated_source_passes(settings: Settings) -> None:
    with postgres.connect(settings, settings.postgres_debezium) as connection:
        assert judge(read_facts(connection, settings), settings) == []


@pytest.mark.parametrize(
    ("statement", "level", "subject", "cure"),
    [
        ("ALTER ROLE debezium NOREPLICATION", Level.FAULT, "role debezium", "REPLICATION"),
        ("DROP PUBLICATION dataflix", Level.FAULT, "publication dataflix", "dataflix-migrate"),
        (
            "ALTER PUBLICATION dataflix DROP TABLE ratings",
            Level.FAULT,
            "publication dataflix",
            "ADD TABLE public.ratings",
        ),
        (
            "CREATE TABLE scratch (id int); ALTER PUBLICATION dataflix ADD TABLE scratch",
            Level.FAULT,
            "publication dataflix",
            "DROP TABLE public.scratch",
        ),
        (
            "ALTER PUBLICATION dataflix SET TABLE users, movies (movie_id, title), debezium_heartbeat",
            Level.FAULT,
            "publication dataflix",
            "SET TABLE",
        ),
        (
            "ALTER PUBLICATION dataflix SET (publish = 'insert')",
            Level.FAULT,
            "publication dataflix",
            "insert, update, delete",
        ),
        (
            "ALTER PUBLICATION dataflix SET (publish = 'insert, update, delete')",
            Level.FAULT,
            "publication dataflix",
            "truncate",
        ),
        (
            "ALTER TABLE ratings REPLICA IDENTITY DEFAULT",
            Level.FAULT,
            "table public.ratings",
            "ALTER TABLE public.ratings REPLICA IDENTITY FULL",
        ),
        ("REVOKE SELECT ON users FROM debezium", Level.FAULT, "table public.users", "GRANT SELECT"),
        (
            "REVOKE UPDATE ON debezium_heartbeat FROM debezium",
            Level.FAULT,
            "table public.debezium_heartbeat",
            "GRANT SELECT, UPDATE",
        ),
        (
            "ALTER TABLE movies RENAME COLUMN overview TO summary",
            Level.FAULT,
            "column public.movies.overview",
            "dataflix-migrate",
        ),
        (
            "ALTER TABLE movies ALTER release_year TYPE integer",
            Level.FAULT,
            "column public.movies.release_year",
            "tables.toml",
        ),
        (
            "ALTER TABLE users ADD COLUMN phone text",
            Level.WARNING,
            "column public.users.phone",
            "class of personal data",
        ),
        (
            "ALTER TABLE ratings RENAME TO ratings2",
            Level.FAULT,
            "table public.ratings",
            "ALTER TABLE public.ratings2 RENAME TO ratings,",
        ),
        (
            "ALTER TABLE ratings RENAME TO r2; CREATE VIEW ratings AS SELECT * FROM r2",
            Level.FAULT,
            "table public.ratings",
            "DROP VIEW public.ratings; ALTER TABLE public.r2 RENAME TO ratings,",
        ),
        (
            'CREATE SCHEMA "Old"; ALTER TABLE users SET SCHEMA "Old"',
            Level.FAULT,
            "table public.users",
            'ALTER TABLE "Old".users SET SCHEMA public,',
        ),
        (
            "ALTER TABLE debezium_heartbeat RENAME TO heart",
            Level.FAULT,
            "table public.debezium_heartbeat",
            "ALTER TABLE public.heart RENAME TO debezium_heartbeat,",
        ),
        (
            "CREATE TABLE ratings_old () INHERITS (ratings)",
            Level.FAULT,
            "table public.ratings",
            "ALTER TABLE public.ratings_old NO INHERIT public.ratings",
        ),
        (
            "ALTER DATABASE dataflix_db SET session_replication_role = replica",
            Level.WARNING,
            "session_replication_role",
            "ALTER DATABASE dataflix_db RESET session_replication_role",
        ),
        (
            "ALTER ROLE dataflix SET session_replication_role = 'Replica'",
            Level.WARNING,
            "session_replication_role",
            "ALTER ROLE dataflix RESET session_replication_role",
        ),
        (
            "ALTER ROLE dataflix IN DATABASE dataflix_db SET session_replication_role = replica",
            Level.WARNING,
            "session_replication_role",
            "ALTER ROLE dataflix IN DATABASE dataflix_db RESET session_replication_role",
        ),
        (
            "ALTER TABLE watched_movies DISABLE TRIGGER ALL",
            Level.WARNING,
            "table public.watched_movies",
            "ALTER TABLE public.watched_movies ENABLE TRIGGER ALL",
        ),
        (
            "ALTER ROLE ALL SET session_replication_role = replica",
            Level.WARNING,
            "session_replication_role",
            "ALTER ROLE ALL RESET session_replication_role",
        ),
        (
            "ALTER TABLE movies ALTER genres DROP NOT NULL",
            Level.WARNING,
            "column public.movies.genres",
            "SET NOT NULL",
        ),
    ],
)
def test_each_fault_is_named(
    settings: Settings, statement: LiteralString, level: Level, subject: str, cure: str
) -> None:
    found = findings_after(settings, statement)
    assert any(f.level is level and f.subject == subject and cure in f.cure for f in found), found


@pytest.mark.parametrize(
    "statement",
    [
        (
            "CREATE DOMAIN stars AS numeric(2,1); CREATE DOMAIN whole AS stars CHECK (VALUE > 0);"
            " ALTER TABLE ratings ALTER rating TYPE whole"
        ),
        (
            "CREATE DOMAIN label AS varchar(300) NOT NULL;"
            " ALTER TABLE movies ALTER title TYPE label, ALTER title DROP NOT NULL"
        ),
        "ALTER TABLE movies ALTER title TYPE varchar(300), ALTER genres TYPE varchar(80)[]",
        "ALTER TABLE users ALTER city TYPE char(80)",
        "ALTER ROLE dataflix SET session_replication_role = origin",
    ],
)
def test_what_works_is_no_finding(settings: Settings, statement: LiteralString) -> None:
    assert findings_after(settings, statement) == []


def test_a_refused_login_says_what_to_look_at(settings: Settings) -> None:
    wrong = settings.model_copy(update={"debezium_password": SecretStr("not-the-password")})
    with pytest.raises(Fault, match=r"cannot log in to PostgreSQL at .* as debezium") as refused:
        postgres.connect(wrong, wrong.postgres_debezium)
    assert "not-the-password" not in str(refused.value)


def test_a_server_that_is_away_says_so(settings: Settings) -> None:
    away = settings.model_copy(update={"postgres_port": 1})
    with pytest.raises(Fault, match="is PostgreSQL running"):
        postgres.connect(away, away.postgres_debezium)
