#!/usr/bin/env bash
# Stop Dataflix; its data is kept unless --wipe is given.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    cat <<'TEXT'
Usage: ./stop.sh [--wipe [--yes]] [--env-file FILE]
Stop every server of the stack, in order. Data is kept.

  --wipe           delete the stack's data, logs and rendered configuration too
  --yes            do not ask before deleting
  --env-file FILE  settings of the stack to stop (default: .env)
  --help           show this
TEXT
}

die() { # MESSAGE [CODE]
    echo "stop.sh: $1" >&2
    exit "${2:-1}"
}

settings=$root/.env options=()
while [ $# -gt 0 ]; do
    case $1 in
    --wipe | --yes) options+=("$1") ;;
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

DATAFLIX_ENV_FILE=''
if [ -e "$settings" ]; then
    DATAFLIX_ENV_FILE=$(cd "$(dirname "$settings")" && pwd)/$(basename "$settings")
    "$root/scripts/settings" "$DATAFLIX_ENV_FILE" DATAFLIX_PROFILE >/dev/null ||
        die "the settings cannot be used: see above"
elif [ "$settings" != "$root/.env" ]; then
    die "$settings does not exist" 2
fi
export DATAFLIX_ENV_FILE

# --- Containers of this stack, and their volumes, if there are any
compose() { "$root/scripts/compose" --env-file "$DATAFLIX_ENV_FILE" "$@"; }
containers='' volumes=''
if [ -e "$settings" ] && compose answers >/dev/null; then
    containers=$(compose ps --all --quiet)
    [[ " ${options[*]-} " != *" --wipe "* ]] || volumes=$(compose volumes-kept)
fi
if [ -n "$containers$volumes" ]; then
    down=(down --remove-orphans)
    if [[ " ${options[*]-} " == *" --wipe "* ]]; then
        down+=(--volumes)
        if [[ " ${options[*]-} " != *" --yes "* ]]; then
            [ -t 0 ] || die "--wipe deletes data: say --yes where no terminal can be asked"
            read -rp "Delete everything that Dataflix keeps in its containers' volumes? [y/n] " answer
            [[ $answer == [yY]* ]] || die "nothing was stopped or deleted"
        fi
    fi
    COMPOSE_PROFILES=core,full,cli compose "${down[@]}"
    # with volumes and no containers, the stack may be running as processes by now
    [ -z "$containers" ] || exit 0
fi

envs=${DATAFLIX_HOME:-$root/.dataflix}/envs
stack=$envs/services/bin/dataflix-stack
# an older release, with an environment for each package, started the stack: this code needs a new one to stop it
if [ ! -x "$stack" ] && [ -d "$envs/stack" ]; then "$root/scripts/envs" services:stack; fi
if [ ! -x "$stack" ]; then
    [ -n "$volumes" ] || echo "nothing was ever started here"
    exit 0
fi
exec "$root/bin/dataflix-stack" down ${options[@]+"${options[@]}"}
