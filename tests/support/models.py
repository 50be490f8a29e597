"""Registered models, looked at from outside: through MLflow's API, down to their bytes."""

import tempfile
from pathlib import Path

import httpx

from dataflix_clients import mlflow
from dataflix_clients.mlflow import Version
from dataflix_contract import Settings
from dataflix_contract.schema import MODEL
from dataflix_recommender import Model, digest, load


def registered_by(settings: Settings, run_id: str) -> list[Version]:
    """The versions that a pipeline run has registered; there should be one."""
    answer = httpx.get(
        f"{settings.mlflow_url}/api/2.0/mlflow/model-versions/search",
        params={"filter": f"name = '{MODEL}'", "max_results": 1000},
        timeout=20,
    )
    found = answer.raise_for_status().json().get("model_versions", [])
    versions = [mlflow.read_version(one) for one in found]
    return [one for one in versions if one.tags.get("dataflix.run_id") == run_id]


def whole(settings: Settings, version: Version) -> Model:
    """The version's arrays, downloaded and checked against the digest that training noted."""
    assert version.status == "READY"
    (content,) = (content for path, content in mlflow.artefacts(settings, version) if path.endswith(".npz"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.npz"
        file.write_bytes(content)
        model = load(file)
    assert digest(model) == version.tags["dataflix.sha256"]
    return model
