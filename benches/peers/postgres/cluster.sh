# A private PostgreSQL for one run, to be sourced: `start_cluster DIRECTORY`, `fresh_database NAME`,
# `stop_cluster`. It listens on a free port of loopback, asks for a password, and ends with the shell.

postgres_bin=
cluster_files=
cluster_pid=
cluster_url=

# Finds the programs of PostgreSQL 15; as root, installs them where they are missing.
find_postgres() {
    postgres_bin=${POSTGRES_BIN:-/usr/lib/postgresql/15/bin}
    if [[ ! -x $postgres_bin/initdb ]]; then
        if ((EUID)); then
            echo "error: no PostgreSQL 15 in $postgres_bin; apt-get install postgresql-15, or set POSTGRES_BIN" >&2
            return 1
        fi
        export DEBIAN_FRONTEND=noninteractive
        timeout 120 apt-get update -qq >&2
        timeout 300 apt-get install -y -qq --no-install-recommends postgresql-15 >&2
    fi
}

# PostgreSQL refuses to run as root. It gets SIGQUIT, "stop at once", when this shell dies, however
# it dies.
as_postgres() {
    local owner=()
    if ((!EUID)); then owner=(--reuid postgres --regid postgres --init-groups); fi
    exec setpriv "${owner[@]}" --pdeathsig QUIT -- "$@"
}

free_port() {
    node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => {
        console.log(s.address().port); s.close(); })'
}

# Makes a cluster in this directory and starts it with the settings of the comparison.
start_cluster() {
    find_postgres
    cluster_files=$1/cluster
    mkdir "$cluster_files"
    (umask 077 && head -c 24 /dev/urandom | base64 | tr -dc 'a-zA-Z0-9' >"$1/password")
    if ((!EUID)); then
        chown postgres "$cluster_files" "$1/password"
        chmod 711 "$1"
    fi
    if ! (cd / && as_postgres test -w "$cluster_files"); then
        echo "error: user postgres cannot enter $1: set CARGO_TARGET_DIR to a directory that it can enter" >&2
        return 1
    fi
    (cd / && as_postgres "$postgres_bin/initdb" --pgdata "$cluster_files" --username bench \
        --auth scram-sha-256 --pwfile "$1/password" --encoding UTF8 --locale C.UTF-8) >"$1/log" 2>&1 ||
        { cat "$1/log" >&2; return 1; }
    local port password
    port=$(free_port)
    password=$(<"$1/password")
    (cd / && as_postgres "$postgres_bin/postgres" -D "$cluster_files" -p "$port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=on -c synchronous_commit=on -c full_page_writes=on \
        -c shared_buffers=512MB -c max_wal_size=4GB) >>"$1/log" 2>&1 &
    cluster_pid=$!
    cluster_url=postgres://bench:$password@127.0.0.1:$port
    for _ in {1..100}; do
        if "$postgres_bin/pg_isready" --quiet --host 127.0.0.1 --port "$port"; then return 0; fi
        if ! kill -0 "$cluster_pid" 2>/dev/null; then break; fi
        sleep 0.1
    done
    echo "error: PostgreSQL does not start; its log says:" >&2
    tail -n 5 "$1/log" >&2
    return 1
}

sql() {
    "$postgres_bin/psql" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --command "$1" "$cluster_url/postgres" >&2
}

# Replaces the database of the measurement before by an empty one of this name, and writes out what
# that left in memory, so that each begins with nothing to write.
fresh_database() {
    if [[ -n ${measured_database:-} ]]; then sql "drop database \"$measured_database\" with (force)"; fi
    sql "create database \"$1\""
    sql checkpoint
    measured_database=$1
}

# Its files go with the run's directory.
stop_cluster() {
    if [[ -n $cluster_pid ]]; then
        kill -QUIT "$cluster_pid" 2>/dev/null || true
        wait "$cluster_pid" 2>/dev/null || true
        cluster_pid=
    fi
}
