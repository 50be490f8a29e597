"""Recommendations on MovieLens's catalogue: arithmetic, latency at a steady rate, and the most a second.

Against a running PostgreSQL, in a database of its own that is dropped at the end; the backend is started
here, with a model made here. The client is beside it, on the same processors.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, Self

# before NumPy is imported: one BLAS thread, as in the backend
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import typer
from flask import Flask
from psycopg import sql
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from dataflix_backend import api_metrics
from dataflix_backend.api_server import Server
from dataflix_backend.database import make_pool
from dataflix_backend.recommendations import served_model
from dataflix_backend.recommendations.catalogue import read_films
from dataflix_backend.recommendations.model_store import Champion, ModelStore, Note
from dataflix_backend.recommendations.recommend import Query, make_reply
from dataflix_backend.recommendations.served_model import Served, combine
from dataflix_backend.recommendations.user_films import read_user_films
from dataflix_contract import Settings, load_settings
from dataflix_contract.logs import configure_logging
from dataflix_postgres.database import connect_admin, connect_owner
from dataflix_postgres.importer import import_release
from dataflix_postgres.migrations import set_up
from dataflix_recommender import (
    digest,
    fold_in,
    load,
    predict_stars,
    rank,
    reasons,
    save,
)
from dataflix_training.evaluation import evaluate_ranker, holdout_users
from dataflix_training.experiment import TEST_SHARE, fit_recipe
from dataflix_training.fitting import Recipe, assemble, fit_ranker, fit_svd
from dataflix_training.ratings import split_latest
from figures import percentiles, report
from support.ratings import movielens_ratings

_MOVIELENS = Path(__file__).resolve().parents[2] / "shared/movielens/ml-latest-small"
_RATINGS, _FRESH = 50, 5
_USERS = 50
_FRESH_STARS = 4.5
_NOISE = 0.87**2
_DIVERSITIES = (0.0, 0.3, 0.6)
#: A route that does nothing: in the backend's application, and in a Flask application of its own.
_BARE, _ALONE = "/bare", "/alone/"
_CLIENTS, _CONNECTIONS = 2, 4

app = typer.Typer(add_completion=False)


@app.command()
def main(  # noqa: PLR0913, PLR0917 - options
    movielens: Annotated[Path, typer.Option(help="A MovieLens release.")] = _MOVIELENS,
    model: Annotated[Path | None, typer.Option(help="Use this model.npz, made here before.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 10.0,
    rounds: Annotated[int, typer.Option(help="Measurements of each route, in turn.")] = 3,
    rate: Annotated[int, typer.Option(help="Requests a second of the steady part.")] = 200,
    anew: Annotated[bool, typer.Option(help="Compute each reply: nothing is remembered.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure with a copy of MovieLens: users of about 50 ratings, 5 of them newer than the model."""
    with tempfile.TemporaryDirectory() as folder, _database(load_settings()) as settings:
        import_release(settings, movielens)
        own = settings.model_copy(update={"data_dir": Path(folder), "backend_rate_limit": 0})
        champion = _store_model(own, model or _train(movielens, Path(folder, "model.npz")))
        users = _rate_freshly(own, champion)
        report("compute", _compute(own, champion, users), as_json=as_json)
        with _serve(own, anew=anew) as port:
            paths = [f"/recommendations/{user}?n=10" for user in users]
            _closed(port, paths, 2.0)
            report(f"{rate} requests a second", _steady(port, paths, rate, seconds), as_json=as_json)
            report("throughput", _throughput(port, paths, seconds, rounds), as_json=as_json)


