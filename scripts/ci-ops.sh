#!/usr/bin/env bash
# Operates a server as an operator would, under load: reloads, crashes, kills, and the first process of a container. Needs
# bash, curl and wrk (Debian's is installed where it may be); without wrk it says so and skips.
#
#   scripts/ci-ops.sh                 builds the example in release mode
#   PROFILE=debug RELOADS=10 scripts/ci-ops.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

if ! command -v wrk >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "SKIPPED: no wrk, and no right to install it" >&2
    exit 0
  fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends wrk >/dev/null || {
    echo "SKIPPED: wrk cannot be installed" >&2
    exit 0
  }
fi

profile=${PROFILE:-release}
reloads=${RELOADS:-50}
flags=()
[ "$profile" = release ] && flags=(--release)
cargo build --quiet "${flags[@]}" -p squall-examples --example multi_process
work=$(mktemp -d)
built=${CARGO_TARGET_DIR:-target}/$profile/examples/multi_process
program=$work/server
cp "$built" "$program"
server=

finish() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "FAILED: $*" >&2
  tail -40 "$work/log" >&2
  exit 1
}

# The log grows with each request; only what is not the access log is of interest.
export RUST_LOG=info,squall::access=off

# until_true SECONDS COMMAND...
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

# start ARGUMENT...
start() {
  port=$(free_port)
  "$program" --address=127.0.0.1 --port="$port" "$@" 2>"$work/log" &
  server=$!
  until_true 20 fetch >/dev/null || fail "it does not serve"
}

fetch_path() { curl -fsS --max-time 10 "http://127.0.0.1:$port$1" 2>/dev/null; }
fetch() { fetch_path /; }

logged() { grep -q "$1" "$work/log"; }
count() { grep -c "$1" "$work/log" || true; }
served_more_than() { [ "$(count 'The new generation serves')" -gt "$1" ]; }
failed_more_than() { [ "$(count 'The new generation failed')" -gt "$1" ]; }
# Nothing, or what its new parent has not reaped.
# Whether so many workers are up, as /metrics has it.
serves_with() { fetch_path /metrics | grep -qx "squall_processes $1"; }
is_gone() { ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }
children() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }

# stop STATUS
stop() {
  local status=0
  end "$server" || status=$?
  server=
  [ "$status" = "$1" ] || fail "it ended with status $status instead of $1"
}

check_reloads() {
  start --processes=2
  # Half on connections that are kept, half on a new connection for each request.
  wrk -t1 -c16 -d600 "http://127.0.0.1:$port/" >"$work/kept" 2>&1 &
  local kept=$!
  wrk -t1 -c4 -d600 -H 'Connection: close' "http://127.0.0.1:$port/" >"$work/new" 2>&1 &
  local new=$!
  local signal served failed
  for n in $(seq "$reloads"); do
    signal=HUP
    [ $((n % 2)) = 0 ] && signal=USR2
    served=$(count 'The new generation serves')
    failed=$(count 'The new generation failed')
    if [ "$n" = $((reloads / 2)) ]; then
      # A binary that crashes at its start.
      mv "$program" "$program.good"
      printf '#!/bin/sh\nexit 3\n' >"$program"
      chmod +x "$program"
      kill -"$signal" "$server"
      until_true 20 failed_more_than "$failed" || fail "reload $n: a broken binary is not noticed"
      mv "$program.good" "$program"
    else
      kill -"$signal" "$server"
      until_true 60 served_more_than "$served" || fail "reload $n: no new generation"
    fi
  done
  kill -INT "$kept" "$new"
  wait "$kept" "$new" || true
  local requests
  for report in kept new; do
    requests=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$work/$report")
    [ "${requests:-0}" -gt 100 ] || fail "$report: only ${requests:-0} requests"
    if grep -E 'Socket errors|Non-2xx' "$work/$report"; then
      fail "requests failed during reloads ($report connections)"
    fi
    echo "ok: $reloads reloads, $requests requests, none failed ($report connections)"
  done
  stop 0
}

# has_served NUMBER: so many requests at least, as /metrics has it.
has_served() {
  fetch_path /metrics | awk -v least="$1" '/^squall_http_requests_total{route="\/"/ { sum += $NF } END { exit !(sum >= least) }'
}

