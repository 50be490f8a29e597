"""How the stack's commands end when something is not as it must be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from dataflix_contract import SettingsError
from dataflix_contract.faults import Fault


@contextmanager
def exit_on_fault(console: Console) -> Iterator[None]:
    """Print an expected fault in words, and exit with code 1; with 130 after Ctrl-C."""
    try:
        yield
    except (Fault, SettingsError) as fault:
        _print(console, str(fault))
        raise typer.Exit(1) from fault
    except KeyboardInterrupt as fault:
        console.print("interrupted: ./run.sh goes on where this stopped, ./stop.sh stops what runs")
        raise typer.Exit(130) from fault


def _print(console: Console, fault: str) -> None:
    console.print(f"[bold red]dataflix-stack:[/] {escape(fault)}", soft_wrap=True, highlight=False)
