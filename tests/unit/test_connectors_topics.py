"""Which topics there should be, and what has to change."""

import dataclasses

from dataflix_connectors.topics import Change, Topic, plan_changes, wanted_topics
from dataflix_contract import Settings

HOUR_MS = 3_600_000
WANTED = {topic.name: topic for topic in wanted_topics(Settings(kafka_partitions=3, raw_retention_hours=2))}
USERS = WANTED["cdc.public.users"]


def only_change(wanted: Topic, present: Topic | None) -> Change:
    [change] = plan_changes([wanted], {present.name: present} if present else {})
    return change


def test_raw_and_masked_topics_have_the_same_partitions() -> None:
    assert {WANTED[f"masked.{name}"].partitions for name in ("users", "movies", "ratings")} == {3}
    assert {WANTED[f"cdc.public.{name}"].partitions for name in ("users", "movies", "ratings")} == {3}


def test_personal_data_does_not_outlive_its_retention_in_an_open_segment() -> None:
    assert USERS.config["retention.ms"] == str(2 * HOUR_MS)
    assert int(USERS.config["segment.ms"]) <= HOUR_MS / 2


def test_heartbeats_and_dead_letters_are_not_forgotten() -> None:
    assert {
        "__debezium-heartbeat.cdc",
        "cdc.public.debezium_heartbeat",
        "masker.dead_letters",
        "masker.drift",
    } <= WANTED.keys()


def test_a_missing_topic_is_created() -> None:
    assert only_change(USERS, None).create


def test_a_topic_that_is_right_is_left_alone() -> None:
    with_defaults = dataclasses.replace(USERS, config={**USERS.config, "min.insync.replicas": "1"})
    change = only_change(USERS, with_defaults)
    assert not change.needed
    assert change.description == "as it should be"


def test_a_setting_that_differs_is_set() -> None:
    stale = dataclasses.replace(USERS, config={**USERS.config, "retention.ms": "1"})
    assert only_change(USERS, stale).settings == ("retention.ms",)


def test_partitions_grow_and_never_shrink() -> None:
    assert only_change(USERS, dataclasses.replace(USERS, partitions=2)).grow_from == 2
    shrunk = only_change(USERS, dataclasses.replace(USERS, partitions=8))
    assert not shrunk.needed
    assert "keeps 8 partitions" in shrunk.description
