# What the scripts that start servers share. From the folder of the repository: `. scripts/lib.sh`.
# shellcheck shell=bash

# is_open PORT: something listens there.
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port below the range that the kernel gives to clients.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    is_open "$port" || { echo "$port"; return; }
  done
  echo "FAILED: no free port" >&2
  exit 1
}

# listens PORT [PID]: waits up to 10 s until something listens there; no longer than that process lives.
listens() {
  for _ in $(seq 200); do
    is_open "$1" && return
    [ -z "${2:-}" ] || kill -0 "$2" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

# end PID: SIGTERM; gives the status with which it ends.
end() {
  kill "$1"
  local status=0
  wait "$1" || status=$?
  return "$status"
}

# show_logs FOLDER: what the servers said, for whoever looks for a failure.
show_logs() {
  local log
  for log in "$1"/*.log; do [ -s "$log" ] && sed "s|^|  ${log##*/}: |" "$log" >&2; done
  return 0
}
