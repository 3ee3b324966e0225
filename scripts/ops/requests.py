"""requests.py PORT COUNT: so many requests for / on eight connections, in batches; each must be answered with 200."""

import socket
import sys
import threading

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"
BATCH = 50
CONNECTIONS = 8


def ask(port: int, count: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        while count > 0:
            batch = min(BATCH, count)
            connection.sendall(REQUEST * batch)
            seen = bytearray()
            while not (seen.count(HEAD) == batch and seen.endswith(b"\n") and seen.count(b"Hello from") == batch):
                piece = connection.recv(65536)
                if not piece:
                    raise ConnectionError(f"closed within a batch: {bytes(seen[-200:])!r}")
                seen += piece
            count -= batch


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    failed = []

    def run(share: int) -> None:
        try:
            ask(port, share)
        except OSError as error:
            failed.append(error)

    shares = [count // CONNECTIONS + (index < count % CONNECTIONS) for index in range(CONNECTIONS)]
    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"FAILED: {failed[0]}")


main()
