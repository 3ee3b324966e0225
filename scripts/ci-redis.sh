#!/usr/bin/env bash
# Runs the tests of `pubsub` against a real Redis. Installs Debian's redis-server where it may; without one it says so
# and skips.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v redis-server >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "SKIPPED: no redis-server, and no right to install one" >&2
    exit 0
  fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends redis-server >/dev/null || {
    echo "SKIPPED: redis-server cannot be installed" >&2
    exit 0
  }
fi
cargo test --quiet -p squall --features redis --test toolbox redis::
