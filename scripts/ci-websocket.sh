#!/usr/bin/env bash
# Interoperation of WebSockets: Tornado's websocket_connect and the `websockets` package against our server, our client against
# theirs, with and without compression, messages of 0 bytes to 16 MB. Installs both from PyPI into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

if ! python3 -m venv "$work/venv" || ! timeout 120 "$work/venv/bin/pip" install --quiet --retries 1 tornado websockets; then
  echo "SKIPPED: no interoperation of WebSockets, tornado and websockets cannot be installed (see $0)"
  exit 0
fi
python=$work/venv/bin/python3

profile=${PROFILE:-release}
release=()
[ "$profile" = debug ] || release=(--release)
cargo build --quiet "${release[@]}" --example websocket_echo --example websocket_client
bin=${CARGO_TARGET_DIR:-target}/$profile/examples
port=$((20000 + RANDOM % 10000)) # below the range that the kernel gives to clients
"$bin/websocket_echo" --port "$port" >"$work/echo.log" 2>&1 &
pids+=($!)

cat >"$work/peers.py" <<'PYTHON'
import asyncio, sys
import tornado.httpserver, tornado.web, tornado.websocket
import websockets.asyncio.client, websockets.asyncio.server

PORT = int(sys.argv[1])
LIMIT = 32 << 20
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20]


def messages():
    for size in SIZES:
        data = (b"tornado " * (size // 8 + 1))[:size]
        yield data.decode()
        yield data


async def tornado_client(path, compression):
    connection = await tornado.websocket.websocket_connect(
        f"ws://127.0.0.1:{PORT}{path}", compression_options=compression, max_message_size=LIMIT)
    for message in messages():
        await connection.write_message(message, binary=isinstance(message, bytes))
        assert await connection.read_message() == message, len(message)
    connection.close(1000, "done")
    assert await connection.read_message() is None
    assert connection.close_code == 1000, connection.close_code


async def websockets_client(path, compression):
    async with websockets.asyncio.client.connect(
            f"ws://127.0.0.1:{PORT}{path}", compression=compression, max_size=LIMIT) as connection:
        for message in messages():
            await connection.send(message)
            assert await connection.recv() == message, len(message)
        await (await connection.ping())
        extensions = [e.name for e in connection.protocol.extensions]
        assert bool(extensions) == (path == "/deflate" and compression is not None), extensions
    assert connection.close_code == 1000, connection.close_code


class Echo(tornado.websocket.WebSocketHandler):
    max_message_size = LIMIT

    def get_compression_options(self):
        return {}

    async def on_message(self, message):
        await self.write_message(message, binary=isinstance(message, bytes))


async def websockets_echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    for path in "/echo", "/deflate":
        for compression in None, {}:
            await tornado_client(path, compression)
            print(f"ok: Tornado's client, {path}, compression {compression}")
        for compression in None, "deflate":
            await websockets_client(path, compression)
            print(f"ok: websockets' client, {path}, compression {compression}")
    tornado.httpserver.HTTPServer(tornado.web.Application([("/", Echo)])).listen(PORT + 1, "127.0.0.1")
    async with websockets.asyncio.server.serve(websockets_echo, "127.0.0.1", PORT + 2, max_size=LIMIT):
        for what, port in ("Tornado's server", PORT + 1), ("websockets' server", PORT + 2):
            ours = await asyncio.create_subprocess_exec(sys.argv[2], "--interop", f"ws://127.0.0.1:{port}/")
            assert await asyncio.wait_for(ours.wait(), 120) == 0, what
            print(f"ok: our client, {what}")


asyncio.run(main())
PYTHON

for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
  sleep 0.05
done
timeout 300 "$python" "$work/peers.py" "$port" "$bin/websocket_client"
