# Dataflix's images, a target for each: docker build --target backend -t dataflix/backend:0.1.0 .
# For each image, a build stage makes its environments, as the native way does, from the folders that it needs, and the
# target copies them. The first two stages hold what all build stages, and what all images, have in common.

FROM python:3.11.15-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
WORKDIR /app
COPY scripts/envs scripts/slim scripts/
COPY pyproject.toml requirements.lock requirements-separate.lock ./
RUN scripts/envs uv
COPY contract contract

FROM python:3.11.15-slim-bookworm AS image
RUN useradd --uid 10001 --home-dir /tmp --no-create-home dataflix \
    && install --directory --owner=dataflix --mode=700 /var/lib/dataflix
WORKDIR /app
COPY scripts/healthcheck scripts/
ENV PATH=/app/.dataflix/envs/services/bin:$PATH \
    DATAFLIX_HOME=/app/.dataflix \
    PYTHONUNBUFFERED=1
USER 10001
# Programs that end by themselves have none; servers say below what asks them.
HEALTHCHECK NONE

# --- config: writes the servers' configuration, from the same templates as the native way
FROM build AS build-config
# its templates, and its environment: the stack's own holds every server
COPY clients clients
COPY clickhouse clickhouse
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:clickhouse && scripts/slim .dataflix/envs

FROM image AS config
COPY --from=build-config /app /app
COPY stack/dataflix_stack stack/dataflix_stack
USER 0
RUN for server in postgres kafka connect clickhouse; do \
        install --directory --owner=dataflix "/config/$server" || exit 1; done
USER 10001
CMD ["python", "-m", "dataflix_stack.compose", "/config", "127.0.0.1"]

# --- postgres: sets PostgreSQL up: dataflix-migrate, dataflix-databases, dataflix-seed, dataflix-import
FROM build AS build-postgres
COPY clients clients
COPY postgres postgres
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:postgres && scripts/slim .dataflix/envs

FROM image AS postgres
COPY --from=build-postgres /app /app
CMD ["dataflix-migrate"]

# --- connectors: sets Kafka and Kafka Connect up
FROM build AS build-connectors
COPY clients clients
COPY connectors connectors
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:connectors && scripts/slim .dataflix/envs

FROM image AS connectors
COPY --from=build-connectors /app /app
CMD ["dataflix-connector", "topics"]

# --- masker
FROM build AS build-masker
COPY clients clients
COPY stream_processors stream_processors
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:stream-processors && scripts/slim .dataflix/envs

FROM image AS masker
COPY --from=build-masker /app /app
ENV DATAFLIX_MASKER_PORT=6066
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s --retries=4 \
    CMD ["python3", "-I", "scripts/healthcheck", "http://127.0.0.1:$DATAFLIX_MASKER_PORT/health/ready"]
CMD ["dataflix-masker", "--worker", "0"]

# --- warehouse: makes ClickHouse's tables
FROM build AS build-warehouse
COPY clients clients
COPY clickhouse clickhouse
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:clickhouse && scripts/slim .dataflix/envs

FROM image AS warehouse
COPY --from=build-warehouse /app /app
CMD ["dataflix-warehouse"]

# --- dbt: the webhook server, with dbt and the project
FROM build AS build-dbt
COPY dbt dbt
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:dbt && scripts/slim .dataflix/envs

FROM image AS dbt
COPY --from=build-dbt /app /app
ENV DATAFLIX_DBT_PORT=5001 \
    DATAFLIX_DATA_DIR=/var/lib/dataflix
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s --retries=4 \
    CMD ["python3", "-I", "scripts/healthcheck", "http://127.0.0.1:$DATAFLIX_DBT_PORT/health/ready"]
CMD ["dataflix-dbt-webhook"]

# --- tracking: MLflow's server, and the bucket that it keeps artefacts in
FROM build AS build-tracking
COPY tracking tracking
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs batch:tracking && scripts/slim .dataflix/envs

FROM image AS tracking
COPY --from=build-tracking /app /app
ENV DATAFLIX_MLFLOW_PORT=5003 \
    PATH=/app/.dataflix/envs/batch/bin:$PATH
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s --retries=4 \
    CMD ["python3", "-I", "scripts/healthcheck", "http://127.0.0.1:$DATAFLIX_MLFLOW_PORT/api/2.0/mlflow/experiments/search?max_results=1"]
CMD ["dataflix-mlflow"]

# --- airflow: its parts, and in the other environment the programs that its tasks run
FROM build AS build-airflow
COPY clients clients
COPY reconciliation reconciliation
COPY recommender recommender
COPY training training
COPY airflow airflow
# with `spark`, Spark and a Java are installed too
ARG DATAFLIX_TRAINER=numba
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs batch:airflow services:reconciliation,training \
    && scripts/slim .dataflix/envs

FROM image AS airflow
COPY --from=build-airflow /app /app
ENV DATAFLIX_AIRFLOW_PORT=8080 \
    PATH=/app/.dataflix/envs/batch/bin:$PATH \
    DATAFLIX_DATA_DIR=/var/lib/dataflix
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s --retries=4 \
    CMD ["python3", "-I", "scripts/healthcheck", "http://127.0.0.1:$DATAFLIX_AIRFLOW_PORT/api/v2/monitor/health", "metadatabase.status", "healthy"]
CMD ["dataflix-airflow", "api-server"]

# --- backend: the API and the page
FROM build AS build-backend
COPY clients clients
COPY recommender recommender
COPY backend backend
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:backend && scripts/slim .dataflix/envs

FROM image AS backend
COPY --from=build-backend /app /app
ENV DATAFLIX_BACKEND_PORT=5002 \
    DATAFLIX_DATA_DIR=/var/lib/dataflix
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s --retries=4 \
    CMD ["python3", "-I", "scripts/healthcheck", "http://127.0.0.1:$DATAFLIX_BACKEND_PORT/health/ready"]
CMD ["dataflix-backend"]

# --- cli: dataflix in a terminal
FROM build AS build-cli
COPY clients clients
COPY cli cli
RUN --mount=type=cache,target=/root/.cache/uv scripts/envs services:cli && scripts/slim .dataflix/envs

FROM image AS cli
COPY --from=build-cli /app /app
CMD ["dataflix", "--help"]

# --- versitygw: the S3 store, from the sources that go.sum pins, as the native way builds it
FROM golang:1.26.8-bookworm AS build-versitygw
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off GOSUMDB=off GOFLAGS=-buildvcs=false
WORKDIR /app
COPY stack/versitygw/go.mod stack/versitygw/go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -mod=readonly -trimpath -ldflags="-s -w" -o versitygw github.com/versity/versitygw/cmd/versitygw

# its Python is there for the health check
FROM image AS versitygw
RUN install --directory --mode=700 /var/lib/dataflix/s3 /var/lib/dataflix/s3/accounts /var/lib/dataflix/s3/buckets
COPY --from=build-versitygw /app/versitygw /usr/local/bin/versitygw
ENV DATAFLIX_S3_PORT=9002
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --start-interval=2s --retries=4 \
    CMD ["python3", "-I", "scripts/healthcheck", "http://127.0.0.1:$DATAFLIX_S3_PORT/health"]
CMD ["versitygw", "--help"]