@app.command()
def diversity(
    movielens: Annotated[Path, typer.Option(help="A MovieLens release.")] = _MOVIELENS,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Judge rankings of different diversity by the latest fifth of each user's ratings."""
    known, held_out = split_latest(movielens_ratings(movielens), TEST_SHARE)
    _, fitted = fit_recipe(known, Recipe(), {})
    judges = holdout_users(known, held_out)
    for asked in _DIVERSITIES:
        ranked = evaluate_ranker(fitted, judges, asked)
        gain = ranked.gains.estimate()
        figures = {"nDCG@10": gain.value, "standard error": gain.error, "coverage": ranked.coverage}
        report(f"diversity {asked:g}", figures, as_json=as_json)


@app.command(hidden=True)
def serve(*, anew: bool = False) -> None:
    """The backend as it is, and beside it in the same gunicorn a Flask application with one bare route."""
    if anew:
        served_model.MOST_REPLIES = 0

    class _WithBare(Server):
        def load(self) -> Any:
            app, alone = super().load(), Flask("alone")
            app.add_url_rule(_BARE, "bare", lambda: "ok")
            alone.add_url_rule("/", view_func=lambda: "ok")
            return DispatcherMiddleware(app, {_ALONE.rstrip("/"): alone})

    configure_logging("backend")
    settings = load_settings()
    api_metrics.clear(settings.service_folder("backend") / "metrics")
    _WithBare(settings).run()


@contextmanager
def _database(settings: Settings) -> Iterator[Settings]:
    """A database with the tables and nothing in them."""
    own = settings.model_copy(update={"postgres_db": f"bench_{secrets.token_hex(4)}"})
    set_up(own)
    try:
        yield own
    finally:
        with connect_admin(own) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(own.postgres_db)))


def _train(movielens: Path, path: Path) -> Path:
    ratings = movielens_ratings(movielens)
    recipe = Recipe()
    svd, ranker = fit_svd(ratings, recipe), fit_ranker(ratings, recipe, {})
    save(assemble(ratings, svd, ranker, svd.item_ids, _NOISE, recipe.watched), path)
    return path


def _store_model(settings: Settings, path: Path) -> Champion:
    """Put the model where the backend finds it when the registry is away."""
    champion = Champion(
        version=1, digest=digest(load(path)), run_id="benchmark", trained_at=datetime.now(UTC), metrics={}
    )
    store = _store(settings)
    store.put(champion, path)
    store.write(Note(champion=champion))
    return champion


def _store(settings: Settings) -> ModelStore:
    return ModelStore(settings.service_folder("backend") / "models")


def _rate_freshly(settings: Settings, champion: Champion) -> list[int]:
    """Give some users fresh ratings of popular films; return their ids."""
    model, lock = _store(settings).take(champion)
    with lock, connect_owner(settings) as owner:
        counts = np.diff(model.history_start)
        users = model.user_ids[np.argsort(np.abs(counts - (_RATINGS - _FRESH)), kind="stable")[:_USERS]]
        for user in users.tolist():
            profile = model.profile(user)
            films = rank(model, profile, _FRESH).item_ids.tolist()
            with owner.cursor() as cursor:
                rows = [(user, film) for film in films]
                cursor.executemany("INSERT INTO watched_movies (user_id, movie_id) VALUES (%s, %s)", rows)
                cursor.executemany(
                    f"INSERT INTO ratings (user_id, movie_id, rating) VALUES (%s, %s, {_FRESH_STARS})", rows
                )
    return [int(user) for user in users]


def _compute(settings: Settings, champion: Champion, users: Sequence[int]) -> dict[str, float]:
    """Milliseconds of one reply's arithmetic, and of its parts."""
    model, lock = _store(settings).take(champion)
    pool = make_pool(settings)
    pool.open()
    with lock, pool, pool.connection() as connection:
        served = combine(read_films(connection), Served(champion, model), "disk")
        people = [found[0] for user in users if (found := read_user_films(connection, user))]
    query = Query(10)
    taken: dict[str, list[float]] = {}
    processor: list[float] = []

    def timed(name: str, work: Any) -> Any:
        start, worked = time.perf_counter(), time.thread_time()
        made = work()
        taken.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
        if name == "whole":
            processor.append(1e3 * (time.thread_time() - worked))
        return made

    for _ in range(40):
        for user in people:
            timed("whole", lambda user=user: make_reply(served, user, query))
            profile = timed(
                "profile",
                lambda user=user: model.profile_from_ratings(user.user_id, user.rated, user.stars),
            )
            best = timed("rank", lambda profile=profile: rank(model, profile, 10))
            timed(
                "fold in and stars",
                lambda profile=profile, best=best: predict_stars(
                    model, fold_in(model, profile), best.item_ids
                ),
            )
            timed("reasons", lambda profile=profile, best=best: reasons(model, profile, best.item_ids))
    return {
        "films": float(len(model.item_ids)),
        "ratings of a user, median": float(np.median([len(user.rated) for user in people])),
        **{f"{name}, median ms": float(np.median(values)) for name, values in taken.items()},
        "whole, CPU, median ms": float(np.median(processor)),
        "whole, p90 ms": float(np.percentile(taken["whole"], 90)),
    }


