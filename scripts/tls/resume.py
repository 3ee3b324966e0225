"""Resumes TLS sessions with a server of several processes: resume.py PORT CA ROUNDS VERSION."""

import re
import socket
import ssl
import sys

port, authority, rounds, version = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
context = ssl.create_default_context(cafile=authority)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)


def visit(session):
    """Whether the session was taken up, the session for the next time, and which process answered."""
    with socket.create_connection(("127.0.0.1", port)) as tcp:
        with context.wrap_socket(tcp, server_hostname="localhost", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := tls.recv(65536):
                answer += piece
            task = re.search(rb"task (\d+)", answer)
            return tls.session_reused, tls.session, task.group(1)


_, session, owner = visit(None)
reused = elsewhere = elsewhere_reused = 0
for _ in range(rounds):
    taken, session, task = visit(session)
    reused += taken
    if task != owner:
        elsewhere += 1
        elsewhere_reused += taken
    owner = task
print(f"{version}: {reused} of {rounds} sessions taken up again; {elsewhere_reused} of {elsewhere} by another process")
if reused < 0.99 * rounds or elsewhere == 0 or elsewhere_reused < 0.99 * elsewhere:
    sys.exit("too few")
