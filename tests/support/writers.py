"""Many clients that write at once and keep at it until each write is acknowledged."""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

_PAUSE_SECONDS = 0.05
_GIVE_UP_SECONDS = 60


@dataclass
class Acknowledged:
    """What one client was told to be written.

    Attributes:
        email: the address of its user.
        watched: the films that its user has watched.
        ratings: the stars it gave, by film.
        repeats: writes that it sent again, not knowing what had become of them.
    """

    email: str = field(default_factory=lambda: f"{uuid4().hex}@writers.example.org")
    user_id: int = 0
    writes: int = 0
    repeats: int = 0
    watched: set[int] = field(default_factory=set)
    ratings: dict[int, float] = field(default_factory=dict)


class Writers:
    """So many clients, each with a user of its own, that write until they are left.

    Attributes:
        faults: answers that no client should get.
    """

    def __init__(self, url: str, clients: int, movies: int) -> None:
        self.acknowledged = [Acknowledged() for _ in range(clients)]
        self.faults: list[str] = []
        self._url = url
        self._movies = movies
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(seed, told))
            for seed, told in enumerate(self.acknowledged)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def writes(self) -> int:
        """How many were acknowledged so far."""
        return sum(told.writes for told in self.acknowledged)

    def _run(self, seed: int, told: Acknowledged) -> None:
        dice = random.Random(seed)
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False, verify=False) as http:
            told.user_id = self._write(http, told, "/users", {"name": "Writer", "email": told.email})[
                "user_id"
            ]
            for body in self._opinions(dice, told.user_id):
                rated = "rating" in body
                self._write(http, told, "/ratings" if rated else "/watched", body)
                told.watched.add(body["movie_id"])
                if rated:
                    told.ratings[body["movie_id"]] = body["rating"]
                if self._stop.is_set():
                    return

    def _opinions(self, dice: random.Random, user_id: int) -> Iterator[dict[str, Any]]:
        while True:
            body: dict[str, Any] = {"user_id": user_id, "movie_id": dice.randint(1, self._movies)}
            yield body | ({"rating": dice.randint(1, 10) / 2} if dice.random() < 0.7 else {})

    def _write(self, http: httpx.Client, told: Acknowledged, path: str, body: dict[str, Any]) -> Any:
        """Send it until it is acknowledged, always with the same key."""
        headers = {"Idempotency-Key": uuid4().hex}
        for _ in range(int(_GIVE_UP_SECONDS / _PAUSE_SECONDS)):
            try:
                answer = http.post(path, json=body, headers=headers)
            except httpx.TransportError:  # its process was killed: whether it wrote is unknown
                told.repeats += 1
            else:
                if answer.status_code in (200, 201):
                    told.writes += 1
                    return answer.json()
                if answer.status_code != 503:
                    self.faults.append(f"{path}: {answer.status_code} {answer.text}")
                    raise AssertionError(self.faults[-1])
            threading.Event().wait(_PAUSE_SECONDS)
        self.faults.append(f"{path} was never acknowledged")
        raise AssertionError(self.faults[-1])
