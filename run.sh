#!/usr/bin/env bash
# Start Dataflix: make what is missing, start every server, wait until all of it works.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
Usage: ./run.sh [--native | --compose] [--env-file FILE]
Start Dataflix, or whatever of it does not run. Running it again changes nothing that works.

  --native         start the servers as processes of this machine
  --compose        start them as containers
                   (default: containers where a container engine answers, processes otherwise)
  --env-file FILE  settings of the stack (default: .env); a second stack needs its own file
                   with another DATAFLIX_DATA_DIR and other ports
  --help           show this
TEXT
}

die() { # MESSAGE [CODE]
    echo "run.sh: $1" >&2
    exit "${2:-1}"
}

mode='' settings=$root/.env
while [ $# -gt 0 ]; do
    case $1 in
    --native | --compose) mode=${1#--} ;;
    --env-file)
        [ $# -ge 2 ] || die "--env-file needs a file" 2
        settings=$2
        shift
        ;;
    --help | -h) usage && exit 0 ;;
    *) usage >&2 && die "unknown option $1" 2 ;;
    esac
    shift
done

if [ -z "$mode" ]; then
    mode=compose
    if ! reason=$("$root/scripts/compose" answers); then
        mode=native
        echo "starting the servers as processes of this machine, because $reason"
    fi
fi

# --- Settings
make_settings() {
    if [ ! -e "$settings" ]; then
        [ "$settings" = "$root/.env" ] || die "$settings does not exist: copy .env.example and change its ports"
        (umask 077 && cp "$root/.env.example" "$settings")
        echo "made .env from .env.example"
    fi
    DATAFLIX_ENV_FILE=$(cd "$(dirname "$settings")" && pwd)/$(basename "$settings")
    export DATAFLIX_ENV_FILE
    profile=$("$root/scripts/settings" "$DATAFLIX_ENV_FILE" DATAFLIX_PROFILE) ||
        die "the settings cannot be used: see above"
    trainer=$("$root/scripts/settings" "$DATAFLIX_ENV_FILE" DATAFLIX_TRAINER)
}

# --- Containers
explain() { # MESSAGE: ends with what docker compose said last, and what to do about it
    local service
    for service in $(compose explain "$said" --services); do
        compose logs --no-log-prefix --tail 20 "$service" || true
    done
    compose explain "$said" >&2
    die "$1"
}

if [ "$mode" = compose ]; then
    reason=$("$root/scripts/compose" answers) || die "$reason; ./run.sh --native needs no containers"
    make_settings
    compose() { "$root/scripts/compose" --env-file "$DATAFLIX_ENV_FILE" "$@"; }
    said=$(mktemp)
    trap 'rm -f "$said"' EXIT
    compose build 2>&1 | tee "$said" || explain "an image could not be built: see above"
    # stop services that only another profile has; their data is kept
    mapfile -t surplus < <(comm -13 <(compose config --services | sort) <(COMPOSE_PROFILES=core,full compose config --services | sort))
    if [ ${#surplus[@]} -gt 0 ]; then COMPOSE_PROFILES=core,full compose rm --stop --force "${surplus[@]}"; fi
    if ! compose up --detach --wait --remove-orphans 2>&1 | tee "$said"; then
        compose ps --all
        explain "not everything is up: see above"
    fi
    compose ps
    "$root/scripts/envs" services:checker,cli || die "the servers are up; the check and the terminal need Python 3.11 or newer"
    echo "Dataflix is up. Pages and logins: README.md; ports and passwords: $DATAFLIX_ENV_FILE"
    echo "Next: ./check_all_works.py, bin/dataflix, ./stop.sh"
    exit 0
fi

# --- Python
python=${DATAFLIX_PYTHON:-python3}
command -v "$python" >/dev/null || die "python3 is not installed: Dataflix needs Python 3.11 or newer"
"$python" - <<'CHECK' || exit 1
import importlib.util
import sys

if sys.version_info < (3, 11):
    sys.exit(
        f"run.sh: {sys.executable} is Python {sys.version.split()[0]}, and Dataflix needs 3.11 or newer:"
        " install one and name it, DATAFLIX_PYTHON=python3.11 ./run.sh"
    )
for module, package in {"venv": "python3-venv", "ensurepip": "python3-venv", "lzma": "the Python with lzma"}.items():
    if importlib.util.find_spec(module) is None:
        sys.exit(f"run.sh: Python's {module} module is missing: on Debian and Ubuntu, apt-get install {package}")
CHECK

make_settings

DATAFLIX_PROFILE=$profile DATAFLIX_TRAINER=$trainer "$root/scripts/envs"
exec "$root/bin/dataflix-stack" up
