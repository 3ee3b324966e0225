#!/usr/bin/env python3
"""Kills the Tornado process behind squall under load and starts it again, some times. Only requests that are in flight
there, or come while it is away, may be lost, each with a 502; what squall answers itself is not touched; nothing is done
twice.

    kill.py APP_PY PORTING_BINARY [--rounds N]
"""

import argparse
import collections
import http.client
import json
import os
import signal
import sys
import tempfile
import threading
import time

import walk

CLIENTS = 16
# POST /api/notes is unported at this step, /about is ported.
STEP = 2

Done = collections.namedtuple("Done", "began ended what status")


class Load:
    """Clients that ask one thing after the other, over connections that are kept."""

    def __init__(self, port, session):
        self.port, self.cookies, self.token = port, session["cookies"], session["token"]
        self.done, self.texts, self.errors = [], {}, []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def run(self, client):
        browser = walk.Browser(self.port, dict(self.cookies))
        count = 0
        while not self.ending.is_set():
            count += 1
            what = ("get", "post", "ported")[(client + count) % 3]
            began = time.monotonic()
            try:
                status = self.ask(browser, what, f"{client}-{count}")
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(f"{what} {client}-{count}: {error!r}")
                return
            self.done.append(Done(began, time.monotonic(), what, status))

    def ask(self, browser, what, text):
        if what == "get":
            # Small, so that it comes as a whole or not at all.
            return browser.fetch("GET", "/api/notes/1").status
        if what == "ported":
            return browser.fetch("GET", "/about").status
        headers = {"X-XSRFToken": self.token, "Content-Type": "application/json"}
        status = browser.fetch("POST", "/api/notes", json.dumps({"text": text}), headers).status
        self.texts[text] = status
        return status


def stream_is_cut(port, session, kill):
    """Whether a response that is on its way when the upstream is killed is seen to be cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=walk.TIMEOUT)
    cookie = "; ".join(f"{name}={value}" for name, value in session["cookies"].items())
    connection.request("GET", "/events", headers={"Cookie": cookie})
    response = connection.getresponse()
    response.read(1)
    kill()
    try:
        response.read()
    except (http.client.HTTPException, OSError):
        return True
    return False


def problems(load, gaps, board):
    """What was lost and should not have been. `gaps`: from when to when the upstream was away."""
    yield from load.errors
    for done in load.done:
        hit = any(done.began < back and done.ended > gone for gone, back in gaps)
        fine = done.status == (201 if done.what == "post" else 200)
        if not fine and (done.status != 502 or not hit or done.what == "ported"):
            yield f"{done} outside of {gaps}"
    kept = collections.Counter(note["text"] for note in board["notes"])
    for text, status in load.texts.items():
        if kept[text] != 1 and (status == 201 or kept[text] != 0):
            yield f"note {text}, answered with {status}, is there {kept[text]} times"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("app")
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "notes.json")
        back, front = walk.free_port(), walk.free_port()
        gaps, cut = [], True
        with (
            walk.tornado(options.app, back, data) as upstream,
            walk.squall(options.binary, front, data, STEP, back),
        ):
            session = walk.log_in(front, "Ann")
            walk.Browser(front, session["cookies"]).post("/", text="the first", _xsrf=session["token"])
            with Load(front, session) as load:
                for _ in range(options.rounds):
                    time.sleep(0.7)

                    def kill():
                        gaps.append([time.monotonic(), None])
                        upstream.stop(signal.SIGKILL)

                    cut &= stream_is_cut(front, session, kill)
                    time.sleep(0.5)
                    upstream.start()
                    gaps[-1][1] = time.monotonic()
                time.sleep(0.7)
        with open(data, encoding="utf-8") as file:
            board = json.load(file)
    wrong = list(problems(load, gaps, board))
    lost = [done for done in load.done if done.status == 502]
    in_flight = [done for done in lost if any(done.began < gone < done.ended for gone, _ in gaps)]
    print(
        f"{len(load.done)} requests, the upstream killed {len(gaps)} times: {len(in_flight)} that were in flight and "
        f"{len(lost) - len(in_flight)} that came while it was away got a 502, {len(wrong)} others failed"
    )
    for text in wrong[:20]:
        print(text)
    if not cut:
        print("a response that was cut off looks whole")
    # Without a loss nothing was tried.
    sys.exit(1 if wrong or not cut or not in_flight else 0)


if __name__ == "__main__":
    main()
