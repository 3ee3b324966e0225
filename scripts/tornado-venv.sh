# Sourced by the scripts that need Tornado: sets SQUALL_TORNADO_PYTHON to an interpreter that can import it, made with
# pip where none is given. Where there is neither Python nor a network the sourcing script says so and ends well.

if [ -z "${SQUALL_TORNADO_PYTHON:-}" ]; then
  venv=${SQUALL_VENV:-${CARGO_TARGET_DIR:-target}/venv}
  if ! "$venv/bin/python" -c 'import tornado' 2>/dev/null; then
    if ! command -v python3 >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null || true
    fi
    python3 -m venv "$venv" && "$venv/bin/pip" install -q 'tornado>=6.5' || {
      echo "SKIPPED: Tornado cannot be installed" >&2
      exit 0
    }
  fi
  SQUALL_TORNADO_PYTHON=$(cd "$(dirname "$venv/bin/python")" && pwd)/python
fi
export SQUALL_TORNADO_PYTHON
