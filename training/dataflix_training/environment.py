"""What MLflow, Numba and Matplotlib read from the environment; call before any of them is imported."""

from __future__ import annotations

import os
from pathlib import Path

_MLFLOW = {
    # a dead MLflow is noticed within a minute: whoever called tries again
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # its log lines become ours
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Artefacts travel through MLflow's server. By default its client takes the addresses of the S3 store
    # that the server offers, which the batch's containers and pods cannot reach, and does not fall back.
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
}


def prepare() -> None:
    """Set what the environment does not say otherwise; caches go below ``$DATAFLIX_DATA_DIR``.

    What Numba has compiled stays beside the code where that can be written to, so that a new data folder does
    not begin with seconds of compiling.
    """
    defaults = dict(_MLFLOW)
    if folder := os.environ.get("DATAFLIX_DATA_DIR"):
        if not os.access(Path(__file__).parent, os.W_OK):
            defaults["NUMBA_CACHE_DIR"] = str(Path(folder, "training", "numba"))
        defaults["MPLCONFIGDIR"] = str(Path(folder, "training", "matplotlib"))
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
