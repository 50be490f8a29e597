#!/usr/bin/env bash
# Everything that must pass before a change lands: lint, types, unit tests, then integration and
# end-to-end tests on a stack that the tests start natively on free ports and stop again.
# Arguments go to pytest and replace the default of all tests: ./test.sh tests/unit -k masking
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

step environments
scripts/envs
scripts/envs tests
bin=${DATAFLIX_HOME:-.dataflix}/envs/tests/bin

step lint
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/shellcheck" ./*.sh .ci/run scripts/envs scripts/lock scripts/browser scripts/generate bin/_exec

step types
"$bin/mypy" contract postgres connectors stream_processors clickhouse stack checker \
    reconciliation dbt recommender training tracking airflow backend cli kafka_ui tests benchmarks docs deploy

step tests
# mostly they wait for servers: two at a time, see tests/conftest.py for who goes where
[ $# -gt 0 ] || set -- --numprocesses 2 --dist loadgroup tests/unit tests/integration tests/e2e
exec "$bin/pytest" "$@"
