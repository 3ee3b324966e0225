#!/usr/bin/env bash
# HTTPS with other programs: OpenSSL's and curl's clients, sessions that go from one process to another, Tornado's client and
# server, sslyze where pip can install it, testssl.sh where apt can. Needs openssl, curl and Python; says what it skips.
# A browser is sent over https by ci-browser.sh.
#
#   scripts/ci-tls.sh                 builds the examples in release mode
#   PROFILE=debug scripts/ci-tls.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

command -v openssl >/dev/null || { echo "SKIPPED: no openssl" >&2; exit 0; }
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

# start PORT COMMAND...: runs it in the background.
start() {
  "${@:2}" >"$work/$(basename "$2").log" 2>&1 &
  pids+=("$!")
  listens "$1" "${pids[-1]}" || fail "$2 does not listen on port $1"
}

# client ARGUMENT...: OpenSSL's, against hello.
client() { openssl s_client -connect "localhost:$port" -CAfile "$work/cert.pem" "$@" </dev/null 2>&1 || true; }

# expect WHAT PATTERN: what was read from it has that.
expect() {
  local text
  text=$(cat)
  grep -q -- "$2" <<<"$text" || fail "$1: $text"
  echo "ok: $1"
}

"$bin/localhost_certificate" --certfile "$work/cert.pem" --keyfile "$work/key.pem" >/dev/null
"$bin/localhost_certificate" --certfile "$work/cert.pem" --keyfile "$work/other.pem" >/dev/null 2>&1 &&
  fail "a certificate was overwritten"
port=$((20000 + RANDOM % 10000))
start "$port" "$bin/hello" --port "$port" --certfile "$work/cert.pem" --keyfile "$work/key.pem"

client -tls1_2 | expect "TLS 1.2" 'Verify return code: 0 (ok)'
client -tls1_3 | expect "TLS 1.3" 'Verify return code: 0 (ok)'
client -tls1_3 -alpn h2,http/1.1 | expect "ALPN" 'ALPN protocol: h2'
client -tls1_3 -alpn http/1.1 | expect "ALPN without HTTP/2" 'ALPN protocol: http/1.1'
client -servername elsewhere.test | expect "an unknown name is shown the default" 'localhost, for development'
client -tls1_1 -cipher 'DEFAULT@SECLEVEL=0' | expect "TLS 1.1 is refused" 'alert protocol version\|no protocols available\|handshake failure'
client -tls1_2 -cipher 'AES128-SHA' | expect "CBC and no forward secrecy is refused" 'handshake failure'
client -alpn h3 | expect "another protocol is refused" 'no application protocol'
{ (sleep 0.3; printf 'R\n'; sleep 0.3) | openssl s_client -connect "localhost:$port" -tls1_2 2>&1 || true; } |
  expect "renegotiation is refused" 'no renegotiation\|unexpected message\|RENEGOTIATING'

head -c 10000000 /dev/urandom >"$work/body"
curl -sS --cacert "$work/cert.pem" "https://localhost:$port/" | expect "curl" 'Hello, world'
curl -sS --cacert "$work/cert.pem" --data-binary "@$work/body" -H 'Content-Type: application/octet-stream' -H 'Expect:' "https://localhost:$port/echo" |
  cmp - "$work/body" || fail "10 MB came back changed"
echo "ok: 10 MB there and back"
curl -sSi "http://localhost:$port/" | expect "clear text to the port of HTTPS" '^HTTP/1.1 400 Bad Request'
if curl -sS "https://localhost:$port/" >/dev/null 2>&1; then fail "a certificate of nobody's was trusted"; fi

# Other files while it runs.
"$bin/localhost_certificate" --certfile "$work/new.pem" --keyfile "$work/new-key.pem" >/dev/null
before=$(client -showcerts | grep -m 1 -A 5 'BEGIN CERTIFICATE')
mv "$work/new-key.pem" "$work/key.pem" && mv "$work/new.pem" "$work/cert.pem"
for _ in $(seq 100); do
  [ "$(client -showcerts | grep -m 1 -A 5 'BEGIN CERTIFICATE')" = "$before" ] || break
  sleep 0.1
done
curl -sS --cacert "$work/cert.pem" "https://localhost:$port/" | expect "a new certificate" 'Hello, world'

if command -v python3 >/dev/null; then
  python3 scripts/tls/swaps.py "$port" "$work/cert.pem" "$work/key.pem" "$bin/localhost_certificate" "$work/hello.log" ||
    fail "swaps of certificates"
else
  echo "SKIPPED: swaps of certificates under load: no Python" >&2
fi

for bad in "--certfile /nowhere --keyfile $work/key.pem" "--certfile $work/key.pem --keyfile $work/key.pem"; do
  # shellcheck disable=SC2086
  { "$bin/hello" --port 0 $bad 2>&1 || true; } | expect "refused at start-up: $bad" '^[Ee]rror: ssl_options: certfile'
done

