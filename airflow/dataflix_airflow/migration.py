"""Whether Airflow's database is up to date, asked without loading Airflow (seven seconds of a processor)."""

from __future__ import annotations

import json
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from dataflix_contract import Settings
from dataflix_contract.postgres_sessions import parameters

_DISTRIBUTIONS = ("apache-airflow", "apache-airflow-providers-postgres", "apache-airflow-providers-standard")


def note(settings: Settings, home: Path) -> None:
    """Write down which versions have migrated the database, and what it says its schema is."""
    partial = _file(home).with_suffix(".partial")
    partial.write_text(json.dumps(_state(settings), indent=2), encoding="utf-8")
    partial.replace(_file(home))


def is_noted(settings: Settings, home: Path) -> bool:
    """Whether these versions have migrated this database, and it is as they left it."""
    try:
        noted = json.loads(_file(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return bool(noted == _state(settings))


def _file(home: Path) -> Path:
    return home / "migrated.json"


def _state(settings: Settings) -> dict[str, object]:
    return {
        "versions": {name: version(name) for name in _DISTRIBUTIONS},
        "schema": _schema(settings),
    }


def _schema(settings: Settings) -> list[str]:
    """Alembic's revisions in the database; none: nothing was ever migrated.

    Raises:
        ConnectionError: PostgreSQL is away or refuses.
    """
    import psycopg2  # type: ignore[import-untyped]  # noqa: PLC0415 - Airflow's own environment has it

    try:
        opened = psycopg2.connect(
            **parameters(
                settings.postgres_server,
                settings.airflow_db_user,
                settings.airflow_db_password,
                program="dataflix-airflow",
                connect_seconds=10,
                database=settings.airflow_db,
            )
        )
    except psycopg2.OperationalError as error:
        raise ConnectionError(
            f"Airflow's database cannot be asked: {' '.join(str(error).split())}"
        ) from error
    with closing(opened) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        if cursor.fetchone()[0] is None:
            return []
        cursor.execute("SELECT version_num FROM alembic_version ORDER BY version_num")
        return [row[0] for row in cursor.fetchall()]
