# Holds one program and its directory for a test: ends the program and removes the directory when
# its standard input ends, which it does whenever and however the test does.
#
# Usage: guard.sh DIRECTORY LOG SIGNAL PROGRAM ARGUMENTS…
# Reads "start" lines; prints "started PID" and "ended CODE".

directory=$1 log=$2 signal=$3
shift 3
pid_file=$directory/guarded.pid
child=

# The inner shell becomes the program, so that its number is the program's.
run() {
    sh -c 'echo "$$" >"$0"; echo "started $$" >&3; exec "$@" 3>&-' "$pid_file" "$@" \
        3>&1 </dev/null >>"$log" 2>&1
    code=$?
    rm -f "$pid_file"
    echo "ended $code"
}

# Again and again: the program may have begun only just now, and not listen yet.
end() {
    tries=0
    while [ "$tries" -lt 80 ]; do
        kill -s "$signal" "$(cat "$pid_file")"
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -s KILL "$(cat "$pid_file")"
}

while read -r word; do
    if [ "$word" = start ]; then
        run "$@" &
        child=$!
    fi
done

# Nobody may read any more what is printed from here on.
trap '' PIPE
if [ -n "$child" ]; then
    end >/dev/null 2>&1 &
    ending=$!
    wait "$child"
    kill "$ending" 2>/dev/null
fi
cd / || exit 1
rm -rf -- "$directory" 2>/dev/null || { sleep 1; rm -rf -- "$directory"; } 2>/dev/null
