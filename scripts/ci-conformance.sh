#!/usr/bin/env bash
# Compares examples/examples/conformance with a Tornado application that does the same, over the wire, byte by byte. Needs
# Python and pip, from which it gets Tornado; without them it says so and skips. The application and the cases are in
# tests/oracle, or the folder that ORACLE names; arguments go to compare.py (-k WORD, -v).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

oracle=${ORACLE:-tests/oracle}
. scripts/tornado-venv.sh # sets SQUALL_TORNADO_PYTHON, or skips

profile=${PROFILE:-release}
flag=--release
[ "$profile" = release ] || flag=
cargo build --quiet $flag --examples

pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait' EXIT

base=$((20000 + RANDOM % 10000))
"$SQUALL_TORNADO_PYTHON" "$oracle/oracle.py" --port=$base --logging=none 2>/dev/null &
pids+=($!)
"${CARGO_TARGET_DIR:-target}/$profile/examples/conformance" --port=$((base + 2)) --root="$oracle" --h2c >/dev/null 2>&1 &
pids+=($!)
for port in $base $((base + 1)) $((base + 2)) $((base + 3)); do
  listens "$port"
done
"$SQUALL_TORNADO_PYTHON" "$oracle/compare.py" --reference "$base" --candidate $((base + 2)) "$@"

# The same over HTTP/2.
if [ -f "$oracle/compare_http2.py" ]; then
  if "$SQUALL_TORNADO_PYTHON" -m pip -q install h2 >/dev/null 2>&1; then
    "$SQUALL_TORNADO_PYTHON" "$oracle/compare_http2.py" --reference "$base" --candidate $((base + 2))
  else
    echo "SKIPPED over HTTP/2: pip cannot install h2" >&2
  fi
fi
