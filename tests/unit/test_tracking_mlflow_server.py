"""What MLflow is told; MLflow itself is not imported for this."""

from dataflix_contract import Settings
from dataflix_tracking import mlflow_server


def test_a_password_of_any_letters_is_an_address() -> None:
    settings = Settings.model_validate({"mlflow_db_password": "p@ss/w:rd %", "postgres_port": 25432})
    assert mlflow_server.backend_uri(settings).startswith(
        "postgresql+psycopg2://mlflow:p%40ss%2Fw%3Ard%20%25@127.0.0.1:25432/mlflow?"
    )


def test_artefacts_go_through_mlflow_to_the_bucket() -> None:
    told = mlflow_server.environment(Settings.model_validate({"s3_port": 19002, "s3_bucket": "models"}))
    assert told["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] == "s3://models/artifacts"
    assert told["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:19002"
    assert told["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert told["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_other_sites_names_are_refused() -> None:
    hosts = mlflow_server.allowed_hosts(Settings.model_validate({"mlflow_host": "mlflow"}))
    assert {"127.0.0.1:*", "localhost:*", "mlflow:*"} <= set(hosts)
    assert "*" not in hosts
