"""Make up names, addresses and places for users of sample data and imports; the same for the same id."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

from faker.providers.person.en_US import Provider as Names

T = TypeVar("T")

#: Domains that are reserved for examples (RFC 2606), so that mail to them reaches nobody.
_MAIL_DOMAINS = ("example.com", "example.net", "example.org")
_BIRTH_YEARS = (1945, 2007)
_NOT_IN_ADDRESS = re.compile(r"[^a-z]")


@dataclass(frozen=True, slots=True)
class Person:
    """The personal data in a row of ``users``."""

    name: str
    email: str
    birth_year: int
    city: str
    state: str


class _Weighted(Generic[T]):
    """Values to choose from at random, by their weights."""

    def __init__(self, weights: Iterable[tuple[T, float]]) -> None:
        values, numbers = zip(*weights, strict=True)
        self._values: tuple[T, ...] = values
        self._cumulated = list(accumulate(numbers))

    def pick(self, rng: Random) -> T:
        return rng.choices(self._values, cum_weights=self._cumulated)[0]


def person(user_id: int, seed: int = 0) -> Person:
    """Make up the person with an id. The address contains the id, so that no two people share an address."""
    # Not for secrets. Each id has its own generator, so that people do not depend on the order of the calls.
    rng = Random(seed << 64 | user_id)  # noqa: S311
    first, last = _first_names().pick(rng), _last_names().pick(rng)
    local = f"{_letters(first)}.{_letters(last)}{user_id}"
    city, state = _places().pick(rng)
    return Person(
        name=f"{first} {last}",
        email=f"{local}@{rng.choice(_MAIL_DOMAINS)}",
        birth_year=rng.randint(*_BIRTH_YEARS),
        city=city,
        state=state,
    )


def _letters(name: str) -> str:
    return _NOT_IN_ADDRESS.sub("", name.lower())


@functools.cache
def _first_names() -> _Weighted[str]:
    return _Weighted(Names.first_names.items())


@functools.cache
def _last_names() -> _Weighted[str]:
    return _Weighted(Names.last_names.items())


@functools.cache
def _places() -> _Weighted[tuple[str, str]]:
    text = files(__package__).joinpath("places.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="|")
    return _Weighted([((row["city"], row["state"]), float(row["weight"])) for row in rows])
