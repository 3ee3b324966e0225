#!/usr/bin/env bash
# Starts every example on a free port, talks to it as a user would and checks the answers; then gives them what they
# cannot have: a port in use, a name without an address, a privileged port. Needs bash and curl.
#
#   scripts/ci-examples.sh            builds the examples in release mode and checks them
#   PROFILE=debug scripts/ci-examples.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

profile=${PROFILE:-release}
if [ "$profile" = release ]; then
  cargo build --quiet --release --examples --features squall-examples/redis,squall-examples/opentelemetry
else
  cargo build --quiet --examples --features squall-examples/redis,squall-examples/opentelemetry
fi
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

# start NAME ARGUMENT...: runs an example in the background until `stop`; it is to listen on $port.
start() {
  example=$1
  "$bin/$1" "${@:2}" >"$work/$1.log" 2>&1 &
  pid=$!
  pids+=("$pid")
  listens "$port" "$pid" || fail "$example does not listen on port $port"
}

# stop STATUS: SIGTERM ends it with this status.
stop() {
  local status=0
  end "$pid" || status=$?
  pids=("${pids[@]/$pid/}")
  pids=(${pids[@]})
  [ "$status" = "$1" ] || fail "$example ended with status $status instead of $1 after SIGTERM"
  is_open "$port" && fail "$example is gone, but something listens on its port"
  echo "ok: $example"
}

