"""What a report says, and to whom."""

import datetime as dt
import io
import json

from rich.console import Console
from typer.testing import CliRunner

from dataflix_reconciliation.reconcile_command import app
from dataflix_reconciliation.report import Counts, Report, Stream, tabulate

REPORT = Report(
    run_id="r1",
    table="ratings",
    fence=7,
    rows=1_000,
    counts=Counts(1, 2, 3),
    truncated=5,
    in_flight=4,
    ahead=0,
    orphans=6,
    stream=Stream.PASSED,
    source_shape="16411 user_id bigint",
    started_at=dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
    seconds=1.5,
)


def test_a_program_gets_one_flat_object() -> None:
    assert json.loads(json.dumps(REPORT.plain())) == {
        "run_id": "r1",
        "table": "ratings",
        "fence": 7,
        "rows": 1_000,
        "missing": 1,
        "different": 2,
        "ghosts": 3,
        "truncated": 5,
        "in_flight": 4,
        "ahead": 0,
        "orphans": 6,
        "stream": "passed",
        "source_shape": "16411 user_id bigint",
        "started_at": "2026-01-31T00:00:00+00:00",
        "seconds": 1.5,
    }


def test_people_get_a_table() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(tabulate([REPORT]))
    assert console.file.getvalue().split()[-8:] == ["ratings", "1,000", "1", "2", "3", "4", "passed", "1.5"]  # type: ignore[attr-defined]


def test_what_a_killed_attempt_found_is_not_forgotten_nor_counted_twice() -> None:
    clean = Report(**{name: getattr(REPORT, name) for name in REPORT.__slots__} | {"counts": Counts()})
    assert clean.with_earlier(Counts(5, 0, 1), Stream.PASSED).counts == Counts(5, 0, 1)
    assert REPORT.with_earlier(Counts(1, 2, 3), Stream.DOWN).counts == Counts(1, 2, 3)
    assert REPORT.with_earlier(Counts(9, 0, 0), Stream.DOWN).stream is Stream.PASSED


def test_a_table_that_does_not_exist_is_named_beside_those_that_do() -> None:
    refused = CliRunner().invoke(app, ["rating"])
    assert refused.exit_code == 1
    assert "no table rating" in refused.stderr
    assert "watched_movies" in refused.stderr
