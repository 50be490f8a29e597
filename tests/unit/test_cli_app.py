"""The program's outside: help, exit codes, faults in words and in JSON; nothing is asked of a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from dataflix_cli import app
from dataflix_cli.command_faults import AmbiguousFault, ExitCode, NotFoundFault
from dataflix_cli.commands import operations
from dataflix_cli.commands.topics import holds_personal_data
from dataflix_contract import tables

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests, and nothing behind the API's address."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("DATAFLIX_ENV_FILE", "")
    monkeypatch.setenv("DATAFLIX_API_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("DATAFLIX_USER", raising=False)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_list_of_commands_says_what_the_command_itself_says(name: str) -> None:
    group = typer.main.get_command(app.app)
    assert isinstance(group, app.LazyGroup)
    command = group.commands[name]
    assert command.name == name
    assert bool(getattr(command, "commands", None)) == bool(app.COMMANDS[name].group)
    assert command.help


@pytest.mark.parametrize("command", ["status", "check", "trace"])
def test_what_asks_every_server_says_where_to_run_it_if_it_cannot_be_here(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(operations, "_PROGRAMS", tmp_path)
    assert app.run([command]) == ExitCode.FAILED
    assert f"run bin/dataflix-{command} outside" in capsys.readouterr().err


def test_help_names_every_command_and_exit_code(capsys: Captured) -> None:
    assert app.run(["--help"]) == ExitCode.OK
    told = capsys.readouterr().out
    assert all(name in told for name in app.COMMANDS)
    assert all(f"  {code.value}  " in told for code in ExitCode)


def test_without_a_terminal_and_a_command_there_is_help(capsys: Captured) -> None:
    assert app.run([]) == ExitCode.USAGE
    assert "Usage: dataflix" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rat"], "Did you mean 'rate'"),
        (["rate", "1", "2"], "Missing argument"),
        (["rate", "1", "2", "6"], "no rating"),
        (["rate", "1", "the", "godfather", "4.5"], "several words in quotes"),
        (["recommend", "-n", "0"], "-n"),
        (["open", "nowhere"], "'nowhere' is not one of"),
        (["recommend"], "no default user is set"),
        (["users", "delete", "1"], "this deletes"),
        (["users", "create", "Ann"], "e-mail"),
        (["config", "set", "user", "ann"], "no user's id"),
        (["config", "set", "api_url", "nowhere"], "no address"),
        (["--api-url", "nowhere", "movies", "genres"], "no address"),
        (["topics", "tail", "cdc.public.users"], "--personal-data"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments: list[str], words: str, capsys: Captured) -> None:
    assert app.run(arguments) == ExitCode.USAGE
    told = capsys.readouterr()
    assert words in told.err
    assert not told.out
    assert app.run([*arguments, "--json"]) == ExitCode.USAGE
    fault = json.loads(capsys.readouterr().err)["error"]
    assert (fault["code"], fault["exit_code"]) == ("usage", 2)
    assert words in fault["message"] + fault["hint"]


def test_a_group_without_a_command_shows_its_own(capsys: Captured) -> None:
    assert app.run(["movies"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "needs a command" in told
    assert "similar" in told


def test_an_api_that_is_away(capsys: Captured) -> None:
    assert app.run(["movies", "genres", "--json"]) == ExitCode.AWAY
    fault = json.loads(capsys.readouterr().err)["error"]
    assert fault["code"] == "away"
    assert "./run.sh" in fault["hint"]


def test_candidates_are_listed_for_people_and_programs() -> None:
    candidates = [{"movie_id": 76, "title": "The Godfather", "release_year": 1972}]
    fault = AmbiguousFault("several", "give the id", candidates)
    assert fault.plain()["error"]["candidates"] == candidates
    assert NotFoundFault("x").plain()["error"]["exit_code"] == ExitCode.NOT_FOUND


def test_settings_are_kept_shown_and_forgotten(capsys: Captured) -> None:
    assert app.run(["config", "set", "user", "7", "--json"]) == ExitCode.OK
    assert app.run(["config", "set", "token", "hidden"]) == ExitCode.OK
    capsys.readouterr()
    assert app.run(["config", "show", "--json"]) == ExitCode.OK
    told = capsys.readouterr().out
    shown = json.loads(told)
    assert shown["user"]["value"] == "7"
    assert shown["token"]["value"] == "set"
    assert "hidden" not in told
    assert app.run(["config", "unset", "user", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["user"]["value"] is None
    assert app.run(["config", "path", "--json"]) == ExitCode.OK
    assert Path(json.loads(capsys.readouterr().out)["path"]).read_text() == 'token = "hidden"\n'


def test_a_setting_that_is_kept_and_not_used_is_told(capsys: Captured) -> None:
    assert app.run(["config", "set", "api_url", "http://elsewhere"]) == ExitCode.OK
    assert "overridden by DATAFLIX_API_URL" in capsys.readouterr().err


def test_every_raw_topic_holds_personal_data_and_no_masked_one_does() -> None:
    assert all(holds_personal_data(table.raw_topic) for table in tables().values())
    assert not any(holds_personal_data(table.masked_topic) for table in tables().values())


@pytest.mark.parametrize("arguments", [["--help"], ["version"]])
def test_what_must_be_there_at_once_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        f"sys.argv = ['dataflix', *{arguments}]\n"
        "loaded = lambda: sorted({name.partition('.')[0] for name, one in sys.modules.items() if one})\n"
        "atexit.register(lambda: print(loaded()))\n"
        "from dataflix_cli.entry_point import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    imported = done.stdout.splitlines()[-1]
    assert "'dataflix_cli'" in imported
    for heavy in ("pydantic", "httpx", "rich", "prompt_toolkit", "psycopg", "confluent_kafka"):
        assert f"'{heavy}'" not in imported


#: Terminals that are not UTF-8, and the settings that make Python believe it is in one.
_ENCODINGS = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
_FILM = {"movie_id": 1, "title": "Amélie 例 \u2014 👍", "release_year": 2001, "genres": ["Drama"],
         "rating_mean": 4.4, "rating_count": 3, "overview": "…"}  # fmt: skip


def _run(code: str, environ: dict[str, str], *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environ, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("environ", _ENCODINGS, ids=str)
def test_a_terminal_that_is_not_utf_8_shows_what_it_can(environ: dict[str, str]) -> None:
    code = (
        "from dataflix_contract.terminal import make_output_safe\n"
        "make_output_safe()\n"
        "from dataflix_cli import output\n"
        f"output.emit({_FILM!a}, as_json=False, show=output.movie)\n"
        f"output.print_json({_FILM!a})\n"
    )
    done = _run(code, environ)
    assert (done.returncode, done.stderr) == (0, b"")
    shown, _, document = done.stdout.decode("latin-1").partition("{")
    assert shown.startswith(("Amelie ? - ?", "Amélie ? - ?"))
    assert "****" in shown
    assert json.loads("{" + document) == _FILM


@pytest.mark.parametrize("environ", _ENCODINGS, ids=str)
def test_a_fault_is_told_on_a_terminal_that_is_not_utf_8(environ: dict[str, str]) -> None:
    code = "from dataflix_cli.entry_point import main; main()"
    done = _run(code, environ, "config", "set", "★".encode(), "x")
    assert done.returncode == ExitCode.USAGE
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"dataflix: ")


def test_an_argument_that_is_not_utf_8_is_named() -> None:
    done = _run("from dataflix_cli.entry_point import main; main()", {}, "movies", b"Am\xe9lie")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith(b"dataflix: b'Am\\xe9lie' is not UTF-8")


@pytest.mark.parametrize(
    "program",
    [
        "dataflix_checker.check_command", "dataflix_checker.containers", "dataflix_checker.metrics_command",
        "dataflix_checker.pipeline_command", "dataflix_checker.trace_command",
        "dataflix_clickhouse.warehouse", "dataflix_connectors.connector_command",
        "dataflix_postgres.importer", "dataflix_postgres.migrations",
        "dataflix_postgres.seed", "dataflix_postgres.bootstrap",
        "dataflix_reconciliation.reconcile_command", "dataflix_stack.stack_command", "dataflix_stack.status",
        "dataflix_stream_processors.dlq_command", "dataflix_training.cli",
    ],
)  # fmt: skip
def test_each_program_can_print_any_title_anywhere(program: str) -> None:
    code = (
        f"import {program}, rich.console, rich.table, sys\n"
        "table = rich.table.Table('★')\n"
        "table.add_row('Amélie ▲ … \\udce9')\n"
        "rich.console.Console().print(table)\n"
        "sys.stderr.write('★ é\\n')\n"
    )
    done = _run(code, {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert b"Amelie ^ ... ?" in done.stdout
    assert done.stderr.splitlines()[-1] == b"* e"
