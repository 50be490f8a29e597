"""The DAG of the daily batch. Its tasks call functions of ``dataflix_airflow``, which need no Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task, task_group
from airflow.sdk.definitions.timetables.trigger import CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException

from dataflix_airflow import dag_tasks, summary
from dataflix_airflow.dbt_task import DbtTestsFailedError
from dataflix_contract import load_settings, tables

DOC = """
### From ratings to recommendations

1. **reconcile**: each table of the warehouse is compared with PostgreSQL as of a fenced snapshot, and
   repaired. What was missing, different or a ghost is a finding: warned about and counted, no failure.
2. **dbt**: the webhook server builds the marts in `analytics` and tests them. A failed test fails the task.
3. **train**: a model is trained, measured and registered in MLflow, as the champion if it is good enough.
   From ratings that are too few, or all equal, none is trained: no failure, and the summary says so.
4. **summary**: what came of it all and why, kept in ClickHouse's `ops.pipeline_runs`. It runs whatever
   happened before, and fails when the run did.

A task that failed is tried again; the run's id makes that harmless: work that is done is not done twice.
So do not clear a finished task to have its work done anew: trigger a new run.
"""

#: The pauses are short, so that the work goes on soon after a server was restarted.
RETRIES = {
    "retries": 4,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=2),
}


#: The key of XCom under which a failed task stores the name of its part of the run, and why it failed.
FAILURE = "failure"


@contextmanager
def _with_failure_reason(part: str) -> Iterator[None]:
    """Pass the reason of a failure to the summary, so that people need not look for it in the task's log."""
    try:
        yield
    except Exception as fault:
        get_current_context()["ti"].xcom_push(key=FAILURE, value=[part, summary.reason_of(fault)])
        raise


def _schedule() -> CronTriggerTimetable | None:
    """The schedule; None: only manual runs. Without a start date, a new DAG does not run at once."""
    cron = load_settings().batch_schedule
    return None if cron == "off" else CronTriggerTimetable(cron, timezone="UTC", run_immediately=False)


@dag(
    schedule=_schedule(),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    default_args={"owner": "dataflix", "execution_timeout": timedelta(minutes=45), **RETRIES},
    tags=["dataflix", "daily"],
    description="Reconcile the warehouse with the source, rebuild the marts, train the model",
    doc_md=DOC,
    params={
        "full_refresh": Param(
            default=False, type="boolean", description="Have dbt rebuild its incremental models from nothing."
        )
    },
)
def elt_pipeline() -> None:
    """Reconcile each table, run dbt, train a model, and write the summary."""

    @task_group(tooltip="The warehouse equals the source")
    def reconcile() -> Any:
        # Two at a time, since each reads a whole table, and PostgreSQL has other work too.
        @task(map_index_template="{{ task.op_kwargs['table'] }}", max_active_tis_per_dagrun=2)
        def table(table: str, batch: str) -> dict[str, Any]:
            """Compare one table with the source and repair it."""
            with _with_failure_reason(f"reconcile {table}"):
                return dag_tasks.reconcile(table, batch)

        return table.partial(batch="{{ run_id }}").expand(table=list(tables()))

    @task_group(tooltip="The marts are rebuilt and tested")
    def dbt() -> Any:
        @task
        def run(batch: str) -> dict[str, Any]:
            """Ask the dbt webhook for a run, and wait until it has ended."""
            full_refresh = bool(get_current_context()["params"]["full_refresh"])
            try:
                with _with_failure_reason("dbt"):
                    return dag_tasks.transform(batch, full_refresh=full_refresh)
            except DbtTestsFailedError as fault:
                raise AirflowFailException(str(fault)) from fault  # the data is wrong: no retry

        return run("{{ run_id }}")

    @task_group(tooltip="A model is trained and registered")
    def train() -> Any:
        # The program has its own limit, which depends on the number of ratings; this one allows 25 million.
        @task(execution_timeout=timedelta(hours=2))
        def run(batch: str) -> dict[str, Any]:
            """Train a model on the marts, measure it, and register it."""
            with _with_failure_reason("train"):
                return dag_tasks.train(batch)

        return run("{{ run_id }}")

    @task(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=timedelta(minutes=5))
    def summarise(
        batch: str, reports: Any, dbt_run: dict[str, Any] | None, model: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Store and show the run's outcome; fail if a part has no result."""
        context = get_current_context()
        found = context["ti"].xcom_pull(task_ids=["reconcile.table", "dbt.run", "train.run"], key=FAILURE)
        failures = dict(one for one in found if one)
        started = context["dag_run"].start_date
        outcome = summary.build_outcome(batch, started, reports[:], dbt_run, model, failures)
        summary.record_outcome(outcome)
        if outcome.missing_parts:
            raise AirflowFailException(f"the run is not complete: {', '.join(outcome.missing_parts)}")
        return outcome.shown

    reports, dbt_run, model = reconcile(), dbt(), train()
    (
        reports
        >> dbt_run
        >> model
        >> summarise.override(task_id="summary")("{{ run_id }}", reports, dbt_run, model)
    )


elt_pipeline()
