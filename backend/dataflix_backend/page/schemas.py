"""What the live view is made of, as replies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dataflix_backend.recommendations.schemas import ModelShown
from dataflix_backend.schemas import Moment, Reply

Milliseconds = Annotated[float, Field(description="Milliseconds from the commit in PostgreSQL; a median.")]


class StageTimes(Reply):
    """How long the newest changes took."""

    captured_ms: Milliseconds
    masked_ms: Milliseconds
    queryable_ms: Milliseconds | None = Field(
        description="Until ClickHouse took the row in; its insert ends 0.1 s later at most."
    )
    at: Moment = Field(description="When the newest of these changes was committed.")
    changes: int = Field(description="How many changes these are the medians of.")


class SlotView(Reply):
    """The replication slot."""

    active: bool
    wal_status: str
    held_bytes: int = Field(description="WAL that PostgreSQL keeps for Debezium.")


class LastRun(Reply):
    """The newest run of the daily batch."""

    run_id: str
    state: str = Field(examples=["success"])
    ended: Moment | None
    reason: str = Field(description="Why it failed, or made no new champion; empty: all went well.")


class LastReconcile(Reply):
    """What the newest reconciliation found, over all tables."""

    run_id: str
    at: Moment
    rows: int
    missing: int
    different: int
    ghosts: int


class ChampionView(Reply):
    """The model that is to serve, as MLflow has it."""

    version: int
    not_served: str = Field(description="Why the API does not serve it; empty: it does.")


class Links(Reply):
    """Where the other servers' pages are."""

    airflow: str
    mlflow: str
    kafka_ui: str
    dbt_docs: str
    api_docs: str


class PipelineView(Reply):
    """The pipeline right now. A part is null when it is not there, or when its server is away: see faults."""

    stages: StageTimes | None
    events_per_second: float | None = Field(description="Changes that pass the masker.")
    lag: dict[str, int] | None = Field(description="Records not yet processed, by consumer group.")
    dead_letters: int | None = Field(description="Messages that were refused, and are still described.")
    slot: SlotView | None
    last_reconcile: LastReconcile | None
    last_run: LastRun | None
    champion: ChampionView | None
    model: ModelShown | None = Field(description="The model that serves, as GET /model shows it.")
    links: Links
    faults: list[str] = Field(
        description="Which servers do not answer, why changes are not captured, and what to do about it."
    )
