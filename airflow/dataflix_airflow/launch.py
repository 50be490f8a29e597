"""``dataflix-airflow COMMAND``: run Airflow with the stack's settings.

``migrate``, ``api-server``, ``scheduler`` and ``dag-processor`` are what a stack is made of; every
other command of Airflow's works too: ``dataflix-airflow dags list``.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from dataflix_airflow import environment, migration
from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.processes import die_with_parent

#: The stack's commands, where they are not Airflow's own word for word.
_COMMANDS = {
    "migrate": ("db", "migrate"),
    # Its log server listens on every address, whatever the settings say. Here it is not needed:
    # the API server finds the logs as files.
    "scheduler": ("scheduler", "--skip-serve-logs"),
}
_DAGS_VARIABLE = "AIRFLOW__CORE__DAGS_FOLDER"


def airflow_command(arguments: Sequence[str]) -> list[str]:
    """The arguments that Airflow's own command line gets.

    Args:
        arguments: this program's; the first one is the command.
    """
    if not arguments:
        return ["--help"]
    command, *rest = arguments
    return [*_COMMANDS.get(command, (command,)), *rest]


def write_passwords(settings: Settings, home: Path) -> None:
    """Write the login's password where Airflow's login reads it, closed to other users."""
    target = environment.passwords_file(home)
    partial = target.with_suffix(".partial")
    text = json.dumps({settings.airflow_user: settings.airflow_password.get_secret_value()})
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(target)


def main() -> None:
    """Become Airflow: set its configuration and run its command line in this process."""
    try:
        settings = load_settings()
        home = settings.service_folder("airflow")
        dags = Path(os.environ.get(_DAGS_VARIABLE) or environment.dags_folder())
        os.environ.update(environment.airflow_environment(settings, home, dags))
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_passwords(settings, home)
        migrating = sys.argv[1:] == ["migrate"]
        if migrating and migration.is_noted(settings, home):
            sys.stdout.write("Airflow's database is up to date\n")
            return
    except (SettingsError, OSError) as error:
        sys.stderr.write(f"dataflix-airflow: {error}\n")
        sys.exit(1)
    # What Airflow forks (workers, and the tasks that these fork) must not outlive it: the next
    # scheduler starts the tasks of a killed one anew.
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
        migration.note(settings, home)
