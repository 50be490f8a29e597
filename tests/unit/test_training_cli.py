"""What the training sets for the libraries that it uses."""

import os

import pytest
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from dataflix_training.cli import prepare


def test_artefacts_travel_through_mlflows_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers the S3 store is on a network that the training is not on.

    Nothing listens at this address: a client that asked the server first would decide otherwise, or fail.
    """
    without = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    monkeypatch.setattr(os, "environ", without)
    prepare()
    artefacts = MlflowArtifactsRepository("mlflow-artifacts:/1", tracking_uri="http://127.0.0.1:9")
    artefacts._server_capabilities = {
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": True,
    }
    assert not artefacts._is_multipart_upload_enabled()  # type: ignore[no-untyped-call]
    assert not artefacts._is_multipart_download_enabled()  # type: ignore[no-untyped-call]
