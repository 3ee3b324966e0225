#!/usr/bin/env bash
# Runs every fuzz target for a while, SECONDS_EACH (60) seconds. Needs a nightly compiler and cargo-fuzz; without them it
# says so and skips. The same functions are called with random input by the ordinary tests.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  echo "SKIPPED: $*" >&2
  exit 0
}

cargo +nightly --version >/dev/null 2>&1 || skip "no nightly compiler"
cargo +nightly fuzz --version >/dev/null 2>&1 || skip "no cargo-fuzz: cargo install cargo-fuzz"

for target in $(cargo +nightly fuzz list); do
  mkdir -p "fuzz/corpus/$target"
  cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="${SECONDS_EACH:-60}" -max_len=20000 -timeout=10 -rss_limit_mb=1024
  echo "ok: $target"
done
