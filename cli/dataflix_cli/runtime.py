"""What a command works with: the settings and the API, each made when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from dataflix_cli import config
from dataflix_cli.config import Config

if TYPE_CHECKING:
    import typer

    from dataflix_cli.client import Api


class Runtime:
    """One call of the program.

    Args:
        flags: what the command line said of the settings.
    """

    def __init__(self, flags: Mapping[str, str | None]) -> None:
        self._flags = flags

    @cached_property
    def config(self) -> Config:
        """The settings.

        Raises:
            UsageFault: they cannot be used.
        """
        return config.load(self._flags)

    def close(self) -> None:
        """Close the connections, where there are any."""
        if "api" in vars(self):
            self.api.close()

    @cached_property
    def api(self) -> Api:
        """The API."""
        from dataflix_cli.client import Api  # noqa: PLC0415 - httpx, for commands that ask the API only

        return Api(self.config)


def runtime(ctx: typer.Context) -> Runtime:
    """The runtime of the command that is called."""
    found = ctx.find_root().obj
    assert isinstance(found, Runtime)  # noqa: S101 - the root command puts it there
    return found
