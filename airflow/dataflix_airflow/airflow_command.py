"""The program ``dataflix-airflow COMMAND``: runs Airflow with a configuration from the stack's settings.

The configuration is passed in ``AIRFLOW__SECTION__KEY`` variables. The stack uses the commands ``migrate``,
``api-server``, ``scheduler`` and ``dag-processor``; every other command of Airflow works too, such as
``dataflix-airflow dags list``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.postgres_sessions import OPTIONS_VARIABLE, options, parameters
from dataflix_contract.programs import die_with_parent

_DISTRIBUTIONS = ("apache-airflow", "apache-airflow-providers-postgres", "apache-airflow-providers-standard")
#: Airflow's command for each of this program's commands that differs from it.
_COMMANDS = {
    "migrate": ("db", "migrate"),
    # The scheduler's log server listens on every address, whatever the settings are. It is not needed,
    # since the API server reads the log files.
    "scheduler": ("scheduler", "--skip-serve-logs"),
}
_DAGS_VARIABLE = "AIRFLOW__CORE__DAGS_FOLDER"


def dags_folder() -> Path:
    """The folder of the DAGs in a checkout: beside this package."""
    return Path(__file__).resolve().parents[1] / "dags"


def logs_folder(home: Path) -> Path:
    """The folder of the tasks' logs."""
    return home / "logs"


def passwords_file(home: Path) -> Path:
    """The file from which Airflow reads the login's password."""
    return home / "passwords.json"


