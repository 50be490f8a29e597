"""deploy/prometheus/alerts.yml: PromQL that parses, metrics that exist, recipes that the handbook has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import promql_parser
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from dataflix_backend.api_metrics import Metrics as BackendMetrics
from dataflix_backend.api_metrics import ModelMetrics
from dataflix_checker import metrics_command
from dataflix_clients.answers import Unknown
from dataflix_clients.batch import Batch, LastRun, Reconciled
from dataflix_clients.capture import judge_answers
from dataflix_clients.connect import Connector, ConnectorStatus, Offsets
from dataflix_clients.kafka import Backlog, CaptureTopics
from dataflix_clients.source_facts import SourceFacts
from dataflix_contract import Settings
from dataflix_dbt.runs import Status
from dataflix_dbt.worker import Metrics as DbtMetrics
from dataflix_stream_processors.monitoring import Metrics as MaskerMetrics
from support.source_facts import SOUND, with_publication, with_slot
from support.stack import ROOT

FILE = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULES = [
    rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
WELL = metrics_command.render(
    {"kafka": True, "connect": False},
    judge_answers(
        SOUND,
        Connector(ConnectorStatus("RUNNING", "RUNNING"), Offsets(stored=True, snapshotting=False)),
        CaptureTopics((), 1.0),
        Settings(),
    ),
    Backlog({"masker": 7}, 2),
    Batch(
        LastRun("r", "success", "2026-01-31T04:00:00Z"),
        Reconciled("r", 10, missing=1, different=0, ghosts=0, recorded_at=""),
        3,
    ),
).decode()


def series(families: Iterable[Any]) -> Iterator[str]:
    for family in families:
        yield from (family.name + suffix for suffix in SUFFIXES[family.type])


def families_of(owner: object) -> Iterator[Any]:
    """What the collectors that an object has would show."""
    for value in vars(owner).values():
        if isinstance(value, (MetricWrapperBase, CollectorRegistry)):
            yield from value.collect()


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every series that something of ours shows."""
    owners = [MaskerMetrics("k1"), DbtMetrics(), BackendMetrics(), ModelMetrics()]
    families = [family for owner in owners for family in families_of(owner)]
    return {*series(families), *series(text_string_to_metric_families(WELL))}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_series_that_exist(rule: dict[str, Any], known: set[str]) -> None:
    expression = promql_parser.parse(rule["expr"])
    asked = {name for name in selected(expression) if name}
    assert asked
    assert asked <= known


def selected(node: Any) -> Iterator[str]:
    """The names of the series that an expression selects."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name or ""
        return
    for part in ("expr", "lhs", "rhs", "vector_selector"):
        if hasattr(node, part):
            yield from selected(getattr(node, part))
    for argument in getattr(node, "args", []):
        yield from selected(argument)


def test_a_renamed_metric_would_be_found(known: set[str]) -> None:
    expression = promql_parser.parse('sum(rate(masker_letters_total{reason="x"}[5m])) / 2 > 1')
    assert list(selected(expression)) == ["masker_letters_total"]
    assert "masker_letters_total" not in known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    handbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in handbook.splitlines()
        if line.startswith("#")
    }
    assert rule["annotations"]["recipe"] in headings
    assert f"`{rule['alert']}`" in handbook


def test_dbt_calls_a_failed_run_failed() -> None:
    assert Status.FAILED.value == "failed"


def test_what_could_not_be_asked_is_left_out_and_a_slot_that_is_not_there_is_lost() -> None:
    unknown = Unknown("no answer")
    capture = judge_answers(unknown, unknown, unknown, Settings())
    shown = metrics_command.render({"kafka": False}, capture, unknown, None).decode()
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }
    assert samples == {"dataflix_up": 0, "dataflix_slot_streaming": 0}


def test_a_slot_that_stalls_or_is_endangered_and_an_unfit_source_are_figures_of_their_own() -> None:
    def samples(source: SourceFacts, silent: float) -> dict[str, float]:
        capture = judge_answers(source, None, CaptureTopics((), silent), Settings())
        shown = metrics_command.render({}, capture, Unknown("no answer"), None).decode()
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(shown)
            for sample in family.samples
        }

    stalled = samples(with_slot(reading_s=900.0), 55.0)
    assert (stalled["dataflix_slot_stalled_seconds"], stalled["dataflix_capture_faults"]) == (55, 1)
    assert samples(with_slot(wal_status="unreserved"), 1.0)["dataflix_slot_endangered"] == 1
    assert samples(with_publication(complete=False), 1.0)["dataflix_capture_faults"] == 1


def test_the_figures_are_those_of_the_servers() -> None:
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(WELL)
        for sample in family.samples
    }
    assert samples["dataflix_up", "kafka"] == 1
    assert samples["dataflix_up", "connect"] == 0
    assert samples["dataflix_slot_streaming",] == 1
    assert samples["dataflix_lag_records", "masker"] == 7
    assert samples["dataflix_reconciled_rows", "missing"] == 1
    assert samples["dataflix_batch_ended_timestamp_seconds",] == 1769832000
