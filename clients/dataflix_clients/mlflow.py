"""MLflow: read the versions of the model, choose which one is in service, and fetch a version's files.

These are requests to MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html). MLflow's own library
takes seconds to import: only training imports it, to record its runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential

from dataflix_clients.http_client import http, open_client, parsed
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.schema import CHALLENGER, CHAMPION, MODEL

#: The alias of the version that the champion has replaced.
PREVIOUS = "previous-champion"

#: Tag of a version: the SHA-256 of the model's arrays. Training writes it, and serving checks it.
MODEL_DIGEST_TAG = "dataflix.sha256"
#: Tag of a version: the id of the pipeline run. Training writes this tag and the next four.
RUN_TAG = "dataflix.run_id"
#: Tag of a version: how the model was made.
RECIPE_TAG = "dataflix.recipe"
#: Tag of a version: how many ratings it was made with.
ROWS_TAG = "dataflix.rows"
#: Tag of a version: a sample of those ratings.
SAMPLE_TAG = "dataflix.fingerprints"
#: Tag of a version: the scores that training found.
SCORES_TAG = "dataflix.scores"
_REPLACED_TAG = "dataflix.replaced"
_ROLLED_BACK_TAG = "dataflix.rolled_back_at"

_SECONDS = 20
_PROBE_SECONDS = 3
_MODELS = "/api/2.0/mlflow/registered-models"
_VERSIONS = "/api/2.0/mlflow/model-versions"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_CHAMPION = {"name": MODEL, "alias": CHAMPION}
#: MLflow's error code for a model or a version that does not exist.
_MISSING = frozenset({"RESOURCE_DOES_NOT_EXIST"})
#: MLflow's error codes when it is asked for an alias of a model that does not exist, or has no such alias.
_NOT_NAMED = _MISSING | {"INVALID_PARAMETER_VALUE"}
#: The HTTP statuses after which a request is sent again; they are those of MLflow's own library.
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


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


def connect(settings: Settings, seconds: float = _SECONDS) -> httpx.Client:
    """A connection to MLflow; each answer may take ``seconds``."""
    return open_client(settings.mlflow_url, seconds)


def check(settings: Settings, seconds: float = _PROBE_SECONDS) -> None:
    """Check that MLflow answers from its database within so many seconds.

    Raises:
        httpx.HTTPError: it does not.
    """
    experiments = f"{settings.mlflow_url}/api/2.0/mlflow/experiments/search"
    http.post(experiments, json={"max_results": 1}, timeout=seconds).raise_for_status()


def read_champion(settings: Settings, seconds: float = _SECONDS) -> Version | None:
    """Ask once for the version in service; None: there is none yet.

    Raises:
        httpx.HTTPError: MLflow is away or refuses.
        LookupError: another server answers.
    """
    with connect(settings, seconds) as client:
        return read_champion_over(client)


def read_champion_over(client: httpx.Client) -> Version | None:
    """Ask the same over an open connection; see :func:`read_champion`."""
    answer = client.get(f"{_MODELS}/alias", params=_CHAMPION)
    return _version_in(_read(answer, absent=_NOT_NAMED))


def read_version(found: dict[str, Any]) -> Version:
    """Understand what MLflow's REST API says of a version."""
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
    created_at = datetime.fromtimestamp(int(found["creation_timestamp"]) / 1000, UTC)
    return Version(int(found["version"]), found.get("run_id", ""), found["status"], tags, created_at)


def _is_transient(fault: BaseException) -> bool:
    """Whether the same request may work a moment later."""
    if isinstance(fault, httpx.HTTPStatusError):
        return fault.response.status_code in _TRANSIENT
    return isinstance(fault, httpx.TransportError)


