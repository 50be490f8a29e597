"""What ``dataflix-train`` does, from the warehouse to the registry."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from types import FrameType
from typing import Any

import numpy as np
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from dataflix_clients import clickhouse
from dataflix_clients.mlflow import RECIPE_TAG, ROWS_TAG, SAMPLE_TAG, SCORES_TAG
from dataflix_contract import Settings
from dataflix_contract.faults import Fault, first_line
from dataflix_training.als import Factorise
from dataflix_training.experiment import run_experiment, why_not
from dataflix_training.film_features import Film, title_digests, with_films
from dataflix_training.fitting import ALS_STARS, SVD_STARS, Recipe
from dataflix_training.mlflow_run import Tracking, outcome
from dataflix_training.model_card import render
from dataflix_training.promotion_gate import Champion, decide, same_data, sample
from dataflix_training.ratings import Fingerprints, Ratings, in_order
from dataflix_training.tuning import Progress

log = structlog.get_logger()

_RATINGS = """
SELECT user_id, movie_id, toFloat32(rating) AS stars, toUnixTimestamp64Micro(rated_at) AS rated_at, version
FROM analytics.ratings
ORDER BY user_id, rated_at, movie_id
"""
#: The time limit: a fixed part, and a part for each million ratings. (On two cores, 25 million ratings take
#: 20 to 40 minutes, 100,000 half a minute.)
_SECONDS_ALLOWED, _SECONDS_OF_A_MILLION = 1200, 192
_INTRODUCTION = (
    "The card of the training `{}`: for whoever chooses which version of the recommender serves, or wants to"
    " know how far its stars and rankings can be trusted."
)
_FILMS = "SELECT movie_id, title, release_year, genres FROM analytics.movies"


@dataclass(frozen=True, slots=True)
class _Rival:
    """The model in service, as far as the new one competes with it.

    Attributes:
        recipe: how it was made; None: there is no rival, or its recipe cannot be made again.
        version: its number; 0: there is no rival.
        rows: how many ratings it was trained with.
        recorded: the scores of its own training.
        other_data: there is a champion, and it was trained with other data.
    """

    recipe: Recipe | None = None
    version: int = 0
    rows: int = 0
    recorded: Mapping[str, float] = field(default_factory=dict)
    other_data: bool = False


def train(settings: Settings, tracking: Tracking, run_id: str, progress: Progress) -> dict[str, Any]:
    """Train, judge, log and register; the same run id twice gives the first result again.

    It is no error if no model can be made of the ratings: the result then says why, as ``skipped``, and the
    champion stays the same.

    Raises:
        Fault: it could not be done; the message says what to do.
    """
    if earlier := tracking.result(run_id):
        return earlier
    started = time.monotonic()
    progress("reading ratings", 0.0)
    ratings = read_ratings(settings)
    if why := why_not(ratings):
        log.warning("no model is trained", why=why)
        return {"run_id": run_id, "rows": len(ratings), "skipped": why}
    with limited(seconds_allowed(len(ratings)), len(ratings)):
        return _train(settings, tracking, run_id, progress, ratings, started)


def seconds_allowed(rows: int) -> float:
    """How long a training of so many ratings may take: several times as long as it should."""
    return _SECONDS_ALLOWED + _SECONDS_OF_A_MILLION * rows / 1e6


@contextmanager
def limited(seconds: float, rows: int) -> Iterator[None]:
    """End the block if it takes longer than ``seconds``; for the main thread only.

    Raises:
        Fault: the time is up; the message says what to look at.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Fault(
            f"the training of {rows:,} ratings has taken {seconds / 60:.0f} minutes, several times as long as"
            " it should: see what else is running on the machine, and whether its memory is full; then train"
            " again"
        )

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _train(  # noqa: PLR0913, PLR0917 - what the training has found before
    settings: Settings,
    tracking: Tracking,
    run_id: str,
    progress: Progress,
    ratings: Ratings,
    started: float,
) -> dict[str, Any]:
    films = read_films(settings)
    fingerprints = ratings.fingerprints(title_digests(ratings, films))
    sampled = sample(fingerprints)
    with tracking.run(run_id) as mlflow_run:
        rival = _rival(tracking, fingerprints)
        del fingerprints  # they are as large as the ratings
        pin_svd = settings.stars_model == SVD_STARS
        if pin_svd or settings.trainer == "spark":
            rival = _with_stars(rival, SVD_STARS if pin_svd else ALS_STARS)
        with _factorising(settings) as factorise:
            experiment = run_experiment(
                ratings,
                rival.recipe if factorise else _without_als(rival.recipe),
                lambda text, share: progress(text, 0.05 + 0.8 * share),
                films,
                factorise,
                pin_svd=pin_svd,
            )
        experiment = replace(experiment, model=with_films(experiment.model, films))
        judged = experiment.judgements
        champion = None
        if rival.version:
            champion = Champion(rival.version, rival.rows, rival.recorded, experiment.champion)
        decision = decide(judged["dataflix"], len(ratings), judged, champion, other_data=rival.other_data)
        tell = log.warning if decision.fell else log.info
        tell("judged", alias=decision.alias, reasons=decision.reasons)
        progress("uploading", 0.85)
        titles = {movie_id: film[0] for movie_id, film in films.items()}
        tracking.record(mlflow_run, ratings, experiment, titles, _source(settings))
        card = render(
            experiment, ratings, "`analytics.ratings` in ClickHouse", decision, _INTRODUCTION.format(run_id)
        )
        tracking.record_card(mlflow_run, card)
        model_id = tracking.upload(mlflow_run, experiment.model)
        progress("registering", 0.97)
        seconds = time.monotonic() - started
        done = outcome(run_id, mlflow_run, model_id, ratings, experiment, decision, seconds)
        tracking.tag_outcome(mlflow_run, done, sampled)
        return tracking.register_and_finish(mlflow_run)


