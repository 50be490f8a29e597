"""The model's versions in MLflow's registry: which there are, and which is in service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from dataflix_contract.faults import Fault
from dataflix_contract.schema import CHAMPION, MODEL
from dataflix_training.promotion_gate import CHALLENGER

#: The alias of the version that the champion has replaced.
PREVIOUS = "previous-champion"

#: Tags of a model version.
RUN_TAG = "dataflix.run_id"
RECIPE_TAG = "dataflix.recipe"
ROWS_TAG = "dataflix.rows"
SCORES_TAG = "dataflix.scores"
SAMPLE_TAG = "dataflix.fingerprints"
REPLACED_TAG = "dataflix.replaced"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the model, as people want to see it."""

    version: int
    aliases: list[str]
    created_at: datetime
    run_id: str
    mlflow_run_id: str
    rows: int
    rmse: float
    ndcg_at_10: float


class Registry:
    """The versions and aliases of :data:`~dataflix_contract.schema.MODEL`."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def aliases(self) -> dict[str, int]:
        """Which version each alias names; empty before the first version."""
        try:
            aliases = self._client.get_registered_model(MODEL).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: int(version) for alias, version in aliases.items()}

    def champion(self) -> ModelVersion | None:
        """The version in service."""
        version = self.aliases().get(CHAMPION)
        return self._client.get_model_version(MODEL, str(version)) if version else None

    def of_run(self, run_id: str) -> int | None:
        """The version that a pipeline run has registered."""
        found = [one for one in self._all() if one.tags.get(RUN_TAG) == run_id]
        return max((int(one.version) for one in found), default=None)

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        names: dict[int, list[str]] = {}
        for alias, version in self.aliases().items():
            names.setdefault(version, []).append(alias)
        versions = [_version(one, sorted(names.get(int(one.version), []))) for one in self._all()]
        return sorted(versions, key=lambda version: -version.version)

    def challenge(self, version: int) -> None:
        """Make a version the challenger."""
        self._client.set_registered_model_alias(MODEL, CHALLENGER, str(version))

    def promote(self, version: int) -> None:
        """Put a version in service and remember the one before; repeating this changes nothing more.

        Raises:
            Fault: there is no such version.
        """
        self._require(version)
        aliases = self.aliases()
        before = aliases.get(CHAMPION)
        if before != version:
            if before:
                self._client.set_model_version_tag(MODEL, str(version), REPLACED_TAG, str(before))
                self._client.set_registered_model_alias(MODEL, PREVIOUS, str(before))
            # a single request, after all others that matter: nobody finds a half-made champion
            self._client.set_registered_model_alias(MODEL, CHAMPION, str(version))
        if aliases.get(CHALLENGER) == version:
            self._client.delete_registered_model_alias(MODEL, CHALLENGER)

    def describe(self, version: int, text: str) -> None:
        """Set a version's description."""
        self._client.update_model_version(MODEL, str(version), text)

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
                f"version {champion.version} replaced no other: choose with dataflix-model promote VERSION"
            )
        target = self._require(int(replaced))
        self._client.set_registered_model_alias(MODEL, CHAMPION, replaced)
        before = target.tags.get(REPLACED_TAG)
        if before:
            self._client.set_registered_model_alias(MODEL, PREVIOUS, before)
        else:
            self._client.delete_registered_model_alias(MODEL, PREVIOUS)
        self._client.set_model_version_tag(
            MODEL,
            champion.version,
            "dataflix.rolled_back_at",
            datetime.now(UTC).isoformat("T", "seconds"),
        )

    def _require(self, version: int) -> ModelVersion:
        try:
            return self._client.get_model_version(MODEL, str(version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise Fault(f"there is no version {version}: dataflix-model list shows them") from error
            raise

    def _all(self) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self._client.search_model_versions(f"name='{MODEL}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def recorded_scores(tags: Mapping[str, str]) -> dict[str, float]:
    """The scores that a version's training found; older versions have only two of them."""
    if SCORES_TAG in tags:
        return {name: float(value) for name, value in json.loads(tags[SCORES_TAG]).items()}
    return {name: float(tags[name]) for name in ("rmse", "ndcg_at_10") if name in tags}


def _version(one: ModelVersion, aliases: list[str]) -> Version:
    tags = one.tags
    return Version(
        int(one.version),
        aliases,
        datetime.fromtimestamp(one.creation_timestamp / 1000, UTC),
        tags.get(RUN_TAG, ""),
        one.run_id or "",
        int(tags.get(ROWS_TAG, 0)),
        float(tags.get("rmse", "nan")),
        float(tags.get("ndcg_at_10", "nan")),
    )
