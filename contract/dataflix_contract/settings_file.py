"""The settings file, ``.env``: the one reader that scripts, containers and programs share.

It needs nothing but the standard library: ``scripts/settings`` uses it before anything is installed. What the
values may be is said in ``settings_values`` and ``settings_conflicts``.

A line is read only if python-dotenv and Docker Compose, which read such files elsewhere, would take the
same value from it. Everything else is refused with its number: a line that is skipped means a default in
place of a secret. Messages name lines and settings, never values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from dataflix_contract import settings_conflicts, settings_values
from dataflix_contract.settings_values import TEMPLATE, RawValue

ENV_PREFIX = "DATAFLIX_"
ENV_FILE_VARIABLE = "DATAFLIX_ENV_FILE"

AIRFLOW_ADDRESS = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
S3_ADDRESS = "MLFLOW_S3_ENDPOINT_URL"
#: Settings with a name of their own in the file, by field. These names count in the file only: other programs
#: use them too, and what a shell exports for those is none of ours.
FILE_NAMES = {
    "postgres_db": "POSTGRES_DB",
    "postgres_user": "POSTGRES_USER",
    "postgres_password": "POSTGRES_PASSWORD",
    "clickhouse_user": "CLICKHOUSE_USER",
    "clickhouse_password": "CLICKHOUSE_PASSWORD",
    "s3_access_key": "AWS_ACCESS_KEY_ID",
    "s3_secret_key": "AWS_SECRET_ACCESS_KEY",
    "flask_env": "FLASK_ENV",
    "flask_debug": "FLASK_DEBUG",
    # three settings in one line: the address holds all of them
    "airflow_db": AIRFLOW_ADDRESS,
    "airflow_db_user": AIRFLOW_ADDRESS,
    "airflow_db_password": AIRFLOW_ADDRESS,
}
#: Read from the file by the program ``dataflix``, and no settings of the stack.
CLI_NAMES = frozenset({"DATAFLIX_API_URL", "DATAFLIX_USER"})
_ENVIRONMENT_ONLY = frozenset({ENV_FILE_VARIABLE, "DATAFLIX_HOME", "DATAFLIX_PYTHON"})
#: Names that begin like this are meant for a server of the stack; those that nothing reads are told.
_FAMILIES = ("POSTGRES_", "CLICKHOUSE_", "AIRFLOW__", "AWS_", "MLFLOW_", "FLASK_")

_ASSIGNMENT = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")
_FIRST_WORD = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)")
_AFTER_QUOTES = r"(?:[ \t]*|[ \t]+#.*)"
_SINGLE_QUOTED = re.compile(rf"'((?:[^'\\]|\\.)*)'{_AFTER_QUOTES}")
_DOUBLE_QUOTED = re.compile(rf'"((?:[^"\\]|\\.)*)"{_AFTER_QUOTES}')
#: What word processors and web pages make of quotes, and what people type for them.
_TYPOGRAPHIC = frozenset(
    "`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb\uff02\uff07"
)
_LIKENESS = 0.84
_HERE = frozenset({"localhost", "127.0.0.1"})


class SettingsError(ValueError):
    """A setting cannot be used; the message names it, says what to do, and quotes no value."""


class _LineError(ValueError):
    """What is wrong with a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A setting as the file has it."""

    number: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a settings file says.

    Attributes:
        values: the settings that it gives a value, by field: ``postgres_db``.
        origins: the line and the name that each of them is from: ``line 3: POSTGRES_DB``.
        others: what is there for the program ``dataflix``, by variable.
        written: every value as the file has it, by its name there.
        notices: what the person who keeps the file should know; the file works nonetheless.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    notices: Sequence[str] = ()


def chosen_file() -> Path | None:
    """The settings file: ``$DATAFLIX_ENV_FILE``, else ``.env`` in the working directory; None: there is none.

    An empty ``$DATAFLIX_ENV_FILE`` says that there is none.

    Raises:
        SettingsError: the variable names a file that does not exist.
    """
    named = os.environ.get(ENV_FILE_VARIABLE)
    if named == "":
        return None
    path = Path(named or ".env")
    if path.exists():
        return path
    if named is None:
        return None
    raise SettingsError(
        f"{ENV_FILE_VARIABLE} names {path}, which does not exist: correct it, or copy .env.example to there"
    )


def template() -> Mapping[str, str]:
    """The names that a settings file may have, with their defaults; nothing outside a checkout."""
    if not TEMPLATE.is_file():
        return {}
    return {line.name: line.value for line in parse(TEMPLATE.read_text(encoding="utf-8"))}


def read(path: Path, defaults: Mapping[str, str]) -> Content:
    """Read a settings file.

    Args:
        path: the file.
        defaults: the names that it may have, with their defaults, as the template has them; without any,
            names are not judged.

    Raises:
        SettingsError: it cannot be read, or has lines that cannot be used; the message names each of them.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise SettingsError(f"{path} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise SettingsError(f"{path} is not in UTF-8: save it in that encoding") from fault
    try:
        lines = list(parse(text))
        return _understand(lines, defaults)
    except SettingsError as fault:
        raise SettingsError(f"{path}: {fault}") from fault


# --- Lines


def parse(text: str) -> Iterator[Line]:
    """The settings of a text, in its order.

    Raises:
        SettingsError: some lines are none, or readers of such files take different values from them.
    """
    faults, found = [], []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        try:
            found += [Line(number, *setting) for setting in _settings_of(line.strip(" \t"))]
        except _LineError as fault:
            faults.append(f"line {number}{_name_of(line)}: {fault}")
    _refuse(faults)
    yield from found


def _settings_of(line: str) -> Iterator[tuple[str, str]]:
    if not line or line.startswith("#"):
        return
    if not all(character.isprintable() or character == "\t" for character in line):
        raise _LineError("has an invisible character in it: type the line anew")
    found = _ASSIGNMENT.fullmatch(line)
    if found is None:
        raise _LineError("is no setting: write NAME=value, or put # in front of a comment")
    yield found[1], _value(found[2])


def _name_of(line: str) -> str:
    """The name that a line begins with, if it is like one of ours: anything else could be part of a value."""
    found = _FIRST_WORD.match(line.strip(" \t"))
    known = found and (found[1].startswith((ENV_PREFIX, *_FAMILIES)) or _ASSIGNMENT.match(line.strip(" \t")))
    return f" ({found[1]})" if found and known else ""


def _value(text: str) -> str:
    if text.startswith("'"):
        return _single_quoted(text)
    if text.startswith('"'):
        return _double_quoted(text)
    if text and (text[0] in _TYPOGRAPHIC or text[-1] in _TYPOGRAPHIC):
        raise _LineError(
            "typographic quotes and backticks are no quotes to readers of this file: write ' or \" instead"
        )
    if re.search(r"(^|[ \t])#", text):
        raise _LineError("a # cuts a value off: put the value in quotes, or the comment on a line of its own")
    if "$" in text:
        raise _LineError("a $ means a variable to some readers of this file: put the value in single quotes")
    return text


def _single_quoted(text: str) -> str:
    found = _SINGLE_QUOTED.fullmatch(text)
    if found is None:
        raise _LineError("its quotes do not end with the value: put a value with a ' in double quotes")
    if "\\\\" in found[1]:
        raise _LineError("two backslashes in single quotes mean one to some readers: write it without quotes")
    return found[1].replace("\\'", "'")


def _double_quoted(text: str) -> str:
    found = _DOUBLE_QUOTED.fullmatch(text)
    if found is None:
        raise _LineError('its quotes do not end with the value: put a value with a " in single quotes')
    if "$" in found[1]:
        raise _LineError("a $ means a variable to some readers of this file: put the value in single quotes")
    if re.search(r"\\[^\"\\]", re.sub(r"\\[\"\\]", "", found[1])):
        raise _LineError("a backslash in double quotes is read as an escape: put the value in single quotes")
    return re.sub(r"\\([\"\\])", r"\1", found[1])


# --- Names, and what they stand for


def _understand(lines: Sequence[Line], defaults: Mapping[str, str]) -> Content:
    """Judge the lines' names, and give the settings their values."""
    if defaults:
        _refuse([f"line {line.number}: {fault}" for line in lines for fault in _name_faults(line, defaults)])
    _refuse(_contradictions((line.name, line.number, line.name, line.value) for line in lines))
    said = {line.name: line for line in lines if line.value}
    given = [
        (setting, line.number, line.name, value)
        for line in said.values()
        for setting, value in _settings_in(line, said, defaults)
    ]
    _refuse(_contradictions(given))
    return Content(
        {setting: value for setting, _, _, value in given},
        {setting: f"line {number}: {name}" for setting, number, name, _ in given},
        {name: line.value for name, line in said.items() if name in CLI_NAMES},
        {name: line.value for name, line in said.items()},
        [*_renamed(said), *_unread(said, defaults)],
    )


def _name_faults(line: Line, defaults: Mapping[str, str]) -> Iterator[str]:
    current = _current_name(line.name)
    if line.name in _ENVIRONMENT_ONLY:
        yield f"{line.name} is read from the environment, not from this file: export it instead"
    elif line.name in CLI_NAMES:
        return
    elif current in defaults:
        if not line.value and defaults[current]:
            yield f"{line.name} is empty: give it a value, or delete the line for the default"
    elif meant := _meant(line.name, defaults):
        yield f"{line.name} is no setting: is {meant} meant?"
    elif line.name.upper().startswith(ENV_PREFIX):
        yield f"{line.name} is no setting: .env.example has all of them"


def _current_name(name: str) -> str:
    """What a setting is called in the file today."""
    return FILE_NAMES.get(_field(name), name) if name.startswith(ENV_PREFIX) else name


def _field(name: str) -> str:
    return name.removeprefix(ENV_PREFIX).lower()


def _meant(name: str, defaults: Mapping[str, str]) -> str:
    """The setting that somebody may have meant by a name that is none; empty: nothing is like it."""
    from difflib import get_close_matches  # noqa: PLC0415 - for misspelt files only

    spelt = name.upper()
    for candidate in (spelt, f"{ENV_PREFIX}{spelt}"):
        if _current_name(candidate) in defaults:
            return _current_name(candidate)
    formerly = [f"{ENV_PREFIX}{setting.upper()}" for setting in FILE_NAMES]
    close = get_close_matches(spelt, [*defaults, *formerly, *CLI_NAMES], 1, _LIKENESS)
    return _current_name(close[0]) if close else ""


def _contradictions(given: Iterable[tuple[str, int, str, str]]) -> list[str]:
    """A sentence for each setting with two values; of each its key, its line, its name and its value."""
    first: dict[str, tuple[int, str, str]] = {}
    faults = []
    for setting, number, name, value in given:
        before, called, other = first.setdefault(setting, (number, name, value))
        if other != value:
            faults.append(
                f"line {before}: {called} and line {number}: {name} give one setting two values: delete one"
            )
    return faults


def _settings_in(
    line: Line, said: Mapping[str, Line], defaults: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The settings that a line gives values, by field."""

    def place(name: str) -> str:
        variable = f"{ENV_PREFIX}{name}"
        return (
            os.environ.get(variable)
            or (said[variable].value if variable in said else "")
            or defaults.get(variable, "")
        )

    if line.name == AIRFLOW_ADDRESS:
        yield from _airflow_database(line, place("POSTGRES_HOST"), place("POSTGRES_PORT"))
    elif line.name == S3_ADDRESS:
        _check_s3(line, place("S3_HOST"), place("S3_PORT"))
    elif line.name in FILE_NAMES.values():
        yield next(setting for setting, name in FILE_NAMES.items() if name == line.name), line.value
    elif line.name.startswith(ENV_PREFIX) and line.name not in CLI_NAMES:
        yield _field(line.name), line.value


def _airflow_database(line: Line, host: str, port: str) -> Iterator[tuple[str, str]]:
    """Database, user and password out of SQLAlchemy's address; the server can only be our own PostgreSQL."""
    parts = _address(line)
    if parts.scheme.partition("+")[0] not in {"postgresql", "postgres"} or parts.query or parts.fragment:
        raise SettingsError(
            f"line {line.number}: {line.name} must be"
            " postgresql+psycopg2://USER:PASSWORD@airflow-db:5432/DATABASE, without options;"
            " special characters in the password are percent-encoded"
        )
    ours = {("airflow-db", "5432"), ("postgres", "5432")}
    ours |= {(name, port) for name in ("airflow-db", "postgres", host, *_HERE)}
    if (parts.hostname, str(parts.port or port)) not in ours:
        raise SettingsError(
            f"line {line.number}: {line.name} names another server, and Airflow's database is kept in"
            " Dataflix's own PostgreSQL: write airflow-db:5432, wherever that PostgreSQL is"
        )
    found = (parts.path.removeprefix("/"), parts.username or "", parts.password or "")
    if not all(found) or "/" in found[0]:
        raise SettingsError(f"line {line.number}: {line.name} must name a user, a password and a database")
    for setting, value in zip(("airflow_db", "airflow_db_user", "airflow_db_password"), found, strict=True):
        yield setting, unquote(value)


def _check_s3(line: Line, host: str, port: str) -> None:
    """MLflow's store can only be our own: where it listens is said by other settings."""
    parts = _address(line)
    ours = {("minio", "9000"), *((name, port) for name in ("minio", "s3", host, *_HERE))}
    rest = (parts.username, parts.query, parts.fragment, parts.path.strip("/"))
    if parts.scheme != "http" or any(rest) or (parts.hostname, str(parts.port or "")) not in ours:
        raise SettingsError(
            f"line {line.number}: {line.name} names another store, and MLflow's files are kept in"
            f" Dataflix's own: write http://minio:9000, wherever that store is ({ENV_PREFIX}S3_HOST,"
            f" {ENV_PREFIX}S3_PORT)"
        )


def _address(line: Line) -> SplitResult:
    try:
        parts = urlsplit(line.value)
        _ = parts.port
    except ValueError as fault:
        raise SettingsError(
            f"line {line.number}: {line.name} is no address: percent-encode special characters in passwords"
        ) from fault
    return parts


def _renamed(said: Mapping[str, Line]) -> Iterator[str]:
    former = [
        f"{name} (line {line.number}) is now {_current_name(name)}"
        for name, line in said.items()
        if _current_name(name) != name
    ]
    if former:
        yield f"settings have new names, and the old ones still work: {', '.join(former)}"


def _unread(said: Mapping[str, Line], defaults: Mapping[str, str]) -> Iterator[str]:
    unread = [
        f"{name} (line {line.number})"
        for name, line in said.items()
        if defaults and name not in defaults and name.startswith(_FAMILIES)
    ]
    if unread:
        yield f"nothing reads {', '.join(unread)}: the settings are in .env.example"


def _refuse(faults: Iterable[str]) -> None:
    if told := "; ".join(faults):
        raise SettingsError(told)


# --- Values


def variable(setting: str) -> str:
    """What a setting is called in the environment."""
    return f"{ENV_PREFIX}{setting.upper()}"


def name_of(setting: str) -> str:
    """What a setting is called in the file."""
    return FILE_NAMES.get(setting, variable(setting))


def effective(content: Content, defaults: Mapping[str, str]) -> dict[str, RawValue]:
    """What each setting is: what the environment says, else the file, else the default.

    Args:
        content: the file.
        defaults: each setting's default, by field.

    Raises:
        SettingsError: a secret is empty in the environment: the public default would take its place.
    """
    environment = {name.upper(): value for name, value in os.environ.items()}
    _refuse(
        f"{variable(setting)} is empty in the environment: give it a value, or unset it"
        for setting in settings_values.SECRETS
        if environment.get(variable(setting)) == ""
    )
    found = {}
    for setting, default in defaults.items():
        if inside := environment.get(variable(setting)):
            found[setting] = RawValue(inside, f"{variable(setting)} in the environment")
        elif setting in content.values:
            found[setting] = RawValue(content.values[setting], content.origins[setting])
        else:
            found[setting] = RawValue(default, f"{name_of(setting)} (its default)")
    return found


def judge(given: Mapping[str, RawValue], *, together: bool) -> None:
    """Refuse settings whose values cannot be used.

    Args:
        given: what each setting is.
        together: judge also whether they fit each other. False in a container, which is given only some
            settings: the defaults of the others need not be what other containers use.

    Raises:
        SettingsError: some cannot be used; the message names each of them.
    """
    _refuse(settings_values.faults(given))
    if together:
        _refuse(settings_conflicts.conflicts(given))
