"""A masker that is killed at work loses nothing."""

import time

import orjson
import pytest

from dataflix_contract import Settings
from support.raw import FIRST_ID, Received, deletion, open_producer, read_until, reading
from support.stack import Stack

EVENTS = 20_000
KILLS = 3

pytestmark = pytest.mark.disruptive


def ids(messages: list[Received]) -> set[int]:
    """The users of the masked deletes."""
    return {orjson.loads(message.key)["user_id"] for message in messages}


def test_every_event_arrives_though_the_masker_is_killed(stack: Stack, settings: Settings) -> None:
    expected = {FIRST_ID + number for number in range(EVENTS)}
    producer = open_producer(settings)
    with reading(settings, "masked.ratings") as masked:
        for number in range(EVENTS):
            key, value = deletion("ratings", FIRST_ID + number)
            producer.produce("cdc.public.ratings", value, key)
            if number % (EVENTS // KILLS) == EVENTS // KILLS // 2:
                producer.flush()
                time.sleep(0.05)
                stack.kill("masker-0")
        producer.flush()
        arrived = read_until(
            masked, lambda found: len(found) >= EVENTS and ids(found) >= expected, seconds=240
        )
    assert ids(arrived) >= expected
