"""Every command of the program against a running stack: as a program sees it, and in a terminal."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataflix_cli import app
from dataflix_contract import Settings
from support.stack import ROOT
from support.terminal import CTRL_C, ENTER, terminal

pytestmark = pytest.mark.usefixtures("champion")

PROGRAM = str(ROOT / "bin" / "dataflix")
FILM = "Heat (1995)"


@pytest.fixture
def environ(settings: Settings, tmp_path: Path) -> dict[str, str]:  # noqa: ARG001 - it names the stack
    """An environment without anybody's own settings."""
    return {"XDG_CONFIG_HOME": str(tmp_path)}


class Program:
    """Runs command lines in this process, as the program would: that saves a start of it for each."""

    def __init__(self, output: pytest.CaptureFixture[str]) -> None:
        self._output = output

    def json(self, *arguments: str) -> Any:
        """The document that a command prints."""
        self._output.readouterr()
        code = app.run([*arguments, "--json"])
        told = self._output.readouterr()
        assert code == 0, f"{arguments}: {code}\n{told.out}\n{told.err}"
        return json.loads(told.out)

    def fault(self, code: int, *arguments: str) -> Any:
        """The fault that a command ends with."""
        self._output.readouterr()
        ended = app.run([*arguments, "--json"])
        told = self._output.readouterr()
        assert ended == code, f"{arguments}: {ended}\n{told.out}\n{told.err}"
        assert not told.out
        return json.loads(told.err)["error"]


