#!/usr/bin/env bash
# What .github/workflows/nightly-hil.yml runs, each step one of these; hil/tests/test_nightly.py runs them on the loopback.
#
#   hil/nightly.sh run ENVIRONMENT BUNDLE OUT [OPTION...]   one bundle on one board; OUT gets a folder for the run
#   hil/nightly.sh night PLAN STATE OUT                     a plan; STATE keeps history and last-good, OUT gets this night
#   hil/nightly.sh issues FOLDER...                         issues of every night.json below, all nights together
#
# Exit codes are those of edgekit: 0 green, 1 red, 2 wrong input, 3 a board or this machine failed.
set -euo pipefail

usage() {
    sed -n '4,6s/^#   //p' "$0" >&2
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -x "$here/.venv/bin/edgekit" ]; then
    PATH="$here/.venv/bin:$PATH"
fi

case "${1-}" in
run)
    [ $# -ge 4 ] || usage
    edgekit hil run --env "$2" --bundle "$3" --out "$4" "${@:5}"
    ;;
night)
    [ $# -eq 4 ] || usage
    plan=$2 state=$3 out=$4 code=0
    mkdir -p "$out"
    begin=$(mktemp -d)
    trap 'rm -rf "$begin"' EXIT
    touch -d '1 second ago' "$begin"  # two files of one tick of the clock are as old as each other
    edgekit hil night "$plan" --out "$state" || code=$?
    # A red night is what the artefacts are for, so they are gathered whatever came out.
    find "$state" -mindepth 2 -maxdepth 2 -name night.json -newer "$begin" -printf '%h\n' |
        while IFS= read -r night; do cp -r "$night" "$out/"; done
    exit "$code"
    ;;
issues)
    [ $# -ge 2 ] || usage
    mapfile -t nights < <(find "${@:2}" -name night.json | sort)
    if [ ${#nights[@]} -eq 0 ]; then
        echo "no night.json below ${*:2}: no board finished its night; look at its job" >&2
        exit 3
    fi
    edgekit hil issues "${nights[@]}"
    ;;
*)
    usage
    ;;
esac
