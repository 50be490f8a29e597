"""dataflix-seed against a real server."""

import psycopg
import pytest
from typer.testing import CliRunner

from dataflix_contract import Settings
from dataflix_postgres.seed import app


def _seed(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_empty_tables_are_filled_once(empty: psycopg.Connection) -> None:
    assert "loaded 500 users, 458 movies" in _seed()
    count, mean = empty.execute("SELECT count(*), avg(rating)::float8 FROM ratings").fetchone() or (0, 0)
    assert 20_000 < count < 30_000
    assert 3.0 < mean < 4.0
    assert "nothing loaded" in _seed()
    assert empty.execute("SELECT count(*) FROM ratings").fetchone() == (count,)


def test_generated_ids_go_on_behind_the_sample(empty: psycopg.Connection) -> None:
    _seed("--users", "7", "--ratings-per-user", "3")
    assert empty.execute("INSERT INTO users (name) VALUES ('x') RETURNING user_id").fetchone() == (8,)
    assert empty.execute("INSERT INTO movies (title) VALUES ('x') RETURNING movie_id").fetchone() == (459,)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO users DEFAULT VALUES", "INSERT INTO movies (title) VALUES ('x')"]
)
def test_tables_with_anything_in_them_are_left_alone(empty: psycopg.Connection, statement: str) -> None:
    empty.execute(statement)
    assert "nothing loaded" in _seed()


def test_a_fault_is_one_message_and_exit_code_1(
    unmigrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLIX_POSTGRES_PASSWORD", "wrong")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "password authentication failed" in result.stderr
    assert unmigrated.postgres_user in result.stderr
    assert "Traceback" not in result.output