@pytest.fixture
def dataflix(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Program:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Program(capsys)


def called(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, called by another one."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def user_id(dataflix: Program, source: psycopg.Connection) -> Iterator[str]:
    """A user who was created by the program."""
    marker = secrets.token_hex(6)
    created = dataflix.json(
        "users", "create", f"Script {marker}", f"{marker}@example.com", "--birth-year", "1970"
    )
    assert created["birth_year"] == 1970
    yield str(created["user_id"])
    source.execute("DELETE FROM users WHERE user_id = %s", [created["user_id"]])


def test_users(dataflix: Program, user_id: str) -> None:
    name = dataflix.json("users", "show", user_id)["name"]
    assert dataflix.json("users", "list", name)["items"] == [{"user_id": int(user_id), "name": name}]
    assert dataflix.json("users", "list", "-n", "1")["more"] is True
    assert dataflix.json("users", "show", name)["user_id"] == int(user_id)
    assert dataflix.fault(1, "users", "create", name, f"{name.split()[1]}@example.com")["code"] == "failed"
    assert dataflix.fault(2, "users", "create", name, "no address")["code"] == "usage"
    assert "--yes" in dataflix.fault(2, "users", "delete", user_id)["hint"]
    assert dataflix.json("users", "delete", user_id, "--yes") == {"deleted": True, "user_id": int(user_id)}
    assert dataflix.fault(3, "users", "show", user_id)["code"] == "not_found"
    assert dataflix.fault(3, "users", "delete", user_id, "-y")["code"] == "not_found"


def test_movies(dataflix: Program) -> None:
    found = dataflix.json("movies", "search", "godfathr", "--genre", "Crime")
    assert found["items"][0]["title"] == "The Godfather"
    years = [
        film["release_year"]
        for film in dataflix.json("movies", "search", "--sort", "year", "-n", "150")["items"]
    ]
    assert len(years) == 150
    nineties = dataflix.json("movies", "search", "--year-from", "1990", "--year-to", "1999", "-n", "5")[
        "items"
    ]
    assert all(1990 <= film["release_year"] <= 1999 for film in nineties)
    film = dataflix.json("movies", "show", FILM)
    assert (film["title"], film["release_year"]) == ("Heat", 1995)
    assert dataflix.json("movies", "show", str(film["movie_id"])) == film
    alike = dataflix.json("movies", "similar", "heat", "-n", "3")["items"]
    assert len(alike) == 3
    assert dataflix.json("movies", "similar", "heat", "-n", "3", "--user", "1")["items"]
    assert any(genre["genre"] == "Drama" for genre in dataflix.json("movies", "genres")["items"])
    ambiguous = dataflix.fault(2, "movies", "show", "godfathr")
    assert [one["title"] for one in ambiguous["candidates"]][:2] == ["The Godfather", "The Godfather Part II"]
    assert dataflix.fault(3, "movies", "show", "#9223372036854775807")["code"] == "not_found"
    assert dataflix.fault(3, "movies", "show", "qqqqxxxxzzzz")["code"] == "not_found"


def test_dismiss_and_take_it_back(dataflix: Program, user_id: str) -> None:
    first = dataflix.json("recommend", user_id)["items"][0]
    film = str(first["movie_id"])
    assert dataflix.json("dismiss", user_id, film)["movie_id"] == first["movie_id"]
    shown = dataflix.json("recommend", user_id, "--include-watched", "-n", "100")["items"]
    assert first["movie_id"] not in [one["movie_id"] for one in shown]
    (item,) = dataflix.json("dismissed", user_id)["items"]
    assert item["movie"]["title"] == first["title"]
    assert dataflix.json("undismiss", user_id, film)["deleted"] is True
    assert dataflix.json("recommend", user_id)["items"][0]["movie_id"] == first["movie_id"]
    fault = dataflix.fault(3, "undismiss", user_id, film)
    assert "dataflix dismissed USER lists" in fault["message"]


def test_watch_rate_and_recommend(dataflix: Program, user_id: str) -> None:
    before = dataflix.json("recommend", user_id)
    assert before["strategy"] == "popular"
    assert dataflix.json("watch", user_id, FILM)["user_id"] == int(user_id)
    assert dataflix.json("watched", user_id)["items"][0]["rating"] is None
    assert dataflix.json("ratings", user_id) == {"items": [], "more": False}
    rated = dataflix.json("rate", user_id, FILM, "4½")
    assert (rated["rating"], rated["watched"]) == (4.5, "already")
    assert dataflix.json("ratings", user_id)["items"][0]["movie"]["title"] == "Heat"

    after = dataflix.json("recommend", user_id)
    assert after["strategy"] == "personal"
    assert after["items"][:5] != before["items"][:5]
    first = after["items"][0]
    dataflix.json("watch", user_id, str(first["movie_id"]))
    kept = dataflix.json("recommend", user_id, "-n", "100")["items"]
    everything = dataflix.json("recommend", user_id, "-n", "100", "--include-watched")["items"]
    assert first["movie_id"] not in [one["movie_id"] for one in kept]
    assert first["movie_id"] in [one["movie_id"] for one in everything]
    left_out = [part for film in kept[:2] for part in ("--exclude", str(film["movie_id"]))]
    rest = dataflix.json("recommend", user_id, "-n", "98", *left_out)["items"]
    assert rest == kept[2:]
    diverse = dataflix.json("recommend", user_id, "-n", "20", "--diversity", "0.6")["items"]
    assert diverse[0] == kept[0]
    assert diverse != kept[:20]
    westerns = dataflix.json("recommend", user_id, "--genre", "Western")["items"]
    assert westerns
    assert all("Western" in film["genres"] for film in westerns)

    assert dataflix.json("unrate", user_id, FILM, "-y")["deleted"] is True
    assert dataflix.fault(3, "unrate", user_id, FILM, "-y")["code"] == "not_found"
    assert dataflix.json("unwatch", user_id, FILM, "--yes")["deleted"] is True
    assert [one["movie"]["title"] for one in dataflix.json("watched", user_id)["items"]] == [first["title"]]
    assert dataflix.fault(3, "unwatch", user_id, FILM, "--yes")["code"] == "not_found"


def test_a_rating_is_followed_into_the_warehouse(dataflix: Program, user_id: str) -> None:
    document = dataflix.json("rate", user_id, FILM, "3", "--trace")
    assert document["watched"] == "now"
    assert document["trace"]["fault"] == ""
    times = list(document["trace"]["milliseconds"].values())
    assert list(document["trace"]["milliseconds"]) == ["captured", "masked", "queryable"]
    assert times == sorted(times)


def test_without_the_pipeline_a_rating_is_written_and_said_not_to_be_followed(
    dataflix: Program, user_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLIX_KAFKA_PORT", "1")
    document = dataflix.json("rate", user_id, FILM, "2", "--trace")
    assert document["rating"] == 2.0
    assert "cannot be seen" in document["trace"]["fault"]
    assert dataflix.json("ratings", user_id)["items"][0]["rating"] == 2.0


def test_topics(dataflix: Program, user_id: str) -> None:
    dataflix.json("rate", user_id, FILM, "1", "--trace")
    topics = {one["name"]: one for one in dataflix.json("topics")["items"]}
    assert topics["masked.ratings"]["records"] > 0
    assert topics["masked.ratings"]["reader"] == "clickhouse-raw-ratings"
    assert topics["cdc.public.users"]["personal_data"] is True
    assert [one["name"] for one in dataflix.json("topics", "list")["items"]] == list(topics)

    last = dataflix.json("topics", "tail", "masked.ratings", "-n", "50")["items"]
    (own,) = [record for record in last if record["key"]["user_id"] == int(user_id)]
    assert own["value"]["after"]["rating"] == "1.0"
    first = dataflix.json("topics", "tail", "masked.ratings", "--from-beginning", "-n", "2")["items"]
    assert len(first) == 2
    assert first[-1]["timestamp"] <= last[0]["timestamp"]
    assert "--personal-data" in dataflix.fault(2, "topics", "tail", "cdc.public.users")["hint"]
    (raw,) = dataflix.json("topics", "tail", "cdc.public.users", "-n", "1", "--personal-data")["items"]
    assert "@" in (raw["value"]["after"] or raw["value"]["before"])["email"]
    assert dataflix.fault(3, "topics", "tail", "nowhere")["code"] == "not_found"


def test_a_topic_is_followed_until_somebody_has_seen_enough(
    dataflix: Program, environ: dict[str, str], user_id: str
) -> None:
    with terminal(
        PROGRAM, "topics", "tail", "masked.ratings", "--follow", "-n", "1", environ=environ
    ) as tail:
        tail.wait_for('"op"')
        assert f'"user_id": {user_id}' not in tail.text
        dataflix.json("rate", user_id, FILM, "5")
        tail.wait_for(f'"user_id": {user_id}')
        tail.type(CTRL_C)
        assert tail.ended() == 130


def test_pages(dataflix: Program, settings: Settings) -> None:
    assert dataflix.json("open") == {"page": "page", "url": f"{settings.backend_url}/", "opened": False}
    pages = {
        page: dataflix.json("open", page)["url"] for page in ("docs", "airflow", "mlflow", "kafka-ui", "dbt")
    }
    assert pages == {
        "docs": f"{settings.backend_url}/docs",
        "airflow": settings.airflow_url,
        "mlflow": settings.mlflow_url,
        "kafka-ui": settings.kafka_ui_url,
        "dbt": f"{settings.dbt_url}/docs/",
    }
    assert dataflix.json("open", "clickhouse")["url"].endswith("/play")


def test_status_and_trace_are_the_programs_themselves(environ: dict[str, str]) -> None:
    status = json.loads(called(environ, "status", "--json").stdout)
    assert {"kafka", "backend"} <= {one["service"] for one in status["services"]}
    done = called(environ, "trace", "users", "user_id=1", "--touch", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["stage"] == "queryable"
    assert "dataflix-check" in called(environ, "check", "--help").stdout


def test_another_program_sees_documents_faults_and_exit_codes(environ: dict[str, str]) -> None:
    done = called(environ, "movies", "genres", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["items"]
    done = called(environ, "users", "show", "9223372036854775807", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    assert json.loads(done.stderr)["error"]["code"] == "not_found"


def test_in_a_terminal_people_are_asked(environ: dict[str, str], user_id: str, dataflix: Program) -> None:
    with terminal(PROGRAM, "rate", user_id, "godfathr", "4", environ=environ) as asking:
        asking.wait_for("1  The Godfather (1972)", "which one")
        asking.type("1" + ENTER)
        assert asking.ended() == 0
        assert "★★★★☆ The Godfather (1972)" in asking.text
    with terminal(PROGRAM, "users", "delete", user_id, environ=environ) as asking:
        asking.wait_for("[y/N]")
        asking.type("n" + ENTER)
        assert asking.ended() == 130
        assert "nothing is deleted" in asking.text
    assert dataflix.json("users", "show", user_id)


def test_tables_fit_the_terminal_and_have_colours_where_they_are_wanted(environ: dict[str, str]) -> None:
    for columns, more in ((50, {}), (120, {"NO_COLOR": "1"})):
        with terminal(PROGRAM, "recommend", "1", environ=environ | more, columns=columns) as shown:
            assert shown.ended() == 0
            assert "★" in shown.text
            cells = [cell for row in shown.screen.buffer.values() for cell in row.values()]
            assert any(cell.fg != "default" for cell in cells) == (not more)


def test_a_shell_completes_titles_and_commands(environ: dict[str, str]) -> None:
    with terminal("bash", "--norc", "--noprofile", environ={**environ, "PS1": "ready> "}) as shell:
        shell.type(f"PATH={ROOT}/bin:$PATH; bind 'set bell-style none'{ENTER}")
        shell.type(f'eval "$(_DATAFLIX_COMPLETE=source_bash dataflix)"; echo loaded-$((1 + 1)){ENTER}')
        shell.wait_for("loaded-2")
        shell.type("dataflix recom\t")
        shell.wait_for("dataflix recommend")
        shell.type("\x15dataflix movies show Casab\t")
        shell.wait_for("dataflix movies show Casablanca\\ \\(1942\\)")
        shell.type(ENTER)
        shell.wait_for("Casablanca (1942)  film")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_recommendations_are_printed_on_a_terminal_that_is_not_utf_8(
    environ: dict[str, str], encoding: str
) -> None:
    def printed(*more: str) -> bytes:
        done = subprocess.run(
            [PROGRAM, "recommend", "1", *more],
            env=os.environ | environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    assert b"****" in printed()
    assert json.loads(printed("--json").decode("ascii"))["items"]
