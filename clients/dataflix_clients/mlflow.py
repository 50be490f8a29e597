"""MLflow: ask its registry over REST which version is the champion, and fetch the files of a version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from dataflix_clients.http_client import http, open_client, parsed
from dataflix_contract import Settings
from dataflix_contract.schema import CHAMPION, MODEL

_SECONDS = 20
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
#: What MLflow says where no such model was ever registered, and where the model has no such alias.
_NOT_NAMED = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version of the model.

    Attributes:
        number: counted from 1.
        run_id: the MLflow run that made it.
        status: ``READY`` when it is complete.
        tags: what training noted about it.
        created_at: when it was registered.
    """

    number: int
    run_id: str
    status: str
    tags: dict[str, str]
    created_at: datetime


def open_registry(settings: Settings, seconds: float = _SECONDS) -> httpx.Client:
    """A connection to MLflow; each answer may take ``seconds``."""
    return open_client(settings.mlflow_url, seconds)


def check(settings: Settings) -> None:
    """Check that MLflow answers from its database.

    Raises:
        httpx.HTTPError: it does not.
    """
    experiments = f"{settings.mlflow_url}/api/2.0/mlflow/experiments/search"
    http.post(experiments, json={"max_results": 1}).raise_for_status()


def version_of(settings: Settings, alias: str = CHAMPION, seconds: float = _SECONDS) -> Version | None:
    """The version that an alias stands for; None: no version has it yet.

    Raises:
        httpx.HTTPError: MLflow is away or refuses.
        LookupError: another server answers.
    """
    with open_registry(settings, seconds) as client:
        return version_with_alias(client, alias)


def version_with_alias(client: httpx.Client, alias: str = CHAMPION) -> Version | None:
    """The version that an alias stands for, asked over an open connection; see :func:`version_of`."""
    answer = client.get("/api/2.0/mlflow/registered-models/alias", params={"name": MODEL, "alias": alias})
    if answer.is_client_error and parsed(answer).get("error_code") in _NOT_NAMED:
        return None
    return read_version(parsed(answer.raise_for_status())["model_version"])


def read_version(found: dict[str, Any]) -> Version:
    """Understand what MLflow's REST API says of a version."""
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    created_at = datetime.fromtimestamp(int(found["creation_timestamp"]) / 1000, UTC)
    return Version(int(found["version"]), found["run_id"], found["status"], tags, created_at)


def artefacts(settings: Settings, version: Version) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file of a version, through MLflow from the S3 store.

    Raises:
        httpx.HTTPError: MLflow or its store is away.
    """
    with open_registry(settings) as client:
        root = _root(client, version)
        for path in _files(client, root):
            content = client.get(f"{_FILES}/{path}").raise_for_status().content
            yield path.removeprefix(f"{root}/"), content


def fetch(client: httpx.Client, version: Version, path: str, target: Path, seconds: float) -> None:
    """Write one file of a version to the disk as it arrives; each part may take ``seconds``.

    Raises:
        httpx.HTTPError: MLflow or its store is away.
    """
    url = f"{_FILES}/{_root(client, version)}/{path}"
    with client.stream("GET", url, timeout=seconds) as answer, target.open("wb") as file:
        for part in answer.raise_for_status().iter_bytes():
            file.write(part)


def _root(client: httpx.Client, version: Version) -> str:
    """The folder of a version's files in MLflow's store."""
    answer = client.get(
        "/api/2.0/mlflow/model-versions/get-download-uri",
        params={"name": MODEL, "version": version.number},
    ).raise_for_status()
    return str(answer.json()["artifact_uri"]).partition(":")[2].lstrip("/")


def _files(client: httpx.Client, folder: str) -> Iterator[str]:
    listed = client.get(_FILES, params={"path": folder}).raise_for_status().json()
    for entry in listed["files"]:
        path = f"{folder}/{entry['path'].rpartition('/')[2]}"
        if entry["is_dir"]:
            yield from _files(client, path)
        else:
            yield path
