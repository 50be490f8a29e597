"""A library's repeated warning is written once per interval; our own lines always."""

import logging

from dataflix_contract.logs import OncePerInterval


def record(name: str, text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, "file", 1, text, None, None)


def test_a_repeated_error_of_a_library_is_dropped() -> None:
    once = OncePerInterval()
    assert once.filter(record("aiokafka", "cannot connect"))
    assert not once.filter(record("aiokafka", "cannot connect"))
    assert once.filter(record("aiokafka", "something else"))
    assert once.filter(record("faust", "cannot connect"))


def test_our_own_lines_are_always_written() -> None:
    once = OncePerInterval()
    own = record("dataflix_stream_processors.processing", "refused")
    assert once.filter(own)
    assert once.filter(own)


def test_information_is_left_to_the_level() -> None:
    once = OncePerInterval()
    assert once.filter(record("aiokafka", "joined", logging.INFO))
    assert once.filter(record("aiokafka", "joined", logging.INFO))
