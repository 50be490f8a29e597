"""Fitting the SVD beside Surprise's own, and the whole training task, on made-up ratings of MovieLens' shape.

People and films grow with the ratings as they do from ML-1M to ML-25M: 25 million are of 160,000 people and
58,000 films.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
import surprise
import typer
from threadpoolctl import threadpool_limits

from dataflix_backend.recommendations.recommend import NEW_EVERY
from dataflix_contract.schema import LEAST_STARS, MOST_STARS
from dataflix_recommender import Model, fold_in, predict_stars, rank, reasons, stars_deviation, votes
from dataflix_training.experiment import run_experiment
from dataflix_training.film_features import Film
from dataflix_training.fitting import Recipe
from dataflix_training.ratings import Ratings
from dataflix_training.svd import SVD, ArrayTrainset
from figures import report
from support.ratings import synthetic_ratings

_COLUMNS = ("user_ids", "movie_ids", "stars", "rated_at")
_OPTIONS: dict[str, Any] = {"n_factors": 100, "n_epochs": 20, "random_state": 0}
_THREADS = 2
_PEOPLE_OF_A_MILLION, _FILMS_OF_A_MILLION, _FILMS_GROW = 6400, 3706, 0.854
_GENRES = 18

T = TypeVar("T")


def main(
    rows: Annotated[int, typer.Option(help="Ratings.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="Fits of each kind, in turn; the medians are compared.")] = 3,
    task: Annotated[bool, typer.Option(help="The whole task too.")] = True,
    fits: Annotated[bool, typer.Option(help="The fits beside Surprise's too.")] = True,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train as ``dataflix-train`` does beside a champion, without its servers; then fit in turn."""
    with TemporaryDirectory() as folder:
        made = Process(target=_make, args=(rows, Path(folder)))
        made.start()  # apart, so that the peak of memory is not theirs
        made.join()
        users, movies, stars, moments = (np.load(Path(folder, f"{name}.npy")) for name in _COLUMNS)
        ratings = Ratings(users, movies, stars, moments, 1)
    if task:  # first: the peak of memory is then this one's
        with threadpool_limits(_THREADS):
            figures, model = _whole_task(ratings)
        with threadpool_limits(1):  # as a web server runs it: several processes, one thread each
            figures |= _serving(model)
        report("the whole task", figures, as_json=as_json)
    if not fits:
        return
    for order, rows_in_order in (
        ("time", np.argsort(ratings.rated_at, kind="stable")),
        ("user", np.arange(len(ratings))),
    ):
        report(
            f"fit, CPU seconds, ratings by {order}", _fits(ratings[rows_in_order], rounds), as_json=as_json
        )


def _fits(ratings: Ratings, rounds: int) -> dict[str, float]:
    """Each its own trainset, as its own library makes it; Surprise's also ours.

    The order of the rows decides how a Surprise trainset lies in memory, and so how fast Surprise is.
    """
    frame = pd.DataFrame({"user": ratings.user_ids, "item": ratings.movie_ids, "rating": ratings.stars})
    dataset = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=(LEAST_STARS, MOST_STARS)))
    theirs, build_theirs = _timed(dataset.build_full_trainset)
    ours, build_ours = _timed(lambda: ArrayTrainset(ratings.user_ids, ratings.movie_ids, ratings.stars))
    trainsets = {"surprise": theirs, "surprise, our trainset": ours, "exact": ours, "fast": ours}
    kinds: dict[str, Callable[[], Any]] = {
        "surprise": lambda: surprise.SVD(**_OPTIONS),
        "surprise, our trainset": lambda: surprise.SVD(**_OPTIONS),
        "exact": lambda: SVD(**_OPTIONS),
        "fast": lambda: SVD(fast=True, **_OPTIONS),
    }
    _, compiling = _timed(_compile)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    fitted = {}
    for _ in range(rounds):
        for kind, make in kinds.items():
            fitted[kind], took = _timed(partial(make().fit, trainsets[kind]))
            seconds[kind].append(took)
    median = {kind: float(np.median(values)) for kind, values in seconds.items()}
    names = ("bu", "bi", "pu", "qi")
    equal = all(np.array_equal(getattr(fitted["exact"], n), getattr(fitted["surprise"], n)) for n in names)
    off = max(np.abs(getattr(fitted["fast"], n) - getattr(fitted["surprise"], n)).max() for n in names)
    return {
        "ratings": float(ours.n_ratings),
        **{f"{kind} s": value for kind, value in median.items()},
        "exact: times faster": median["surprise"] / median["exact"],
        "fast: times faster": median["surprise"] / median["fast"],
        "exact, least of the rounds": min(
            s / e for s, e in zip(seconds["surprise"], seconds["exact"], strict=True)
        ),
        "fast, least of the rounds": min(
            s / f for s, f in zip(seconds["surprise"], seconds["fast"], strict=True)
        ),
        "exact is bit-identical": float(equal),
        "fast, largest difference e-9": float(off) * 1e9,
        "compiling or loading s": compiling,
        "trainset, surprise s": build_theirs,
        "trainset, ours s": build_ours,
    }


