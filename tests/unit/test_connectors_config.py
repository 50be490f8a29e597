"""The connector's configuration."""

from dataflix_connectors.connector_config import fence_of, render_config
from dataflix_contract import Settings, tables
from dataflix_contract.schema import MAX_MESSAGE_BYTES

SETTINGS = Settings(postgres_port=15432, debezium_password="hunter2-hunter2")


def test_every_placeholder_is_filled() -> None:
    config = render_config(SETTINGS, fence=7)
    left = {name: text for name, text in config.items() if "${" in text}
    assert left == {"database.password": "${env:DATAFLIX_DEBEZIUM_PASSWORD}"}
    assert config["database.port"] == "15432"


def test_the_password_is_not_in_it() -> None:
    assert "hunter2" not in str(render_config(SETTINGS, fence=7))


def test_contract_tables_and_heartbeat_are_captured() -> None:
    captured = render_config(SETTINGS, fence=7)["table.include.list"].split(",")
    assert captured == [rf"public\.{name}" for name in (*tables(), "debezium_heartbeat")]


def test_the_fence_travels_in_a_header() -> None:
    config = render_config(SETTINGS, fence=26835623)
    assert config["transforms.fence.header"] == "dataflix.fence"
    assert fence_of(config) == 26835623


def test_a_configuration_without_a_fence_has_none() -> None:
    assert fence_of({}) == 0


def test_topic_and_producer_agree_on_the_largest_message() -> None:
    config = render_config(SETTINGS, fence=7)
    assert config["producer.override.max.request.size"] == str(MAX_MESSAGE_BYTES)


def test_a_slot_that_was_made_anew_is_not_trusted() -> None:
    config = render_config(SETTINGS, fence=7)
    assert config["snapshot.mode"] == "initial"
    assert config["offset.mismatch.strategy"] == "trust_offset"


def test_records_are_not_compressed() -> None:
    """The masker's Kafka client reads lz4, snappy and zstd only with further libraries."""
    assert not [name for name in render_config(SETTINGS, fence=7) if "compression" in name]
