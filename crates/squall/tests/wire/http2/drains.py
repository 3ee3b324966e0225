#!/usr/bin/env python3
"""Tells a server of HTTP/2 in clear text to end while it is asked, again and again: no request may be lost that it did not
refuse (RFC 9113 §6.8).

    drains.py TIMES COMMAND...     `{port}` in COMMAND is the port it is to listen on

Each time the command is started, four connections keep 16 requests under way each, and it gets SIGTERM. The client obeys
GOAWAY: it opens no stream any more. What stands behind the last stream that the server names is refused, as is what gets
REFUSED_STREAM: it might be asked again elsewhere. A request is lost whose stream is not behind it and has no whole answer, or
whose connection ends without a GOAWAY.
"""

import signal
import socket
import struct
import subprocess
import sys
import threading
import time

GET = b"\x82\x86\x84\x41\x01x"
CONNECTIONS = 4
STREAMS = 16
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
REFUSED_STREAM = 7


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Connection:
    """Asks as fast as it is answered until it is told to end."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.next = 1
        self.open = set()
        self.last = None  # what GOAWAY names
        self.answered = self.refused = self.goaways = 0
        self.lost = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            window = frame(WINDOW_UPDATE, 0, 0, b"\x3f\xff\0\0")
            self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + window)
            self.ask()
            received = b""
            while data := self.socket.recv(65536):
                received = self.read(received + data)
                self.ask()
        except OSError as error:
            self.lost.append(f"{error}")
        self.socket.close()
        if self.last is None:
            self.lost.append("the end without GOAWAY")
        else:
            self.refused += sum(stream > self.last for stream in self.open)
            self.lost += [f"stream {stream}, last {self.last}" for stream in self.open if stream <= self.last]

    def ask(self):
        asked = b""
        while self.last is None and len(self.open) < STREAMS:
            asked += frame(HEADERS, 5, self.next, GET)
            self.open.add(self.next)
            self.next += 2
        if asked:
            self.socket.sendall(asked)

    def read(self, data):
        while len(data) >= 9:
            length = int.from_bytes(data[:3], "big")
            if len(data) < 9 + length:
                break
            kind, flags, stream = data[3], data[4], int.from_bytes(data[5:9], "big")
            payload, data = data[9 : 9 + length], data[9 + length :]
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self.open.remove(stream)
                self.answered += 1
            elif kind == RST_STREAM and int.from_bytes(payload, "big") == REFUSED_STREAM:
                self.open.remove(stream)
                self.refused += 1
            elif kind == RST_STREAM:
                self.lost.append(f"stream {stream} is reset: {payload.hex()}")
            elif kind == GOAWAY:
                self.goaways += 1
                self.last = int.from_bytes(payload[:4], "big")
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        return data


def connect(port, process):
    for _ in range(200):
        try:
            return Connection(port)
        except ConnectionRefusedError:
            if process.poll() is not None:
                break
            time.sleep(0.02)
    sys.exit("it does not listen")


def main():
    times, command = int(sys.argv[1]), sys.argv[2:]
    answered = refused = goaways = 0
    for turn in range(times):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen([part.format(port=port) for part in command], stderr=subprocess.DEVNULL)
        try:
            connections = [connect(port, process) for _ in range(CONNECTIONS)]
            # Each time at another moment.
            while sum(connection.answered for connection in connections) < 200 + 37 * turn:
                time.sleep(0.001)
            process.send_signal(signal.SIGTERM)
            for connection in connections:
                connection.thread.join()
            status = process.wait(timeout=20)
        finally:
            process.kill()
        lost = [text for connection in connections for text in connection.lost]
        if lost or status:
            sys.exit(f"drain {turn + 1}: status {status}, lost: {lost}")
        answered += sum(connection.answered for connection in connections)
        refused += sum(connection.refused for connection in connections)
        goaways += sum(connection.goaways for connection in connections)
    told = f"{goaways} GOAWAY to {times * CONNECTIONS} connections"
    print(f"{times} drains: {answered} requests answered, {refused} refused, none lost; {told}")


main()
