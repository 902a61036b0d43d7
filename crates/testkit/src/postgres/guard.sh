# Owns one throwaway PostgreSQL: makes its data, starts and stops it on order, and takes all of it
# away when stdin ends, which the kernel sees to however the test process ends.
#
# Arguments: the folder to own, the folder of the binaries, the port, whether commits reach the disk (on or off);
# for a standby the port of its primary.
# Orders, one a line: start, stop, crash, pause, resume. Each is answered by one line: ok or failed.

folder=$1 binaries=$2 port=$3 fsync=$4 primary=$5
data=$folder/data
server=

# Ctrl-C is for the test process; the end of stdin then comes here.
trap '' INT TERM HUP
cd "$folder" || exit 1

make() {
    if [ -n "$primary" ]; then
        "$binaries/pg_basebackup" --pgdata="$data" --host=127.0.0.1 --port="$primary" --username=postgres \
            --write-recovery-conf --checkpoint=fast --no-sync >>"$folder/log" 2>&1
        return
    fi
    "$binaries/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 \
        --no-locale --no-sync >>"$folder/log" 2>&1
}

start() {
    # The paths of Unix sockets have a small limit, and temporary folders may be deep.
    sockets=
    [ ${#folder} -lt 80 ] && sockets=$folder
    "$binaries/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories="$sockets" -c shared_buffers=16MB -c max_connections=200 -c fsync="$fsync" \
        </dev/null >>"$folder/log" 2>&1 &
    server=$!
    until grep -Eq '^(ready|standby)' "$data/postmaster.pid" 2>/dev/null; do
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.05
    done
}

# Sends a signal to the server and then to all of its processes, some of which may end meanwhile.
signal_all() {
    [ -n "$server" ] && kill "-$1" "$server" || return 1
    kill "-$1" $(cat "/proc/$server/task/$server/children") 2>/dev/null
    return 0
}

stop() {
    if [ -n "$server" ]; then
        signal_all CONT 2>/dev/null
        kill "-$1" "$server" 2>/dev/null
        wait "$server" 2>/dev/null
        server=
    fi
    return 0
}

while read -r order; do
    case $order in
    start) { [ -d "$data" ] || make; } && start ;;
    stop) stop INT ;;
    crash) stop QUIT ;;
    pause) signal_all STOP ;;
    resume) signal_all CONT ;;
    esac && echo ok || echo failed
done

stop QUIT
cd / && rm -rf "$folder"
