#!/usr/bin/env bash
# Fuzzes every target for a while: the rewriter of templates for a minute, the others for twenty seconds, which makes five
# minutes; SECONDS_EACH sets another time for all. Needs a nightly compiler and cargo-fuzz, which it tries to install where
# they are missing. Where that fails, any toolchain mutates the seeds at random for the same time
# (crates/squall/tests/wire/fuzz.rs).
set -euo pipefail
cd "$(dirname "$0")/.."

seconds_for() {
  if [ -n "${SECONDS_EACH:-}" ]; then
    echo "$SECONDS_EACH"
  elif [ "$1" = template ]; then
    echo 60
  else
    echo 20
  fi
}

has_fuzzer() { cargo +nightly fuzz --version >/dev/null 2>&1; }

install_fuzzer() {
  command -v rustup >/dev/null || return 1
  cargo +nightly --version >/dev/null 2>&1 ||
    timeout -k 10 300 rustup toolchain install nightly --profile minimal || return 1
  has_fuzzer || timeout -k 10 600 cargo install cargo-fuzz --locked || return 1
  has_fuzzer
}

if has_fuzzer || install_fuzzer; then
  for target in $(cargo +nightly fuzz list); do
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
      -max_total_time="$(seconds_for "$target")" -max_len=20000 -timeout=10 -rss_limit_mb=1024
    echo "ok: $target"
  done
  exit 0
fi

echo "no fuzzer here: the seeds are mutated at random instead" >&2
SQUALL_FUZZ=$(for target in fuzz/fuzz_targets/*.rs; do
  target=$(basename "$target" .rs)
  echo "$target=$(seconds_for "$target")"
done)
export SQUALL_FUZZ
cargo test -p squall --features http2 --test wire fuzz:: -- --ignored --nocapture
