"""What Prometheus reads of the masker, and what it says of the topics before it starts."""

from dataflix_contract import tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC
from dataflix_stream_processors.monitoring import Metrics, topic_faults

GOOD = {
    **{topic: 4 for table in tables().values() for topic in (table.raw_topic, table.masked_topic)},
    DEAD_LETTER_TOPIC: 1,
    DRIFT_TOPIC: 1,
}


def test_nothing_is_wrong() -> None:
    assert topic_faults(GOOD, tables()) == []


def test_missing_topics_are_named_with_the_cure() -> None:
    (fault,) = topic_faults({name: 4 for name in GOOD if name != "masked.users"}, tables())
    assert fault == "topics are missing, run dataflix-connector topics: masked.users"


def test_a_row_must_find_its_partition() -> None:
    (fault,) = topic_faults({**GOOD, "cdc.public.users": 8}, tables())
    assert fault.startswith("masked.users has 4 partitions, cdc.public.users has 8")
    assert topic_faults({**GOOD, "masked.users": 8}, tables()) == []


def test_the_build_is_told() -> None:
    text = Metrics("t1").render().decode()
    assert 'masker_build_info{key_id="t1",version="' in text


def test_counts_have_names_of_tables_and_outcomes() -> None:
    metrics = Metrics("t1")
    metrics.events.labels("users", "u", "masked").inc(3)
    assert 'masker_events_total{op="u",outcome="masked",table="users"} 3.0' in metrics.render().decode()
