#!/usr/bin/env bash
# Everything that must pass before a change lands: lint, types, unit tests, then integration and
# end-to-end tests on a stack that the tests start natively on free ports and stop again.
# Arguments go to pytest and replace the default of all tests: ./test.sh tests/unit -k masking
# ./test.sh --containers tests docker-compose.yml with a container engine, and nothing else. Without arguments a
# program decides whether that is done too, and prints why (tests/containers/decision.py).
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

step environments
scripts/envs
scripts/envs tests types
envs=${DATAFLIX_HOME:-.dataflix}/envs
bin=$envs/tests/bin

step lint
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/shellcheck" ./*.sh .ci/run scripts/envs scripts/settings scripts/lock scripts/browser scripts/generate scripts/compose scripts/contained \
    bin/_exec training/dataflix_training/java/bin/java

step types
"$envs/types/bin/mypy" --python-executable "$bin/python" contract clients postgres connectors stream_processors clickhouse stack checker \
    reconciliation dbt recommender training tracking airflow backend cli kafka_ui tests benchmarks docs deploy

if [ "${1:-}" = --containers ]; then
    step "the containers"
    "$bin/pytest" --containers tests/e2e/test_containers.py "${@:2}"
    # commit this note of what was tested: ./test.sh reads it
    if [ $# = 1 ]; then PYTHONPATH=tests "$bin/python" -m containers.decision --passed; fi
    exit
fi
if [ $# -gt 0 ]; then
    step tests
    exec "$bin/pytest" "$@"
fi

# Tests with servers mostly wait, so that three processes share the processors: unit tests, which need no server; tests that
# stop servers, with a stack of their own; and all others. The output of the first two is shown when they have ended.
beside=$(mktemp -d)
pids=()
trap 'rm -rf "$beside"' EXIT
set -m # otherwise Ctrl-C would not reach them, and they would leave a stack behind
nice -n 10 "$bin/pytest" tests/unit >"$beside/unit" 2>&1 </dev/null &
pids+=("$!")
"$bin/pytest" -m disruptive >"$beside/disruptive" 2>&1 </dev/null &
pids+=("$!")
set +m
trap 'kill -INT "${pids[@]}" 2>/dev/null; wait "${pids[@]}"; exit 130' INT TERM
failed=0
step "tests with servers; beside them, the unit tests and those that stop servers"
"$bin/pytest" -m "not disruptive" tests/e2e tests/integration || failed=1
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
step "unit tests"
cat "$beside/unit"
step "tests that stop servers"
cat "$beside/disruptive"
step "the containers"
if PYTHONPATH=tests "$bin/python" -m containers.decision; then
    "$bin/pytest" --containers tests/e2e/test_containers.py || failed=1
fi
exit "$failed"
