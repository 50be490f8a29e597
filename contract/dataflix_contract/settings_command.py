"""The settings for shell scripts, before anything is installed: ``scripts/settings`` runs this.

::

    scripts/settings FILE              # judge the file, print notices
    scripts/settings FILE SETTING      # print a setting, such as DATAFLIX_PROFILE
    scripts/settings FILE --exports    # print all as commands for a shell

It needs nothing but the standard library. The file is judged in each case, its values too: ``run.sh`` and
``scripts/compose`` start nothing with settings that a program would refuse later.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from dataflix_contract.settings_file import (
    AIRFLOW_ADDRESS,
    CLI_NAMES,
    FILE_NAMES,
    S3_ADDRESS,
    Content,
    SettingsError,
    effective,
    judge,
    read,
    template,
    variable,
)
from dataflix_contract.settings_values import RULES, TEMPLATE, RawValue

#: The settings that the address of Airflow's database holds.
_IN_AIRFLOW_ADDRESS = tuple(field for field, name in FILE_NAMES.items() if name == AIRFLOW_ADDRESS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: 0, or 1 with a message for settings that cannot be used."""
    parser = argparse.ArgumentParser(prog="scripts/settings", description="Read a settings file of Dataflix.")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "setting", nargs="?", help="print this setting: the environment's, the file's, the default"
    )
    parser.add_argument("--exports", action="store_true", help="print every setting of the file for a shell")
    asked = parser.parse_args(arguments)
    try:
        defaults = template()
        content = read(asked.file, defaults)
        given = _judged(content, _defaults(defaults), asked.file)
        if asked.exports:
            sys.stdout.writelines(_exports(content, given))
        elif asked.setting:
            sys.stdout.write(f"{_printed(asked.setting, content, given)}\n")
        else:
            sys.stderr.writelines(f"{asked.file}: {notice}\n" for notice in content.notices)
    except SettingsError as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


def _judged(content: Content, defaults: Mapping[str, str], file: Path) -> Mapping[str, RawValue]:
    try:
        given = effective(content, defaults)
        judge(given, together=True)
    except SettingsError as fault:
        raise SettingsError(f"in {file} or the environment: {fault}") from fault
    return given


def _defaults(names: Mapping[str, str]) -> dict[str, str]:
    """Each setting's default, by field."""
    found = read(TEMPLATE, names).values
    return {field: found.get(field, "") for field in RULES}


def _printed(name: str, content: Content, given: Mapping[str, RawValue]) -> str:
    """A setting by its name in the file, today's or a former one.

    Raises:
        SettingsError: there is none of that name.
    """
    fields = {called: field for field, called in FILE_NAMES.items()} | {
        variable(field): field for field in RULES
    }
    if name == AIRFLOW_ADDRESS:
        return _airflow_address(content, given)
    if name == S3_ADDRESS:
        return content.written.get(name) or template()[name]
    if name in CLI_NAMES:
        return content.others.get(name, "")
    if name not in fields:
        raise SettingsError(f"{name} is no setting: .env.example has all of them")
    return given[fields[name]].text


def _airflow_address(content: Content, given: Mapping[str, RawValue]) -> str:
    """As the file has it, unless the file or the environment says otherwise elsewhere."""
    from_file = all(given[field].origin == content.origins.get(field) for field in _IN_AIRFLOW_ADDRESS)
    if from_file and AIRFLOW_ADDRESS in content.written:
        return content.written[AIRFLOW_ADDRESS]
    database, user, password = (quote(given[field].text, safe="") for field in _IN_AIRFLOW_ADDRESS)
    return f"postgresql+psycopg2://{user}:{password}@airflow-db:5432/{database}"


def _exports(content: Content, given: Mapping[str, RawValue]) -> Iterator[str]:
    """Commands for a shell, each with a setting of the file that the environment does not have already."""
    for field, value in content.values.items():
        if given[field].origin == content.origins[field]:
            yield f"export {variable(field)}={shlex.quote(value)}\n"


if __name__ == "__main__":
    sys.exit(main())
