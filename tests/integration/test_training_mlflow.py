"""Trainings against the stack's ClickHouse, MLflow and S3: registered once, gated, killed, rolled back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from dataflix_clients.mlflow import RUN_TAG
from dataflix_contract import Settings
from dataflix_contract.schema import MODEL
from dataflix_training.mlflow_run import OUTCOME_TAG, RESULT_TAG, Tracking
from dataflix_training.model_card import CARD_FILE
from support.stack import ROOT, Stack
from support.training import build_marts, train

READ_BACK = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
rows = pd.DataFrame({"user_id": [1, 1, 10**9], "movie_id": [1, 10**9, 1]})
print(json.dumps(model.predict(rows).tolist()))
"""


#: A training that any test here may ask for: it is done once, and its result is given again afterwards.
FIRST = "test-first"


@pytest.fixture(autouse=True)
def marts(settings: Settings, warehouse: Client) -> None:
    """The marts that training reads."""
    build_marts(settings, warehouse)


@pytest.fixture
def first(stack: Stack, tracking: Tracking) -> dict[str, Any]:
    """A finished training; the same one for every test that asks.

    There is no champion to compare it with: the ratings may not be those that an earlier one was trained
    with, because other tests change ratings, and the gate would refuse the new model.
    """
    if "champion" in tracking.registry.aliases() and not versions(tracking.client, FIRST):
        tracking.client.delete_registered_model_alias(MODEL, "champion")
    return train(stack, FIRST)


def versions(client: MlflowClient, run_id: str) -> list[int]:
    """The versions that a pipeline run has registered."""
    found = client.search_model_versions(f"name='{MODEL}'")
    return [int(one.version) for one in found if one.tags.get(RUN_TAG) == run_id]


def register_again(client: MlflowClient, result: dict[str, Any]) -> int:
    """Register a training's model once more, without the tags that a training writes."""
    model_id = result["model_id"]
    return int(client.create_model_version(MODEL, f"models:/{model_id}", model_id=model_id).version)


def description(client: MlflowClient, result: dict[str, Any]) -> str:
    """What the registry says about the version that a training has registered."""
    return str(client.get_model_version(MODEL, str(result["model_version"])).description)