def read_ratings(settings: Settings) -> Ratings:
    """All ratings of the mart.

    Raises:
        Fault: ClickHouse cannot be asked, or the mart is not there.
    """
    with _reader(settings) as client:
        table = client.query_arrow(_RATINGS)
    column = {name: table[name].to_numpy() for name in table.column_names}
    return in_order(
        column["user_id"].astype(np.int64, copy=False),
        column["movie_id"].astype(np.int64, copy=False),
        column["stars"],
        column["rated_at"].astype(np.int64, copy=False),
        int(column["version"].max(initial=0)),
    )


def read_films(settings: Settings) -> dict[int, Film]:
    """Title, year and genres of every film, by id.

    Raises:
        Fault: ClickHouse cannot be asked, or the mart is not there.
    """
    with _reader(settings) as client:
        rows = client.query(_FILMS).result_rows
    return {int(movie_id): (str(title), year, tuple(genres)) for movie_id, title, year, genres in rows}


def _rival(tracking: Tracking, fingerprints: Mapping[str, Fingerprints]) -> _Rival:
    """What the new model competes with: the model in service, if it was trained with the same data.

    A champion from before samples were recorded counts as trained with the same data.
    """
    version = tracking.registry.champion()
    if version is None:
        return _Rival()
    tags = version.tags
    rows = int(tags.get(ROWS_TAG, 0))
    if SAMPLE_TAG in tags and not same_data(json.loads(tags[SAMPLE_TAG]), rows, fingerprints):
        log.info("the champion was trained with other data", version=version.number)
        return _Rival(other_data=True)
    recipe = None
    try:
        recipe = Recipe.from_json(tags[RECIPE_TAG])
    except (KeyError, ValueError) as error:
        # another program has registered it: only the scores that it recorded can be compared
        log.warning(
            "the champion has no recipe that can be made again", version=version.number, why=str(error)
        )
    return _Rival(recipe, version.number, rows, _recorded_scores(tags))


def _recorded_scores(tags: Mapping[str, str]) -> dict[str, float]:
    """The scores that a version's training found; older versions have only two of them."""
    if SCORES_TAG in tags:
        return {name: float(value) for name, value in json.loads(tags[SCORES_TAG]).items()}
    return {name: float(tags[name]) for name in ("rmse", "ndcg_at_10") if name in tags}


def _with_stars(rival: _Rival, stars: str) -> _Rival:
    """The rival as if its stars came from the model that the settings ask for.

    Where they ask for one, a champion whose stars come from another model and are better does not stay in
    service because of them.
    """
    if rival.recipe is None or rival.recipe.stars == stars:
        return rival
    recorded = {name: value for name, value in rival.recorded.items() if name not in {"rmse", "new_rmse"}}
    return replace(rival, recipe=replace(rival.recipe, stars=stars), recorded=recorded)


def _without_als(recipe: Recipe | None) -> Recipe | None:
    """The recipe, unless it needs Spark: then only the scores that the champion recorded are compared."""
    if recipe is None or recipe.stars != ALS_STARS:
        return recipe
    log.warning("the champion's stars need Spark: its recipe is not made again (DATAFLIX_TRAINER=numba)")
    return None


def _factorising(settings: Settings) -> AbstractContextManager[Factorise | None]:
    """The function that factorises residuals for ALS, if Spark is to train; Spark runs during the block.

    Raises:
        Fault: Spark is not installed, or cannot be started.
    """
    if settings.trainer != "spark":
        return nullcontext()
    if find_spec("pyspark") is None:
        raise Fault(
            "DATAFLIX_TRAINER=spark, and Spark is not installed: ./run.sh installs it or, in containers,"
            " builds the image with it; by hand, DATAFLIX_TRAINER=spark scripts/envs"
        )
    from dataflix_training.spark import spark  # noqa: PLC0415 - not installed unless asked for

    return spark(settings.spark_master, settings.spark_secret.get_secret_value())


def _source(settings: Settings) -> str:
    return f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}/?query=SELECT+*+FROM+analytics.ratings"


@contextmanager
def _reader(settings: Settings) -> Iterator[Client]:
    try:
        client = clickhouse.connect(settings, settings.clickhouse_reader)
        try:
            yield client
        finally:
            client.close()
    except ClickHouseError as error:
        if "UNKNOWN_TABLE" in str(error) or "UNKNOWN_DATABASE" in str(error):
            raise Fault("the marts are not there: let dbt build them (the DAG elt_pipeline does)") from error
        raise Fault(
            f"ClickHouse at {settings.clickhouse_address} cannot be read: {first_line(error)[:200]};"
            " is it running (dataflix-status)?"
        ) from error
