"""Registered models, looked at from outside: through MLflow's API, down to their bytes."""

import tempfile
from pathlib import Path

from dataflix_clients import mlflow
from dataflix_clients.mlflow import Version
from dataflix_contract import Settings
from dataflix_recommender import Model, digest, load


def registered_by(settings: Settings, run_id: str) -> list[Version]:
    """The versions that a pipeline run has registered; there should be one."""
    return [one for one in mlflow.Registry(settings).versions() if one.tags.get(mlflow.RUN_TAG) == run_id]


def whole(settings: Settings, version: Version) -> Model:
    """The version's arrays, downloaded and checked against the digest that training noted."""
    assert version.status == "READY"
    (content,) = (content for path, content in mlflow.artefacts(settings, version) if path.endswith(".npz"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.npz"
        file.write_bytes(content)
        model = load(file)
    assert digest(model) == version.tags[mlflow.MODEL_DIGEST_TAG]
    return model
