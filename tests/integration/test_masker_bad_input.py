"""What a broken source writes is described in the dead letters, and harms nobody."""

import sys
from collections.abc import Collection
from pathlib import Path

import httpx
import orjson
import pytest

from dataflix_contract import Settings
from dataflix_contract.schema import DEAD_LETTER_TOPIC, DRIFT_TOPIC
from support.raw import FIRST_ID, deletion, letters, open_producer, read_until, reading
from support.stack import Stack

TOPIC = "cdc.public.users"
CANARY = b"canary-5d1c"
KEY, GOOD = deletion("users", FIRST_ID)
DLQ = str(Path(sys.executable).with_name("dataflix-dlq"))

BAD: dict[str, tuple[bytes | None, bytes]] = {
    "not_json": (KEY, b"\xff\x00" + CANARY),
    "missing_row": (KEY, GOOD.replace(b'"before":{', b'"before":null,"rest":{')),
    "not_an_envelope": (KEY, b'{"op":"d","before":{"name":"' + CANARY + b'"}}'),
    "wrong_type": deletion("users", FIRST_ID, user_id=CANARY.decode()),
    "null_key": (None, GOOD),
    "too_large": (KEY, orjson.dumps(CANARY.decode() * 100_000)),
}


def test_bad_input_is_dead_lettered_and_its_neighbours_pass(settings: Settings) -> None:
    producer = open_producer(settings)
    with reading(settings, DEAD_LETTER_TOPIC) as dead, reading(settings, "masked.users") as masked:
        for number, (key, value) in enumerate(BAD.values()):
            neighbour_key, neighbour = deletion("users", FIRST_ID + number)
            producer.produce(TOPIC, neighbour, neighbour_key, partition=0)
            producer.produce(TOPIC, value, key, partition=0)
        producer.flush()
        refused = read_until(dead, lambda found: len(letters(found)) >= len(BAD))
        passed = read_until(masked, lambda found: len(found) >= len(BAD))
    assert [letter["reason"] for letter in letters(refused)] == list(BAD)
    assert [orjson.loads(message.key)["user_id"] for message in passed] == [
        FIRST_ID + number for number in range(len(BAD))
    ]
    assert not any(CANARY in message.value for message in [*refused, *passed])


def test_metrics_count_and_name_nothing_personal(settings: Settings) -> None:
    test_bad_input_is_dead_lettered_and_its_neighbours_pass(settings)
    pages = [
        httpx.get(f"{settings.masker_url(worker)}/metrics").content
        for worker in range(settings.masker_workers)
    ]
    assert any(b'masker_dead_letters_total{reason="too_large"}' in page for page in pages)
    assert not any(CANARY in page for page in pages)


def test_an_unknown_column_is_dropped_and_told_of_once(settings: Settings) -> None:
    column = "phone_of_test_masker"
    producer = open_producer(settings)
    with reading(settings, DRIFT_TOPIC) as drift, reading(settings, "masked.users") as masked:
        for _ in range(3):
            key, value = deletion("users", FIRST_ID, **{column: CANARY.decode()})
            producer.produce(TOPIC, value, key, partition=0)
        producer.flush()
        passed = read_until(masked, lambda found: len(found) >= 3)
        notices = [orjson.loads(message.value) for message in drift(2.0)]
    assert not any(CANARY in message.value for message in passed)
    assert [notice["column"] for notice in notices] == [column]


def test_a_dead_letter_is_listed_and_sent_again(stack: Stack, settings: Settings) -> None:
    producer = open_producer(settings)
    with reading(settings, DEAD_LETTER_TOPIC) as dead:
        producer.produce(TOPIC, b"not json", KEY, partition=0)
        producer.flush()
        (letter,) = letters(read_until(dead, letters))
        position = letter["position"]
        name = f"{position['topic']}:{position['partition']}:{position['offset']}"
        assert name in pending(stack)
        done = stack.run(DLQ, "replay", "--id", name, check=False)
        (again,) = letters(read_until(dead, letters))
    assert again["fingerprint"] == letter["fingerprint"]
    assert again["position"] != position
    assert name not in pending(stack)
    second = again["position"]
    assert (
        f"{second['topic']}:{second['partition']}:{second['offset']}: refused again, not_json" in done.stdout
    )
    assert done.returncode == 1
    assert states(stack)[f"{second['topic']}:{second['partition']}:{second['offset']}"] == "refused again"


def test_a_letter_that_nobody_knows_is_a_clear_error(stack: Stack) -> None:
    done = stack.run(DLQ, "replay", "--id", "nowhere:0:1", check=False)
    assert done.returncode == 1
    assert "there is no dead letter nowhere:0:1" in done.stderr
    assert "Traceback" not in done.stderr


def states(stack: Stack, *options: str) -> dict[str, str]:
    """The state of each letter that waits, by its name."""
    lines = stack.run(DLQ, "list", "--json", *options).stdout.splitlines()
    found = {}
    for entry in map(orjson.loads, lines):
        place = entry["letter"]["position"]
        found[f"{place['topic']}:{place['partition']}:{place['offset']}"] = entry["state"]
    return found


def pending(stack: Stack) -> Collection[str]:
    """Names of the letters that wait."""
    return states(stack).keys()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_the_masker_says_that_it_is_well(settings: Settings, path: str) -> None:
    answer = httpx.get(f"{settings.masker_url(0)}{path}", timeout=10)
    assert answer.status_code == httpx.codes.OK, answer.text
