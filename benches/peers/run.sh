#!/usr/bin/env bash
# Measures Taskwright over HTTP beside beanstalkd and NATS JetStream: see README.md.
# TASKWRIGHT_BIN names a taskwright command that is built already; without it, one is built.
set -euo pipefail

project=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$project/target}
PATH=$PATH:/usr/sbin

missing=()
for package in beanstalkd nats-server; do
    command -v "$package" >/dev/null || missing+=("$package")
done
if ((${#missing[@]})); then
    if ((EUID)); then
        echo "error: ${missing[*]} not installed; run this as root, or: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    timeout 120 apt-get update -qq >&2
    timeout 300 apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

packages=(-p taskwright-peers)
if [[ -z ${TASKWRIGHT_BIN:-} ]]; then
    packages+=(-p taskwright-cli)
    export TASKWRIGHT_BIN=$target/release/taskwright
fi
(cd "$project" && cargo build --release --quiet "${packages[@]}")

# On the project's disk, as /tmp may be memory.
scratch=$(mktemp -d "$target/peers.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
TMPDIR=$scratch timeout --foreground --kill-after=10 1800 "$target/release/taskwright-peers" "$@"
