"""The program's settings: the API's address, the token and the default user.

Each comes from the first of these that has it: option, environment, the person's settings file, default.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from dataflix_cli.command_faults import UsageFault
from dataflix_contract import settings_file
from dataflix_contract.settings_file import ENV_FILE_VARIABLE, ENV_PREFIX

#: The settings that the file may hold.
KEYS = ("api_url", "token", "user")
#: The backend's default address; a test compares it with the stack's settings.
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "5002"

_ID = re.compile(r"-?[0-9]{1,19}")
_FROM_ENVIRONMENT = {
    "api_url": "DATAFLIX_API_URL",
    "token": "DATAFLIX_BACKEND_TOKEN",
    "user": "DATAFLIX_USER",
}


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value, and a text that says where it comes from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one call of the program.

    Attributes:
        api_url: base address of the API, without a slash at the end.
        token: bearer token; empty: none.
        user: id of the user that ``me`` stands for; empty: none.
    """

    api_url: Value
    token: Value
    user: Value


def config_path() -> Path:
    """The path of the person's settings file: usually ``~/.config/dataflix/config.toml``."""
    return Path(typer.get_app_dir("dataflix")) / "config.toml"


def load(flags: Mapping[str, str | None]) -> Config:
    """Read the settings from all sources.

    Raises:
        UsageFault: a file cannot be read, or a value cannot be used.
    """
    return resolve(flags, os.environ, _stack_file(), read_file(config_path()))


def resolve(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    stack: Mapping[str, str],
    file: Mapping[str, str],
) -> Config:
    """Choose the value of each setting from the sources.

    Args:
        flags: the values given as options, by setting.
        environ: the process's environment.
        stack: the values in the stack's settings file, by variable; they count as environment.
        file: the values in the person's settings file, by setting.

    Raises:
        UsageFault: a value cannot be used; the message says where it came from.
    """

    def decide(key: str, default: Value) -> Value:
        variable = _FROM_ENVIRONMENT[key]
        candidates = [
            Value(flags.get(key) or "", f"--{key.replace('_', '-')}"),
            Value(environ.get(variable, ""), variable),
            Value(stack.get(variable, ""), f"{variable} in {environ.get(ENV_FILE_VARIABLE, '.env')}"),
            _address(environ, stack) if key == "api_url" else Value("", ""),
            Value(file.get(key, ""), str(config_path())),
        ]
        return next((one for one in candidates if one.text), default)

    api_url = decide("api_url", Value(f"http://{DEFAULT_HOST}:{DEFAULT_PORT}", "default"))
    if not api_url.text.startswith(("http://", "https://")):
        raise UsageFault(
            f"{api_url.text!r} is no address of an API (from {api_url.source})",
            f"give one such as http://{DEFAULT_HOST}:{DEFAULT_PORT}",
        )
    user = decide("user", Value("", "not set"))
    if user.text and not is_id(user.text):
        raise UsageFault(
            f"{user.text!r} is no user's id (from {user.source})", "dataflix users list NAME finds it"
        )
    return Config(
        Value(api_url.text.rstrip("/"), api_url.source), decide("token", Value("", "not set")), user
    )


def is_id(text: str) -> bool:
    """Whether the text is an id: an integer of 64 bits, as in the database."""
    return _ID.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


def _address(environ: Mapping[str, str], stack: Mapping[str, str]) -> Value:
    """The address from the stack's settings of the backend's host and port; empty if neither is set."""
    names = ("DATAFLIX_BACKEND_HOST", "DATAFLIX_BACKEND_PORT")
    host, port = (environ.get(name) or stack.get(name) or "" for name in names)
    if not host and not port:
        return Value("", "")
    inside = any(environ.get(name) for name in names)
    source = " and ".join(names) + ("" if inside else f" in {environ.get(ENV_FILE_VARIABLE, '.env')}")
    return Value(f"http://{host or DEFAULT_HOST}:{port or DEFAULT_PORT}", source)


def _stack_file() -> Mapping[str, str]:
    """The values in the stack's settings file, if there is one, by variable.

    Raises:
        UsageFault: the file has lines that cannot be used.
    """
    try:
        path = settings_file.chosen_file()
        content = settings_file.read(path, settings_file.template()) if path else settings_file.Content()
    except settings_file.SettingsError as fault:
        raise UsageFault(str(fault), "correct the stack's settings file") from fault
    stack = {f"{ENV_PREFIX}{name.upper()}": value for name, value in content.values.items()}
    return {**stack, **content.others}


def read_file(path: Path) -> dict[str, str]:
    """Read the person's settings file; a missing file has no settings.

    Raises:
        UsageFault: the file is no TOML, cannot be read, or has a setting that does not exist.
    """
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise UsageFault(f"{path} cannot be read: {fault}", "repair or delete it") from fault
    unknown = sorted(set(found) - set(KEYS))
    if unknown:
        raise UsageFault(f"{path} has {', '.join(unknown)}", f"known settings are {', '.join(KEYS)}")
    return {key: str(value) for key, value in found.items()}


def write_file(path: Path, changes: Mapping[str, str | None]) -> None:
    """Change settings in the person's file; None removes a setting. Only its owner may read the file.

    Raises:
        UsageFault: the present file cannot be read.
    """
    import tomli_w  # noqa: PLC0415 - only needed here

    kept = {key: text for key, text in read_file(path).items() if key not in changes}
    kept |= {key: value for key, value in changes.items() if value is not None}
    document = {key: int(text) if key == "user" else text for key, text in kept.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.touch(mode=0o600)
    fresh.write_text(tomli_w.dumps(document), encoding="utf-8")
    fresh.replace(path)
