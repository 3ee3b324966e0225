#!/usr/bin/env bash
# Moves a Tornado service over, route by route, with the real Tornado behind squall: a logged-in user walks through all
# routes at every step of examples/porting and gets what pure Tornado answers; then the upstream is killed under load.
# Gets Tornado from pip; without it it says so and skips.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tornado-venv.sh # sets SQUALL_TORNADO_PYTHON, or skips

profile=${PROFILE:-release}
if [ "$profile" = release ]; then cargo build --quiet --release --examples; else cargo build --quiet --examples; fi
app=examples/examples/porting/app.py
binary=${CARGO_TARGET_DIR:-target}/$profile/examples/porting

timeout -k 10 300 "$SQUALL_TORNADO_PYTHON" scripts/porting/walk.py "$app" "$binary"
timeout -k 10 120 "$SQUALL_TORNADO_PYTHON" scripts/porting/kill.py "$app" "$binary"
