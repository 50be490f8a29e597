"""What sessions in PostgreSQL state: every program states the same, and nobody connects without."""

import re
import shlex

import pytest
from pydantic import SecretStr

from dataflix_airflow.airflow_command import airflow_environment
from dataflix_connectors.registration import render_config
from dataflix_contract import Settings
from dataflix_contract.postgres_sessions import OPTIONS_VARIABLE, SESSION, options, parameters
from support.stack import ROOT

PACKAGES = [one.parent for one in ROOT.glob("*/dataflix_*")]
#: How connections are opened; the one of ADBC takes what ``make_conninfo`` gives.
OPENED = r"(?:psycopg2?\.connect|make_conninfo)\("


def test_each_setting_is_stated_and_blanks_do_not_end_it() -> None:
    stated = options({"statement_timeout": "5s", "a.b": r"back\slash and blank"})
    words = shlex.split(stated)  # a backslash means the same there
    assert words[::2] == ["-c"] * len(words[::2])
    found = dict(word.split("=", 1) for word in words[1::2])
    assert found == {**SESSION, "statement_timeout": "5s", "a.b": r"back\slash and blank"}


def test_parameters_name_the_database_that_is_meant() -> None:
    settings = Settings(_env_file=None, postgres_db="films")
    given = parameters(
        settings.postgres_server,
        "me",
        SecretStr("secret"),
        program="test",
        connect_seconds=3,
        database=settings.postgres_db,
    )
    assert (given["dbname"], given["password"], given["options"]) == ("films", "secret", options())
    other = parameters(
        settings.postgres_server,
        "me",
        SecretStr("secret"),
        program="test",
        connect_seconds=3,
        database="other",
    )
    assert other["dbname"] == "other"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_nobody_connects_without_stating_it(package: object) -> None:
    for file in sorted(ROOT.joinpath(str(package)).glob("dataflix_*/**/*.py")):
        text = file.read_text(encoding="utf-8")
        stated = re.findall(OPENED + r"\s*\*\*parameters\(", text)
        assert len(re.findall(OPENED, text)) == len(stated), (
            f"{file} opens a session without dataflix_contract.postgres_sessions.parameters: use it"
        )


def test_servers_of_others_find_it_in_their_environment() -> None:
    settings = Settings(_env_file=None)
    assert airflow_environment(settings, ROOT, ROOT)[OPTIONS_VARIABLE] == options()
    assert render_config(settings, fence=0)["driver.options"] == options()
