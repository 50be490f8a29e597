"""The program ``dataflix-mlflow``: serves MLflow, or makes the bucket for its artefacts."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from urllib.parse import quote

from dataflix_contract import Settings, SettingsError, load_settings
from dataflix_contract.faults import Fault
from dataflix_contract.logs import configure_logging
from dataflix_contract.postgres_sessions import OPTIONS_VARIABLE, options

#: versitygw's default region, which is part of requests' signatures.
REGION = "us-east-1"
_S3_SECONDS = 5
_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def main() -> None:
    """Serve MLflow until SIGTERM, or make its bucket; exit code 1: it was impossible."""
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
        if command == "server":
            serve(settings)
        else:
            made = ensure_bucket(settings)
            sys.stdout.write(f"bucket {settings.s3_bucket}: {'made' if made else 'is there'}\n")
    except (Fault, SettingsError) as fault:
        sys.exit(f"dataflix-mlflow: {fault}")


def serve(settings: Settings) -> None:
    """Bring the database's schema up to date and serve, in one process.

    ``mlflow server`` would keep a second process with all of MLflow in it, and leave its child behind if it
    is killed. Secrets are set here and not by the starting program, so that they are neither on the command
    line nor in /proc.
    """
    os.environ.update(environment(settings))
    configure_logging("mlflow")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    import uvicorn  # noqa: PLC0415 - MLflow reads the environment at its import
    from mlflow.db import commands  # noqa: PLC0415

    commands.main(["upgrade", backend_uri(settings)], prog_name="mlflow db", standalone_mode=False)

    from mlflow.server.fastapi_app import app  # noqa: PLC0415 - opens its stores

    uvicorn.run(app, host=settings.bind, port=settings.mlflow_port, access_log=False, log_config=None)


def backend_uri(settings: Settings) -> str:
    """SQLAlchemy's address of MLflow's database, with the password."""
    user = quote(settings.mlflow_db_user, safe="")
    password = quote(settings.mlflow_db_password.get_secret_value(), safe="")
    place = f"{settings.postgres_host}:{settings.postgres_port}/{quote(settings.mlflow_db, safe='')}"
    return f"postgresql+psycopg2://{user}:{password}@{place}?connect_timeout=5"


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables that MLflow's server reads when it is imported.

    The names with a leading underscore are those that ``mlflow server`` passes to its worker processes
    (``mlflow.server.constants``); setting them here saves its parent process.
    """
    database = backend_uri(settings)
    return {
        OPTIONS_VARIABLE: options(),
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"s3://{settings.s3_bucket}/artifacts",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(allowed_hosts(settings)),
        # its job runner takes another gigabyte, and Dataflix uses no jobs
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_S3_ENDPOINT_URL": settings.s3_url,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key.get_secret_value(),
        "AWS_DEFAULT_REGION": REGION,
        # profiles of the user's account and a cloud's metadata service are ignored
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def allowed_hosts(settings: Settings) -> list[str]:
    """The host names that requests may use: a page of another site cannot reach MLflow by its own name."""
    names = dict.fromkeys(["localhost", "127.0.0.1", settings.bind, settings.mlflow_host])
    return [pattern for name in names for pattern in (name, f"{name}:*")]


def ensure_bucket(settings: Settings) -> bool:
    """Make the bucket unless it exists; return whether it was made.

    Raises:
        Fault: the store does not answer, or refuses.
    """
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - the server needs none of these
    from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # noqa: PLC0415

    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        region_name=REGION,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=Config(connect_timeout=_S3_SECONDS, read_timeout=_S3_SECONDS, proxies={}),
    )
    try:
        client.create_bucket(Bucket=settings.s3_bucket)
    except ClientError as fault:
        if fault.response["Error"]["Code"] in _THERE:
            return False
        raise _refused(settings, fault) from fault
    except BotoCoreError as fault:
        raise _refused(settings, fault) from fault
    return True


def _refused(settings: Settings, fault: Exception) -> Fault:
    return Fault(
        f"cannot make the bucket {settings.s3_bucket} at {settings.s3_url}: {fault}."
        " Does the store run (bin/dataflix-status), and are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in"
        " the settings file its own?"
    )


if __name__ == "__main__":
    main()