def _compile() -> None:
    """Have Numba compile both modes, or read what an earlier process compiled."""
    one = np.asarray([1])
    for fast in (False, True):
        SVD(fast=fast, n_epochs=1).fit(ArrayTrainset(one, one, np.asarray([3.0])))


def _whole_task(ratings: Ratings) -> tuple[dict[str, float], Model]:
    champion = Recipe(penalty=0.06, ranker_penalty=500.0)  # not in the grid: everything is fitted for it too
    wall, cpu = time.perf_counter(), time.process_time()
    films = _films(int(ratings.movie_ids.max()))
    seconds = time.perf_counter()

    def tell(stage: str, share: float) -> None:
        sys.stderr.write(f"{time.perf_counter() - seconds:7.1f} s {share:4.0%} {stage}\n")

    experiment = run_experiment(ratings, champion, tell, films)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scores = {
        f"{name} {metric}": value
        for name, each in experiment.scores.items()
        for metric, value in each.known().items()
        if metric in {"rmse", "ndcg_at_10"}
    }
    figures = {
        "ratings": float(len(ratings)),
        "wall s": wall,
        "CPU s": cpu,
        **{name: float(value) for name, value in experiment.parts.items()},
        "peak memory MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        **scores,
    }
    return figures, experiment.model


def _make(rows: int, folder: Path) -> None:
    """Leave made-up ratings in a folder, a file for each column."""
    millions = rows / 1e6
    people = round(_PEOPLE_OF_A_MILLION * millions)
    ratings = synthetic_ratings(people, round(_FILMS_OF_A_MILLION * millions**_FILMS_GROW), rows)
    for name in _COLUMNS:
        np.save(folder / f"{name}.npy", getattr(ratings, name))


def _films(count: int) -> dict[int, Film]:
    """A catalogue for the ratings: one film in fifty more has none."""
    return {
        one: (f"Film {one}", 1950 + one % 70, (f"Genre {one % _GENRES}",))
        for one in range(1, count + 1 + count // 50)
    }


def _serving(model: Model, times: int = 200) -> dict[str, float]:
    """Milliseconds of a reply's arithmetic for somebody new who has rated 50 films, and 1,000."""
    popular = np.argsort(-model.rating_counts)
    found = {"films": float(len(model.item_ids))}
    for count in (50, 1000):
        # every other one of the most rated films
        rated = np.sort(model.item_ids[popular[: 2 * count : 2]])
        stars = np.resize([5.0, 3.0, 4.0, 2.5], len(rated))
        milliseconds = []
        for _ in range(times):
            start = time.perf_counter()
            profile = model.profile_from_ratings(0, rated, stars)
            given = votes(model, profile)
            best = rank(model, profile, exclude=rated, given=given, new_every=NEW_EVERY)
            taste = fold_in(model, profile)
            predict_stars(model, taste, best.item_ids)
            stars_deviation(model, taste, best.item_ids)
            reasons(model, profile, best.item_ids, given)
            milliseconds.append(1e3 * (time.perf_counter() - start))
        found[f"a reply from {count} ratings, median ms"] = float(np.median(milliseconds))
    return found


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the CPU seconds that it took."""
    start = time.process_time()
    made = work()
    return made, time.process_time() - start


if __name__ == "__main__":
    typer.run(main)
