#!/usr/bin/env python3
"""How the ports end, in which they are better than their originals. Ended while somebody uses them, they say goodbye to
WebSockets, what a shell has started ends too, and the status is 0; Tornado just dies. And a shell ends with a visitor who
leaves while it takes no input, where Tornado waits for it.

    endings.py FOLDER_OF_BINARIES
"""

import json
import os
import signal
import sys
from urllib.parse import urlencode

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../porting"))

import flower_like
import webssh_like
from walk import Process, free_port
from wire import Browser

GOING_AWAY = (0x88, b"\x03\xe9")


def ended(process, socket):
    process.stop(signal.SIGTERM)
    first, payload = socket.closed()[0]
    assert (first, payload[:2]) == GOING_AWAY, (first, payload)
    assert process.process.returncode == 0, process.process.returncode


def flower(binary):
    port = free_port()
    with Process([binary, "--port=%d" % port, *flower_like.OPTIONS], port) as process:
        events = Browser(port, {}).connect("events", "/api/events", **flower_like.BASIC)
        events.receive()
        ended(process, events)


def webssh(binary):
    port = free_port()
    with Process([binary, "--port=%d" % port, *webssh_like.OPTIONS], port) as process:
        browser = Browser(port, {})
        browser.fetch("page", "GET", "/")
        form = urlencode({"hostname": "localhost", "password": "secret", "_xsrf": browser.token()}).encode()
        names = [json.loads(browser.fetch(name, "POST", "/", form).body)["id"] for name in ("a shell", "another")]
        terminal = browser.connect("its WebSocket", "/ws?id=" + names[0])
        sleeper = falls_asleep(terminal)
        # More than a pipe takes, and little enough that the socket has room for the end.
        for _ in range(2):
            terminal.send(1, webssh_like.typed("x" * 50_000 + "\n"))
        terminal.connection.close()
        webssh_like.gone(sleeper)

        terminal = browser.connect("the other's WebSocket", "/ws?id=" + names[1])
        sleeper = falls_asleep(terminal)
        ended(process, terminal)
        webssh_like.gone(sleeper)


def falls_asleep(terminal):
    """The process that the shell waits for from now on."""
    terminal.send(1, webssh_like.typed("sh -c 'echo $$; exec sleep 3600'\n"))
    return int(terminal.output(b"\n"))


def main():
    folder = sys.argv[1]
    flower(os.path.join(folder, "flower_like"))
    webssh(os.path.join(folder, "webssh_like"))
    print("both end well")


if __name__ == "__main__":
    main()
