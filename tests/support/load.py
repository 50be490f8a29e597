"""A load of changes as rough as real ones: from several connections, with everything that SQL can do."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psycopg

from dataflix_clients import postgres
from dataflix_contract import Settings

Change = Callable[[psycopg.Connection, random.Random], None]

# A user id far above all others, moved around by primary-key updates.
_FAR = 10_000_000


def _insert_user(source: psycopg.Connection, dice: random.Random) -> None:
    tag = dice.getrandbits(64)
    source.execute(
        "INSERT INTO users (name, email, birth_year, city) VALUES (%s, %s, %s, %s)",
        [f"Lo'ad Ünal {tag}", f"load{tag}@example.com", dice.choice([None, 1960, 2001]), dice.choice("ABC")],
    )


def _update_user(source: psycopg.Connection, dice: random.Random) -> None:
    source.execute(
        "UPDATE users SET name = %s, city = %s WHERE user_id ="
        " (SELECT user_id FROM users WHERE email LIKE 'load%%' OFFSET %s LIMIT 1)",
        [f"Renamed {dice.getrandbits(32)}", dice.choice([None, "X", "Y"]), dice.randrange(30)],
    )


def _move_user(source: psycopg.Connection, dice: random.Random) -> None:
    source.execute(
        "UPDATE users SET user_id = %s WHERE user_id ="
        " (SELECT user_id FROM users WHERE email LIKE 'load%%' OFFSET %s LIMIT 1)",
        [_FAR + dice.randrange(_FAR), dice.randrange(30)],
    )


def _delete_user(source: psycopg.Connection, dice: random.Random) -> None:
    source.execute(
        "DELETE FROM users WHERE user_id ="
        " (SELECT user_id FROM users WHERE email LIKE 'load%%' OFFSET %s LIMIT 1)",
        [dice.randrange(60)],
    )


def _rate(source: psycopg.Connection, dice: random.Random) -> None:
    source.execute(
        "WITH who AS (SELECT user_id FROM users WHERE email LIKE 'load%%' OFFSET %(user)s LIMIT 1),"
        " what AS (SELECT movie_id FROM movies ORDER BY movie_id OFFSET %(movie)s LIMIT 1),"
        " watched AS (INSERT INTO watched_movies (user_id, movie_id)"
        "  SELECT user_id, movie_id FROM who, what ON CONFLICT DO NOTHING)"
        " INSERT INTO ratings (user_id, movie_id, rating) SELECT user_id, movie_id, %(rating)s FROM who, what"
        " ON CONFLICT (user_id, movie_id) DO UPDATE SET rating = EXCLUDED.rating",
        {"user": dice.randrange(30), "movie": dice.randrange(20), "rating": dice.randint(1, 10) / 2},
    )


def _unrate(source: psycopg.Connection, dice: random.Random) -> None:
    source.execute(
        "DELETE FROM ratings WHERE (user_id, movie_id) IN (SELECT user_id, movie_id FROM ratings"
        " JOIN users USING (user_id) WHERE email LIKE 'load%%' OFFSET %s LIMIT 1)",
        [dice.randrange(30)],
    )


def _come_and_go(source: psycopg.Connection, dice: random.Random) -> None:
    """Insert, change, delete and insert again, all in one transaction and of one key."""
    key = 3 * _FAR + dice.randrange(5)
    source.execute("DELETE FROM users WHERE user_id = %s", [key])
    for number in range(dice.randint(1, 3)):
        source.execute("INSERT INTO users (user_id, name) VALUES (%s, %s)", [key, f"Again {number}"])
        source.execute("UPDATE users SET city = 'Brigadoon' WHERE user_id = %s", [key])
        if dice.random() < 0.7:
            source.execute("DELETE FROM users WHERE user_id = %s", [key])
        else:
            break


CHANGES: tuple[Change, ...] = (
    _insert_user,
    _insert_user,
    _update_user,
    _move_user,
    _delete_user,
    _rate,
    _rate,
    _unrate,
    _come_and_go,
)


class MixedLoad:
    """Makes changes from several threads until it is left; survives PostgreSQL's death.

    Attributes:
        committed: transactions committed, by the name of their last change, and ``rolled back``.
        faults: what stopped a thread that should not have stopped.
    """

    def __init__(self, settings: Settings, threads: int = 3, pause: float = 0.01) -> None:
        self.committed: Counter[str] = Counter()
        self.faults: list[BaseException] = []
        self._settings = settings
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(threads)]

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

    def _run(self, seed: int) -> None:
        dice = random.Random(seed)
        while not self._stop.is_set():
            try:
                with postgres.connect(self._settings, self._settings.postgres_owner) as source:
                    self._change_until_stopped(source, dice)
            # It was killed, as the test wants: come back. Killed in a rollback, it leaves the Rollback to us.
            except (psycopg.OperationalError, psycopg.Rollback):
                self._stop.wait(0.2)
            except BaseException as fault:
                self.faults.append(fault)
                raise

    def _change_until_stopped(self, source: psycopg.Connection, dice: random.Random) -> None:
        while not self._stop.wait(self._pause):
            changes = dice.choices(CHANGES, k=dice.choice([1, 1, 1, 5]))
            try:
                with source.transaction() as transaction:
                    for change in changes:
                        change(source, dice)
                    if dice.random() < 0.1:
                        raise psycopg.Rollback(transaction)
            except (
                psycopg.errors.UniqueViolation,
                psycopg.errors.ForeignKeyViolation,
                psycopg.errors.DeadlockDetected,
            ):
                self.committed["refused"] += 1  # two threads met: PostgreSQL rolled one back
            else:
                self.committed[changes[-1].__name__] += 1
