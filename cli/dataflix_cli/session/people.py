"""Who sits at the terminal: a user that is there, or a new one."""

from __future__ import annotations

import re
from typing import Any

from dataflix_cli import output
from dataflix_cli.client import Document
from dataflix_cli.config import is_id
from dataflix_cli.faults import Fault
from dataflix_cli.session.terminal import Terminal

_NEW = "+"
_LABELLED = re.compile(r".* #(-?\d+)")
_KEYS = "type a name: yours, or a new one | Tab, arrows: choose | Ctrl-D: leave"


def pick_user(terminal: Terminal) -> Document:
    """Ask until it is known who is there."""
    while True:
        text = terminal.ask_person("who are you? > ", _KEYS)
        if not text:
            continue
        try:
            user = _find(terminal, text)
        except Fault as fault:
            terminal.tell(fault)
            continue
        if user is not None:
            return user


def _find(terminal: Terminal, text: str) -> Document | None:
    labelled = _LABELLED.fullmatch(text)
    number = labelled[1] if labelled else text.removeprefix("#")
    if is_id(number):
        return terminal.api.get(f"/users/{number}")
    found: list[Any] = terminal.api.get("/users", name=text, limit=10)["items"]
    same = [one for one in found if (one["name"] or "").casefold() == text.casefold()]
    if len(same) == 1:
        return terminal.api.get(f"/users/{same[0]['user_id']}")
    if found:
        return _choose(terminal, text, found)
    return _create(terminal, text)


def _choose(terminal: Terminal, name: str, found: list[Any]) -> Document | None:
    output.users(terminal.screen, {"items": found})
    text = terminal.ask(f"id, or {_NEW} for a new user {name} > ", "Enter: back")
    if text == _NEW:
        return _create(terminal, name)
    return terminal.api.get(f"/users/{text}") if is_id(text) else None


def _create(terminal: Terminal, name: str) -> Document | None:
    email = terminal.ask(f"a new user {name}; e-mail > ", "Enter: back")
    if not email:
        return None
    user = terminal.api.post("/users", {"name": name, "email": email})
    terminal.say(f"welcome: you are user {user['user_id']} (dataflix config set user {user['user_id']})")
    return user
