"""The masker says what is wrong with the topics before it starts."""

from dataflix_contract import tables
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC
from dataflix_stream_processors.health import topic_faults

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
