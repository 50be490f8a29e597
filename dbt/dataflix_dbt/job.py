"""One run of dbt, as a process of its own: ``python -m dataflix_dbt.job``.

dbt is loaded and the project is parsed once for all steps: freshness of the sources, models with their tests,
documentation. Exit status: 0: everything succeeded; 1: something failed, and dbt's artefacts say what; 2: dbt
could not run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dataflix_contract.programs import die_with_parent

FAILED, BROKEN = 1, 2
_LOCK_SECONDS = 60


class _BrokenError(Exception):
    """dbt could not run a step at all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run dbt as the arguments say, and return the exit status."""
    options = _options(argv)
    die_with_parent(options.parent)
    try:
        with FileLock(options.lock, timeout=_LOCK_SECONDS):
            return _run(options)
    except Timeout:
        fault = f"another dbt still runs: {options.lock} is locked"
    except _BrokenError as broken:
        fault = str(broken)
    print(f"dataflix: {fault}", flush=True)  # noqa: T201 - this is the run's log
    return BROKEN


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="the process that starts this one")
    for name in ("project", "target", "docs-target", "docs-page", "lock"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--select", default=None)
    parser.add_argument("--full-refresh", action="store_true")
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> int:
    for artefact in ("run_results.json", "sources.json"):
        (options.target / artefact).unlink(missing_ok=True)
    dbt = _Dbt(options.project, options.target)
    replicas = bool(os.environ["DATAFLIX_DBT_CLICKHOUSE_CLUSTER"])
    if replicas and not dbt.invoke(options.docs_target, "run-operation", "catch_up"):
        raise _BrokenError("this replica could not fetch the rows of the others: the lines above say why")
    refresh = ["--full-refresh"] if options.full_refresh else []
    if options.select:
        # only tests whose models were all selected, since others would compare them with older models
        chosen = ["--select", options.select, "--indirect-selection", "cautious"]
        return 0 if dbt.invoke(options.target, "build", *refresh, *chosen) else FAILED
    fresh = dbt.invoke(options.target, "source", "freshness")
    built = dbt.invoke(options.target, "build", *refresh)
    documented = dbt.invoke(options.docs_target, "docs", "generate", "--static")
    if documented:
        (options.docs_target / "static_index.html").replace(options.docs_page)
    return 0 if fresh and built and documented else FAILED


class _Dbt:
    """dbt with the parsed project."""

    def __init__(self, project: Path, target: Path) -> None:
        self._where = ["--project-dir", str(project), "--profiles-dir", str(project)]
        self._manifest: Any = None
        self._manifest = self._outcome(target, "parse").result

    def invoke(self, target: Path, *command: str) -> bool:
        """Run a command of dbt with its artefacts in ``target``; return whether all of its nodes succeeded.

        Raises:
            _BrokenError: the command could not run at all.
        """
        return bool(self._outcome(target, *command).success)

    def _outcome(self, target: Path, *command: str) -> Any:
        # imported here, so that the process already ends with its parent while dbt is loaded
        from dbt.cli.main import dbtRunner  # noqa: PLC0415

        # dbt makes a folder of logs even if it writes none, and a container's project is read-only
        printing = ["--no-use-colors", "--log-level-file", "none", "--log-path", str(target)]
        outcome = dbtRunner(manifest=self._manifest).invoke(
            [*printing, *command, *self._where, "--target-path", str(target)]
        )
        if outcome.exception is not None:
            # in one line, since the run's error is the log's last line
            why = " ".join(str(outcome.exception).split())
            raise _BrokenError(f"dbt {command[0]} could not be finished: {why}")
        return outcome


if __name__ == "__main__":
    sys.exit(main())
