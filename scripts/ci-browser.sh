#!/usr/bin/env bash
# Visits the examples `members`, `chat_websocket` (also over https) and `chat_longpoll` with a headless Chromium, and opens
# WebSockets of `websocket_echo` over HTTP/2. Needs
# Debian's packages chromium and chromium-driver, which it installs where it may, and Python's selenium; without them it
# says so and skips.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

skip() {
  echo "SKIPPED: $*" >&2
  exit 0
}

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "no Chromium, and no right to install one"
  apt-get update -qq || skip "no package lists"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null ||
    skip "Chromium cannot be installed"
fi
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q selenium || skip "selenium cannot be installed"

profile=${PROFILE:-release}
flag=--release
[ "$profile" = release ] || flag=
cargo build --quiet $flag --examples

port=$(free_port)
mkdir "$work/uploads"
"${CARGO_TARGET_DIR:-target}/$profile/examples/members" --port "$port" --uploads "$work/uploads" >"$work/log" 2>&1 &
server=$!
listens "$port" "$server"
timeout 300 "$work/venv/bin/python" scripts/browser/members.py "http://localhost:$port" "$work/uploads" || {
  sed 's|^|  members: |' "$work/log" >&2
  exit 1
}
# They are started there, and started anew.
for name in chat_websocket chat_longpoll; do
  port=$((20000 + RANDOM % 10000))
  timeout 300 "$work/venv/bin/python" scripts/browser/chat.py "${CARGO_TARGET_DIR:-target}/$profile/examples/$name" "$port"
done
# Over https, with the messages over wss.
bin=${CARGO_TARGET_DIR:-target}/$profile/examples
"$bin/localhost_certificate" --certfile "$work/cert.pem" --keyfile "$work/key.pem" >/dev/null
timeout 300 "$work/venv/bin/python" scripts/browser/chat.py "$bin/chat_websocket" $((20000 + RANDOM % 10000)) \
  --certfile "$work/cert.pem" --keyfile "$work/key.pem"
# Over HTTP/2 (RFC 8441), which Chromium chooses for a WebSocket where it has such a connection.
kill "$server" && wait "$server" || true
port=$(free_port)
"$bin/websocket_echo" --port "$port" --certfile "$work/cert.pem" --keyfile "$work/key.pem" >"$work/log" 2>&1 &
server=$!
listens "$port" "$server"
timeout 300 "$work/venv/bin/python" scripts/browser/http2.py "https://localhost:$port/" || {
  sed 's|^|  websocket_echo: |' "$work/log" >&2
  exit 1
}
