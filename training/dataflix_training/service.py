"""What ``dataflix-train`` does, from the warehouse to the registry."""

from __future__ import annotations

import time
from typing import Any

import structlog

from dataflix_contract import Settings
from dataflix_training.experiment import Progress, run_experiment
from dataflix_training.gate import Champion, decide
from dataflix_training.plots import top_movies
from dataflix_training.recipe import Recipe
from dataflix_training.registry import RECIPE_TAG, ROWS_TAG
from dataflix_training.tracking import Tracking, outcome
from dataflix_training.warehouse import read_ratings, read_titles

log = structlog.get_logger()


def train(settings: Settings, tracking: Tracking, run_id: str, progress: Progress) -> dict[str, Any]:
    """Train, judge, log and register; the same run id twice gives the first result again.

    Raises:
        Fault: it could not be done; the message says what to do.
    """
    if earlier := tracking.result(run_id):
        return earlier
    started = time.monotonic()
    with tracking.run(run_id) as mlflow_run:
        progress("reading ratings", 0.0)
        ratings = read_ratings(settings)
        recipe, rows = _champion(tracking)
        experiment = run_experiment(ratings, recipe, lambda text, share: progress(text, 0.05 + 0.8 * share))
        scores = experiment.scores
        champion = Champion(rows, experiment.champion) if experiment.champion else None
        decision = decide(
            scores["dataflix"], len(ratings), scores["popularity"], scores["global_mean"], champion
        )
        log.info("judged", alias=decision.alias, reasons=decision.reasons)
        progress("uploading", 0.85)
        titles = read_titles(settings, top_movies(experiment))
        tracking.record(mlflow_run, ratings, experiment, titles, _source(settings))
        model_id = tracking.upload(mlflow_run, experiment.model)
        progress("registering", 0.97)
        seconds = time.monotonic() - started
        tracking.settle(
            mlflow_run, outcome(run_id, mlflow_run, model_id, ratings, experiment, decision, seconds)
        )
        return tracking.conclude(mlflow_run)


def _champion(tracking: Tracking) -> tuple[Recipe | None, int]:
    """The recipe of the model in service, and how many ratings it was trained with."""
    version = tracking.registry.champion()
    if version is None:
        return None, 0
    try:
        return Recipe.from_json(version.tags[RECIPE_TAG]), int(version.tags[ROWS_TAG])
    except (KeyError, ValueError) as error:
        # one that another program has registered, or an older one of ours: nothing to compare with
        log.warning(
            "the champion has no recipe that can be made again", version=version.version, why=str(error)
        )
        return None, 0


def _source(settings: Settings) -> str:
    return f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}/?query=SELECT+*+FROM+analytics.ratings"
