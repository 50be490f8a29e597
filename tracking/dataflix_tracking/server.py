"""``dataflix-mlflow``: MLflow's server and its bucket, with the stack's settings."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.logs import configure_logging
from dataflix_tracking.mlflow_config import backend_uri, environment


def main() -> None:
    """Serve MLflow until SIGTERM, or make its bucket; exit code 1 when that is impossible."""
    parser = argparse.ArgumentParser(prog="dataflix-mlflow", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("server", "bucket"),
        default="server",
        help="server: serve MLflow (default); bucket: make the bucket of the artefacts if it is missing",
    )
    command = parser.parse_args().command
    try:
        settings = load_settings()
    except SettingsError as fault:
        sys.exit(f"dataflix-mlflow: {fault}")
    if command == "bucket":
        _bucket(settings)
    else:
        serve(settings)


def serve(settings: Settings) -> None:
    """Bring the database's schema up to date and serve, in one process.

    ``mlflow server`` would keep a second process with all of MLflow in it, and leave its child
    behind when it is killed. Secrets are set here and not by who starts us: they show neither on
    the command line nor in /proc.
    """
    os.environ.update(environment(settings))
    configure_logging("mlflow")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    import uvicorn  # noqa: PLC0415 - MLflow reads the environment at its import
    from mlflow.db import commands  # noqa: PLC0415

    commands.main(["upgrade", backend_uri(settings)], prog_name="mlflow db", standalone_mode=False)

    from mlflow.server.fastapi_app import app  # noqa: PLC0415 - opens its stores

    uvicorn.run(app, host=settings.bind, port=settings.mlflow_port, access_log=False, log_config=None)


def _bucket(settings: Settings) -> None:
    from dataflix_tracking.bucket import BucketError, ensure_bucket  # noqa: PLC0415 - the server needs no boto3

    try:
        made = ensure_bucket(settings)
    except BucketError as fault:
        sys.exit(f"dataflix-mlflow: {fault}")
    sys.stdout.write(f"bucket {settings.s3_bucket}: {'made' if made else 'is there'}\n")


if __name__ == "__main__":
    main()
