"""The settings with which every program of Dataflix opens a session in PostgreSQL.

A server, a database or a role can have settings of its own (``ALTER DATABASE … SET``), such as another
``DateStyle``, a ``statement_timeout`` or a ``search_path``. With these, a program that relies on PostgreSQL's
defaults would read dates wrongly, stop in the middle of a snapshot or not find its tables. Therefore programs
set everything that they rely on when they connect, which overrides all other settings.

Connect with :func:`parameters` (psycopg, psycopg2, ADBC). Other servers that open sessions themselves, such
as Airflow and MLflow, get :func:`options` in the environment variable :data:`OPTIONS_VARIABLE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import SecretStr

from dataflix_contract.schema import SOURCE_SCHEMA

#: The settings that every session relies on. A time of 0 means that there is no limit.
SESSION: Final[Mapping[str, str]] = MappingProxyType(
    {
        # how values are written and read
        "client_encoding": "UTF8",
        "datestyle": "ISO, MDY",
        "intervalstyle": "postgres",
        "timezone": "UTC",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "standard_conforming_strings": "on",
        # which tables and rows are meant: a row that a policy hides is an error, and not a missing row
        "search_path": SOURCE_SCHEMA,
        "role": "none",
        "row_security": "off",
        # what a transaction is
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off",
        # how long a statement, a wait and a pause may take
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
    }
)


#: SQL to put after ``FROM pg_attribute AS a``. It gives ``real.type``, the column's type as ``format_type``
#: prints it, and ``real.never_null``. For a domain, these are of its base type, which is the type of the
#: values that are captured and read.
REAL_TYPE: Final = """
    CROSS JOIN LATERAL (
        WITH RECURSIVE made_of AS (
            SELECT a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS never_null, 0 AS depth
            UNION ALL
            SELECT t.typbasetype, t.typtypmod, m.never_null OR t.typnotnull, m.depth + 1
            FROM made_of AS m JOIN pg_catalog.pg_type AS t ON t.oid = m.type AND t.typtype = 'd'
        )
        SELECT format_type(type, modifier) AS type, never_null FROM made_of ORDER BY depth DESC LIMIT 1
    ) AS real
"""

#: The variable in which libpq looks for ``options`` if a program gives none.
OPTIONS_VARIABLE: Final = "PGOPTIONS"


def options(own: Mapping[str, str] = MappingProxyType({})) -> str:
    """The settings as libpq's ``options`` takes them: ``-c name=value`` for each.

    Args:
        own: settings of a program that differ from :data:`SESSION`, or are added to it.
    """
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in {**SESSION, **own}.items())


def parameters(  # noqa: PLR0913 - a connection has as many
    server: Mapping[str, Any],
    user: str,
    password: SecretStr,
    *,
    program: str,
    connect_seconds: int,
    database: str,
    own: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The connection parameters of libpq, by their names; ``psycopg.connect`` takes them as they are.

    Args:
        server: where PostgreSQL is: the settings' ``postgres_server``.
        user: the role that logs in.
        password: its password.
        program: names the session in ``pg_stat_activity``.
        connect_seconds: how long connecting may take.
        database: whose sessions these are.
        own: settings that this program wants otherwise than :data:`SESSION` has them, or in addition.
    """
    return {
        **server,
        "dbname": database,
        "user": user,
        "password": password.get_secret_value(),
        "connect_timeout": connect_seconds,
        "application_name": program,
        "options": options(own),
    }


def _escaped(value: str) -> str:
    """Escape a value for ``options``, in which a blank without a backslash would end it."""
    return value.replace("\\", r"\\").replace(" ", r"\ ")
