#!/usr/bin/env bash
# Runs uNetworking's h1spec against the hello example: all 33 cases must pass. h1spec has no licence and is on no
# package registry, so it is not here; its cases, in our words, are in crates/squall/tests/wire/http1/h1spec.rs.
#
#   git clone https://github.com/uNetworking/h1spec
#   H1SPEC=h1spec scripts/ci-h1spec.sh
#
# DENO is the command that runs it: the one in PATH, or what npm installs into a temporary folder.
set -euo pipefail

if [ -z "${H1SPEC:-}" ]; then
  echo "SKIPPED: h1spec itself did not run, H1SPEC=path names no checkout of it (see $0)"
  exit 0
fi
checkout=$(realpath "$H1SPEC")
cd "$(dirname "$0")/.."
. scripts/lib.sh
[ -f "$checkout/http_test.ts" ] || { echo "no http_test.ts in $checkout" >&2; exit 1; }

work=$(mktemp -d)
hello=

finish() {
  [ -z "$hello" ] || kill "$hello" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

deno=${DENO:-$(command -v deno || true)}
if [ -z "$deno" ]; then
  npm install --silent --prefix "$work" deno
  deno=$work/node_modules/.bin/deno
fi

cargo build --quiet --release --example hello
port=$(free_port)
"${CARGO_TARGET_DIR:-target}/release/examples/hello" --port "$port" >"$work/hello.log" 2>&1 &
hello=$!
listens "$port" "$hello" || { cat "$work/hello.log" >&2; exit 1; }

# 127.0.0.1, as localhost may name ::1 first.
"$deno" run --no-prompt --allow-net=127.0.0.1 "$checkout/http_test.ts" 127.0.0.1 "$port" 2>&1 | tee "$work/result"
grep -qx '33 out of 33 tests passed.' "$work/result"
