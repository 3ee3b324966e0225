#!/usr/bin/env python3
"""Walks a user through the notice board, pure Tornado first, then with squall in front at every step of the port, and
compares the answers: status, reason, headers, bodies, events, WebSocket messages.

    walk.py APP_PY PORTING_BINARY [--step N] [-v]

One user keeps the session and the form of the first day through all steps; another logs in afresh at each.
"""

import argparse
import base64
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlencode

LAST = 6
TIMEOUT = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server; it is gone when the `with` ends."""

    def __init__(self, command, port):
        self.command, self.port, self.process = command, port, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGTERM)

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{self.command} does not listen on port {self.port}")
                time.sleep(0.02)

    def stop(self, number):
        self.process.send_signal(number)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def tornado(app, port, data):
    return Process([sys.executable, app, f"--port={port}", f"--data={data}", "--logging=none"], port)


def squall(binary, port, data, step, upstream):
    base = f"http://127.0.0.1:{upstream}"
    return Process([binary, f"--port={port}", f"--data={data}", f"--step={step}", f"--upstream={base}"], port)


# What differs between any two answers of the same server, or is the name of the server.
UNCOMPARED = {"date", "server", "via"}
# Of version 2: with a new mask for each page, and the time.
TOKEN = re.compile(r"2\|[0-9a-f]{8}\|[0-9a-f]+\|[0-9]+")
SIGNED = re.compile(r'"?2\|1:0\|[0-9]+:[0-9]+\|[0-9]+:user\|([0-9]+:[^|]*)\|[0-9a-f]{64}"?')


def plain(text):
    """Without masks, times and signatures."""
    return SIGNED.sub(r"SIGNED(\1)", TOKEN.sub("TOKEN", text))


class Answer:
    """Of an answer, what is compared."""

    def __init__(self, response, body):
        self.status, self.reason = response.status, response.reason
        pairs = [(name.lower(), plain(value)) for name, value in response.getheaders()]
        text = body.decode("utf-8", "replace")
        self.body = plain(text)
        changing = self.body != text
        is_json = "json" in (response.getheader("Content-Type") or "")
        if is_json:
            self.body = json.dumps(json.loads(text), sort_keys=True)  # white space is free
        dropped = set(UNCOMPARED)
        if changing or is_json:
            dropped |= {"etag", "content-length"}
        elif "etag" in dict(pairs) and "/static/" not in response.url:
            # A tag is the server's own affair, as long as there is one.
            pairs = [(name, '"..."' if name == "etag" else value) for name, value in pairs]
        if "/static/" in response.url:
            dropped.add("expires")  # in ten years
        if response.status == 405:
            dropped.add("allow")  # RFC 9110 §15.5.6 asks for it, Tornado does not send it
        pairs = [(name, re.sub(r"expires=[^;]*", "expires=...", value)) for name, value in pairs]
        self.headers = sorted((name, value) for name, value in pairs if name not in dropped)

    def __str__(self):
        lines = [f"{self.status} {self.reason}"] + [f"{name}: {value}" for name, value in self.headers]
        return "\n".join(lines) + "\n\n" + self.body


class Browser:
    """Keeps cookies, and the connection."""

    def __init__(self, port, cookies=None):
        self.cookies = cookies if cookies is not None else {}
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.port = port

    def cookie_header(self):
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def fetch(self, method, path, body=None, headers=()):
        headers = dict(headers)
        if self.cookies:
            headers["Cookie"] = self.cookie_header()
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        response.url = path
        self.text = response.read()
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                key, value = value.split(";")[0].split("=", 1)
                value = value.strip('"')
                if value:
                    self.cookies[key] = value
                else:
                    self.cookies.pop(key, None)
        return Answer(response, self.text)

    def post(self, path, **fields):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.fetch("POST", path, urlencode(fields), headers)

    def form_token(self):
        """That of the form on the page that was fetched last."""
        found = re.search(rb'name="_xsrf" value="([^"]+)"', self.text)
        return found.group(1).decode() if found else "none"


class Frames:
    """A WebSocket, by hand: what is compared are the bytes."""

    def __init__(self, port, path, cookie, origin=None):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        lines = [
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Cookie: {cookie}",
        ]
        if origin:
            lines.append(f"Origin: {origin}")
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = self.file.readline().decode().strip()
        headers = []
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, value = line.decode().strip().split(": ", 1)
            headers.append((name.lower(), value))
        self.headers = sorted(pair for pair in headers if pair[0] not in UNCOMPARED)

    def send(self, opcode, payload):
        head = bytes([0x80 | opcode])
        length = len(payload)
        head += bytes([0x80 | length]) if length < 126 else bytes([0xFE]) + struct.pack("!H", length)
        self.socket.sendall(head + b"\0\0\0\0" + payload)

    def receive(self):
        first, length = self.file.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self.file.read(2))
        return first, self.file.read(length)

    def close(self):
        self.file.close()
        self.socket.close()


def multipart(fields, files):
    lines = []
    for name, value in fields:
        lines += [b"--B", b'Content-Disposition: form-data; name="%s"' % name, b"", value]
    for name, filename, content in files:
        disposition = b'Content-Disposition: form-data; name="%s"; filename="%s"' % (name, filename)
        lines += [b"--B", disposition, b"Content-Type: text/plain", b"", content]
    return b"\r\n".join(lines + [b"--B--", b""])


def talk(browser, origin=None):
    """A conversation over the WebSocket; what was received."""
    frames = Frames(browser.port, "/talk", browser.cookie_header(), origin)
    try:
        if "101" not in frames.status:
            return f"{frames.status} {frames.headers}"
        heard = [frames.headers, frames.receive()]
        for opcode, payload in [(1, b"there"), (2, b"and \xff back"), (1, b"x" * 1000), (9, b"ping")]:
            frames.send(opcode, payload)
            heard.append(frames.receive())
        frames.send(1, b"bye")
        heard.append(frames.receive())
        frames.send(8, struct.pack("!H", 4000))
        heard.append(frames.file.read())
        return f"{frames.status} {heard}"
    finally:
        frames.close()


def walk(port, veteran):
    """All routes, logged out, in, and out again. Gives the answers by name. `veteran` has been logged in for long."""
    browser = Browser(port)
    seen = {}

    def see(name, answer):
        assert name not in seen, name
        seen[name] = answer

    see("home, nobody", browser.fetch("GET", "/"))
    see("api, nobody", browser.fetch("GET", "/api/notes"))
    see("talk, nobody", talk(browser))
    see("upload, nobody", browser.fetch("POST", "/upload"))
    see("redirect", browser.fetch("GET", "/home"))
    see("about", browser.fetch("GET", "/about"))
    see("about, German", browser.fetch("GET", "/about", headers={"Accept-Language": "de-AT,de;q=0.9"}))
    see("login page", browser.fetch("GET", "/login?next=%2F%3Fa%3D1"))
    see("login without token", browser.post("/login", name="Ann"))
    see("login with another token", browser.post("/login", name="Ann", _xsrf="2|00000000|00|1700000000"))
    see("login", browser.post("/login", name="Ann Ä.", next="/?a=1", _xsrf=browser_token(browser)))
    see("home", browser.fetch("GET", "/?a=1"))
    see("pin up", browser.post("/", text="<first>", _xsrf=browser.form_token()))
    see("home with a note", browser.fetch("GET", "/"))
    token = {"X-XSRFToken": browser_token(browser), "Content-Type": "application/json"}
    see("api, post", browser.fetch("POST", "/api/notes", '{"text": "second \\u00e9"}', token))
    see("api, no token", browser.fetch("POST", "/api/notes", '{"text": "x"}'))
    see("api, no json", browser.fetch("POST", "/api/notes", "{", token))
    see("api, other json", browser.fetch("POST", "/api/notes", '{"text": 1}', token))
    see("api, put", browser.fetch("PUT", "/api/notes/2", '{"text": "changed"}', token))
    see("api, put to nothing", browser.fetch("PUT", "/api/notes/99", '{"text": "changed"}', token))
    see("api, get", browser.fetch("GET", "/api/notes/2"))
    see("api, delete", browser.fetch("DELETE", "/api/notes/1", headers=token))
    see("api, deleted", browser.fetch("GET", "/api/notes/1"))
    see("api, list", browser.fetch("GET", "/api/notes"))
    see("about, one note", browser.fetch("GET", "/about", headers={"Cookie": "lang=de_DE"}))
    see("export", browser.fetch("GET", "/export"))
    form = {"Content-Type": "multipart/form-data; boundary=B"}
    xsrf = browser_token(browser).encode()
    fields = [(b"_xsrf", xsrf), (b"comment", b"two files")]
    files = [(b"file", b"a.txt", b"abc"), (b"file", b"b.txt", b"x" * 300_000)]
    see("upload", browser.fetch("POST", "/upload", multipart(fields, files), form))
    see("upload without token", browser.fetch("POST", "/upload", multipart(fields[1:], files), form))
    see("events", browser.fetch("GET", "/events"))
    see("talk", talk(browser))
    see("talk, own origin", talk(browser, f"http://127.0.0.1:{port}"))
    see("talk, other origin", talk(browser, "http://evil.example"))
    style = re.search('href="(/static/[^"]+)"', seen["about"].body).group(1)
    see("static", browser.fetch("GET", style))
    tag = dict(seen["static"].headers)["etag"]
    see("static, not modified", browser.fetch("GET", style, headers={"If-None-Match": tag}))
    see("static, head", browser.fetch("HEAD", style))
    see("static, range", browser.fetch("GET", style, headers={"Range": "bytes=0-3"}))
    see("static, missing", browser.fetch("GET", "/static/missing.css"))
    see("unknown", browser.fetch("GET", "/unknown", headers={"Accept-Language": "de"}))
    see("wrong method", browser.fetch("DELETE", "/about", headers=token))

    old = Browser(port, veteran["cookies"])
    see("veteran, home", old.fetch("GET", "/"))
    # From the form that pure Tornado made before the first step.
    see("veteran, old form", old.post("/", text="from an old page", _xsrf=veteran["token"]))
    see("veteran, api", old.fetch("GET", "/api/notes"))
    see("veteran, talk", talk(old))

    see("logout without token", browser.post("/logout"))
    see("logout", browser.post("/logout", _xsrf=browser_token(browser)))
    see("home, logged out", browser.fetch("GET", "/"))
    return {name: str(answer) for name, answer in seen.items()}


def browser_token(browser):
    """The one in the cookie does as well as one from a form."""
    return browser.cookies["_xsrf"]


def log_in(port, name):
    browser = Browser(port)
    browser.fetch("GET", "/login")
    browser.post("/login", name=name, _xsrf=browser.form_token())
    browser.fetch("GET", "/")
    return {"cookies": browser.cookies, "token": browser.form_token()}


def differences(expected, found):
    for name, text in expected.items():
        if found[name] != text:
            yield f"--- {name}: Tornado\n{text}\n+++ {name}: squall\n{found[name]}\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("app")
    parser.add_argument("binary")
    parser.add_argument("--step", type=int)
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "notes.json")
        back = free_port()
        with tornado(options.app, back, data):
            veteran = log_in(back, "Veteran")
            expected = walk(back, veteran)
            if options.v:
                for name, text in expected.items():
                    print(f"=== {name}\n{text}\n")
            steps = range(LAST + 1) if options.step is None else [options.step]
            for step in steps:
                os.remove(data)
                front = free_port()
                with squall(options.binary, front, data, step, back):
                    found = walk(front, veteran)
                wrong = list(differences(expected, found))
                print(f"step {step}: {len(expected) - len(wrong)} of {len(expected)} answers are Tornado's")
                for text in wrong:
                    print(text)
                failed |= bool(wrong)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
