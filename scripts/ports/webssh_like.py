"""Visits the terminal."""

import json
import os
import time
from urllib.parse import urlencode

from wire import Browser

OPTIONS = ["--password=secret", "--maxconn=3", "--delay=3600"]


def visit(port, seen):
    browser = Browser(port, seen)
    browser.fetch("no token", "POST", "/", b"hostname=localhost&password=secret")
    browser.fetch("page", "GET", "/")
    for path in ["/nowhere", "/static/terminal.js", "/static/nowhere"]:
        browser.fetch(path, "GET", path)
    browser.fetch("delete", "DELETE", "/", X_XSRFToken=browser.token())

    def connect(name, **fields):
        fields = {"hostname": "localhost", "password": "secret", "_xsrf": browser.token(), **fields}
        return browser.fetch(name, "POST", "/", urlencode(fields).encode())

    connect("no host", hostname="")
    connect("no password", password="")
    connect("another host", hostname="<b>é")
    connect("wrong password", password="secre")
    for name, path in [("no name", "/ws"), ("unknown name", "/ws?id=x")]:
        browser.note(name + ", goodbye", browser.connect(name, path).closed())
    browser.connect("a name that is no UTF-8", "/ws?id=%FF")
    browser.connect("another site", "/ws?id=x", Origin="http://evil.example")
    browser.fetch("no WebSocket", "GET", "/ws?id=x")

    shell(browser, connect)
    limits(browser, connect)
    browser.close()


def typed(text):
    return json.dumps({"data": text}).encode()


def shell(browser, connect):
    name = json.loads(connect("a shell").body)["id"]
    terminal = browser.connect("its WebSocket", "/ws?id=" + name)
    browser.note("taken already, goodbye", browser.connect("taken already", "/ws?id=" + name).closed())
    for number, (command, mark) in enumerate([
        ("echo hello $((6*7)) é", "é\n"),
        ("echo to stdout; echo to stderr >&2; echo end", "end\n"),
        ("pwd; basename $PWD; echo end", "end\n"),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo end", "end\n"),
        ("ls -l /proc/$$/fd | wc -l; echo end", "end\n"),
        ("no-such-command; echo $?", "127\n"),
    ]):
        terminal.send(1, typed(command + "\n"))
        browser.note("command %d" % number, terminal.output(mark.encode()))
    # A command in pieces, one of them longer than a pipe takes at once.
    terminal.send(1, typed("wc -c <<'E'\n"))
    for _ in range(5):
        terminal.send(1, typed("x" * 50_000 + "\n"))
    terminal.send(1, typed("E\n"))
    browser.note("a long input", terminal.output(b"\n"))
    for number, message in enumerate([b"no JSON", b"[]", b"{}", b'{"data": 1}', b'{"resize": [80, 24]}', b"null", b'"data"']):
        terminal.send(1, message)
        terminal.send(2, typed("echo %d\n" % number))
        browser.note("message %d" % number, terminal.output(b"\n"))
    terminal.send(1, typed("exit 3\n"))
    browser.note("exit", terminal.closed())


def limits(browser, connect):
    answers = [json.loads(connect("shell %d of 3" % number).body) for number in (1, 2, 3)]
    connect("one too many")
    terminal = browser.connect("the first", "/ws?id=" + answers[0]["id"])
    # What the shell has started ends with it, although it would take a while.
    terminal.send(1, typed("sh -c 'echo $$; exec sleep 3600'\n"))
    sleeper = int(terminal.output(b"\n"))
    terminal.close(1000)
    gone(sleeper)
    connect("a place is free")
    terminal = browser.connect("the second", "/ws?id=" + answers[1]["id"])
    terminal.send(1, b"x" * (64 * 1024 - 1))
    terminal.send(1, typed("echo alive\n"))
    browser.note("the longest message", terminal.output(b"\n"))
    browser.note("goodbye", terminal.close(4000))


def gone(pid):
    """Waits until there is no such process."""
    deadline = time.monotonic() + 20
    while os.path.exists("/proc/%d" % pid):
        assert time.monotonic() < deadline, "what the shell has started goes on"
        time.sleep(0.02)
