"""The interactive session: what ``dataflix`` does on a terminal without a command."""

from dataflix_cli.session.loop import start

__all__ = ["start"]
