"""The weekly DAG that deletes Airflow's records and logs of old runs."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task
from airflow.sdk.definitions.timetables.trigger import CronTriggerTimetable

from dataflix_airflow import dag_tasks

DOC = f"""
Deletes runs, results and logs that are older than {dag_tasks.KEPT.days} days from Airflow's database and log
folder. What came of each run of `elt_pipeline` stays in ClickHouse's `ops.pipeline_runs`.
"""


@dag(
    schedule=CronTriggerTimetable("0 5 * * 0", timezone="UTC", run_immediately=False),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "dataflix", "retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["dataflix", "weekly"],
    description="Delete what Airflow keeps of old runs",
    doc_md=DOC,
)
def housekeeping() -> None:
    """Delete old records and log files, in one task."""

    @task(execution_timeout=timedelta(minutes=30))
    def clean_up() -> None:
        """Delete old records and log files."""
        dag_tasks.clean_up()

    clean_up()


housekeeping()
