"""Check the API as a user would use it: create a user, find and rate a film, get recommendations, erase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from dataflix_checker.batch_check import check_batch
from dataflix_checker.canary import Canary
from dataflix_checker.checks import CheckResult, guarded
from dataflix_clients import clickhouse, mlflow, postgres
from dataflix_clients.http_client import open_client
from dataflix_clients.row_trace import Follower, following
from dataflix_clients.server_errors import SERVER_ERRORS
from dataflix_contract import tables
from dataflix_contract.faults import first_line

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from dataflix_contract import Settings

_SECONDS = 15
#: How long to wait until the API serves a new champion.
_SWAP_SECONDS = 60.0
_POLL_SECONDS = 0.2
_STARS = 4.5


def check_api(settings: Settings, *, batch: bool) -> Iterator[CheckResult]:
    """Check the API with a canary user, who is deleted at the end in any case.

    Args:
        settings: the stack's settings.
        batch: whether to run the daily batch while the canary exists, and to wait for the new champion.
    """
    canary = Canary()
    with (
        _api(settings) as api,
        following(settings, clickhouse.connect(settings, settings.clickhouse_reader), *_TABLES) as follower,
    ):
        try:
            user = api.post("/users", json={"name": canary.name, "email": canary.email}).raise_for_status()
            user_id = int(user.json()["user_id"])
            yield CheckResult("api: user created", ok=True, detail=f"user {user_id}")
            yield from _finds_and_rates(api, follower, user_id)
            if batch:
                yield from check_batch(settings, canary, user_id, _STARS)
                yield guarded("api: champion served", lambda: _champion(settings, api))
            yield guarded(
                "api: user erased",
                lambda: _erased(api, clickhouse.connect(settings, settings.clickhouse_reader), user_id),
            )
        except SERVER_ERRORS as fault:
            yield CheckResult("api", ok=False, detail=first_line(fault))
        finally:
            _forget(settings, canary)


_TABLES = tuple(tables()[name] for name in ("watched_movies", "ratings", "dismissed_movies"))


@contextmanager
def _api(settings: Settings) -> Iterator[httpx.Client]:
    token = settings.backend_token.get_secret_value()
    with open_client(settings.backend_url, _SECONDS) as api:
        api.headers.update({"Authorization": f"Bearer {token}"} if token else {})
        yield api


def _finds_and_rates(api: httpx.Client, follower: Follower, user_id: int) -> Iterator[CheckResult]:
    film = api.get("/movies", params={"sort": "popular", "limit": 1}).raise_for_status().json()["items"][0]
    yield guarded("api: film found", lambda: _found(api, film))
    before = _recommended(api, user_id)
    row = {"user_id": user_id, "movie_id": film["movie_id"]}
    api.post("/watched", json=row).raise_for_status()
    yield _followed("api: film watched", follower, "watched_movies", row)
    api.post("/ratings", json=row | {"rating": _STARS}).raise_for_status()
    yield _followed("api: film rated", follower, "ratings", row)
    after = _recommended(api, user_id)
    yield guarded("api: recommended", lambda: _changed(before, after, film))
    if after["items"]:
        yield from _dismisses(api, follower, user_id, after["items"][0])


def _dismisses(
    api: httpx.Client, follower: Follower, user_id: int, film: dict[str, Any]
) -> Iterator[CheckResult]:
    """Dismiss the film that is recommended first, and check that it is not recommended again."""
    row = {"user_id": user_id, "movie_id": film["movie_id"]}
    api.post("/dismissed", json=row).raise_for_status()
    yield _followed("api: film dismissed", follower, "dismissed_movies", row)
    shown = [one["movie_id"] for one in _recommended(api, user_id)["items"]]
    yield CheckResult(
        "api: not recommended again",
        ok=film["movie_id"] not in shown,
        detail=f"{film['title']!r} was dismissed; {len(shown)} other films are recommended",
    )


def _found(api: httpx.Client, film: dict[str, Any]) -> tuple[bool, str]:
    """Whether the film is found by its title with one letter missing."""
    title = str(film["title"])
    typed = title[:2] + title[3:] if len(title) > 4 else title  # noqa: PLR2004 - short titles are left as they are
    items = api.get("/movies", params={"q": typed, "limit": 20}).raise_for_status().json()["items"]
    if any(one["movie_id"] == film["movie_id"] for one in items):
        return True, f"{typed!r} finds {title!r}"
    return False, f"{typed!r} finds {len(items)} other films, and not {title!r}"


def _followed(check: str, follower: Follower, table: str, key: dict[str, int]) -> CheckResult:
    *_, trace = follower.follow(tables()[table], key)
    return CheckResult(
        check, ok=True, detail="acknowledged, and in the warehouse", milliseconds=trace.milliseconds
    )


def _recommended(api: httpx.Client, user_id: int) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(f"/recommendations/{user_id}").raise_for_status().json()
    return answer


def _changed(before: dict[str, Any], after: dict[str, Any], film: dict[str, Any]) -> tuple[bool, str]:
    """Whether recommendations reflect the rating at once, and no longer contain the rated film."""
    first, then = ([one["movie_id"] for one in answer["items"]] for answer in (before, after))
    if film["movie_id"] in then:
        return False, f"{film['title']!r} was just rated, and is recommended all the same"
    if after["model"] is None:
        return bool(then), "by popularity: no model has been trained yet (bin/dataflix-pipeline run)"
    if after["strategy"] == "popular":
        return bool(then), "by popularity: the model does not know this film yet (bin/dataflix-pipeline run)"
    known = after["based_on"]["fresh_ratings"] == 1 and first != then
    return known, f"{len(set(then) - set(first))} of {len(then)} films are new after one rating"


def _champion(settings: Settings, api: httpx.Client) -> tuple[bool, str]:
    wanted = mlflow.read_champion(settings)
    if wanted is None:
        return False, "there is no champion"
    deadline = time.monotonic() + _SWAP_SECONDS
    while True:
        answer = api.get("/model")
        served = answer.json().get("version") if answer.is_success else None
        if served == wanted.number:
            return True, f"version {served}, the champion, without a restart"
        if time.monotonic() > deadline:
            why = api.get("/health/ready").json()["not_served"]
            return False, why or f"version {served} is served, and the champion is {wanted.number}"
        time.sleep(_POLL_SECONDS)


def _erased(api: httpx.Client, warehouse: Client, user_id: int) -> tuple[bool, str]:
    """Erase the user; they must be gone from the API at once, and from the warehouse within seconds."""
    api.delete(f"/users/{user_id}").raise_for_status()
    deadline = time.monotonic() + _SECONDS
    for path in (f"/users/{user_id}", f"/recommendations/{user_id}"):
        if api.get(path).status_code != httpx.codes.NOT_FOUND:
            return False, f"{path} still answers"
    for table in (one.name for one in tables().values() if "user_id" in one.key):
        query = f"SELECT count() FROM raw.{table} FINAL WHERE user_id = {{user_id:Int64}} AND NOT _deleted"
        while int(str(warehouse.command(query, parameters={"user_id": user_id}))):
            if time.monotonic() > deadline:
                return False, f"raw.{table} still has rows of the user"
            time.sleep(_POLL_SECONDS)
    return True, "not found by the API, and no row left in the warehouse"


def _forget(settings: Settings, canary: Canary) -> None:
    with postgres.connect(settings, settings.postgres_owner) as source:
        source.execute("DELETE FROM users WHERE email = %s", [canary.email])
