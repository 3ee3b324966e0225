#!/usr/bin/env bash
# HTTP/2 with other programs: curl, nghttp and h2load (Debian's nghttp2-client), Python's httpx; in clear text and over TLS,
# and h2load while the server is told to end. Our client with nghttpd, nginx and Python's hypercorn, WebSockets among it, and
# our proxy before a server over TLS. Says what it skips.
#
#   scripts/ci-http2.sh                 builds the examples in release mode
#   PROFILE=debug scripts/ci-http2.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

profile=${PROFILE:-release}
flag=--release
[ "$profile" = release ] || flag=
cargo build --quiet $flag --examples
bin=${CARGO_TARGET_DIR:-target}/$profile/examples
work=$(mktemp -d)
pids=()

finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "FAILED: $*" >&2
  show_logs "$work"
  exit 1
}

# start PORT NAME COMMAND...: runs it in the background, its log in NAME.log.
start() {
  "${@:3}" >"$work/$2.log" 2>&1 &
  pids+=("$!")
  listens "$1" "$!" || fail "$2 does not listen on port $1"
}

# expect WHAT PATTERN: what was read from it has that.
expect() {
  local text
  text=$(cat)
  grep -q -- "$2" <<<"$text" || fail "$1: $text"
  echo "ok: $1"
}

if ! command -v h2load >/dev/null; then
  root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  if command -v apt-get >/dev/null; then
    "${root[@]}" apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends nghttp2-client || true
  fi
fi

"$bin/localhost_certificate" --certfile "$work/cert.pem" --keyfile "$work/key.pem" >/dev/null
clear=$(free_port)
start "$clear" clear "$bin/hello" --port "$clear" --h2c
tls=$(free_port)
start "$tls" tls "$bin/hello" --port "$tls" --certfile "$work/cert.pem" --keyfile "$work/key.pem"
head -c 10000000 /dev/urandom >"$work/body"

if curl --version | grep -q HTTP2; then
  curl -isS --http2-prior-knowledge "http://localhost:$clear/" | expect "curl, prior knowledge" '^HTTP/2 200'
  curl -isS --http2 "http://localhost:$clear/" | expect "an upgrade to h2c is not taken" '^HTTP/1.1 200 OK'
  curl -isS --cacert "$work/cert.pem" "https://localhost:$tls/" | expect "curl, ALPN" '^HTTP/2 200'
  curl -isS --http1.1 --cacert "$work/cert.pem" "https://localhost:$tls/" | expect "HTTP/1.1 beside it" '^HTTP/1.1 200 OK'
  curl -sS --cacert "$work/cert.pem" --data-binary "@$work/body" -H 'Content-Type: application/octet-stream' \
    "https://localhost:$tls/echo" | cmp - "$work/body" || fail "10 MB came back changed"
  echo "ok: 10 MB there and back"
  curl -isS --http2-prior-knowledge -I "http://localhost:$clear/" | expect "HEAD" '^content-length: 12'
else
  echo "SKIPPED: this curl has no HTTP/2" >&2
fi

if command -v h2load >/dev/null; then
  nghttp -nv "http://localhost:$clear/" | expect "nghttp" ':status: 200'
  load() { h2load "$@" 2>&1 || true; }
  load -n 20000 -c 8 -m 64 "http://localhost:$clear/" | expect "h2load, clear text" '20000 succeeded, 0 failed, 0 errored'
  load -n 20000 -c 8 -m 64 "https://localhost:$tls/" | expect "h2load, TLS" '20000 succeeded, 0 failed, 0 errored'
  load -n 200 -c 4 -m 8 -d "$work/body" -H 'content-type: application/octet-stream' "http://localhost:$clear/echo" |
    expect "h2load, 10 MB each way" '200 succeeded, 0 failed, 0 errored'

  # Told to end under load: whatever was begun is finished, and what was refused is refused by GOAWAY.
  last=$(free_port)
  start "$last" last "$bin/hello" --port "$last" --h2c
  victim=${pids[-1]}
  h2load -D 3 -c 4 -m 16 "http://localhost:$last/" >"$work/h2load.txt" 2>&1 &
  loader=$!
  sleep 1
  end "$victim" || fail "hello ended with an error"
  kill "$loader" 2>/dev/null || true
  wait "$loader" || true
  ! grep -q 'Cut off' "$work/last.log" || fail "requests were cut off"
  echo "ok: a drain under load cuts nothing off"
