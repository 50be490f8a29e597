"""Waiting for an answer."""

from itertools import count

import pytest

from dataflix_contract.polling import poll


def test_the_first_true_answer_is_returned() -> None:
    numbers = count()
    assert poll(lambda: next(numbers) // 3, seconds=60, every=0) == 1
    assert next(numbers) == 4


def test_the_last_answer_is_returned_once_the_time_is_over() -> None:
    assert poll(list, seconds=0, every=0) == []


def test_what_a_question_raises_is_not_caught() -> None:
    def fails() -> bool:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        poll(fails, seconds=60, every=0)