@contextmanager
def _serve(settings: Settings, *, anew: bool) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = os.environ | {
        "DATAFLIX_POSTGRES_DB": settings.postgres_db,
        "DATAFLIX_DATA_DIR": str(settings.data_dir),
        "DATAFLIX_BACKEND_PORT": str(port),
        "DATAFLIX_BACKEND_RATE_LIMIT": "0",
        "DATAFLIX_MLFLOW_PORT": "1",  # nobody is there: the model is the disk's
    }
    command = [sys.executable, __file__, "serve", *(["--anew"] if anew else [])]
    with (
        tempfile.TemporaryFile() as log,  # a terminal would be slower
        subprocess.Popen(command, env=environment, stderr=log) as server,
    ):
        try:
            _wait_for(port)
            yield port
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with Connection(port) as connection:
                status = connection.get("/health/ready")
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            assert status == 200
            return


def _steady(port: int, paths: Sequence[str], rate: int, seconds: float) -> dict[str, float]:
    """Latencies of requests sent by the clock, from when each was due: a late one delays none."""
    with get_context("spawn").Pool(1) as pool:
        milliseconds = pool.apply(_paced, (port, paths, rate, seconds))
    return {**percentiles(milliseconds), "requests": float(len(milliseconds))}


def _throughput(port: int, paths: Sequence[str], seconds: float, rounds: int) -> dict[str, float]:
    """Requests a second of each route in turn, the medians of the rounds and of their ratios.

    ``bare`` is a route of the same application that does nothing; ``alone`` is one of a Flask application
    that has nothing else: no request ids, no log, no metrics.
    """
    routes = {"recommendations": paths, "bare": [_BARE], "alone": [_ALONE]}
    found: dict[str, list[float]] = {name: [] for name in routes}
    for _ in range(rounds):
        for name, route in routes.items():
            found[name].append(_closed(port, route, seconds))
    ours = found.pop("recommendations")
    figures = {"recommendations a second": float(np.median(ours))}
    for name, theirs in found.items():
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        figures |= {
            f"{name} a second": float(np.median(theirs)),
            f"ratio to {name}": float(np.median(ratios)),
            f"ratio to {name}, least of the rounds": min(ratios),
        }
    return figures


def _closed(port: int, paths: Sequence[str], seconds: float) -> float:
    """Requests a second of a few processes, each with a few connections, as fast as they are answered."""
    with get_context("spawn").Pool(_CLIENTS) as pool:
        pool.map(_no_work, range(_CLIENTS))
        counts = pool.starmap(_requests_at_full_speed, [(port, paths, seconds)] * _CLIENTS, chunksize=1)
    return sum(counts) / seconds


def _no_work(_place: int) -> None:
    """Has a process started."""


@dataclass
class Connection:
    """HTTP/1.1 over one connection, with as little work as can be: the processors are shared."""

    port: int

    def __enter__(self) -> Self:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", self.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._socket.close()

    def get(self, path: str) -> int:
        """The status, once the whole body is here."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        received = self._socket.recv(65_536)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        while len(received) < end + 4 + length:
            received += self._more()
        return int(head[9:12])

    def _more(self) -> bytes:
        part = self._socket.recv(65_536)
        if not part:
            raise ConnectionError("the server has closed the connection")
        return part


def _requests_at_full_speed(port: int, paths: Sequence[str], seconds: float) -> int:
    """How many requests a few connections of one process could make."""
    done = [0] * _CONNECTIONS
    end = time.monotonic() + seconds

    def work(place: int) -> None:
        with Connection(port) as connection:
            while time.monotonic() < end:
                status = connection.get(paths[done[place] % len(paths)])
                assert status == 200, status
                done[place] += 1

    _together([Thread(target=work, args=(place,)) for place in range(_CONNECTIONS)])
    return sum(done)


def _paced(port: int, paths: Sequence[str], rate: int, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    taken: list[float] = []
    start = time.perf_counter() + 0.1
    most = 4 * _CONNECTIONS

    def work(place: int) -> None:
        with Connection(port) as connection:
            for number in range(place, int(rate * seconds), most):
                due = start + number / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                assert connection.get(paths[number % len(paths)]) == 200
                taken.append(1e3 * (time.perf_counter() - due))

    _together([Thread(target=work, args=(place,)) for place in range(most)])
    return taken


def _together(threads: Sequence[Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    app()
