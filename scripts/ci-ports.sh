#!/usr/bin/env bash
# Two ports of Tornado applications, examples/flower_like and examples/webssh_like, against their originals (the folder
# `original` of each): the same visitor goes to both, and the bytes of the answers are compared; scripts/ports/masks.py says
# what may differ. Then the ports are ended while somebody uses them. Gets Tornado from pip; without it it says so and skips.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tornado-venv.sh # sets SQUALL_TORNADO_PYTHON, or skips

profile=${PROFILE:-release}
if [ "$profile" = release ]; then cargo build --quiet --release --examples; else cargo build --quiet --examples; fi
bin=${CARGO_TARGET_DIR:-target}/$profile/examples

# visit NAME EXAMPLE
visit() {
  timeout -k 10 120 "$SQUALL_TORNADO_PYTHON" scripts/ports/compare.py \
    "$1" "examples/examples/$2/original/app.py" "$bin/$2"
}
visit flower_like flower_like
visit webssh_like webssh_like
visit webssh_unclaimed webssh_like
timeout -k 10 120 "$SQUALL_TORNADO_PYTHON" scripts/ports/endings.py "$bin"
