#!/usr/bin/env bash
# Runs the tests that compare squall with Tornado itself. Gets Tornado from pip; without it it says so and skips.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tornado-venv.sh
cargo test --quiet -p squall --test web signed_by_tornado:: -- --ignored
