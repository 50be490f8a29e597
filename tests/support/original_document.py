"""What the first users' document says, where several tests need it."""

#: The environment of the original document, as its readers paste it.
DOCUMENT = """\
# PostgreSQL
POSTGRES_USER=dataflix
POSTGRES_PASSWORD=dataflix123
POSTGRES_DB=dataflix_db

# ClickHouse
CLICKHOUSE_USER=default
CLICKHOUSE_PASSWORD=clickhouse123

# Airflow
AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql+psycopg2://airflow:airflow@airflow-db:5432/airflow

# MLflow
AWS_ACCESS_KEY_ID=minio
AWS_SECRET_ACCESS_KEY=minio123
MLFLOW_S3_ENDPOINT_URL=http://minio:9000

# Backend
FLASK_ENV=development
FLASK_DEBUG=1
"""
