"""The interactive session in a real terminal: a film is found in spite of a typo, rated, taken back."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dataflix_contract import Settings
from support.stack import ROOT
from support.terminal import CTRL_C, CTRL_D, ENTER, F1, F3, F4, TAB, Terminal, terminal

pytestmark = pytest.mark.usefixtures("champion")

PROGRAM = str(ROOT / "bin" / "dataflix")
#: A part of the line at the bottom: the prompt is ready for keys.
READY = "F1 help"


@pytest.fixture
def environ(settings: Settings, tmp_path: Path) -> dict[str, str]:  # noqa: ARG001 - it names the stack
    """An environment without anybody's own settings."""
    return {"XDG_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def newcomer(source: psycopg.Connection) -> Iterator[str]:
    """A name that nobody has; whoever gets it is deleted at the end."""
    name = f"Newcomer {secrets.token_hex(6)}"
    yield name
    source.execute("DELETE FROM users WHERE name = %s", [name])


@pytest.fixture
def session(environ: dict[str, str]) -> Iterator[Terminal]:
    with terminal(PROGRAM, environ=environ) as session:
        session.wait_for("who are you?")
        yield session


def sign_up(session: Terminal, name: str) -> None:
    session.type(name + ENTER)
    session.wait_for("e-mail >")
    session.type(f"{name.replace(' ', '.')}@example.com{ENTER}")
    session.wait_for("welcome", "what is popular", READY)


def rating_of(source: psycopg.Connection, name: str, title: str) -> float | None:
    row = source.execute(
        "SELECT rating FROM ratings JOIN users USING (user_id) JOIN movies USING (movie_id)"
        " WHERE name = %s AND title = %s",
        [name, title],
    ).fetchone()
    return float(row[0]) if row else None


def test_an_evening(session: Terminal, newcomer: str, source: psycopg.Connection) -> None:
    sign_up(session, newcomer)
    session.clear()
    session.type("godfathr")  # the suggestions come while the typo stands there
    session.wait_for("The Godfather (1972)", "The Godfather Part II (1974)")
    session.type(TAB)
    session.wait_for("film > The Godfather (1972)")
    session.type(ENTER)
    session.wait_for("you: not watched", "stars >", "0.5 to 5")
    session.clear()
    session.type("six" + ENTER)
    session.wait_for("'six' is no rating", "0.5 to 5")
    session.type("4½" + ENTER)
    session.wait_for("The Godfather (1972): ★★★★½", "new", "from 1 rating", "The Godfather\n", READY)
    assert rating_of(source, newcomer, "The Godfather") == 4.5

    session.clear()
    session.type(F3)
    session.wait_for("film > /ratings", "★★★★½", "just now", READY)
    session.type("1" + ENTER)  # the row of the list
    session.wait_for("you: ★★★★½", "0.5 to 5")
    session.type("1" + ENTER)
    session.wait_for("The Godfather (1972): ★☆☆☆☆", READY)
    assert rating_of(source, newcomer, "The Godfather") == 1.0

    session.clear()
    session.type(F4)
    session.wait_for("★★★★½ again", READY)
    assert rating_of(source, newcomer, "The Godfather") == 4.5
    session.clear()
    session.type(F4)
    session.wait_for("not watched again", "what is popular", READY)
    assert rating_of(source, newcomer, "The Godfather") is None
    session.clear()
    session.type(F4)
    session.wait_for("nothing to take back", READY)

    session.type(CTRL_D)
    assert session.ended() == 0
    assert "bye" in session.text


def test_watched_similar_and_a_genre(session: Terminal, newcomer: str) -> None:
    sign_up(session, newcomer)
    session.type("Heat (1995)" + ENTER)
    session.wait_for("stars >", "0.5 to 5")
    session.type("w" + ENTER)
    session.wait_for("Heat (1995): watched, not rated", READY)
    session.clear()
    session.type("the godfathr" + ENTER)  # two resemble it, and none is called so
    session.wait_for("  1  The Godfather (1972)", "the number chooses", READY)
    session.type("1" + ENTER)
    session.wait_for("stars >", "0.5 to 5")
    session.clear()
    session.type("s" + ENTER)
    session.wait_for(" 10  ", "the number chooses", READY)
    session.clear()
    session.type("/recommend Western" + ENTER)
    session.wait_for("film > /recommend Western", "stars", READY)
    session.type("/dance" + ENTER)
    session.wait_for("there is no /dance", READY)
    session.type(F1)
    session.wait_for("a number of the last list", READY)
    session.type(CTRL_C)
    assert session.ended() == 0


def test_somebody_who_is_there_is_found_by_name_and_by_id(
    session: Terminal, source: psycopg.Connection
) -> None:
    row = source.execute(
        "SELECT user_id, name FROM users WHERE name IS NOT NULL ORDER BY user_id LIMIT 1"
    ).fetchone()
    assert row
    user_id, name = row
    session.type(name[:-1])
    session.wait_for(f"user {user_id}")
    session.type(TAB)
    session.wait_for(f"{name} #{user_id}")
    session.type(ENTER)
    session.wait_for(f"hello {name}", READY)
    session.type("/user" + ENTER)
    session.wait_for("type a name")
    session.clear()
    session.type(f"{user_id}{ENTER}")
    session.wait_for(f"hello {name}", READY)
    session.type("/quit" + ENTER)
    assert session.ended() == 0


def test_the_user_of_the_settings_is_not_asked_who_it_is(environ: dict[str, str]) -> None:
    with terminal(PROGRAM, environ={**environ, "DATAFLIX_USER": "1"}) as session:
        assert "who are you" not in session.wait_for("hello", READY)
        session.type(CTRL_D)
        assert session.ended() == 0


def test_a_user_of_the_settings_who_is_gone_is_asked_who_it_is(environ: dict[str, str]) -> None:
    with terminal(PROGRAM, environ={**environ, "DATAFLIX_USER": str(2**63 - 1)}) as session:
        session.wait_for("not there any more", "who are you?", "type a name")
        session.type(CTRL_C)
        assert session.ended() == 0


def test_an_api_that_is_away_is_told_and_nothing_hangs(environ: dict[str, str]) -> None:
    with terminal(PROGRAM, environ={**environ, "DATAFLIX_API_URL": "http://127.0.0.1:1"}) as session:
        assert session.ended() == 4
        assert "./run.sh" in session.text


def test_a_film_of_no_interest(session: Terminal, newcomer: str, source: psycopg.Connection) -> None:
    def dismissed() -> int:
        rows = source.execute(
            "SELECT count(*) FROM dismissed_movies JOIN users USING (user_id) WHERE name = %s", [newcomer]
        )
        return int(rows.fetchall()[0][0])

    sign_up(session, newcomer)
    session.clear()
    session.type("/dismiss 1" + ENTER)  # the first of the films that are recommended
    session.wait_for("not watched, not interested", "what is popular", READY)
    assert dismissed() == 1
    session.clear()
    session.type("/dismissed" + ENTER)
    session.wait_for("film > /dismissed", "just now", READY)
    session.type("1" + ENTER)
    session.wait_for("you: not watched, not interested", "n: not interested")
    session.clear()
    session.type("n" + ENTER)
    session.wait_for("not watched", "what is popular", READY)
    assert dismissed() == 0
    session.clear()
    session.type(F4)
    session.wait_for("not watched, not interested again", READY)
    assert dismissed() == 1
    session.type("/dismissed" + ENTER)
    session.wait_for("film > /dismissed", "just now", READY)
    session.clear()
    session.type("/dismiss 1" + ENTER)  # the only row of the last list
    session.wait_for("not interested already", READY)
    session.type("/dismiss" + ENTER)
    session.wait_for("which film?", READY)
