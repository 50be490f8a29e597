"""What people are told when a stack is up."""

from __future__ import annotations

from dataflix_contract import Settings
from dataflix_stack.stack import Stack

_PUBLIC_KEY = """
[yellow]The masking key is the public default: whoever has it can find the names behind pseudonyms by
guessing. Set DATAFLIX_MASKING_KEY before real people's data comes in.[/]"""


def summary(stack: Stack) -> str:
    """Where everything is, how to log in, and what to do next; rich's markup."""
    settings = stack.settings
    text = f"""
[bold]Dataflix is up.[/]
  PostgreSQL     {settings.postgres_host}:{settings.postgres_port}  database {settings.postgres_db}, \
user {settings.postgres_user}
  Kafka          {settings.kafka_bootstrap}
  Kafka Connect  {settings.connect_url}
  ClickHouse     http://{settings.clickhouse_host}:{settings.clickhouse_http_port}  \
native port {settings.clickhouse_tcp_port}, user {settings.clickhouse_user}
  Masker         {settings.masker_url(0)}/metrics
{_batch(settings)}  Passwords      {stack.settings_file}
  Logs           {stack.layout.logs}
Next: bin/dataflix-status, python3 check_all_works.py, bin/dataflix-trace, ./stop.sh"""
    if settings.local_only_key:
        text += _PUBLIC_KEY
    return text


def _batch(settings: Settings) -> str:
    if settings.profile == "core":
        return ""
    return f"""\
  Backend        {settings.backend_url}  API {settings.backend_url}/docs
  Airflow        {settings.airflow_url}  user {settings.airflow_user}
  dbt webhook    {settings.dbt_url}/docs/
  MLflow         {settings.mlflow_url}
  Kafka UI       {settings.kafka_ui_url}  no login, shows personal data
  S3             {settings.s3_url}  console http://{settings.s3_host}:{settings.s3_console_port}, \
user {settings.s3_access_key}
"""