else
  echo "SKIPPED: no h2load" >&2
fi

# Twenty times, by a client that tells what was refused (GOAWAY, REFUSED_STREAM) from what is lost.
python3 crates/squall/tests/wire/http2/drains.py 20 "$bin/hello" --port={port} --h2c --logging=none |
  expect "drains under load lose no request" '20 drains'

# The cases of httpwg (crates.io), each of which is a rule of RFC 9113, against a program that answers whatever is asked,
# and not at once. All pass; one may be lost to time where the machine is busy.
httpwg=target/httpwg/bin/httpwg
[ -x "$httpwg" ] || timeout -k 10 900 cargo install --quiet --locked --root target/httpwg --version 0.2.5 httpwg-cli || true
if [ -x "$httpwg" ]; then
  wg=$(free_port)
  start "$wg" wg "$bin/connection_api" --port "$wg" --h2c
  wg_tls=$(free_port)
  start "$wg_tls" wg_tls "$bin/connection_api" --port "$wg_tls" --certfile "$work/cert.pem" --keyfile "$work/key.pem"
  relay=$(free_port) # httpwg does not know TLS
  start "$relay" relay python3 scripts/http2/tls_relay.py "$relay" "$wg_tls" "$work/cert.pem"
  for way in "clear text:$wg" "TLS:$relay"; do
    "$httpwg" --address "127.0.0.1:${way##*:}" --connect-timeout 20000 --frame-timeout 20000 >"$work/httpwg.txt" 2>&1 || true
    passed=$(sed 's/\x1b\[[0-9;]*m//g' "$work/httpwg.txt" | sed -n 's|.*Passed \([0-9]*\)/107 .*|\1|p')
    [ "${passed:-0}" -ge 106 ] || { cat "$work/httpwg.txt"; fail "httpwg, ${way%:*}: ${passed:-none} of 107"; }
    echo "ok: httpwg, ${way%:*}, $passed of 107"
  done
else
  echo "SKIPPED: no httpwg-cli" >&2
fi

# What attacks cost: memory, CPU, and what another client sees (crates/squall/tests/wire/http2/README.md).
attacked=$(free_port)
start "$attacked" attacked "$bin/hello" --port "$attacked" --h2c
ATTACK_SECONDS=${ATTACK_SECONDS:-5} python3 crates/squall/tests/wire/http2/attacks.py "$attacked" "${pids[-1]}" ||
  fail "an attack is not withstood"

if python3 -m venv "$work/venv" >/dev/null 2>&1 && "$work/venv/bin/pip" -q install 'httpx[http2]' >/dev/null 2>&1; then
  SSL_CERT_FILE="$work/cert.pem" "$work/venv/bin/python" - "$clear" "$tls" <<'PY' | expect "httpx, both ways" '^ok$'
import sys, httpx
clear, tls = sys.argv[1:]
for client, base in [(httpx.Client(http2=True, http1=False), f"http://localhost:{clear}"), (httpx.Client(http2=True), f"https://localhost:{tls}")]:
    with client:
        for _ in range(20):
            answer = client.get(f"{base}/")
            assert (answer.http_version, answer.status_code, answer.text) == ("HTTP/2", 200, "Hello, world"), answer
        body = b"x" * 300_000
        assert client.post(f"{base}/echo", content=body).content == body
print("ok")
PY
else
  echo "SKIPPED: no httpx" >&2
fi

# The other way round: our client, and servers of others.
PATH=$PATH:/usr/sbin
if ! { command -v nghttpd && command -v nginx; } >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # RUNLEVEL=1: without starting their services.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive timeout 300 \
    apt-get install -y -qq --no-install-recommends nghttp2-server nginx-light >/dev/null 2>&1 || true