def derived_key(settings: Settings, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, from which neither the secret nor another key can be derived."""
    secret = settings.airflow_secret.get_secret_value().encode()
    return hmac.digest(secret, f"dataflix-airflow/{purpose}".encode(), hashlib.sha256)


def database_url(settings: Settings) -> str:
    """SQLAlchemy's address of Airflow's own database, with the password."""
    user = quote(settings.airflow_db_user, safe="")
    password = quote(settings.airflow_db_password.get_secret_value(), safe="")
    address = f"{settings.postgres_host}:{settings.postgres_port}"
    return f"postgresql+psycopg2://{user}:{password}@{address}/{quote(settings.airflow_db, safe='')}"


def airflow_environment(settings: Settings, home: Path, dags: Path) -> dict[str, str]:
    """The variables that configure every part of Airflow.

    Args:
        settings: the stack's settings.
        home: Airflow's folder.
        dags: the folder of the DAGs.
    """
    sections = {
        "core": _core(settings, home, dags),
        "database": {"sql_alchemy_conn": database_url(settings), "sql_alchemy_pool_size": "3"},
        "api": _api(settings),
        "api_auth": {"jwt_secret": derived_key(settings, "jwt").hex()},
        "logging": _logging(home),
        "scheduler": _SCHEDULER,
        "workers": _WORKERS,
        "dag_processor": _DAG_PROCESSOR,
    }
    configuration = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section, chosen in sections.items()
        for key, value in chosen.items()
    }
    return {"AIRFLOW_HOME": str(home), OPTIONS_VARIABLE: options(), **configuration}


def _core(settings: Settings, home: Path, dags: Path) -> dict[str, str]:
    return {
        "executor": "LocalExecutor",
        # Each worker is a process of 35 MB when idle; the DAG never has more than two tasks at once.
        "parallelism": "2",
        "dags_folder": str(dags),
        "dags_are_paused_at_creation": "False",
        "load_examples": "False",
        "default_timezone": "utc",
        "execution_api_server_url": f"{settings.airflow_url}/execution/",
        "fernet_key": base64.urlsafe_b64encode(derived_key(settings, "fernet")).decode(),
        "simple_auth_manager_users": f"{settings.airflow_user}:admin",
        "simple_auth_manager_passwords_file": str(passwords_file(home)),
    }


def _api(settings: Settings) -> dict[str, str]:
    return {
        "host": settings.bind,
        "port": str(settings.airflow_port),
        "workers": "1",
        # An open connection delays the server's end by at most this time. It is longer than the pause between
        # heartbeats, whose connections would otherwise be closed.
        "worker_timeout": "10",
        "secret_key": derived_key(settings, "session").hex(),
        "expose_config": "False",
        "instance_name": "Dataflix",
    }


def _logging(home: Path) -> dict[str, str]:
    return {
        "base_log_folder": str(logs_folder(home)),
        "json_logs": "True",
        "colored_console_log": "False",
        # The parser logs to the process's own log, whose size the supervisor bounds; files would only grow.
        "dag_processor_log_target": "stdout",
        # The pages read the logs from files, since there is no log server (see ``_COMMANDS``). For a running
        # task Airflow asks for one all the same, and would log each failure.
        "namespace_levels": "airflow.utils.log.file_task_handler=CRITICAL",
    }


#: The tasks of a killed scheduler are started anew within about half a minute (by default, five minutes).
_SCHEDULER = {
    "scheduler_health_check_threshold": "20",
    "orphaned_tasks_check_interval": "15",
    "task_instance_heartbeat_timeout": "90",
    "task_queued_timeout": "120",
    "task_queued_timeout_check_interval": "30",
    "catchup_by_default": "False",
}

#: A task goes on while the API server is restarted, since 15 heartbeats, 5 s apart, may fail.
_WORKERS = {
    "min_heartbeat_interval": "5",
    "max_failed_heartbeats": "15",
    "execution_api_timeout": "20",
    "execution_api_retries": "8",
    "execution_api_retry_wait_max": "10",
}

#: A changed DAG is parsed within seconds, and a new one is found within a minute. Without a change, a DAG is
#: parsed again after ten minutes only: each time takes about a second of a processor.
_DAG_PROCESSOR = {
    "parsing_processes": "1",
    "min_file_process_interval": "600",
    "refresh_interval": "60",
    "print_stats_interval": "0",
}


def _note_migration(settings: Settings, home: Path) -> None:
    """Note which versions of Airflow have migrated the database, and the revisions of its schema."""
    partial = _migration_file(home).with_suffix(".partial")
    partial.write_text(json.dumps(_migration_state(settings), indent=2), encoding="utf-8")
    partial.replace(_migration_file(home))


def _is_migrated(settings: Settings, home: Path) -> bool:
    """Whether these versions have migrated this database, and its schema is still the same.

    This is checked without loading Airflow, which takes seven seconds of a processor.
    """
    try:
        noted = json.loads(_migration_file(home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return bool(noted == _migration_state(settings))


def _migration_file(home: Path) -> Path:
    return home / "migrated.json"


def _migration_state(settings: Settings) -> dict[str, object]:
    return {
        "versions": {name: version(name) for name in _DISTRIBUTIONS},
        "schema": _migrated_schema(settings),
    }


def _migrated_schema(settings: Settings) -> list[str]:
    """Alembic's revisions in the database; none: it was never migrated.

    Raises:
        ConnectionError: PostgreSQL does not answer or refuses.
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


def airflow_command(arguments: Sequence[str]) -> list[str]:
    """The arguments for Airflow's own command line.

    Args:
        arguments: this program's arguments; the first one is the command.
    """
    if not arguments:
        return ["--help"]
    command, *rest = arguments
    return [*_COMMANDS.get(command, (command,)), *rest]


def write_passwords(settings: Settings, home: Path) -> None:
    """Write the login's password into Airflow's file, which only its owner may read."""
    target = passwords_file(home)
    partial = target.with_suffix(".partial")
    text = json.dumps({settings.airflow_user: settings.airflow_password.get_secret_value()})
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(target)


def main() -> None:
    """Set Airflow's configuration, and run its command line in this process."""
    try:
        settings = load_settings()
        home = settings.service_folder("airflow")
        dags = Path(os.environ.get(_DAGS_VARIABLE) or dags_folder())
        os.environ.update(airflow_environment(settings, home, dags))
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_passwords(settings, home)
        migrating = sys.argv[1:] == ["migrate"]
        if migrating and _is_migrated(settings, home):
            sys.stdout.write("Airflow's database is up to date\n")
            return
    except (SettingsError, OSError) as error:
        sys.stderr.write(f"dataflix-airflow: {error}\n")
        sys.exit(1)
    # The processes that Airflow forks (workers, and their tasks) must end with it, since the next scheduler
    # starts the tasks of a killed one anew.
    os.register_at_fork(after_in_child=die_with_parent)
    sys.argv = ["airflow", *airflow_command(sys.argv[1:])]
    try:
        runpy.run_module("airflow", run_name="__main__", alter_sys=True)
    except ImportError as error:
        if error.name not in {None, "airflow", "airflow.__main__"}:
            raise
        sys.stderr.write(f"dataflix-airflow: {error}: run scripts/envs batch\n")
        sys.exit(1)
    if migrating:
        _note_migration(settings, home)
