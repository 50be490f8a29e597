"""The commands ``dataflix config`` and ``version``: show and change this program's settings."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from dataflix_cli import __version__, config, output
from dataflix_cli.command_faults import UsageFault
from dataflix_cli.command_line import AsJson, Runtime, group, runtime

app = group("This program.")
config_group = group(
    "Show and change this program's settings: the API's address, its token, the user that is `me`."
)


class Key(StrEnum):
    """The name of a setting."""

    API_URL = "api_url"
    TOKEN = "token"  # noqa: S105 - the setting's name
    USER = "user"


@config_group.command()
def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show each setting and where it comes from. The token itself is not shown, only whether it is set."""
    output.emit(_plain(runtime(ctx)), as_json=as_json, show=_show)


@config_group.command()
def path(as_json: AsJson = False) -> None:
    """Print the path of the settings file, which need not exist."""
    found = str(config.config_path())
    output.emit({"path": found}, as_json=as_json, show=output.say(found))


@config_group.command("set")
def set_(
    ctx: typer.Context,
    key: Annotated[Key, typer.Argument(help="The setting.")],
    value: Annotated[str, typer.Argument(help="Its value.")],
    as_json: AsJson = False,
) -> None:
    """Write a setting into the settings file."""
    if key is Key.USER and not config.is_id(value):
        raise UsageFault(f"{value!r} is no user's id", "dataflix users list NAME finds it")
    config.resolve({}, {}, {}, {key.value: value})  # raises if the value cannot be used
    config.write_file(config.config_path(), {key.value: value})
    _tell_outcome(runtime(ctx), key, value, as_json=as_json)


@config_group.command()
def unset(
    ctx: typer.Context,
    key: Annotated[Key, typer.Argument(help="The setting.")],
    as_json: AsJson = False,
) -> None:
    """Remove a setting from the settings file."""
    config.write_file(config.config_path(), {key.value: None})
    _tell_outcome(runtime(ctx), key, "", as_json=as_json)


def _tell_outcome(run: Runtime, key: Key, value: str, *, as_json: bool) -> None:
    """Show the settings, and warn if an option or the environment overrides the new value of the file."""
    now = getattr(run.config, key.value)
    if value and now.text.rstrip("/") != value.rstrip("/"):
        typer.echo(f"dataflix: saved, but not in effect: the file is overridden by {now.source}", err=True)
    output.emit(_plain(run), as_json=as_json, show=_show)


def _plain(run: Runtime) -> dict[str, Any]:
    found = {key.value: getattr(run.config, key.value) for key in Key}
    values = {key: {"value": one.text or None, "source": one.source} for key, one in found.items()}
    values["token"]["value"] = "set" if found["token"].text else None
    return values


def _show(screen: Console, document: Any) -> None:
    rows = output.table("setting", "value", "from")
    for key, one in document.items():
        rows.add_row(key, escape(one["value"] or ""), escape(one["source"]))
    screen.print(rows)


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": __version__}) if as_json else f"dataflix {__version__}")