fi
chmod 755 "$work"
mkdir "$work/root" "$work/tmp"
printf 'small\n' >"$work/root/small.txt"
head -c 5000000 /dev/zero | tr '\0' 'x' >"$work/root/large.bin"
chmod -R a+rX "$work/root"
others=()
if command -v nghttpd >/dev/null; then
  port=$(free_port)
  start "$port" nghttpd nghttpd --no-tls -d "$work/root" "$port"
  others+=("nghttpd=http://localhost:$port")
  port=$(free_port)
  start "$port" nghttpd-tls nghttpd -d "$work/root" "$port" "$work/key.pem" "$work/cert.pem"
  others+=("nghttpd=https://localhost:$port")
else
  echo "SKIPPED: no nghttpd" >&2
fi
if command -v nginx >/dev/null; then
  port=$(free_port)
  nginx_tls=$(free_port)
  cat >"$work/nginx.conf" <<CONF
worker_processes 1;
pid $work/nginx.pid;
daemon off;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path $work/tmp;
  proxy_temp_path $work/tmp/p;
  fastcgi_temp_path $work/tmp/f;
  uwsgi_temp_path $work/tmp/u;
  scgi_temp_path $work/tmp/s;
  ssl_certificate $work/cert.pem;
  ssl_certificate_key $work/key.pem;
  # A connection serves fewer requests than are made, and allows fewer at once.
  keepalive_requests 50;
  http2_max_concurrent_streams 8;
  server { listen 127.0.0.1:$port http2; root $work/root; }
  server { listen 127.0.0.1:$nginx_tls ssl http2; root $work/root; }
}
CONF
  start "$port" nginx nginx -c "$work/nginx.conf"
  others+=("nginx=http://127.0.0.1:$port" "nginx=https://127.0.0.1:$nginx_tls")
else
  echo "SKIPPED: no nginx" >&2
fi
if [ -x "$work/venv/bin/pip" ] && "$work/venv/bin/pip" -q install hypercorn >/dev/null 2>&1; then
  cat >"$work/asgi.py" <<'PY'
FILES = {"/small.txt": b"small\n", "/large.bin": b"x" * 5_000_000}


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-version", scope["http_version"].encode())]})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
    elif scope["type"] == "http":
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        if scope["path"] == "/echo":
            status = 200
        else:
            body = FILES.get(scope["path"])
            status = 404 if body is None else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" or body is None else body})
PY
  port=$(free_port)
  start "$port" hypercorn env PYTHONPATH="$work" "$work/venv/bin/hypercorn" asgi:app --bind "127.0.0.1:$port"
  others+=("hypercorn=http://127.0.0.1:$port")
  port=$(free_port)
  start "$port" hypercorn-tls env PYTHONPATH="$work" "$work/venv/bin/hypercorn" asgi:app --bind "127.0.0.1:$port" \
    --certfile "$work/cert.pem" --keyfile "$work/key.pem"
  others+=("hypercorn=https://127.0.0.1:$port")
else
  echo "SKIPPED: no hypercorn" >&2
fi
if [ "${#others[@]}" -gt 0 ]; then
  SQUALL_HTTP2=${others[*]} timeout -k 10 900 \
    cargo test --quiet -p squall --test client servers::http2 -- --ignored --nocapture || fail "a server of others"
  echo "ok: our client with ${others[*]%%=*}"
fi

# Our proxy before a server over TLS, with which it agrees on HTTP/2.
before=$(free_port)
start "$before" proxy env SSL_CERT_FILE="$work/cert.pem" \
  "$bin/porting" --port "$before" --step 0 --upstream "https://localhost:$tls" --data "$work/notes.json"
curl -isS "http://localhost:$before/" | expect "the proxy over HTTP/2 by ALPN" '^[Vv]ia: 2.0 squall'
curl -sS --data-binary "@$work/body" -H 'Content-Type: application/octet-stream' "http://localhost:$before/echo" |
  cmp - "$work/body" || fail "10 MB came back changed through the proxy"
echo "ok: 10 MB there and back through it"
