"""Record a training in MLflow: its run, its model and its registration, safe to kill and to repeat.

The order of the steps makes it safe. The run's figures and its model are written first; the model is read
back and compared; only then is the run tagged with its outcome. After that nothing is computed any more:
the model is registered, the alias moved, the result tagged, and the run finished. A retry finds the run by
its tag, and either goes on from the outcome, or marks the run as failed and begins anew.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import structlog
from mlflow import MlflowClient
from mlflow.data.dataset import Dataset
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

import dataflix_recommender
from dataflix_clients.mlflow import (
    MODEL_DIGEST_TAG,
    RECIPE_TAG,
    ROWS_TAG,
    RUN_TAG,
    SAMPLE_TAG,
    SCORES_TAG,
    Registry,
)
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import CHALLENGER, CHAMPION, MODEL
from dataflix_recommender import MODEL_FILE, MODEL_PATH, Model, ModelError, digest, load, save
from dataflix_training.experiment import Experiment
from dataflix_training.model_card import CARD_FILE, summary
from dataflix_training.plots import draw
from dataflix_training.promotion_gate import Alias, Decision
from dataflix_training.ratings import Ratings
from dataflix_training.scores import Scores

log = structlog.get_logger()

EXPERIMENT = "dataflix"
OUTCOME_TAG, RESULT_TAG = "dataflix.outcome", "dataflix.result"

_SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("long", "user_id"), ColSpec("long", "movie_id")]),
    outputs=Schema([ColSpec("double")]),
)


class Tracking:
    """The runs of MLflow's server, and its registry of models."""

    def __init__(self, settings: Settings) -> None:
        url = settings.mlflow_url
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        self.client = MlflowClient(url, url)
        self.registry = Registry(settings)

    def result(self, run_id: str) -> dict[str, Any] | None:
        """The result of an earlier call with this pipeline run's id, after finishing what it left to do.

        Runs that were left without an outcome are marked as failed.
        """
        for run in self._runs(run_id):
            tags = run.data.tags
            if run.info.status == "FINISHED" and RESULT_TAG in tags:
                return _parsed(tags[RESULT_TAG])
            if run.info.status == "RUNNING" and OUTCOME_TAG in tags:
                log.info("going on from the outcome of an earlier attempt", mlflow_run=run.info.run_id)
                return self.register_and_finish(run.info.run_id)
            if run.info.status == "RUNNING":
                log.info("an earlier attempt came to no outcome", mlflow_run=run.info.run_id)
                self.client.set_terminated(run.info.run_id, "FAILED")
        return None

    @contextlib.contextmanager
    def run(self, run_id: str) -> Iterator[str]:
        """A new run for the pipeline run; ends as KILLED or FAILED unless it was concluded."""
        tags = {RUN_TAG: run_id, "mlflow.runName": run_id, "mlflow.source.name": "dataflix-train"}
        mlflow_run = self.client.create_run(self._experiment(), tags=tags).info.run_id
        try:
            yield mlflow_run
        except Exception:
            self._end(mlflow_run, "FAILED")
            raise
        except BaseException:
            self._end(mlflow_run, "KILLED")
            raise

    def record(
        self,
        mlflow_run: str,
        ratings: Ratings,
        experiment: Experiment,
        titles: Mapping[int, str],
        source: str,
    ) -> None:
        """Write parameters, metrics, lineage and pictures.

        Args:
            mlflow_run: the run to write to.
            ratings: all that were read.
            experiment: what came of them.
            titles: of the films in the pictures.
            source: where the ratings were read.
        """
        sha256 = ratings.digest()
        params = asdict(experiment.recipe) | {
            "rows": len(ratings),
            "max_version": ratings.max_version,
            "data_sha256": sha256,
        }
        self.client.log_batch(
            mlflow_run, _metrics(experiment), [Param(key, str(value)) for key, value in params.items()]
        )
        with self._active(mlflow_run), tempfile.TemporaryDirectory() as folder:
            # MLflow takes digests of 36 characters
            mlflow.log_input(_dataset(source, sha256[:36]), context="training")
            draw(experiment, titles, Path(folder))
            mlflow.log_artifacts(folder, "plots")

    def record_card(self, mlflow_run: str, card: str) -> None:
        """Write the model's card, as Markdown."""
        self.client.log_text(mlflow_run, card, CARD_FILE)

    def upload(self, mlflow_run: str, model: Model) -> str:
        """Upload the model, read it back, compare, and return MLflow's id of it.

        Raises:
            Fault: what was read back is not what was sent.
        """
        example = pd.DataFrame({"user_id": model.user_ids[:3], "movie_id": model.item_ids[:3]})
        with self._active(mlflow_run), tempfile.TemporaryDirectory() as folder:
            sha256 = save(model, Path(folder, MODEL_FILE))
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="dataflix_recommender.storage",
                data_path=str(Path(folder, MODEL_FILE)),
                code_paths=[str(Path(dataflix_recommender.__file__).parent)],
                signature=_SIGNATURE,
                input_example=example,
                pip_requirements=[
                    f"{name}=={version(name)}" for name in ("mlflow-skinny", "numpy", "pandas")
                ],
            )
        self._verify(str(logged.model_id), sha256)
        return str(logged.model_id)

    def tag_outcome(
        self,
        mlflow_run: str,
        outcome: Mapping[str, Any],
        sample: Mapping[str, Sequence[int]],
    ) -> None:
        """Tag the run with its outcome: whatever happens from here on, a retry goes on from it.

        Args:
            mlflow_run: the run.
            outcome: of :func:`outcome`.
            sample: a sample of the ratings, by which later trainings see whether they have the same data.
        """
        self.client.set_tag(mlflow_run, SAMPLE_TAG, json.dumps(sample))
        self.client.set_tag(mlflow_run, OUTCOME_TAG, json.dumps(outcome))

    def register_and_finish(self, mlflow_run: str) -> dict[str, Any]:
        """Register the model of a settled run, move the alias, finish. Repeating this changes nothing more.

        Raises:
            Fault: another attempt has taken over the pipeline run.
        """
        run = self.client.get_run(mlflow_run)
        if run.info.status != "RUNNING":
            raise Fault("another attempt of the same run id has taken over: let it finish")
        outcome = _parsed(run.data.tags[OUTCOME_TAG])
        registered = self.registry.of_run(outcome["run_id"]) or self._register(outcome, run.data.tags)
        self.registry.describe(registered, summary(outcome))
        alias = self._place(registered, outcome["alias"])
        result = outcome | {"model_version": registered, "alias": alias}
        self.client.set_tag(mlflow_run, RESULT_TAG, json.dumps(result))
        self.client.set_terminated(mlflow_run, "FINISHED")
        return result

    def _register(self, outcome: Mapping[str, Any], run_tags: Mapping[str, str]) -> int:
        tags = {name: value for name, value in run_tags.items() if name == SAMPLE_TAG} | {
            RUN_TAG: outcome["run_id"],
            RECIPE_TAG: outcome["recipe"],
            ROWS_TAG: str(outcome["rows"]),
            MODEL_DIGEST_TAG: outcome["model_sha256"],
            SCORES_TAG: json.dumps({name: outcome[name] for name in Scores.names() if name in outcome}),
            "rmse": str(outcome["rmse"]),
            "ndcg_at_10": str(outcome["ndcg_at_10"]),
        }
        with contextlib.redirect_stdout(sys.stderr):
            made = mlflow.register_model(f"models:/{outcome['model_id']}", MODEL, tags=tags)
        return int(made.version)

    def _place(self, registered: int, wanted: Alias) -> Alias:
        """Give the version its alias; a newer champion stays where it is."""
        champion = self.registry.aliases().get(CHAMPION, 0)
        if wanted == CHAMPION and champion <= registered:
            self.registry.promote(registered)
            return CHAMPION
        self.registry.challenge(registered)
        return CHALLENGER

    def _verify(self, model_id: str, sha256: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fetched = mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=folder)
            try:
                found = digest(load(Path(fetched, MODEL_PATH)))
            except (ModelError, FileNotFoundError) as error:
                raise Fault(f"the model did not arrive whole in MLflow's store: {error}") from error
        if found != sha256:
            raise Fault("the model in MLflow's store is not the one that was sent: train again")

    def _runs(self, run_id: str) -> list[Run]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return []
        return list(self.client.search_runs([experiment.experiment_id], f"tags.`{RUN_TAG}` = '{run_id}'"))

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id if found else self.client.create_experiment(EXPERIMENT))

    @contextlib.contextmanager
    def _active(self, mlflow_run: str) -> Iterator[None]:
        """Make a run the one that MLflow's module functions write to, without ending it."""
        # MLflow prints links; standard output is for results
        with contextlib.redirect_stdout(sys.stderr):
            mlflow.start_run(run_id=mlflow_run)
            try:
                yield
            finally:
                mlflow.end_run("RUNNING")

    def _end(self, mlflow_run: str, status: str) -> None:
        """Mark a run as ended, unless it has an outcome to go on from."""
        try:
            if OUTCOME_TAG not in self.client.get_run(mlflow_run).data.tags:
                self.client.set_terminated(mlflow_run, status)
        except MlflowException:
            log.warning("MLflow could not be told that the run ended; a retry will", mlflow_run=mlflow_run)


