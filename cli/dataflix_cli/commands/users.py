"""The command ``dataflix users``: lists, creates, shows and deletes users."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from dataflix_cli import output
from dataflix_cli.command_faults import UsageFault
from dataflix_cli.command_line import AsJson, Limit, OwnUser, User, Yes, group, runtime
from dataflix_cli.name_lookup import confirm, pick_user

app = group("List, create, show and delete users.")


@app.command("list")
def list_(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Part of the name.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List all users, or those whose name contains a text."""
    items, more = runtime(ctx).api.items("/users", limit, name=name)
    output.emit({"items": items, "more": more}, as_json=as_json, show=output.users)


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Asked for on a terminal.")] = None,
    email: Annotated[str | None, typer.Argument(help="Asked for on a terminal.")] = None,
    birth_year: Annotated[int | None, typer.Option(help="Year of birth.")] = None,
    city: Annotated[str | None, typer.Option(help="City.")] = None,
    state: Annotated[str | None, typer.Option(help="State.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a user."""
    if not as_json and sys.stdin.isatty():
        name = name or typer.prompt("name")
        email = email or typer.prompt("e-mail")
    if not name or not email:
        raise UsageFault("name and e-mail are missing", "dataflix users create NAME EMAIL")
    optional = {"birth_year": birth_year, "city": city, "state": state}
    body: dict[str, Any] = {"name": name, "email": email}
    body |= {key: value for key, value in optional.items() if value is not None}
    output.emit(runtime(ctx).api.post("/users", body), as_json=as_json, show=output.user)


@app.command()
def show(ctx: typer.Context, user: OwnUser = None, as_json: AsJson = False) -> None:
    """Show a user."""
    user_id = pick_user(runtime(ctx), user, as_json=as_json)
    output.emit(runtime(ctx).api.get(f"/users/{user_id}"), as_json=as_json, show=output.user)


@app.command()
def delete(ctx: typer.Context, user: User, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a user with everything that belongs to them, also in the warehouse."""
    user_id = pick_user(runtime(ctx), user, as_json=as_json)
    confirm(f"Delete user {user_id} with everything watched, rated and dismissed?", yes=yes, as_json=as_json)
    runtime(ctx).api.delete(f"/users/{user_id}")
    document = {"deleted": True, "user_id": user_id}
    output.emit(document, as_json=as_json, show=output.say(f"user {user_id} is deleted"))
