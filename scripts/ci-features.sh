#!/usr/bin/env bash
# What the default features leave out: the tests of the feature `tower` and the examples in its documentation. (The
# feature `redis` has a script of its own.)
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --quiet -p squall --features tower --test tower
cargo test --quiet -p squall --features tower --doc tower