# Certificates by name, and of clients: made by OpenSSL, with keys of every kind.
certify() { # NAME KEY-OPTION...
  openssl req -x509 -nodes -days 2 -subj "/CN=$1" -addext "subjectAltName=DNS:$1" "${@:2}" \
    -keyout "$work/$1-key.pem" -out "$work/$1.pem" 2>/dev/null
}
certify one.test -newkey rsa:2048
certify two.test -newkey ec -pkeyopt ec_paramgen_curve:P-384
certify three.test -newkey ed25519
certify clients -newkey ec -pkeyopt ec_paramgen_curve:P-256
certify strangers -newkey ec -pkeyopt ec_paramgen_curve:P-256
for name in client stranger; do
  openssl req -nodes -subj "/CN=$name" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout "$work/$name-key.pem" 2>/dev/null |
    openssl x509 -req -days 2 -CA "$work/${name}s.pem" -CAkey "$work/${name}s-key.pem" -CAcreateserial \
      -extfile <(echo 'basicConstraints=CA:FALSE') -out "$work/$name.pem" 2>/dev/null
done
named=$((port + 3))
start "$named" "$bin/hello" --port "$named" --ca_certs "$work/clients.pem" \
  --certfile "$work/one.test.pem,$work/two.test.pem,$work/three.test.pem" \
  --keyfile "$work/one.test-key.pem,$work/two.test-key.pem,$work/three.test-key.pem"
# ask NAME ARGUMENT...: a request by OpenSSL's client.
ask() {
  { printf 'GET / HTTP/1.0\r\n\r\n'; sleep 1; } |
    openssl s_client -connect "localhost:$named" -servername "$1" -CAfile "$work/$1.pem" "${@:2}" 2>&1 || true
}
own=(-cert "$work/client.pem" -key "$work/client-key.pem")
for name in one.test two.test three.test; do
  for version in -tls1_2 -tls1_3; do
    ask "$name" "$version" "${own[@]}" | tee "$work/asked" | expect "$name, $version" 'Verify return code: 0 (ok)'
    expect "$name, $version, with a client's certificate" 'Hello, world' <"$work/asked"
  done
done
for version in -tls1_2 -tls1_3; do
  ask one.test "$version" | expect "none of the client's is refused, $version" 'certificate required\|handshake failure'
  ask one.test "$version" -cert "$work/stranger.pem" -key "$work/stranger-key.pem" |
    expect "a stranger's is refused, $version" 'unknown ca\|alert'
done

if command -v python3 >/dev/null; then
  shared=$((port + 1))
  start "$shared" "$bin/multi_process" --port "$shared" --processes 2 \
    --certfile "$work/cert.pem" --keyfile "$work/key.pem"
  for version in TLSv1_2 TLSv1_3; do
    python3 scripts/tls/resume.py "$shared" "$work/cert.pem" 200 "$version" || fail "sessions"
  done
else
  echo "SKIPPED: sessions across processes: no Python" >&2
fi

(
  . scripts/tornado-venv.sh
  "$SQUALL_TORNADO_PYTHON" scripts/tls/tornado_client.py "$port" "$work/cert.pem" || exit 1
  theirs=$((port + 2))
  "$SQUALL_TORNADO_PYTHON" scripts/tls/tornado_server.py "$theirs" "$work/cert.pem" "$work/key.pem" &
  server=$!
  trap 'kill $server' EXIT
  listens "$theirs" "$server"
  SSL_CERT_FILE="$work/cert.pem" "$bin/webspider" --url "https://localhost:$theirs/" |
    expect "squall's client and Tornado's server" 'Done in .* fetched [12] URLs'
) || fail "Tornado"

if [ -n "${SQUALL_SSLYZE:-}" ] || python3 -m venv "$work/venv" 2>/dev/null && "$work/venv/bin/pip" install -q sslyze 2>/dev/null; then
  # But for the certificate, which no authority has signed.
  "${SQUALL_SSLYZE:-$work/venv/bin/sslyze}" --mozilla_config intermediate "localhost:$port" >"$work/sslyze.txt" 2>&1 || true
  sed -n '/COMPLIANCE/,$p' "$work/sslyze.txt"
  if grep -A 20 'COMPLIANCE' "$work/sslyze.txt" | grep '^ *\* ' | grep -qv 'certificate'; then
    fail "sslyze finds more than the certificate"
  fi
  echo "ok: sslyze"
else
  echo "SKIPPED: sslyze cannot be installed" >&2
fi

# Debian's package calls it testssl.
testssl=$(command -v testssl.sh || command -v testssl || true)
if [ -z "$testssl" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends testssl.sh bsdmainutils >/dev/null || true
  testssl=$(command -v testssl || true)
fi
if [ -n "$testssl" ]; then
  # But for the certificate, which no authority has signed and nobody can revoke, and what HTTP says.
  timeout 900 "$testssl" --quiet --warnings off --color 0 --protocols --server-defaults --fs --vulnerable \
    --cipher-per-proto --csvfile "$work/testssl.csv" "localhost:$port" >"$work/testssl.txt" 2>&1 || true
  grep -q 'TLS1_3.*offered' "$work/testssl.csv" 2>/dev/null || fail "testssl.sh does not get through: $(tail -5 "$work/testssl.txt")"
  findings=$(grep -E '"(LOW|MEDIUM|HIGH|CRITICAL|FATAL)"' "$work/testssl.csv" | grep -vE '^"(cert_|OCSP|DNS_CAA|certificate_transparency)' || true)
  [ -z "$findings" ] || fail "testssl.sh finds: $findings"
  echo "ok: testssl.sh, $(wc -l <"$work/testssl.csv") lines"
else
  echo "SKIPPED: testssl.sh cannot be installed" >&2
fi
