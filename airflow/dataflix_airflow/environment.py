"""Airflow's configuration, made from the settings: ``AIRFLOW__SECTION__KEY`` variables."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from urllib.parse import quote

from dataflix_contract import Settings
from dataflix_contract.postgres_sessions import OPTIONS_VARIABLE, options


def dags_folder() -> Path:
    """Where the DAGs are, in a checkout: beside this package."""
    return Path(__file__).resolve().parents[1] / "dags"


def logs_folder(home: Path) -> Path:
    """Where the tasks' logs are."""
    return home / "logs"


def passwords_file(home: Path) -> Path:
    """The file that Airflow reads the login's password from."""
    return home / "passwords.json"


def derived_key(settings: Settings, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose; from it nobody learns the secret, nor another purpose's key."""
    secret = settings.airflow_secret.get_secret_value().encode()
    return hmac.digest(secret, f"dataflix-airflow/{purpose}".encode(), hashlib.sha256)


def database_url(settings: Settings) -> str:
    """Airflow's own database as SQLAlchemy wants it; holds the password."""
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
        # Each is a process, idle at 35 MB; the DAG never has more than two tasks to run at once.
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
        # Whoever keeps a connection open keeps a server that is told to stop, this long at most.
        # Longer than the heartbeats are apart, which would otherwise find theirs closed.
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
        # Parser logs go to the process' own log, which the supervisor bounds: files would only grow.
        "dag_processor_log_target": "stdout",
        # The pages read the logs from the files; no server serves them (see launch.py), and that
        # one is asked for a running task's log all the same is no news.
        "namespace_levels": "airflow.utils.log.file_task_handler=CRITICAL",
    }


#: A scheduler that was killed is given up, and its tasks are started anew, within about half a
#: minute (Airflow's own default: five minutes).
_SCHEDULER = {
    "scheduler_health_check_threshold": "20",
    "orphaned_tasks_check_interval": "15",
    "task_instance_heartbeat_timeout": "90",
    "task_queued_timeout": "120",
    "task_queued_timeout_check_interval": "30",
    "catchup_by_default": "False",
}

#: A task goes on while the API server is restarted: 15 heartbeats, 5 s apart, may fail.
_WORKERS = {
    "min_heartbeat_interval": "5",
    "max_failed_heartbeats": "15",
    "execution_api_timeout": "20",
    "execution_api_retries": "8",
    "execution_api_retry_wait_max": "10",
}

#: The DAG changes when somebody edits it, not all the time: look for changes once a minute.
_DAG_PROCESSOR = {
    "parsing_processes": "1",
    "min_file_process_interval": "60",
    "refresh_interval": "60",
    "print_stats_interval": "0",
}
