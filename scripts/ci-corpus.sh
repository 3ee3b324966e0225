#!/usr/bin/env bash
# The expected values of crates/squall/tests/corpus and the pages of crates/squall/tests/templates are what Tornado
# computes, and the templates of its demos come out alike. Gets Tornado from pip; without it says so and skips.
#
# The demos are not ours: they come from the last source release that has them, into a folder that is thrown away.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tornado-venv.sh

python=$SQUALL_TORNADO_PYTHON
if ! "$python" -c 'import sys, tornado; sys.exit(tornado.version_info < (6, 6))'; then
  echo "SKIPPED: no Tornado 6.6 in $python" >&2
  exit 0
fi
"$python" -B crates/squall/tests/corpus/escape_locale.py
"$python" -B crates/squall/tests/corpus/templates.py
"$python" -B crates/squall/tests/templates/render.py

# Random ones are the same each time, so that a change is not refused for what it did not touch. To look for more:
# `SEED=random`, `SEED=7`, and DIRECTIVES=N for another number of templates.
seed=${SEED:-2026}
[ "$seed" != random ] || seed=$RANDOM$RANDOM

# Expressions: those of the table, and random ones. Their answers are those of Python 3.11.
if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  "$python" -B crates/squall/tests/templates/expressions.py
else
  echo "SKIPPED: the table of expressions is Python 3.11's" >&2
fi
expressions=$(mktemp)
trap 'rm -f "$expressions" "$expressions.directives"' EXIT
"$python" -B crates/squall/tests/templates/expressions.py --random 3000 "$seed" >"$expressions"
SQUALL_EXPRESSIONS=$expressions cargo test --quiet -p squall --test templates -- --ignored random_expressions

# Templates of all directives.
"$python" -B -W ignore crates/squall/tests/templates/directives.py "${DIRECTIVES:-2000}" "$seed" \
  >"$expressions.directives"
SQUALL_DIRECTIVES=$expressions.directives \
  cargo test --quiet -p squall --test templates -- --ignored random_directives

demos=$(mktemp -d)
trap 'rm -rf "$demos" "$expressions" "$expressions.directives"' EXIT
if ! "$python" -m pip download -q 'tornado==5.1.1' --no-binary :all: --no-deps -d "$demos"; then
  echo "SKIPPED: the demos of Tornado cannot be downloaded" >&2
  exit 0
fi
tar -xzf "$demos"/tornado-*.tar.gz -C "$demos"
export SQUALL_DEMOS=$demos/tornado-5.1.1/demos SQUALL_DEMO_PAGES=$demos/pages.json
"$python" -B crates/squall/tests/templates/render.py --demos "$SQUALL_DEMOS" >"$SQUALL_DEMO_PAGES"
cargo test --quiet -p squall --test templates -- --ignored demos
