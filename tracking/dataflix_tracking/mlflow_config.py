"""What MLflow and its S3 client are told, as environment variables. No I/O, and no import of MLflow here."""

from __future__ import annotations

from urllib.parse import quote

from dataflix_contract import Settings
from dataflix_contract.postgres_sessions import OPTIONS_VARIABLE, options

#: versitygw's region unless it is told another one; signatures name it.
REGION = "us-east-1"


def backend_uri(settings: Settings) -> str:
    """SQLAlchemy's address of MLflow's database, password included."""
    user = quote(settings.mlflow_db_user, safe="")
    password = quote(settings.mlflow_db_password.get_secret_value(), safe="")
    place = f"{settings.postgres_host}:{settings.postgres_port}/{quote(settings.mlflow_db, safe='')}"
    return f"postgresql+psycopg2://{user}:{password}@{place}?connect_timeout=5"


def environment(settings: Settings) -> dict[str, str]:
    """What MLflow's server reads at its import.

    The names with a leading underscore are those that ``mlflow server`` hands to its worker
    processes (``mlflow.server.constants``); giving them ourselves saves its parent process.
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
        # its job runner takes another gigabyte, and nothing here asks for jobs
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_S3_ENDPOINT_URL": settings.s3_url,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key.get_secret_value(),
        "AWS_DEFAULT_REGION": REGION,
        # an account's own profiles and a cloud's metadata service have no say in this
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def allowed_hosts(settings: Settings) -> list[str]:
    """The host names that requests may name: a page of another site cannot reach MLflow by its own name."""
    names = dict.fromkeys(["localhost", "127.0.0.1", settings.bind, settings.mlflow_host])
    return [pattern for name in names for pattern in (name, f"{name}:*")]
