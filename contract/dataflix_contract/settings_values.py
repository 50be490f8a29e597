"""What the settings' values may be: the one place that judges them.

``scripts/settings`` judges the settings file with it before anything is installed or started, and every
program does when it reads its settings; so this needs nothing but the standard library. :data:`RULES` has a
rule for each setting. Whether values fit each other is said in ``dataflix_contract.settings_conflicts``.

Messages name settings and say what is wanted; they quote no value, because any value may be a secret.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataflix_contract.cron import CronError, check_cron

#: ``scripts/generate`` writes it from the settings: every name of the file, with its default. Only a
#: checkout has it.
TEMPLATE = Path(__file__).resolve().parents[2] / ".env.example"
#: Where a checkout keeps what is made there, unless $DATAFLIX_HOME says otherwise.
_OWN_FOLDER = ".dataflix"

#: What file systems take, in bytes; of a path some is left for what the servers put below it.
_LONGEST_NAME, _LONGEST_PATH = 255, 3500
#: What a key must have, so that nobody finds it by trying: length, and how many different characters.
_SHORTEST_KEY, _FEWEST_IN_KEY = 16, 6

#: Returns what a value must be, or an empty string if the value is valid.
Rule = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class RawValue:
    """A setting's value.

    Attributes:
        text: the value as the file or the environment has it.
        origin: where it is from, for messages: ``line 3: POSTGRES_DB``.
    """

    text: str
    origin: str


# --- Kinds of values


def _number(low: int, high: int) -> Rule:
    def judge(text: str) -> str:
        # int() takes 1_000, +1, a blank in front and the digits of other scripts; other readers do not
        plain = re.fullmatch(r"0|[1-9][0-9]{0,18}", text, re.ASCII)
        wanted = f"must be a whole number from {low} to {high}, written in digits alone"
        return "" if plain and low <= int(text) <= high else wanted

    return judge


def _text(pattern: str, wanted: str) -> Rule:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: "" if compiled.fullmatch(text) else wanted


def _one_of(*choices: str) -> Rule:
    return lambda text: "" if text in choices else f"must be {' or '.join(choices)}"


def _password(text: str) -> str:
    return "" if text else "must not be empty"


def _key(text: str) -> str:
    if len(text) < _SHORTEST_KEY or len(set(text)) < _FEWEST_IN_KEY:
        return f"must have {_SHORTEST_KEY} characters or more, {_FEWEST_IN_KEY} different ones among them"
    return ""


def _all(*rules: Rule) -> Rule:
    return lambda text: next((wanted for rule in rules if (wanted := rule(text))), "")


def _optional(rule: Rule) -> Rule:
    return lambda text: rule(text) if text else ""


def _yes_or_no(text: str) -> str:
    known = {"1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off"}
    return "" if text.lower() in known else "must be 1 or 0"


def _host(text: str) -> str:
    wanted = (
        "must be a host name or an IPv4 address and nothing else: no http:// in front of it, no port behind"
        " it, no blank; for a host with an IPv6 address write its name"
    )
    if re.fullmatch(r"[0-9.]+", text, re.ASCII):
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            return wanted
    label = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    return "" if re.fullmatch(rf"(?=.{{1,253}}$){label}(\.{label})*\.?", text, re.ASCII) else wanted


def _schedule(text: str) -> str:
    if text == "off":
        return ""
    try:
        check_cron(text)
    except CronError as fault:
        return f"must be a cron expression of five fields, or off: {fault}"
    return ""


def _anything(_text: str) -> str:
    return ""


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody, who has no account
        return Path(text)


def _path(text: str) -> str:
    path = _expanded(text)
    if re.search(r"[,;\\\"]", text):
        return (
            'must have no comma, semicolon, backslash or " in it: Kafka and the supervisor would misread it'
        )
    if not path.is_absolute():
        return "must begin with / or ~/: another path means another folder to each program"
    if max(map(len, map(os.fsencode, path.parts))) > _LONGEST_NAME or len(os.fsencode(path)) > _LONGEST_PATH:
        return "must be shorter: the file system takes no names of that length"
    return ""


def _own_folder(text: str) -> str:
    """A stack that is wiped deletes the folders ``postgres``, ``backend``, ... in there."""
    try:
        path = _expanded(text).resolve()
    except RuntimeError:  # that is what it raises
        return "must be another folder: a link on the way to it leads back to itself"
    if path == Path("/"):
        return "must be a folder of the stack's own: name one below /"
    own = Path(os.environ.get("DATAFLIX_HOME") or TEMPLATE.parent / _OWN_FOLDER).resolve()
    if TEMPLATE.is_file() and _expanded("~").resolve().is_relative_to(path):
        return "must be a folder of the stack's own: name one below your home folder, for example"
    inside = TEMPLATE.is_file() and path.is_relative_to(TEMPLATE.parent)
    if inside and not path.is_relative_to(own):
        return (
            f"must be outside of the repository, or below its {_OWN_FOLDER}: the rest is the program itself"
        )
    return ""


_PORT = _number(1, 65535)
_TOKEN = _text(
    r"[!-~]+", "must be letters, digits and punctuation of ASCII, without blanks: it is sent as a header"
)
_KEY_IN_A_HEADER = _all(_key, _TOKEN)
_LOGIN = _text(r"[A-Za-z0-9_.@-]+", "must be letters, digits and any of . _ @ -")
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}"
_ROLE = _all(
    _text(_NAME, "the role must have 63 letters, digits and . _ @ - at most: PostgreSQL cuts off the rest"),
    _text(
        r"(?!pg_|public$|none$).*",
        "the role must be another one: PostgreSQL keeps public, none and names that begin with pg_ to itself",
    ),
)
_DATABASE = _all(
    _text(
        _NAME, "the database must have 63 letters, digits and . _ @ - at most: PostgreSQL cuts off the rest"
    ),
    _text(
        r"(?!(postgres|template[01])$).*",
        "the database must be one of its own: postgres, template0 and template1 are PostgreSQL's",
    ),
)
_CLICKHOUSE_NAME = _text(
    r"[A-Za-z_][A-Za-z0-9_]*", "must be letters, digits and underscores, and begin with no digit"
)
_CLICKHOUSE_WRITER = _all(
    _CLICKHOUSE_NAME, _text(r"(?!default$).*", "must be another user: default can only read")
)


def _port_of_master(text: str) -> str:
    scheme, _, address = text.partition("://")
    wanted = _PORT(address.rpartition(":")[2]) if scheme == "spark" else ""
    return wanted and f"its port {wanted}"


#: The rule of each setting, by field.
RULES: Mapping[str, Rule] = {
    "bind": _host,
    "profile": _one_of("core", "full"),
    "postgres_host": _host,
    "postgres_port": _PORT,
    "postgres_db": _DATABASE,
    "postgres_user": _ROLE,
    "postgres_password": _password,
    "postgres_admin_user": _ROLE,
    "postgres_admin_password": _password,
    "postgres_api_user": _ROLE,
    "postgres_api_password": _password,
    "debezium_user": _ROLE,
    "debezium_password": _password,
    "kafka_host": _host,
    "kafka_port": _PORT,
    "kafka_controller_port": _PORT,
    "kafka_user": _anything,
    "kafka_password": _anything,
    "kafka_ca_file": _anything,
    "kafka_partitions": _number(1, 64),
    "raw_retention_hours": _number(1, 876_000),
    "connect_host": _host,
    "connect_port": _PORT,
    "masking_key": _key,
    "masking_key_id": _text(r"[A-Za-z0-9]+", "must be letters and digits"),
    "masker_host": _host,
    "masker_port": _PORT,
    "masker_workers": _number(1, 64),
    "masker_max_bytes": _number(1024, 2**31 - 1),
    "clickhouse_host": _host,
    "clickhouse_http_port": _PORT,
    "clickhouse_tcp_port": _PORT,
    "clickhouse_cluster": _text(r"[A-Za-z0-9_-]*", "must be letters, digits, _ and -"),
    "clickhouse_admin_user": _CLICKHOUSE_WRITER,
    "clickhouse_admin_password": _password,
    "clickhouse_user": _CLICKHOUSE_NAME,
    "clickhouse_password": _password,
    "clickhouse_batch_user": _CLICKHOUSE_WRITER,
    "clickhouse_batch_password": _password,
    "clickhouse_dbt_user": _CLICKHOUSE_WRITER,
    "clickhouse_dbt_password": _password,
    "batch_schedule": _schedule,
    "airflow_host": _host,
    "airflow_port": _PORT,
    "airflow_user": _LOGIN,
    "airflow_password": _password,
    "airflow_secret": _key,
    "airflow_db": _DATABASE,
    "airflow_db_user": _ROLE,
    "airflow_db_password": _password,
    "dbt_host": _host,
    "dbt_port": _PORT,
    "dbt_token": _KEY_IN_A_HEADER,
    "mlflow_host": _host,
    "mlflow_port": _PORT,
    "mlflow_db": _DATABASE,
    "mlflow_db_user": _ROLE,
    "mlflow_db_password": _password,
    "s3_host": _host,
    "s3_port": _PORT,
    "s3_console_port": _PORT,
    "s3_access_key": _LOGIN,
    "s3_secret_key": _password,
    "s3_bucket": _text(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "must be 3 to 63 lower-case letters, digits, - and ., and begin and end with a letter or a digit",
    ),
    "backend_host": _host,
    "backend_port": _PORT,
    "backend_workers": _number(1, 32),
    "backend_token": _optional(_TOKEN),
    "backend_rate_limit": _number(0, 1_000_000_000),
    "stars_model": _one_of("chosen", "svd"),
    "trainer": _one_of("numba", "spark"),
    "spark_master": _all(
        _text(
            r"local(\[([1-9][0-9]*|\*)\])?|spark://[A-Za-z0-9.-]+:[0-9]+",
            "must be local[N], N threads of this machine, or spark://HOST:PORT of a Spark master",
        ),
        _port_of_master,
    ),
    "spark_secret": _optional(
        _text(r"[A-Za-z0-9._~+/=-]+", "must be letters, digits and any of . _ ~ + / = -")
    ),
    "flask_env": _one_of("development", "production"),
    "flask_debug": _yes_or_no,
    "kafka_ui_host": _host,
    "kafka_ui_port": _PORT,
    "data_dir": _optional(_all(_path, _own_folder)),
}


#: The settings that keep others out, and so must not be empty.
SECRETS = tuple(field for field, rule in RULES.items() if rule in {_password, _key, _KEY_IN_A_HEADER})


def faults(given: Mapping[str, RawValue]) -> list[str]:
    """A sentence for each value that its rule refuses, by the values' fields."""
    return [
        f"{value.origin}: {wanted}" for field, value in given.items() if (wanted := RULES[field](value.text))
    ]
