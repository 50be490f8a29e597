"""Hold a session of ``dataflix`` with the running stack and print its screen as an SVG picture.

A user is created for it, and deleted at the end.

PYTHONPATH=.:tests .dataflix/envs/tests/bin/python docs/session_svg.py >docs/img/session.svg
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

import psycopg

from dataflix_clients import postgres
from dataflix_contract import load_settings
from docs.terminal_svg import lines_of, picture
from support.terminal import CTRL_D, ENTER, F3, TAB, Terminal, terminal

_PROGRAM = Path(__file__).resolve().parent.parent / "bin" / "dataflix"
_COLUMNS, _LINES = 110, 58
_READY = "F1 help"
_NAME = "Ada Fielding"


def play(session: Terminal) -> None:
    """Sign up, find a film in spite of a typo, rate it, see what changes, rate again, look for another."""
    session.wait_for("who are you?")
    session.type(_NAME + ENTER)
    session.wait_for("e-mail >")
    session.type(f"ada-{secrets.token_hex(3)}@example.com{ENTER}")
    session.wait_for("what is popular", _READY)
    session.type("godfathr")
    session.wait_for("The Godfather (1972)")
    session.type(TAB)
    session.wait_for("film > The Godfather (1972)")
    session.type(ENTER)
    session.wait_for("stars >", "0.5 to 5")
    session.type("4½" + ENTER)
    session.wait_for("from 1 rating", _READY)
    session.type("Spirited Away" + ENTER)
    session.wait_for("Spirited Away (2001)", "0.5 to 5")
    session.type("5" + ENTER)
    session.wait_for("from 2 ratings", _READY)
    session.type(F3)
    session.wait_for("film > /ratings", "just now", _READY)
    session.type("lord of teh rings")
    session.wait_for("The Lord of the Rings: The Two Towers (2002)")


def main() -> None:
    """Print the picture to standard output."""
    settings = load_settings()
    with (
        tempfile.TemporaryDirectory() as nobody,
        postgres.connect(settings, settings.postgres_owner) as source,
    ):
        try:
            environ = {"XDG_CONFIG_HOME": nobody}
            with terminal(str(_PROGRAM), environ=environ, columns=_COLUMNS, lines=_LINES) as session:
                play(session)
                sys.stdout.write(picture(lines_of(session.screen), "dataflix", _COLUMNS))
                session.type("\x15" + CTRL_D)
                session.ended()
        finally:
            _forget(source)


def _forget(source: psycopg.Connection) -> None:
    source.execute("DELETE FROM users WHERE name = %s AND email LIKE 'ada-%%@example.com'", [_NAME])


if __name__ == "__main__":
    main()
