#!/usr/bin/env bash
# Measures Taskwright's PostgreSQL store beside graphile-worker, pg-boss and apalis-postgres: see
# README.md. TASKWRIGHT_BIN names a taskwright command that is built already; without it, only the
# peers are measured. NODE names another Node than the one in PATH.
set -euo pipefail

usage="Usage: run.sh [--quick] [--json] [--rounds N]"
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$(cd "$here/../../.." && pwd)/target}
node=${NODE:-node}
# For each turn of one of them; an ordinary one takes 10 to 30 seconds.
turn_within=300

quick=()
json=()
rounds=3
while (($#)); do
    case $1 in
        --quick) quick=(--quick) ;;
        --json) json=(--json) ;;
        --rounds) rounds=${2:-} && shift ;;
        --help | -h) echo "$usage" && exit 0 ;;
        *) echo "error: there is no $1. $usage" >&2 && exit 2 ;;
    esac
    shift
done
if [[ ! $rounds =~ ^[1-9][0-9]?$ ]]; then
    echo "error: --rounds wants a number from 1 to 99. $usage" >&2
    exit 2
fi

# shellcheck source=cluster.sh
source "$here/cluster.sh"

# Brings what the peers need, of the versions in their lock files.
prepare_peers() {
    if [[ $here/node/package-lock.json -nt $here/node/node_modules/.package-lock.json ]]; then
        (cd "$here/node" && timeout 300 npm ci --ignore-scripts --no-audit --no-fund --loglevel error >&2)
    fi
    CARGO_TARGET_DIR=$target/peers-postgres timeout 1200 cargo build --release --locked --quiet \
        --manifest-path "$here/apalis/Cargo.toml"
}

# Whether there is a taskwright that can be measured; says loudly when there is not.
find_taskwright() {
    local why help
    if [[ -z ${TASKWRIGHT_BIN:-} ]]; then
        why="TASKWRIGHT_BIN names no taskwright command"
    elif ! help=$("$TASKWRIGHT_BIN" bench --help 2>&1); then
        why="\`$TASKWRIGHT_BIN bench --help\` fails"
    elif [[ $help != *--store* ]]; then
        why="the \`bench\` of $TASKWRIGHT_BIN has no --store: it cannot measure PostgreSQL yet"
    else
        TASKWRIGHT_BIN=$(realpath "$TASKWRIGHT_BIN")
        return 0
    fi
    printf '%s\n' "" "*** TASKWRIGHT IS NOT MEASURED, ONLY ITS PEERS: $why ***" "" >&2
    return 1
}

# One turn: prints the figures, one JSON object a line, and keeps them for the table.
measure() {
    local who=$1 round=$2
    echo "round $round of $rounds: $who (load $(cut -d ' ' -f 1 /proc/loadavg))" >&2
    fresh_database "${who}_$round"
    local command
    case $who in
        apalis) command=("$target/peers-postgres/release/taskwright-peers-apalis" "${quick[@]}") ;;
        taskwright) command=("$TASKWRIGHT_BIN" bench --store "$cluster_url/$measured_database" --json
            --only postgres.inprocess "${quick[@]}") ;;
        *) command=("$node" "$here/node/measure.mjs" "$who" "${quick[@]}") ;;
    esac
    (cd "$scratch/work" && DATABASE_URL=$cluster_url/$measured_database \
        timeout --kill-after=10 "$turn_within" "${command[@]}") | tee -a "$scratch/figures" >&2
}

prepare_peers
everybody=(graphile pgboss apalis)
if find_taskwright; then everybody+=(taskwright); fi

# On the project's disk, as /tmp may be memory.
mkdir -p "$target"
scratch=$(mktemp -d "$target/peers-postgres.XXXXXX")
trap 'stop_cluster; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
mkdir "$scratch/work"
start_cluster "$scratch"

load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
for ((round = 1; round <= rounds; round++)); do
    for who in "${everybody[@]}"; do measure "$who" "$round"; done
done
load_after=$(cut -d ' ' -f 1-3 /proc/loadavg)
"$node" "$here/node/table.mjs" "$scratch/figures" "$load_before" "$load_after" "${json[@]}"
