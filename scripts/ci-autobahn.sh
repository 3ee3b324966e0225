#!/usr/bin/env bash
# Runs the real Autobahn test suite (PyPI's autobahntestsuite, a Python 2.7 program) against our server and our client: groups
# 1 to 7, 9 and 10, and 54 cases of 12 and 13. Every case must pass, none "non-strict". Its report is summed up in
# crates/squall/tests/autobahn/README.md; the same cases in our own words are crates/squall/src/websocket/tests.rs.
#
#   scripts/ci-autobahn.sh
#   AUTOBAHN_CASES='["12.*", "13.*"]' scripts/ci-autobahn.sh     other cases
#   PROFILE=debug scripts/ci-autobahn.sh
#
# PYTHON2 is the Python 2.7 to use; without it PATH's `python2`, or pyenv's 2.7.18.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

skip() {
  echo "SKIPPED: the Autobahn suite did not run, $1 (see $0)"
  exit 0
}

python=${PYTHON2:-}
if [ -z "$python" ]; then
  for candidate in "$(command -v python2.7 || true)" "$HOME/.pyenv/versions/2.7.18/bin/python2.7"; do
    if [ -x "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
[ -n "$python" ] || skip "there is no Python 2.7 here"

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

export PYTHONUSERBASE=$work/python
timeout 120 "$python" -m pip install --quiet --retries 1 --user autobahntestsuite==25.10.1 >"$work/pip.log" 2>&1 ||
  { cat "$work/pip.log" >&2; skip "autobahntestsuite cannot be installed"; }
# Longer than all cases take, and an end if one hangs.
wstest() { timeout "${AUTOBAHN_TIMEOUT:-600}" "$python" "$work/python/bin/wstest" "$@"; }

profile=${PROFILE:-release}
release=()
[ "$profile" = debug ] || release=(--release)
cargo build --quiet "${release[@]}" --example websocket_echo --example websocket_client
bin=${CARGO_TARGET_DIR:-target}/$profile/examples
port=$(free_port)
cases=${AUTOBAHN_CASES:-'["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.1.*", "12.3.*", "13.3.*"]'}

wait_for() {
  listens "$1" && return
  echo "nothing listens on port $1" >&2
  return 1
}

# judge WHAT FILE: every case is OK or informational.
judge() {
  python3 - "$1" "$2" <<'PYTHON'
import collections, json, sys
cases = json.load(open(sys.argv[2]))["squall"]
seen = collections.Counter(case["behavior"] for case in cases.values())
bad = [name for name, case in cases.items()
       if not {case["behavior"], case["behaviorClose"]} <= {"OK", "INFORMATIONAL"}]
print(f"{sys.argv[1]}: {len(cases)} cases, {dict(seen)}")
for name in bad:
    print(f"  {name}: {cases[name]['behavior']}, closing {cases[name]['behaviorClose']}")
sys.exit(bool(bad) or not cases)
PYTHON
}

"$bin/websocket_echo" --port "$port" >"$work/echo.log" 2>&1 &
pids+=($!)
wait_for "$port"
cat >"$work/client.json" <<JSON
{"outdir": "$work/server", "servers": [{"agent": "squall", "url": "ws://127.0.0.1:$port/deflate"}],
 "cases": $cases, "exclude-cases": [], "exclude-agent-cases": {}}
JSON
wstest -m fuzzingclient -s "$work/client.json" >"$work/wstest.log" 2>&1 || { tail -20 "$work/wstest.log" >&2; exit 1; }
judge server "$work/server/index.json"

cat >"$work/server.json" <<JSON
{"url": "ws://127.0.0.1:$((port + 1))", "outdir": "$work/client",
 "cases": $cases, "exclude-cases": [], "exclude-agent-cases": {}}
JSON
"$python" "$work/python/bin/wstest" -m fuzzingserver --webport 0 -s "$work/server.json" >"$work/wstest.log" 2>&1 & # killed at the end
pids+=($!)
wait_for $((port + 1))
timeout "${AUTOBAHN_TIMEOUT:-600}" "$bin/websocket_client" --autobahn "ws://127.0.0.1:$((port + 1))"
judge client "$work/client/index.json"
