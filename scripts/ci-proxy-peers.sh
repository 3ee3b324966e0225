#!/usr/bin/env bash
# Runs the table of crates/squall/tests/proxy against squall, and against Debian's nginx and haproxy beside it. Prints how
# many rows each passes; only a row that squall fails is a failure. For the others it is what the messages mean that is
# compared, with the configuration that their manuals give for a reverse proxy. VERBOSE=1 prints what differs.
#
# nginx and haproxy are those in PATH, or what `apt-get install` brings.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

work=$(mktemp -d)
peers=()
finish() {
  for pid in "${peers[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

export PATH=$PATH:/usr/sbin
has() { command -v "$1" >/dev/null; }
install() {
  has apt-get && [ "$(id -u)" = 0 ] || return 1
  { timeout 60 apt-get update -qq && timeout 120 apt-get install -y --no-install-recommends "$1"; } >"$work/apt.log" 2>&1
}

start_nginx() { # port, port of the upstream
  cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http {
  access_log off;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  map \$http_upgrade \$connection_upgrade { default upgrade; '' ''; }
  large_client_header_buffers 8 64k; proxy_buffer_size 64k; proxy_buffers 8 64k;
  server {
    listen 127.0.0.1:$1;
    location / {
      proxy_pass http://127.0.0.1:$2;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Host \$http_host;
      proxy_set_header Upgrade \$http_upgrade;
      proxy_set_header Connection \$connection_upgrade;
      proxy_set_header X-Real-IP \$remote_addr;
      proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto \$scheme;
    }
  }
}
CONF
  nginx -c "$work/nginx.conf" >"$work/nginx.out" 2>&1 &
  peers+=($!)
}

start_haproxy() {
  cat >"$work/haproxy.conf" <<CONF
global
  tune.bufsize 131072
  tune.http.maxhdr 1500
defaults
  mode http
  option forwardfor
  option http-keep-alive
  http-reuse never
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:$1
  default_backend back
backend back
  http-request set-header X-Forwarded-Proto http
  server upstream 127.0.0.1:$2
CONF
  haproxy -db -f "$work/haproxy.conf" >"$work/haproxy.out" 2>&1 &
  peers+=($!)
}

echo "building the tests"
cargo test --quiet -p squall --test web --no-run
run() { cargo test --quiet -p squall --test web -- --nocapture "$@"; }
table=$(run proxy::cases::every_row 2>&1) || { echo "$table"; echo "FAILED: squall" >&2; exit 1; }
grep -ao 'squall: .* rows' <<<"$table"

for peer in nginx haproxy; do
  if ! has "$peer" && ! install "$peer"; then
    echo "SKIPPED: $peer is not here and cannot be installed: the rows did not run against it"
    continue
  fi
  port=$((20000 + RANDOM % 5000)) # below the range that the kernel gives to clients
  upstream=$((port + 5000))
  "start_$peer" "$port" "$upstream"
  listens "$port" || { echo "SKIPPED: $peer does not start:"; cat "$work/$peer.out" "$work/$peer.log" 2>/dev/null; continue; }
  SQUALL_PROXY_PEER=$peer:$port:$upstream run --ignored proxy::peers::peer >"$work/$peer.rows" 2>&1 || true
  [ -z "${VERBOSE:-}" ] || grep -a "^$peer: " "$work/$peer.rows" | cut -c1-400
  grep -ao "$peer: .* rows" "$work/$peer.rows" || { echo "SKIPPED: the rows did not run against $peer:"; cat "$work/$peer.rows"; }
done