# expect WHAT TEXT REGEX: the whole text, its carriage returns dropped, matches.
expect() {
  local text=${2//$'\r'/}
  [[ $text =~ ^$3$ ]] || fail "$1: got $(printf %q "$text") instead of $3"
}

fetch() { curl -sS --max-time 10 "$@"; }

check_hello() {
  start hello --port "$port"
  expect "hello" "$(fetch -i "localhost:$port/")" \
    $'HTTP/1.1 200 OK\n.*Content-Type: text/html; charset=UTF-8\n.*Content-Length: 12\n.*Hello, world'
  expect "hello, echo" "$(fetch -d 'over the wire' "localhost:$port/echo")" 'over the wire'
  expect "hello, POST" "$(fetch -d 'there and back' "localhost:$port/")" 'there and back'
  expect "hello, not found" "$(fetch -o /dev/null -w '%{http_code}' "localhost:$port/nothing")" 404
  # The same page, with nothing but IoStream on this side.
  expect "stream_client" "$("$bin/stream_client" "127.0.0.1:$port")" 'Hello, world'
  echo "ok: stream_client"
  stop 0
}

# The certificate that it makes, in those that take one; more of HTTPS is in ci-tls.sh.
check_localhost_certificate() {
  local files=(--certfile "$work/localhost.pem" --keyfile "$work/localhost-key.pem") name
  expect "localhost_certificate" "$("$bin/localhost_certificate" "${files[@]}")" '.*localhost-key.pem are a certificate.*'
  "$bin/localhost_certificate" "${files[@]}" >/dev/null 2>&1 && fail "localhost_certificate overwrites files"
  # Each with a path that it answers with 200.
  for name in hello: sse: members: chat_websocket: chat_longpoll: porting:about flower_like:healthcheck webssh_like: virtual_hosts:index connection_api: handle_request:; do
    local path=${name#*:} options=()
    name=${name%%:*}
    [ "$name" != porting ] || options=(--data "$work/https-notes.json")
    start "$name" --port "$port" "${files[@]}" "${options[@]}"
    expect "$name, https" \
      "$(fetch -L -o /dev/null -w '%{http_code}' --cacert "$work/localhost.pem" "https://localhost:$port/$path")" 200
    expect "$name, http to the port of https" \
      "$(fetch -o /dev/null -w '%{http_code}' "http://localhost:$port/$path")" 400
    stop 0
  done
  start file_receiver --port "$port" "${files[@]}"
  expect "file_receiver, https" "$(fetch -T "$work/localhost.pem" --cacert "$work/localhost.pem" "https://localhost:$port/")" \
    'localhost.pem .* bytes'
  stop 0
  start websocket_echo --port "$port" "${files[@]}"
  expect "websocket_echo, wss" "$(echo 'there and back' | SSL_CERT_FILE="$work/localhost.pem" timeout 20 \
    "$bin/websocket_client" "wss://localhost:$port/echo")" 'there and back'
  stop 0
  if command -v openssl >/dev/null; then
    start tcp_echo --port "$port" "${files[@]}"
    local line=
    read -r -t 10 line < <(echo 'there and back' | openssl s_client -quiet -connect "127.0.0.1:$port" 2>/dev/null) || true
    expect "tcp_echo, TLS" "$line" 'there and back'
    stop 143
  else
    echo "SKIPPED: tcp_echo over TLS: no openssl" >&2
  fi
  refused "accept_loop has no TLS" "error: this answers in clear text only" "$bin/accept_loop" --port "$port" "${files[@]}"
  echo "ok: localhost_certificate"
}

check_file_receiver() {
  mkdir "$work/kept"
  head -c 200000 /dev/zero >"$work/large.bin"
  printf abc >"$work/small.txt"
  start file_receiver --port "$port" --folder "$work/kept"
  expect "file_receiver, POST" \
    "$(fetch -F "files=@$work/large.bin" -F "files=@$work/small.txt;filename=../../x.txt" "localhost:$port/post")" \
    $'large.bin application/octet-stream 200000 bytes\nx.txt text/plain 3 bytes'
  cmp "$work/large.bin" "$work/kept/large.bin" || fail "file_receiver keeps another file"
  expect "file_receiver, what is kept" "$(ls -A "$work/kept" | tr '\n' ' ')" 'large.bin x.txt '
  expect "file_receiver, PUT" "$(fetch -T "$work/large.bin" "localhost:$port/")" 'large.bin application/unknown 200000 bytes'
  rm -r "$work/kept" && mkdir "$work/kept"
  expect "file_uploader" "$(timeout 20 "$bin/file_uploader" --url "http://localhost:$port" "$work/large.bin" "$work/small.txt")" \
    $'large.bin application/octet-stream 200000 bytes\nsmall.txt application/octet-stream 3 bytes'
  cmp "$work/large.bin" "$work/kept/large.bin" || fail "file_uploader sends another file"
  expect "file_uploader, PUT" \
    "$(timeout 20 "$bin/file_uploader" --put --url "http://localhost:$port" "$work/large.bin" "$work/small.txt")" \
    $'large.bin application/octet-stream 200000 bytes\nsmall.txt application/octet-stream 3 bytes'
  echo "ok: file_uploader"
  expect "file_receiver, no form" \
    "$(fetch -o /dev/null -w '%{http_code}' -d a=1 "localhost:$port/post")" 415
  expect "file_receiver, another field" \
    "$(fetch -o /dev/null -w '%{http_code}' -F other=1 "localhost:$port/post")" 400
  stop 0
}

check_stream_client() { :; } # with hello

check_file_uploader() { :; } # with file_receiver

check_fetch() {
  start hello --port "$port"
  local printed
  printed=$(timeout 20 "$bin/fetch" --url "http://localhost:$port/") || fail "fetch ended with status $?"
  expect "fetch" "$printed" $'1\. 200 OK, 12 bytes
2\. the callback is told 200
3\. 5 requests, 2 at once, done in the order \\[[1-5], [1-5], [1-5], [1-5], [1-5]\\]
   the last has waited [0-9.]+[^ ]+ for its turn
4\. localhost has [1-9][0-9]* address\\(es\\)
   the stream says: HTTP/1.1 200 OK
   and then 12 bytes until it is closed
5\. 404: HTTP 404: Not Found
5\. 599: cannot connect to localhost:1: Connection refused.*
5\. 599: Unsupported url scheme: gopher'
  echo "ok: fetch"
  stop 0
}

check_webspider() {
  local printed
  printed=$(timeout 30 "$bin/webspider") || fail "webspider ended with status $?"
  expect "webspider" "$printed" $'Done in [0-9]+ seconds, fetched 100 URLs\\.
Unable to fetch 2 URLs:
  http://localhost:[0-9]+/page/4000 \\(HTTP 404: Not Found\\)
  http://localhost:[0-9]+/page/8000 \\(HTTP 404: Not Found\\)
The site was asked for 10 pages at once\\.'
  expect "webspider, one worker" "$(timeout 30 "$bin/webspider" --concurrency 1)" '.*The site was asked for 1 pages at once\.'
  echo "ok: webspider"
}

check_handle_request() {
  start handle_request --port "$port" --address 127.0.0.1
  expect "handle_request" "$(fetch -i "127.0.0.1:$port/")" \
    $'HTTP/1.1 200 OK\nContent-Length: 36\n\nHello World from Tornado Http Server'
  stop 0
}

check_connection_api() {
  start connection_api --port "$port"
  expect "connection_api" "$(fetch -i "localhost:$port/x?y")" $'HTTP/1.1 200 OK\n.*Content-Length: 19\n.*\nYou requested /x\\?y'
  expect "connection_api, chunked" "$(fetch -i "localhost:$port/count/3")" \
    $'HTTP/1.1 200 OK\n.*Transfer-Encoding: chunked\n.*\n1\n2\n3'
  stop 0
}

check_multi_process() {
  start multi_process --port "$port" --processes 2
  for _ in 1 2 3 4; do
    expect "multi_process" "$(fetch "localhost:$port/")" 'Hello from task [01], process [0-9]+'
  done
  stop 0
}

check_opentelemetry() {
  local trace=0123456789abcdef0123456789abcdef
  start opentelemetry --port "$port"
  # The trace is taken from the request and handed on in the fetch, whose parent is the span of the request.
  expect "opentelemetry" "$(fetch -H "traceparent: 00-$trace-0123456789abcdef-01" "localhost:$port/")" \
    "a whole of 00-$trace-[0-9a-f]{16}-01"
  expect "opentelemetry, a trace of its own" "$(fetch "localhost:$port/")" 'a whole of 00-[0-9a-f]{32}-[0-9a-f]{16}-01'
  stop 0
  [ "$(grep -ciE "trace ?id *: *$trace" "$work/opentelemetry.log")" = 2 ] || fail "opentelemetry: not two spans of one trace"
}

check_virtual_hosts() {
  start virtual_hosts --port "$port"
  local host
  for host in www:www.example.com safe:SAFE.example.com:80 default:other.example.com default:notwww.example.com; do
    expect "virtual_hosts, $host" "$(fetch -H "Host: ${host#*:}" "localhost:$port/index")" "${host%%:*} index of [a-z.]+"
  done
  expect "virtual_hosts, about" \
    "$(fetch -o /dev/null -w '%{http_code}' -H 'Host: safe.example.com' "localhost:$port/about")" 404
  stop 0
}

check_tcp_echo() {
  start tcp_echo --port "$port"
  local line
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  echo "there and back" >&3
  read -r -t 10 line <&3 || fail "tcp_echo does not answer"
  exec 3>&-
  expect "tcp_echo" "$line" 'there and back'
  stop 143
}

check_accept_loop() {
  start accept_loop --port "$port"
  # To localhost, which is what it listens on.
  expect "accept_loop" "$(timeout 10 bash -c "exec 3<>/dev/tcp/localhost/$port; cat <&3")" \
    'Hello World from A Simple TCP Server'
  stop 143
}

check_singleton_fork() {
  local printed
  printed=$("$bin/singleton_fork" 2>/dev/null) || fail "singleton_fork ended with status $?"
  expect "singleton_fork" "$printed" '.*initialized\(\) is false.*hello world.*hello world.*'
  echo "ok: singleton_fork"
}

check_sse() {
  start sse --port "$port"
  expect "sse, page" "$(fetch "localhost:$port/")" '.*new EventSource\("/events"\).*'
  # It ends with the server, in the middle of the stream.
  fetch -N -i -H 'Last-Event-ID: 7' "localhost:$port/events" >"$work/events" 2>/dev/null &
  local reader=$!
  until grep -q '^data: 0' "$work/events"; do
    kill -0 "$reader" 2>/dev/null || fail "sse: the stream ended early"
    sleep 0.05
  done
  expect "sse, click" "$(fetch -X POST -o /dev/null -w '%{http_code}' "localhost:$port/click")" 204
  until grep -q '^data: 1' "$work/events"; do
    kill -0 "$reader" 2>/dev/null || fail "sse: the stream ended without the click"
    sleep 0.05
  done
  stop 0
  wait "$reader" || true
  expect "sse, events" "$(cat "$work/events")" \
    $'HTTP/1.1 200 OK\n.*Content-Type: text/event-stream\n.*event: count\nid: 0\nretry: 1000\ndata: 0\n\nevent: count\nid: 1\n.*'
}

check_websocket_echo() {
  start websocket_echo --port "$port"
  local answer
  answer=$(fetch -i --http1.1 "http://127.0.0.1:$port/echo")
  expect "websocket_echo" "$answer" 'HTTP/1.1 400 Bad Request.*Can "Upgrade" only to "WebSocket".'
  stop 0
}

check_websocket_client() {
  start websocket_echo --port "$port"
  local answer
  answer=$(printf 'Hello\nworld\n' | timeout 10 "$bin/websocket_client" "ws://127.0.0.1:$port/deflate") ||
    fail "websocket_client ended with status $?"
  expect "websocket_client" "$answer" $'Hello\nworld'
  stop 0
}

# say PORT TEXT...: says this in the lobby of chat_websocket, and prints the first so many packets that come back.
# More may have come before the client knew that it had said everything.
say() {
  printf '%s\n' "${@:2}" | timeout 10 "$bin/websocket_client" "ws://127.0.0.1:$1/socket/${room:-lobby}" |
    sed -n "1,$(($# - 1))p"
}

check_chat_websocket() {
  start chat_websocket --port "$port"
  expect "chat_websocket, page" "$(fetch -L "localhost:$port/")" '<!DOCTYPE html>.*new WebSocket.*</html>'
  expect "chat_websocket, newcomer and own message" "$(say "$port" '<b>&"there' 'more')" \
    $'\\{"messages":\\[\\]\\}\n\\{"messages":\\[\\{"id":"[^"]+","text":"<b>&\\\\"there"\\}\\]\\}'
  expect "chat_websocket, what was said before" "$(say "$port" 'x')" \
    '\{"messages":\[\{"id":"[^"]+","text":"<b>&\\"there"\}.*\]\}'
  local number last=
  for number in $(seq 60); do last+="number $number"$'\n'; done
  say "$port" "${last%$'\n'}" >/dev/null
  expect "chat_websocket, fifty are kept" "$(say "$port" 'x' | grep -o '"text"' | wc -l)" 50
  expect "chat_websocket, other room" \
    "$(room=other say "$port" x)" '\{"messages":\[\]\}'
  expect "chat_websocket, long name" \
    "$(fetch -o /dev/null -w '%{http_code}' "localhost:$port/room/$(printf 'x%.0s' {1..41})")" 404
  stop 0
  refused "chat_websocket, processes without Redis" 'error: --processes needs --redis.*' \
    "$bin/chat_websocket" --port "$port" --processes 2
  if command -v redis-server >/dev/null; then check_chat_over_redis; else echo "skipped: chat over Redis (there is none)"; fi
}

# Two processes: says something until both have been talked to, and one of them knows all of it.
check_chat_over_redis() {
  local redis_port redis_pid packet deadline=$((SECONDS + 30))
  redis_port=$(free_port)
  redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no >/dev/null &
  redis_pid=$!
  pids+=("$redis_pid")
  start chat_websocket --port "$port" --redis "redis://127.0.0.1:$redis_port/" --processes 2
  until packet=$(say "$port" 'hello') &&
    # An identifier ends with the number of the process and of the message.
    [ "$(grep -oE '"id":"[^"]+' <<<"$packet" | cut -d- -f2 | sort -u | wc -l)" = 2 ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "chat_websocket, two processes: only $packet"
  done
  stop 0
  kill "$redis_pid"
}

check_chat_longpoll() {
  start chat_longpoll --port "$port" --wait 20
  local at="localhost:$port/messages" first cursor
  post() { fetch -H 'Content-Type: application/json' -d "$1" "${@:2}" "$at"; }
  expect "chat_longpoll, page" "$(fetch "localhost:$port/")" '<!DOCTYPE html>.*fetch\("/messages".*</html>'
  expect "chat_longpoll, nothing yet" "$(fetch "$at")" '\[\]'
  first=$(post '{"text": "<b>one"}')
  expect "chat_longpoll, POST" "$first" '\{"id":"[^"]+","text":"<b>one"\}'
  expect "chat_longpoll, all" "$(fetch "$at")" '\[\{"id":"[^"]+","text":"<b>one"\}\]'
  cursor=$(cut -d'"' -f4 <<<"$first")
  # A poll that waits for what is said after it has begun.
  fetch "$at?after=$cursor" >"$work/poll" &
  local poll=$!
  # Answered later than the poll was sent; the poll is not, as there is nothing to say.
  for _ in 1 2 3; do fetch "$at" >/dev/null; done
  kill -0 "$poll" || fail "chat_longpoll, the poll does not wait"
  post '{"text": "two"}' >/dev/null
  wait "$poll" || fail "chat_longpoll, a waiting poll is not answered"
  expect "chat_longpoll, a waiting poll" "$(<"$work/poll")" '\[\{"id":"[^"]+","text":"two"\}\]'
  expect "chat_longpoll, an old cursor" "$(fetch "$at?after=gone" | grep -o '"text"' | wc -l)" 2
  expect "chat_longpoll, silence" "$(post '{"text": " "}' -o /dev/null -w '%{http_code}')" 400
  expect "chat_longpoll, a form of another site" "$(fetch -o /dev/null -w '%{http_code}' -d '{"text": "x"}' "$at")" 415
  stop 0
  start chat_longpoll --port "$port" --wait 0.1
  expect "chat_longpoll, a poll in vain" "$(fetch "$at?after=0")" '\[\]'
  stop 0
}

# refused WHAT REGEX COMMAND...: status 1 and one line that matches.
refused() {
  local status=0 printed
  printed=$(timeout 10 "${@:3}" 2>&1 >/dev/null) || status=$?
  [ "$status" = 1 ] || fail "$1: ${*:3} ended with status $status: $printed"
  [ "${printed//$'\n'/}" = "$printed" ] || fail "$1: more than one line: $printed"
  expect "$1" "$printed" "$2"
  echo "ok: $1"
}

for source in examples/examples/*.rs; do
  name=$(basename "$source" .rs)
  declare -F "check_$name" >/dev/null || fail "$source has no check in $0"
  port=$(free_port)
  "check_$name"
done

port=$(free_port)
start hello --port "$port"
for name in hello handle_request connection_api multi_process virtual_hosts accept_loop sse; do
  [ -f "examples/examples/$name.rs" ] || continue
  refused "$name, port in use" ".*cannot listen on .*:$port: Address already in use.*" \
    "$bin/$name" --port "$port"
done
refused "tcp_echo, port in use" ".*cannot listen on 127.0.0.1:$port: Address already in use.*" "$bin/tcp_echo" --port "$port"
stop 0
refused "stream_client, nobody listens" "cannot connect to 127.0.0.1:$port: Connection refused.*" \
  "$bin/stream_client" "127.0.0.1:$port"
refused "unresolvable address" ".*cannot listen on no.such.name.invalid:$port: .+" \
  "$bin/handle_request" --port "$port" --address no.such.name.invalid
refused "option without a value" ".*Option 'port' requires a value" "$bin/hello" --port
for name in hello handle_request connection_api virtual_hosts chat_websocket chat_longpoll members sse tcp_echo accept_loop; do
  [ -x "$bin/$name" ] || continue
  # Tornado's words, behind the help.
  status=0
  printed=$(timeout 10 "$bin/$name" --prot=80 2>&1 >/dev/null) || status=$?
  [ "$status" = 1 ] && [[ $printed == *"Options:"*"--port"*"nrecognized command line option: 'prot'"* ]] ||
    fail "$name --prot=80 ended with status $status: $printed"
done
echo "ok: unknown options are refused"
# What every program has, in one that does nothing for it.
start hello --port "$port" --logging=warning --log-file-prefix "$work/hello-file"
fetch -o /dev/null "localhost:$port/" && fetch -o /dev/null "localhost:$port/nothing"
stop 0
expect "the log is where the options say" "$(cat "$work/hello-file")" '.W [0-9 :]+ [a-z_:0-9]+. 404 GET /nothing .*'


unprivileged=()
if [ "$(id -u)" = 0 ]; then
  # Where nobody may read it, whatever the rights of this folder.
  chmod 755 "$work" && cp "$bin/hello" "$work/hello"
  bin=$work
  if command -v setpriv >/dev/null; then
    unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all)
  elif command -v runuser >/dev/null; then
    unprivileged=(runuser -u nobody --)
  fi
fi
first_free=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null || echo 1024)
if [ "$first_free" -le 81 ] || { [ "$(id -u)" = 0 ] && [ ${#unprivileged[@]} = 0 ]; }; then
  echo "skipped: privileged port (nobody is unprivileged here)"
else
  refused "privileged port" ".*cannot listen on .*:81: Permission denied.*" \
    "${unprivileged[@]}" "$bin/hello" --port 81
fi
