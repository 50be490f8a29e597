"""Reconcile in the tests' own process: ``dataflix-reconcile`` takes seconds of processor time to start."""

import secrets
from typing import Any

from dataflix_contract import Settings, tables
from dataflix_contract.console import Console, Progress
from dataflix_reconciliation.reconcile import Timeouts, reconcile

_TIMEOUTS = Timeouts(fence_s=60, stream_s=240)


def reconciled(settings: Settings, *names: str, run_id: str = "") -> dict[str, dict[str, Any]]:
    """Reconcile these tables, or all; the report of each by its name, as ``--json`` prints it."""
    run_id = run_id or f"test-{secrets.token_hex(8)}"
    quiet = Progress("test", Console(quiet=True), None, None, 0)
    return {
        name: reconcile(settings, tables()[name], run_id, _TIMEOUTS, quiet).plain()
        for name in names or tables()
    }
