"""How the pipeline does inside: lag, slot, connector, dead letters. Each asked of its own server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import psycopg
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from dataflix_checker.probes import http, parsed, postgres_connection
from dataflix_connectors.connect import ConnectorStatus, Offsets, parse_offsets, parse_status
from dataflix_connectors.orphans import orphan_finding
from dataflix_connectors.preflight import Finding, Level, faults
from dataflix_connectors.source import SlotFacts, SourceFacts, read_facts
from dataflix_connectors.status import CaptureFacts, judge_capture, stalled_seconds
from dataflix_connectors.topic_admin import CaptureTopics, read_capture_topics
from dataflix_contract import Settings, tables
from dataflix_contract.faults import Fault
from dataflix_contract.schema import (
    BATCH_DAG,
    CHAMPION,
    CONNECTOR,
    DEAD_LETTER_TOPIC,
    MASKER_GROUP,
    MODEL,
)

_SECONDS = 3
_NO_CHAMPION = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
_RECONCILED_QUERY = """
    SELECT any(found.run_id) AS run_id, sum(found.rows) AS rows, sum(found.missing) AS missing,
           sum(found.different) AS different, sum(found.ghosts) AS ghosts,
           formatDateTime(max(found.recorded_at), '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS recorded_at
    FROM ops.reconciliations AS found FINAL
    WHERE found.run_id = (SELECT argMax(run_id, recorded_at) FROM ops.reconciliations)
    FORMAT JSON SETTINGS output_format_json_quote_64bit_integers = 0
"""
_ORPHANS_QUERY = """
    SELECT table_name AS name, argMax(found.orphans, found.recorded_at) AS orphans
    FROM ops.reconciliations AS found FINAL
    GROUP BY name HAVING orphans > 0 ORDER BY name
    FORMAT JSON SETTINGS output_format_json_quote_64bit_integers = 0
"""
_OUTCOME_QUERY = """
    SELECT run_id, state, JSONExtractString(details, 'reason') AS reason
    FROM ops.pipeline_runs FINAL ORDER BY started_at DESC LIMIT 1 FORMAT JSON
"""
Partition = tuple[str, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connector:
    """The connector and its task as Kafka Connect sees them, and how far it has come."""

    status: ConnectorStatus
    offsets: Offsets


@dataclass(frozen=True, slots=True)
class Capture:
    """The capture of changes: each part asked of its own server, all of it judged together.

    Attributes:
        connector: what Kafka Connect says; nothing where it was not asked.
        findings: what is wrong, and what to do about it.
        stalled_s: for how long the slot is read and has not advanced.
    """

    source: SourceFacts | Unknown
    connector: Connector | Unknown | None
    topics: CaptureTopics | Unknown
    findings: list[Finding]
    stalled_s: float

    @property
    def faults(self) -> list[str]:
        """Each finding with which changes are lost or late, and each server that does not answer."""
        asked = {"PostgreSQL": self.source, "Kafka Connect": self.connector, "Kafka": self.topics}
        away = [f"{name}: {part.fault}" for name, part in asked.items() if isinstance(part, Unknown)]
        return away + [finding.text for finding in faults(self.findings)]

    @property
    def warnings(self) -> list[str]:
        """Each finding with which the capture works, and which somebody should look at."""
        return [finding.text for finding in self.findings if finding.level is Level.WARNING]

    @property
    def slot(self) -> SlotFacts | None:
        """The replication slot; nothing where there is none, or PostgreSQL does not answer."""
        return None if isinstance(self.source, Unknown) else self.source.slot


@dataclass(frozen=True, slots=True)
class Backlog:
    """What lies in Kafka: records not yet processed, by consumer group, and dead letters."""

    lag: dict[str, int]
    dead_letters: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic: how large it is, and how far its reader has come.

    Attributes:
        records: those that it keeps, by its offsets; compaction may have taken some of them.
        reader: the consumer group of the pipeline that reads it; empty: none does.
        lag: records that the reader has not processed.
    """

    name: str
    partitions: int
    records: int
    reader: str
    lag: int


@dataclass(frozen=True, slots=True)
class Run:
    """The newest run of the daily batch, as Airflow sees it; empty texts: it never ran."""

    run_id: str
    state: str
    ended: str

    @property
    def fault(self) -> str:
        """What is wrong, or nothing."""
        return f"run {self.run_id} failed: see Airflow" if self.state == "failed" else ""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The newest reconciliation: what it found over all tables; no ``run_id``: there was none.

    Attributes:
        recorded_at: when, as RFC 3339 in UTC.
        orphans: by table, how many rows of the source lacked their user or film at its last reconciliation.
    """

    run_id: str
    rows: int
    missing: int
    different: int
    ghosts: int
    recorded_at: str
    orphans: Mapping[str, int] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What somebody should look at at the source."""
        return [
            orphan_finding(table, self.orphans[name]).text
            for name, table in tables().items()
            if name in self.orphans
        ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the newest run of the daily batch kept about itself; empty texts: there was none.

    Attributes:
        reason: why it failed, or why it made no new champion; empty: all went well.
    """

    run_id: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the daily batch did last; each part asked of its own server.

    Attributes:
        champion: the champion model's version; 0: no model was registered yet.
        not_served: why the API does not serve it, in its own words; empty: it does, or there is none.
    """

    run: Run | Unknown
    reconciled: Reconciled | Unknown
    champion: int | Unknown
    outcome: Outcome | Unknown = Outcome()
    not_served: str | Unknown = ""

    @property
    def champion_told(self) -> str:
        """The champion for people; empty: it is not known."""
        if isinstance(self.champion, Unknown):
            return ""
        if not self.champion:
            return "none yet"
        if isinstance(self.not_served, Unknown):
            return f"version {self.champion}; whether it is served is not known: {self.not_served.fault}"
        return self.not_served.removeprefix("champion ") or f"version {self.champion}"

    @property
    def reason(self) -> str:
        """Why the newest run failed, or made no new champion; empty: it did neither, or is not known."""
        if isinstance(self.run, Unknown) or isinstance(self.outcome, Unknown):
            return ""
        return self.outcome.reason if self.outcome.run_id == self.run.run_id else ""

    @property
    def fault(self) -> str:
        """What is wrong with the newest run, or nothing."""
        if self.reason and isinstance(self.run, Run) and self.run.fault:
            return f"run {self.run.run_id} failed: {self.reason}; see bin/dataflix-pipeline status"
        return self.run.fault


@dataclass(frozen=True, slots=True)
class Unknown:
    """A question that its server did not answer."""

    fault: str


def ask(question: Callable[[Settings], T], settings: Settings) -> T | Unknown:
    """The answer, or why there is none."""
    try:
        return question(settings)
    except (psycopg.Error, httpx.HTTPError, KafkaException, LookupError, Fault) as fault:
        return Unknown(_in_short(fault))


def _in_short(fault: Exception) -> str:
    """The fault in one line, as people write."""
    if isinstance(fault, KafkaException) and isinstance(fault.args[0], KafkaError):
        return fault.args[0].str()
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__


def batch(settings: Settings) -> Batch:
    """Look at what the daily batch did last."""
    return Batch(
        ask(run, settings),
        ask(reconciled, settings),
        ask(champion, settings),
        ask(outcome, settings),
        ask(not_served, settings),
    )


def run(settings: Settings) -> Run:
    """Ask Airflow for the newest run."""
    login = {"username": settings.airflow_user, "password": settings.airflow_password.get_secret_value()}
    token = parsed(http.post(f"{settings.airflow_url}/auth/token", json=login).raise_for_status())[
        "access_token"
    ]
    answer = http.get(
        f"{settings.airflow_url}/api/v2/dags/{BATCH_DAG}/dagRuns",
        params={"order_by": "-run_after", "limit": 1},
        headers={"Authorization": f"Bearer {token}"},
    )
    return read_run(parsed(answer.raise_for_status()))


def read_run(answer: dict[str, Any]) -> Run:
    """Understand Airflow's list of runs, of which the first is the newest."""
    newest = next(iter(answer["dag_runs"]), None)
    if newest is None:
        return Run("", "", "")
    return Run(newest["dag_run_id"], newest["state"], newest["end_date"] or "")


def champion(settings: Settings) -> int:
    """Ask MLflow for the champion's version; 0 when there is none."""
    answer = http.get(
        f"{settings.mlflow_url}/api/2.0/mlflow/registered-models/alias",
        params={"name": MODEL, "alias": CHAMPION},
    )
    # no such model, or the model without such an alias
    if answer.is_client_error and parsed(answer).get("error_code") in _NO_CHAMPION:
        return 0
    return int(parsed(answer.raise_for_status())["model_version"]["version"])


def not_served(settings: Settings) -> str:
    """Ask the API why it does not serve the champion; empty: it does, or there is none."""
    answer = http.get(f"{settings.backend_url}/health/ready")
    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # that one is in the same form
        answer.raise_for_status()
    return str(parsed(answer)["not_served"])


def reconciled(settings: Settings) -> Reconciled:
    """Ask ClickHouse for the newest reconciliation's sums."""
    orphans = {row["name"]: row["orphans"] for row in _rows(settings, _ORPHANS_QUERY)}
    return Reconciled(**_rows(settings, _RECONCILED_QUERY)[0], orphans=orphans)


def outcome(settings: Settings) -> Outcome:
    """Ask ClickHouse what the newest run of the daily batch kept about itself."""
    return next((Outcome(**row) for row in _rows(settings, _OUTCOME_QUERY)), Outcome())


def _rows(settings: Settings, query: str) -> list[dict[str, Any]]:
    """What ClickHouse answers to a query in the format JSON."""
    address = f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}"
    user = {
        "X-ClickHouse-User": settings.clickhouse_user,
        "X-ClickHouse-Key": settings.clickhouse_password.get_secret_value(),
    }
    found: list[dict[str, Any]] = parsed(http.post(address, content=query, headers=user).raise_for_status())[
        "data"
    ]
    return found


def capture(settings: Settings) -> Capture:
    """Look at the capture of changes, as PostgreSQL, Kafka Connect and Kafka show it."""
    return judged(ask(source, settings), ask(connector, settings), ask(capture_topics, settings), settings)


def judged(
    found: SourceFacts | Unknown,
    connector: Connector | Unknown | None,
    topics: CaptureTopics | Unknown,
    settings: Settings,
) -> Capture:
    """Judge the answers together; a server that did not answer, or was not asked, is left out."""
    seen = connector if isinstance(connector, Connector) else None
    facts = CaptureFacts(
        None if isinstance(found, Unknown) else found,
        seen.status if seen else None,
        seen.offsets if seen else None,
        None if isinstance(topics, Unknown) else topics,
    )
    return Capture(found, connector, topics, judge_capture(facts, settings), stalled_seconds(facts))


def source(settings: Settings) -> SourceFacts:
    """Ask PostgreSQL for everything that it knows about the capture."""
    with postgres_connection(settings, settings.postgres_db) as connection:
        return read_facts(connection, settings)


def connector(settings: Settings) -> Connector:
    """Ask Kafka Connect for the connector's state and offsets."""
    return Connector(parse_status(_connect(settings, "status")), parse_offsets(_connect(settings, "offsets")))


def _connect(settings: Settings, what: str) -> dict[str, Any] | None:
    answer = http.get(f"{settings.connect_url}/connectors/{CONNECTOR}/{what}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    found: dict[str, Any] = parsed(answer.raise_for_status())
    return found


def capture_topics(settings: Settings) -> CaptureTopics:
    """Ask Kafka for the topics that Debezium writes to."""
    return read_capture_topics(settings, _SECONDS)


def backlog(settings: Settings) -> Backlog:
    """Count what waits in the topics."""
    readers = readers_of_topics()
    states = {state.name: state for state in topics(settings, {*readers, DEAD_LETTER_TOPIC})}
    lag = dict.fromkeys(readers.values(), 0)
    for state in states.values():
        if state.reader:
            lag[state.reader] += state.lag
    dead = states.get(DEAD_LETTER_TOPIC)
    return Backlog(lag, dead.records if dead else 0)


def readers_of_topics() -> dict[str, str]:
    """The consumer group of each topic that has one: the masker's, or that of a warehouse's table."""
    raw = {table.raw_topic: MASKER_GROUP for table in tables().values()}
    return raw | {table.masked_topic: table.warehouse_group for table in tables().values()}


def topics(settings: Settings, wanted: Collection[str] | None = None) -> list[TopicState]:
    """Look at the topics, in the order of their names; at all but Kafka's own, or the wanted ones."""
    admin = AdminClient(settings.kafka_client | {"log_level": 0})
    there = admin.list_topics(timeout=_SECONDS).topics
    names = sorted(
        name for name in there if (name in wanted if wanted is not None else not name.startswith("__"))
    )
    partitions = {name: [(name, number) for number in there[name].partitions] for name in names}
    every = [one for name in names for one in partitions[name]]
    begins, ends = (_offsets(admin, every, spec) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    readers = readers_of_topics()
    committed: dict[Partition, int] = {}
    for group in dict.fromkeys(readers[name] for name in names if name in readers):
        own = [one for name in names if readers.get(name) == group for one in partitions[name]]
        committed |= _committed(admin, group, own)
    return [
        TopicState(
            name,
            len(partitions[name]),
            sum(ends[one] - begins[one] for one in partitions[name]),
            readers.get(name, ""),
            behind(partitions[name], committed, begins, ends) if name in readers else 0,
        )
        for name in names
    ]


def behind(
    partitions: Iterable[Partition],
    committed: dict[Partition, int],
    begins: dict[Partition, int],
    ends: dict[Partition, int],
) -> int:
    """Records after the committed offsets; where none was committed, all there are."""
    return sum(ends[one] - max(committed.get(one, 0), begins[one]) for one in partitions)


def _offsets(admin: AdminClient, partitions: list[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    if not partitions:
        return {}
    asked: dict[TopicPartition, Any] = admin.list_offsets(
        {TopicPartition(*one): spec for one in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=_SECONDS,
    )
    return {(one.topic, one.partition): future.result().offset for one, future in asked.items()}


def _committed(admin: AdminClient, group: str, partitions: list[Partition]) -> dict[Partition, int]:
    if not partitions:
        return {}
    request = [ConsumerGroupTopicPartitions(group, [TopicPartition(*one) for one in partitions])]
    answer = admin.list_consumer_group_offsets(request, request_timeout=_SECONDS)[group].result()
    return {(one.topic, one.partition): one.offset for one in answer.topic_partitions if one.offset >= 0}
