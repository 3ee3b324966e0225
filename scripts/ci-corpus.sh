#!/usr/bin/env bash
# The expected values of crates/squall/tests/corpus are what Tornado computes. Needs a Python that has Tornado 6.6 or
# later (`SQUALL_TORNADO_PYTHON`, default python3); without it says so and skips.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${SQUALL_TORNADO_PYTHON:-python3}
if ! "$python" -c 'import sys, tornado; sys.exit(tornado.version_info < (6, 6))' 2>/dev/null; then
  echo "SKIPPED: no Tornado 6.6 in $python; set SQUALL_TORNADO_PYTHON=PYTHON" >&2
  exit 0
fi
"$python" -B crates/squall/tests/corpus/escape_locale.py