check_kills() {
  start --processes=2
  local worker errors
  # Under load: what was in flight is lost, on the connections of that worker, and nothing else.
  wrk -t1 -c16 -d600 "http://127.0.0.1:$port/" >"$work/killed" 2>&1 &
  local load=$!
  until_true 60 has_served 2000 || fail "nothing is served"
  worker=$(children "$server" | cut -d' ' -f1)
  kill -KILL "$worker"
  until_true 10 logged "(pid $worker) killed by signal 9, restarting" || fail "a killed worker is not noticed"
  until_true 20 serves_with 2 || fail "a killed worker is not replaced"
  until_true 60 has_served 10000 || fail "nothing is served after a worker was killed"
  kill -INT "$load"
  wait "$load" || true
  errors=$(sed -n 's/.*Socket errors: connect 0, read \([0-9]*\), write \([0-9]*\), timeout 0.*/\1 \2/p' "$work/killed")
  if grep -q 'Socket errors' "$work/killed"; then
    [ -n "$errors" ] && [ $((${errors% *} + ${errors#* })) -le 16 ] || { cat "$work/killed" >&2; fail "more is lost than was in flight"; }
  fi
  ! grep 'Non-2xx' "$work/killed" || fail "a killed worker makes other answers"
  echo "ok: kill -9 of a worker under load, errors on ${errors:-no} of 16 connections (read and write)"

  worker=$(children "$server" | cut -d' ' -f1)
  kill -KILL "$worker"
  until_true 10 logged "(pid $worker) killed by signal 9, restarting" || fail "a killed worker is not noticed"
  until_true 10 eval '[ "$(children "$server" | wc -w)" = 2 ]' || fail "a killed worker is not replaced"
  for _ in 1 2 3 4; do fetch >/dev/null || fail "no answer after a worker was killed"; done
  echo "ok: kill -9 of a worker"

  # A crash loop: what follows the second crash waits longer and longer.
  local crashes=0 began=${EPOCHREALTIME/[.,]/}
  for _ in 1 2 3 4 5; do
    # The one whose successor waits: the same number each time.
    worker=$(ps -o pid=,comm= --ppid "$server" | awk '/worker1$/ {print $1; exit}')
    kill -KILL "$worker"
    until_true 10 logged "(pid $worker) killed by signal 9" || fail "crash $crashes is not noticed"
    # Its successor counts once it serves.
    until_true 20 serves_with 2 || fail "no successor after crash $crashes"
    crashes=$((crashes + 1))
  done
  local took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
  # 0 + 100 + 200 + 400 + 800 ms at least.
  [ "$took" -ge 1500 ] || fail "5 crashes in $took ms: nobody waited"
  fetch >/dev/null || fail "no answer during a crash loop"
  echo "ok: $crashes crashes in a row took $took ms, each successor waited longer"

  local workers
  workers=$(children "$server")
  kill -HUP "$server"
  until_true 60 served_more_than 0 || fail "no new generation"
  local generation
  for generation in $(children "$server"); do workers="$workers $generation $(children "$generation")"; done
  kill -KILL "$server"
  wait "$server" 2>/dev/null || true
  server=
  sleep 1
  for worker in $workers; do is_gone "$worker" || fail "process $worker outlives its parent"; done
  echo "ok: kill -9 of the parent, no orphan after 1 s"
}

# Two ways in which a worker does not answer: it is stopped, or a handler is stuck, which the log names.
check_silence() {
  start --processes=2
  local worker
  worker=$(children "$server" | cut -d' ' -f1)
  kill -STOP "$worker"
  until_true 60 logged "(pid $worker) has not answered for .* and is killed" || fail "a stopped worker is not noticed"
  until_true 10 logged "(pid $worker) killed by signal 9, restarting" || fail "a stopped worker is not replaced"
  until_true 10 fetch >/dev/null || fail "no answer after a worker was stopped"
  echo "ok: a worker that was stopped"
  curl -sS --max-time 60 "http://127.0.0.1:$port/stuck" >/dev/null 2>&1 &
  until_true 60 logged "The loop has been held for .* by the handler of /stuck" || fail "a stuck handler is not named"
  until_true 60 eval '[ "$(count "has not answered for")" = 2 ]' || fail "a stuck worker is not ended"
  grep -h -m 1 'by the handler of /stuck' "$work/log"
  until_true 10 fetch >/dev/null || fail "no answer after a worker was stuck"
  echo "ok: a handler that is stuck"
  stop 0
}

# The numbers of two workers after 100,000 requests, one of which died in between, and a parser that takes them.
check_metrics() {
  start --processes=2
  python3 scripts/ops/requests.py "$port" 50000
  kill -KILL "$(children "$server" | cut -d' ' -f1)"
  until_true 10 logged "killed by signal 9, restarting" || fail "a killed worker is not noticed"
  python3 scripts/ops/requests.py "$port" 50000
  curl -fsS --max-time 10 "http://127.0.0.1:$port/metrics" >"$work/metrics"
  if command -v promtool >/dev/null; then
    promtool check metrics <"$work/metrics" || fail "promtool refuses /metrics"
  fi
  local venv=${SQUALL_VENV:-${CARGO_TARGET_DIR:-target}/venv-prometheus}
  "$venv/bin/python" -c 'import prometheus_client' 2>/dev/null ||
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q prometheus_client; } ||
    { echo "SKIPPED: prometheus_client cannot be installed" >&2; stop 0; return; }
  # `start` has asked for the page as well.
  "$venv/bin/python" scripts/ops/metrics.py "$work/metrics" 100000 || fail "the numbers do not add up"
  stop 0
}

check_first_process() {
  unshare --pid --fork --mount-proc true 2>/dev/null || {
    echo "SKIPPED: no pid namespaces here" >&2
    return
  }
  port=$(free_port)
  # An orphan of a child becomes one of the first process.
  unshare --pid --fork --kill-child --mount-proc bash -c \
    'exec 2>"$0"; (sleep 0.2 & exec true) & exec "$1" --address=127.0.0.1 --port="$2" --processes=2' \
    "$work/log" "$program" "$port" &
  local outer=$!
  server=$outer
  until_true 20 fetch >/dev/null || fail "it does not serve as first process"
  local first
  first=$(children "$outer" | tr -d ' ')
  until_true 10 eval '! ps -o stat= --ppid "$first" 2>/dev/null | grep -q Z' || fail "a zombie is left"
  kill -HUP "$first"
  until_true 60 served_more_than 0 || fail "no new generation in a container"
  fetch >/dev/null || fail "no answer after a reload in a container"
  kill -TERM "$first"
  local status=0
  wait "$outer" || status=$?
  server=
  [ "$status" = 0 ] || fail "the first process ended with status $status"
  echo "ok: first process of a pid namespace"
}

check_reloads
check_kills
check_silence
check_metrics
check_first_process
echo "ok: operations"