class Registry:
    """The model's versions and aliases, to read and to change.

    Each method tries several times while MLflow is away or overloaded. Then, or if MLflow refuses, it raises
    ``httpx.HTTPError``; it raises ``LookupError`` if another server answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def aliases(self) -> dict[str, int]:
        """Which version each alias names; empty before the first version."""
        found = self._request("GET", f"{_MODELS}/get", absent=_MISSING, name=MODEL)
        aliases = found["registered_model"].get("aliases", []) if found else []
        return {one["alias"]: int(one["version"]) for one in aliases}

    def champion(self) -> Version | None:
        """The version in service; None: there is none."""
        return _version_in(self._request("GET", f"{_MODELS}/alias", absent=_NOT_NAMED, **_CHAMPION))

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        found: list[Version] = []
        token = ""
        while True:
            question = {"filter": f"name='{MODEL}'", "page_token": token}
            page = self._request("GET", f"{_VERSIONS}/search", **question)
            found += map(read_version, page.get("model_versions", []))
            token = page.get("next_page_token", "")
            if not token:
                return sorted(found, key=lambda version: -version.number)

    def of_run(self, run_id: str) -> int | None:
        """The newest version that a pipeline run has registered; None: it has registered none."""
        return next((one.number for one in self.versions() if one.tags.get(RUN_TAG) == run_id), None)

    def challenge(self, number: int) -> None:
        """Make a version the challenger."""
        self._set_alias(CHALLENGER, number)

    def describe(self, number: int, text: str) -> None:
        """Set a version's description."""
        self._request("PATCH", f"{_VERSIONS}/update", name=MODEL, version=str(number), description=text)

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
                self._set_tag(number, _REPLACED_TAG, str(before))
                self._set_alias(PREVIOUS, before)
            # a single request, after all others that matter: nobody finds a half-made champion
            self._set_alias(CHAMPION, number)
        if aliases.get(CHALLENGER) == number:
            self._delete_alias(CHALLENGER)

    def rollback(self) -> None:
        """Put the previous champion in service again; a repetition goes one version further back.

        Raises:
            Fault: there is no champion, it replaced no other, or the one that it replaced was deleted.
        """
        champion = self.champion()
        if champion is None:
            raise Fault("there is no champion: nothing to roll back. dataflix-model list shows the versions")
        replaced = champion.tags.get(_REPLACED_TAG)
        if not replaced:
            raise Fault(
                f"version {champion.number} replaced no other: choose with dataflix-model promote VERSION"
            )
        target = self._require(int(replaced))
        before = target.tags.get(_REPLACED_TAG)
        if before and self._find(int(before)):
            self._set_alias(PREVIOUS, int(before))
        else:
            self._delete_alias(PREVIOUS)
        self._set_tag(champion.number, _ROLLED_BACK_TAG, datetime.now(UTC).isoformat("T", "seconds"))
        # last: if a request before it fails, the same command can be run again
        self._set_alias(CHAMPION, target.number)

    def _find(self, number: int) -> Version | None:
        question = {"name": MODEL, "version": str(number)}
        return _version_in(self._request("GET", f"{_VERSIONS}/get", absent=_MISSING, **question))

    def _require(self, number: int) -> Version:
        found = self._find(number)
        if found is None:
            raise Fault(f"there is no version {number}: dataflix-model list shows them")
        return found

    def _set_alias(self, alias: str, number: int) -> None:
        self._request("POST", f"{_MODELS}/alias", name=MODEL, alias=alias, version=str(number))

    def _delete_alias(self, alias: str) -> None:
        self._request("DELETE", f"{_MODELS}/alias", name=MODEL, alias=alias)

    def _set_tag(self, number: int, key: str, value: str) -> None:
        self._request("POST", f"{_VERSIONS}/set-tag", name=MODEL, version=str(number), key=key, value=value)

    @retry(
        retry=retry_if_exception(_is_transient),
        stop=stop_after_attempt(4),
        wait=wait_exponential(),
        reraise=True,
    )
    def _request(
        self, method: str, path: str, *, absent: Collection[str] = (), **arguments: str
    ) -> dict[str, Any]:
        """Send a request, and return what :func:`_read` makes of the answer.

        It may be sent several times: none of these requests changes anything more the second time.
        """
        url = f"{self._settings.mlflow_url}{path}"
        if method == "GET":
            return _read(http.get(url, params=arguments, timeout=_SECONDS), absent)
        return _read(http.request(method, url, json=arguments, timeout=_SECONDS), absent)


def artefacts(settings: Settings, version: Version) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file of a version, through MLflow from the S3 store.

    Raises:
        httpx.HTTPError: MLflow or its store is away.
    """
    with connect(settings) as client:
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


def _files(client: httpx.Client, folder: str) -> Iterator[str]:
    listed = client.get(_FILES, params={"path": folder}).raise_for_status().json()
    for entry in listed["files"]:
        path = f"{folder}/{entry['path'].rpartition('/')[2]}"
        if entry["is_dir"]:
            yield from _files(client, path)
        else:
            yield path


def _version_in(document: dict[str, Any]) -> Version | None:
    return read_version(document["model_version"]) if document else None


def _read(answer: httpx.Response, absent: Collection[str] = ()) -> dict[str, Any]:
    """The answer's JSON; empty if MLflow refuses the request with one of the error codes in ``absent``.

    Raises:
        httpx.HTTPStatusError: MLflow refuses with another code, which the message has, or fails.
        LookupError: another server answers.
    """
    if answer.is_server_error and "json" not in answer.headers.get("content-type", ""):
        answer.raise_for_status()
    document: dict[str, Any] = parsed(answer)
    if answer.is_success:
        return document
    code = document.get("error_code")
    if code in absent:
        return {}
    reason = f"{code}: {document.get('message')}" if code else f"status {answer.status_code}"
    raise httpx.HTTPStatusError(reason, request=answer.request, response=answer)
