"""What came of a run, folded into a row."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from dataflix_airflow.summary import build_outcome, reason_of, render
from dataflix_contract import tables

STARTED = datetime(2026, 1, 31, 3, 30, tzinfo=UTC)
REPORTS: list[dict[str, Any]] = [
    {"table": table, "rows": 1000, "missing": 1, "different": 2, "ghosts": 3, "orphans": 0, "seconds": 0.25}
    for table in tables()
]
DBT = {
    "id": "r1",
    "results": [
        {"name": "ratings", "resource_type": "model", "status": "success"},
        {"name": "movies", "resource_type": "model", "status": "success"},
        {"name": "raw.ratings", "resource_type": "source", "status": "pass"},
        {"name": "unique", "resource_type": "test", "status": "pass"},
        {"name": "odd", "resource_type": "test", "status": "warn"},
    ],
}
MODEL = {"model_version": 7, "alias": "champion", "rmse": 0.87, "ndcg_at_10": 0.31}


def test_a_complete_run() -> None:
    outcome = build_outcome("run", STARTED, REPORTS, DBT, MODEL)
    row = outcome.row
    assert not outcome.missing_parts
    assert (row["run_id"], row["state"]) == ("run", "success")
    many = len(tables())
    assert [row[name] for name in ("rows", "missing", "different", "ghosts")] == [
        1000 * many,
        many,
        2 * many,
        3 * many,
    ]
    assert (row["dbt_models"], row["dbt_tests_passed"], row["dbt_tests_failed"]) == (2, 1, 0)
    assert (row["model_version"], row["alias"], row["rmse"], row["ndcg_at_10"]) == (7, "champion", 0.87, 0.31)
    assert json.loads(row["details"])["dbt"] == DBT


def test_what_gave_no_result_is_named_and_the_rest_is_kept() -> None:
    outcome = build_outcome("run", STARTED, REPORTS[1:], DBT, None)
    assert outcome.missing_parts == [f"reconcile {REPORTS[0]['table']}", "train"]
    assert outcome.row["state"] == "failed"
    assert outcome.row["dbt_models"] == 2
    assert outcome.row["model_version"] == 0
    assert math.isnan(outcome.row["rmse"])


def test_nothing_at_all() -> None:
    outcome = build_outcome("run", STARTED, [], None, None)
    assert len(outcome.missing_parts) == len(tables()) + 2
    assert outcome.row["rows"] == 0
    assert not [line for line in render(outcome) if line.startswith("model:")]


def test_the_table_for_people_is_aligned() -> None:
    lines = render(build_outcome("run", STARTED, REPORTS, DBT, MODEL))
    grid = lines[1 : 2 + len(REPORTS)]
    assert len({len(line) for line in grid}) == 1
    assert lines[0] == "run run: success"
    assert "1,000" in grid[1]
    assert lines[-1] == "model: version 7 is champion, RMSE 0.8700, nDCG@10 0.3100"


def test_rows_whose_user_or_film_is_gone_are_told_and_no_failure() -> None:
    outcome = build_outcome("run", STARTED, [*REPORTS[:-1], REPORTS[-1] | {"orphans": 1234}], DBT, MODEL)
    assert outcome.row["state"] == "success"
    [told] = [line for line in render(outcome) if "lack their user or film" in line]
    assert told.startswith(f"{REPORTS[-1]['table']}: 1,234 rows")


def test_why_a_part_failed_is_told_where_people_look() -> None:
    failures = {"dbt": "dbt tests failed: email_is_a_pseudonym on users", "train": "an earlier try's"}
    outcome = build_outcome("run", STARTED, REPORTS, None, MODEL, failures)
    assert outcome.reason == "dbt: dbt tests failed: email_is_a_pseudonym on users"
    assert json.loads(outcome.row["details"])["reason"] == outcome.reason
    assert render(outcome)[-1] == outcome.reason


def test_a_training_that_was_skipped_is_a_success_with_a_reason() -> None:
    skipped = {"run_id": "run", "rows": 12, "skipped": "12 ratings are too few"}
    outcome = build_outcome("run", STARTED, REPORTS, DBT, skipped)
    assert (outcome.row["state"], outcome.missing_parts) == ("success", [])
    assert (outcome.row["model_version"], outcome.row["alias"]) == (0, "")
    assert outcome.reason == "no model was trained: 12 ratings are too few"
    shown = json.loads(json.dumps(outcome.shown, allow_nan=False))
    assert (shown["rmse"], shown["state"], shown["reason"]) == (None, "success", outcome.reason)
    assert "details" not in shown


def test_a_model_that_is_not_good_enough_is_a_success_with_a_reason() -> None:
    challenger = MODEL | {"alias": "challenger", "reasons": ["RMSE is worse than that of the champion"]}
    outcome = build_outcome("run", STARTED, REPORTS, DBT, challenger)
    assert outcome.row["state"] == "success"
    assert outcome.reason == "version 7 is only challenger: RMSE is worse than that of the champion"
    assert build_outcome("run", STARTED, REPORTS, DBT, MODEL).reason == ""


def test_a_reason_is_one_line_that_says_what_and_why() -> None:
    assert reason_of(ValueError("train exited with 1:\n a line of its log\nerror: MLflow is away\n")) == (
        "train exited with 1: error: MLflow is away"
    )
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("x" * 10_000))) == 500
