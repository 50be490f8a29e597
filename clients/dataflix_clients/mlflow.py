"""MLflow: read the versions of the model, choose which one is in service, and fetch a version's files.

These are requests to MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html). Its library would take
seconds to import; only training, which records its runs with it, does so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from dataflix_clients.http_client import http, open_client, parsed
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import CHALLENGER, CHAMPION, MODEL

#: The alias of the version that the champion has replaced.
PREVIOUS = "previous-champion"

#: Tags of a version, which training writes: the SHA-256 of the model's arrays, which serving checks,
MODEL_DIGEST_TAG = "dataflix.sha256"
#: the id of the pipeline run,
RUN_TAG = "dataflix.run_id"
#: how the model was made, with how many ratings, a sample of them, and the scores that were found.
RECIPE_TAG = "dataflix.recipe"
ROWS_TAG = "dataflix.rows"
SAMPLE_TAG = "dataflix.fingerprints"
SCORES_TAG = "dataflix.scores"
#: Tags that promotion and rollback write: which version this one replaced, and when it was taken back.
REPLACED_TAG = "dataflix.replaced"
_ROLLED_BACK_TAG = "dataflix.rolled_back_at"

_SECONDS = 20
_MODELS = "/api/2.0/mlflow/registered-models"
_VERSIONS = "/api/2.0/mlflow/model-versions"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_MISSING = "RESOURCE_DOES_NOT_EXIST"
#: What MLflow says where no such model was ever registered, and where the model has no such alias.
_NOT_NAMED = {_MISSING, "INVALID_PARAMETER_VALUE"}


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version of the model.

    Attributes:
        number: counted from 1.
        run_id: the MLflow run that made it; empty: somebody registered it without one.
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
    answer = client.get(f"{_MODELS}/alias", params={"name": MODEL, "alias": alias})
    if _error_code(answer) in _NOT_NAMED:
        return None
    return read_version(parsed(answer.raise_for_status())["model_version"])


def read_version(found: dict[str, Any]) -> Version:
    """Understand what MLflow's REST API says of a version."""
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    created_at = datetime.fromtimestamp(int(found["creation_timestamp"]) / 1000, UTC)
    return Version(int(found["version"]), found.get("run_id", ""), found["status"], tags, created_at)


class Registry:
    """The model's versions and aliases, to read and to change.

    Each method raises ``httpx.HTTPError`` if MLflow is away or refuses, and ``LookupError`` if another server
    answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def aliases(self) -> dict[str, int]:
        """Which version each alias names; empty before the first version."""
        answer = self._get(f"{_MODELS}/get", name=MODEL)
        if _error_code(answer) == _MISSING:
            return {}
        aliases = parsed(answer.raise_for_status())["registered_model"].get("aliases", [])
        return {one["alias"]: int(one["version"]) for one in aliases}

    def champion(self) -> Version | None:
        """The version in service."""
        return version_of(self._settings)

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        found: list[Version] = []
        token = ""
        while True:
            answer = self._get(f"{_VERSIONS}/search", filter=f"name='{MODEL}'", page_token=token)
            page = parsed(answer.raise_for_status())
            found += map(read_version, page.get("model_versions", []))
            token = page.get("next_page_token", "")
            if not token:
                return sorted(found, key=lambda version: -version.number)

    def of_run(self, run_id: str) -> int | None:
        """The version that a pipeline run has registered."""
        return next((one.number for one in self.versions() if one.tags.get(RUN_TAG) == run_id), None)

    def challenge(self, number: int) -> None:
        """Make a version the challenger."""
        self._set_alias(CHALLENGER, number)

    def describe(self, number: int, text: str) -> None:
        """Set a version's description."""
        self._change("PATCH", f"{_VERSIONS}/update", version=str(number), description=text)

    def promote(self, number: int) -> None:
        """Put a version in service and remember the one before; repeating this changes nothing more.

        Raises:
            Fault: there is no such version.
        """
        self._require(number)
        aliases = self.aliases()
        before = aliases.get(CHAMPION)
        if before != number:
            if before:
                self._set_tag(number, REPLACED_TAG, str(before))
                self._set_alias(PREVIOUS, before)
            # a single request, after all others that matter: nobody finds a half-made champion
            self._set_alias(CHAMPION, number)
        if aliases.get(CHALLENGER) == number:
            self._delete_alias(CHALLENGER)

    def rollback(self) -> None:
        """Put the previous champion in service again; a repetition goes one version further back.

        Raises:
            Fault: there is none.
        """
        champion = self.champion()
        if champion is None:
            raise Fault("there is no champion: nothing to roll back. dataflix-model list shows the versions")
        replaced = champion.tags.get(REPLACED_TAG)
        if not replaced:
            raise Fault(
                f"version {champion.number} replaced no other: choose with dataflix-model promote VERSION"
            )
        target = self._require(int(replaced))
        self._set_alias(CHAMPION, target.number)
        if before := target.tags.get(REPLACED_TAG):
            self._set_alias(PREVIOUS, int(before))
        else:
            self._delete_alias(PREVIOUS)
        self._set_tag(champion.number, _ROLLED_BACK_TAG, datetime.now(UTC).isoformat("T", "seconds"))

    def _require(self, number: int) -> Version:
        answer = self._get(f"{_VERSIONS}/get", name=MODEL, version=str(number))
        if _error_code(answer) == _MISSING:
            raise Fault(f"there is no version {number}: dataflix-model list shows them")
        return read_version(parsed(answer.raise_for_status())["model_version"])

    def _set_alias(self, alias: str, number: int) -> None:
        self._change("POST", f"{_MODELS}/alias", alias=alias, version=str(number))

    def _delete_alias(self, alias: str) -> None:
        self._change("DELETE", f"{_MODELS}/alias", alias=alias)

    def _set_tag(self, number: int, key: str, value: str) -> None:
        self._change("POST", f"{_VERSIONS}/set-tag", version=str(number), key=key, value=value)

    def _get(self, path: str, **question: str) -> httpx.Response:
        url = f"{self._settings.mlflow_url}{path}"
        return http.get(url, params=question, timeout=_SECONDS)

    def _change(self, method: str, path: str, **values: str) -> None:
        url = f"{self._settings.mlflow_url}{path}"
        http.request(method, url, json={"name": MODEL, **values}, timeout=_SECONDS).raise_for_status()


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
        f"{_VERSIONS}/get-download-uri", params={"name": MODEL, "version": version.number}
    ).raise_for_status()
    return str(answer.json()["artifact_uri"]).partition(":")[2].lstrip("/")


def _error_code(answer: httpx.Response) -> str | None:
    """MLflow's name for what is wrong with a request; None: nothing is."""
    return parsed(answer).get("error_code") if answer.is_client_error else None


def _files(client: httpx.Client, folder: str) -> Iterator[str]:
    listed = client.get(_FILES, params={"path": folder}).raise_for_status().json()
    for entry in listed["files"]:
        path = f"{folder}/{entry['path'].rpartition('/')[2]}"
        if entry["is_dir"]:
            yield from _files(client, path)
        else:
            yield path