def outcome(  # noqa: PLR0913, PLR0917 - it gathers them
    run_id: str,
    mlflow_run: str,
    model_id: str,
    ratings: Ratings,
    experiment: Experiment,
    decision: Decision,
    seconds: float,
) -> dict[str, Any]:
    """The outcome of a training as JSON: its figures, and the run and the model in MLflow."""
    scores = {name: score.known() for name, score in experiment.scores.items()}
    own = scores.pop("dataflix")
    if experiment.champion:
        scores["champion_recipe"] = experiment.champion.scores.known()
    return {
        "run_id": run_id,
        "mlflow_run_id": mlflow_run,
        "model_id": model_id,
        "model_sha256": digest(experiment.model),
        "alias": decision.alias,
        "reasons": list(decision.reasons),
        "fell": decision.fell,
        **own,
        "rows": len(ratings),
        "max_version": ratings.max_version,
        "data_sha256": ratings.digest(),
        "recipe": experiment.recipe.to_json(),
        "seconds": round(seconds, 1),
        "baselines": scores,
        "new_people": {
            name: judged.by_count for name, judged in experiment.judgements.items() if judged.by_count
        },
    }


def _metrics(experiment: Experiment) -> list[Metric]:
    chosen = experiment.tuning.curves[0]
    rows = [
        *((key, value, 0) for key, value in experiment.scores["dataflix"].known().items()),
        *(
            (f"{name}.{key}", value, 0)
            for name, scores in experiment.scores.items()
            if name != "dataflix"
            for key, value in scores.known().items()
        ),
        *((key, float(value), 0) for key, value in experiment.parts.items()),
        *(("curve.validation_rmse", value, epoch) for epoch, value in enumerate(chosen.validation, 1)),
        *(("curve.training_rmse", value, epoch) for epoch, value in enumerate(chosen.training, 1)),
    ]
    if experiment.champion:
        champion = experiment.champion.scores.known()
        rows += [(f"champion_recipe.{key}", value, 0) for key, value in champion.items()]
    for name, judged in experiment.judgements.items():
        rows += [(f"{name}.new_people.ndcg_at_10", value, count) for count, value in judged.by_count.items()]
    now = int(1000 * time.time())
    return [Metric(key, value, now, step) for key, value, step in rows]


def _dataset(source: str, digest: str) -> Dataset:
    # MLflow's types claim that the one is abstract, and the other has none
    dataset: Any = MetaDataset
    origin: Any = HTTPDatasetSource
    made: Dataset = dataset(origin(source), "analytics.ratings", digest)
    return made


def _parsed(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed
