#!/usr/bin/env bash
# 100,000 fetches from a server that goes wrong at random, where `cargo test` runs 10,000. About two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
SQUALL_FAULTY_FETCHES=${SQUALL_FAULTY_FETCHES:-100000} cargo test --quiet -p squall --test processes faults_at_random
