#!/usr/bin/env python3
"""Instructions per request in user space, which do not depend on what else the machine does (callgrind; the difference of
two runs). Needs valgrind.

    bench/instructions.py [BINARY [SETTINGS...]]

BINARY is that of `bench`, or another program that takes `--port`. SETTINGS are those of bench's peer `squall`, such as
`xheaders=on` or `around=2`; `upstream` stands for a proxy in front of another squall.
"""
import ctypes
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

CONNECTIONS = 64
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
DEFAULT = ["", "xheaders=on", "around=1", "around=2", "metrics=on", "log=null", "log=null:format=json", "upstream"]


def without_vdso():
    """rustix asks prctl(PR_GET_AUXV) for the kernel's vdso, which valgrind does not map: so the call has to fail."""
    def step(code, if_so, if_not, operand):
        return struct.pack("HBBI", code, if_so, if_not, operand)

    program = b"".join([
        step(0x20, 0, 0, 0), step(0x15, 0, 3, 157),  # the call is prctl
        step(0x20, 0, 0, 16), step(0x15, 0, 1, 0x41555856),  # of PR_GET_AUXV
        step(0x06, 0, 0, 0x00050000 | 22),  # EINVAL
        step(0x06, 0, 0, 0x7FFF0000),
    ])

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]

    text = ctypes.create_string_buffer(program)
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = Filter(len(program) // 8, ctypes.addressof(text))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(wanted), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


class Server:
    def __init__(self, binary, settings, counted=True):
        own = os.path.basename(binary) == "bench"
        if own:
            arguments = ["serve", ":".join(["squall"] + [part for part in [settings] if part])]
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            arguments = [f"--port={self.port}", *settings.split()]
        tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"] if counted else []
        self.process = subprocess.Popen(
            [*tool, binary, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=without_vdso if counted else None,
        )
        if own:
            self.port = int(self.process.stdout.readline())

    def connect(self):
        for _ in range(600):
            try:
                return socket.create_connection(("127.0.0.1", self.port))
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    break
            time.sleep(0.1)
        sys.exit(f"it does not serve: {self.process.stderr.read().decode()}")

    def end(self):
        """The instructions of the whole run."""
        self.process.send_signal(signal.SIGINT)
        _, report = self.process.communicate(timeout=300)
        found = re.findall(r"Collected : (\d+)", report.decode(errors="replace"))
        return int(found[-1]) if found else None


def run(binary, settings, depth, rounds):
    server = Server(binary, settings)
    connections = [server.connect() for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.sendall(REQUEST)
    for connection in connections:
        length = len(connection.recv(65536))
    for _ in range(rounds):
        for connection in connections:
            connection.sendall(REQUEST * depth)
        for connection in connections:
            received = 0
            while received < length * depth:
                received += len(connection.recv(1 << 20))
    for connection in connections:
        connection.close()
    return server.end()


def per_request(binary, settings, depth):
    few, many = (50, 200) if depth == 1 else (5, 20)
    return (run(binary, settings, depth, many) - run(binary, settings, depth, few)) / ((many - few) * CONNECTIONS * depth)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    binary = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "target", "release", "bench")
    of_bench = os.path.basename(binary) == "bench"
    print("| `squall`'s settings | 1 in flight | 16 in flight |\n|---|---:|---:|")
    for settings in sys.argv[2:] or (DEFAULT if of_bench else [""]):
        shown, upstream = settings or "none", None
        if settings == "upstream":
            upstream = Server(binary, "", counted=False)
            settings = f"upstream={upstream.port}"
        one = per_request(binary, settings, 1)
        # A proxy sends one request at a time upstream.
        sixteen = f"{per_request(binary, settings, 16):,.0f}" if upstream is None else ""
        if upstream:
            upstream.process.kill()
        print(f"| {shown} | {one:,.0f} | {sixteen} |", flush=True)


if __name__ == "__main__":
    main()
