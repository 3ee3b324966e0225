"""Changes a server's certificate 20 times while it is asked for pages over new connections, once for a broken pair.

    swaps.py PORT CERTFILE KEYFILE MAKER LOG

MAKER is the program localhost_certificate; PORT is served from CERTFILE and KEYFILE, and says in the file LOG what it thinks of
them. No request may fail, and half of the new certificates must be shown within a second (a machine may be busy; those that
take longer are told). Prints what it saw; status 1 when something does not hold.
"""
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SWAPS, BROKEN = 20, 10
PATIENCE = 30


def main():
    port, certfile, keyfile, maker, log = int(sys.argv[1]), *sys.argv[2:]
    context = ssl.create_default_context()
    # The certificate changes; which one it is, is looked at.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    over = threading.Event()
    answered, failed = [0, 0], []
    clients = [threading.Thread(target=load, args=(port, context, over, answered, n, failed)) for n in (0, 1)]
    for client in clients:
        client.start()
    took = []
    try:
        for number in range(1, SWAPS + 1):
            before = shown(port, context)
            if number == BROKEN:
                make(maker, certfile, None)
                wait_for(lambda: "The former certificates stay in use" in open(log).read(), "no word of a broken pair")
                if shown(port, context) != before:
                    sys.exit("FAILED: a certificate without its key is shown")
                continue
            new = make(maker, certfile, keyfile)
            since = time.monotonic()
            wait_for(lambda: shown(port, context) == new, f"certificate {number} is not shown")
            took.append(time.monotonic() - since)
    finally:
        over.set()
        for client in clients:
            client.join()
    if failed or not all(answered):
        sys.exit(f"FAILED: {len(failed)} of {sum(answered)} requests: {failed[:3]}")
    middle, longest = statistics.median(took), max(took)
    print(f"{SWAPS} swaps, one broken: {sum(answered)} requests, none failed; the new certificate after {middle:.2f} s, at most {longest:.2f} s")
    if middle > 1:
        sys.exit("FAILED: that is more than a second")


def load(port, context, over, answered, number, failed):
    while not over.is_set():
        try:
            with connect(port, context) as stream:
                stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b""
                while block := stream.recv(4096):
                    answer += block
            if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"Hello, world"):
                failed.append(answer)
        except OSError as error:
            failed.append(error)
        answered[number] += 1


def connect(port, context):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname="localhost")


def shown(port, context):
    with connect(port, context) as stream:
        return stream.getpeercert(binary_form=True)


def make(maker, certfile, keyfile):
    """A new pair in the place of the old one, file by file; without KEYFILE only half of it."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(certfile)) as folder:
        cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run([maker, "--certfile", cert, "--keyfile", key], check=True, stdout=subprocess.DEVNULL)
        der = ssl.PEM_cert_to_DER_cert(open(cert).read())
        if keyfile:
            os.replace(key, keyfile)
        os.replace(cert, certfile)
        return der


def wait_for(holds, otherwise):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"FAILED: {otherwise}")
        time.sleep(0.01)


main()