def test_a_training_is_recorded_and_registered_once(
    stack: Stack, tracking: Tracking, warehouse: Client, first: dict[str, Any], tmp_path: Path
) -> None:
    rows, newest = warehouse.query("SELECT count(), max(version) FROM analytics.ratings").result_rows[0]
    assert (first["rows"], first["max_version"]) == (rows, newest)
    assert first["alias"] == "champion", first["reasons"]
    assert first["ndcg_at_10"] > first["baselines"]["popularity"]["ndcg_at_10"]
    assert first["rmse"] < first["baselines"]["global_mean"]["rmse"]
    assert train(stack, FIRST) == first
    assert versions(tracking.client, FIRST) == [first["model_version"]]

    run = tracking.client.get_run(first["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["rows"] == str(rows)
    assert run.data.params["data_sha256"] == first["data_sha256"]
    assert run.data.metrics["rmse"] == first["rmse"]
    assert run.inputs
    assert run.inputs.dataset_inputs[0].dataset.name == "analytics.ratings"
    curve = tracking.client.get_metric_history(first["mlflow_run_id"], "curve.validation_rmse")
    assert [point.step for point in curve] == list(range(1, len(curve) + 1))
    plots = {one.path for one in tracking.client.list_artifacts(first["mlflow_run_id"], "plots")}
    assert plots == {
        f"plots/{name}.png" for name in ("learning_curve", "error_by_rating_count", "top_movies")
    }

    card = tracking.client.download_artifacts(first["mlflow_run_id"], CARD_FILE, str(tmp_path))
    text = Path(card).read_text(encoding="utf-8")
    assert f"`{first['data_sha256']}`" in text
    assert f"{first['rmse']:.3f} ± {first['rmse_error']:.3f}" in text
    assert first["mlflow_run_id"] in description(tracking.client, first)


def test_the_registered_model_works_in_a_process_that_knows_nothing_of_us(
    settings: Settings, tracking: Tracking, first: dict[str, Any], tmp_path: Any
) -> None:
    uri = f"models:/{MODEL}/{first['model_version']}"
    python = ROOT / ".dataflix/envs/batch/bin/python"
    done = subprocess.run(
        [str(python), "-c", READ_BACK, settings.mlflow_url, uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    stars = json.loads(done.stdout.splitlines()[-1])
    assert all(0.5 <= one <= 5 for one in stars)
    downloaded = download_artifacts(uri, dst_path=str(tmp_path))
    names = [name for _, _, files in os.walk(downloaded) for name in files]
    assert "model.npz" in names
    assert "input_example.json" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert tracking.client.get_model_version(MODEL, str(first["model_version"])).run_id


def test_a_retry_finishes_what_was_killed_between_registration_and_alias(
    stack: Stack, tracking: Tracking, first: dict[str, Any]
) -> None:
    client, run = tracking.client, first["mlflow_run_id"]
    client.delete_tag(run, RESULT_TAG)
    client.update_run(run, status="RUNNING")
    client.delete_registered_model_alias(MODEL, "champion")
    described = description(client, first)
    client.update_model_version(MODEL, str(first["model_version"]), "")
    again = train(stack, FIRST)
    assert again == first
    assert description(client, first) == described
    assert tracking.registry.aliases()["champion"] == first["model_version"]
    assert client.get_run(run).info.status == "FINISHED"
    assert versions(client, FIRST) == [first["model_version"]]


def test_a_later_champion_is_not_displaced_by_an_older_outcome(
    stack: Stack, tracking: Tracking, first: dict[str, Any]
) -> None:
    second = train(stack, "test-second")
    assert second["alias"] == "champion", second["reasons"]
    tracking.client.delete_tag(first["mlflow_run_id"], RESULT_TAG)
    tracking.client.update_run(first["mlflow_run_id"], status="RUNNING")
    assert train(stack, FIRST)["alias"] == "challenger"
    assert tracking.registry.aliases()["champion"] == second["model_version"]


def test_rollback_is_one_command_and_promotion_another(
    stack: Stack, tracking: Tracking, first: dict[str, Any]
) -> None:
    second = train(stack, "test-second")
    stack.run("bin/dataflix-model", "promote", str(first["model_version"]))
    stack.run("bin/dataflix-model", "promote", str(second["model_version"]))
    assert tracking.registry.aliases()["previous-champion"] == first["model_version"]
    rolled = json.loads(stack.run("bin/dataflix-model", "rollback", "--json").stdout)
    assert rolled["champion"] == tracking.registry.aliases()["champion"] == first["model_version"]
    listed = [
        json.loads(line) for line in stack.run("bin/dataflix-model", "list", "--json").stdout.splitlines()
    ]
    assert next(one for one in listed if "champion" in one["aliases"])["version"] == first["model_version"]
    table = stack.run("bin/dataflix-model", "list").stdout
    assert "champion" in table
    refused = stack.run("bin/dataflix-model", "promote", "999", check=False)
    assert refused.returncode == 1
    assert "there is no version 999" in refused.stderr


def test_a_rollback_goes_back_one_version_after_another_until_none_is_left(
    stack: Stack, tracking: Tracking, first: dict[str, Any]
) -> None:
    made = [register_again(tracking.client, first) for _ in range(3)]
    oldest, old, new = map(str, made)
    before = tracking.registry.aliases()["champion"]
    try:
        tracking.client.delete_registered_model_alias(MODEL, "champion")
        refused = stack.run("bin/dataflix-model", "rollback", check=False)
        assert "there is no champion: nothing to roll back" in refused.stderr
        for version in (oldest, old, new):
            assert (
                f"champion: version {version}" in stack.run("bin/dataflix-model", "promote", version).stdout
            )
        tracking.client.delete_model_version(MODEL, oldest)
        back = stack.run("bin/dataflix-model", "rollback", "--json").stdout
        # the one before it was deleted: nothing is named as the previous champion
        assert json.loads(back) == tracking.registry.aliases()
        assert tracking.registry.aliases()["champion"] == made[1]
        assert "previous-champion" not in tracking.registry.aliases()
        refused = stack.run("bin/dataflix-model", "rollback", check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"there is no version {oldest}: dataflix-model list shows them" in refused.stderr
        assert tracking.registry.aliases()["champion"] == made[1]
    finally:
        tracking.registry.promote(before)
        for version in (old, new):
            tracking.client.delete_model_version(MODEL, version)


def test_a_version_that_no_training_has_registered_is_listed_too(
    stack: Stack, tracking: Tracking, first: dict[str, Any]
) -> None:
    untagged = register_again(tracking.client, first)
    try:
        lines = stack.run("bin/dataflix-model", "list", "--json").stdout.splitlines()
        newest, *_ = (json.loads(line, parse_constant=pytest.fail) for line in lines)
        assert stack.run("bin/dataflix-model", "list").stdout
    finally:
        tracking.client.delete_model_version(MODEL, str(untagged))
    assert newest.pop("created_at")
    assert newest == {
        "version": untagged,
        "aliases": [],
        "run_id": "",
        "mlflow_run_id": first["mlflow_run_id"],
        "rows": None,
        "rmse": None,
        "ndcg_at_10": None,
    }


@pytest.fixture
def halfway(stack: Stack) -> Iterator["subprocess.Popen[str]"]:
    """A training that has begun to upload."""
    process = subprocess.Popen(
        ["bin/dataflix-train", "--run-id", f"test-halfway-{time.time_ns()}", "--json"],
        cwd=ROOT,
        env=os.environ | {"DATAFLIX_ENV_FILE": str(stack.env_file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "uploading" in line:
            break
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("ended", [("SIGKILL", -9, "RUNNING"), ("SIGTERM", 143, "KILLED")])
def test_a_training_killed_halfway_is_done_again_and_registered_once(
    stack: Stack, tracking: Tracking, halfway: "subprocess.Popen[str]", ended: tuple[str, int, str]
) -> None:
    sent, code, status = ended
    run_id = str(halfway.args[2])  # type: ignore[index]
    before = tracking.registry.aliases()
    halfway.send_signal(getattr(signal, sent))
    assert halfway.wait(60) == code
    experiment = tracking.client.get_experiment_by_name("dataflix")
    assert experiment
    runs = tracking.client.search_runs([experiment.experiment_id], f"tags.`{RUN_TAG}` = '{run_id}'")
    assert [run.info.status for run in runs] == [status]
    assert tracking.registry.aliases() == before
    result = train(stack, run_id)
    assert versions(tracking.client, run_id) == [result["model_version"]]
    assert OUTCOME_TAG not in tracking.client.get_run(runs[0].info.run_id).data.tags
    assert tracking.client.get_run(runs[0].info.run_id).info.status in {"FAILED", "KILLED"}


def test_what_cannot_be_done_is_said_with_advice(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLIX_MLFLOW_PORT", "1")
    for command in (
        ("bin/dataflix-train",),
        ("bin/dataflix-model", "list"),
        ("bin/dataflix-model", "rollback"),
    ):
        away = stack.run(*command, check=False, timeout=60)
        assert (away.returncode, away.stdout) == (1, "")
        assert "cannot use MLflow at http://127.0.0.1:1: Connection refused" in away.stderr
        assert "run.sh" in away.stderr
    monkeypatch.delenv("DATAFLIX_MLFLOW_PORT")
    monkeypatch.setenv("DATAFLIX_CLICKHOUSE_HTTP_PORT", "1")
    away = stack.run("bin/dataflix-train", "--run-id", "test-away", check=False, timeout=120)
    assert away.returncode == 1
    assert "ClickHouse at" in away.stderr
    refused = stack.run("bin/dataflix-model", "promote", str(2**31), check=False)
    assert refused.returncode == 2
    refused = stack.run("bin/dataflix-train", "--run-id", "it's", check=False)
    assert refused.returncode == 1
    assert "a run id consists of" in refused.stderr
    assert sys.executable not in refused.stderr
