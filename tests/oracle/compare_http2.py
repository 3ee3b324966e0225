#!/usr/bin/env python3
"""compare.py's cases with HTTP/2 to the candidate: the oracle answers over HTTP/1.1 as before, and what both must agree
on is the same less what belongs to a connection (reason phrases, closing, framing).

    python3 compare_http2.py --reference 9200 --candidate 9300

Needs Python's `h2`. Cases that are about HTTP/1's own bytes are left out by name, each group with its reason. The last
line is `passed N of M`; the exit status is 0 only when all passed.
"""
import argparse
import importlib.util
import os
import socket
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import h2.config
import h2.connection
import h2.events

# What has no counterpart in HTTP/2: prefix of the case's name, reason.
LEFT_OUT = {
    "case_http10": "HTTP/1.0",
    "case_flush_http10": "HTTP/1.0",
    "case_close": "Connection: close is a field of HTTP/1",
    "case_no_host": "an :authority is never missing",
    "case_obs_fold": "there are no lines to fold",
    "case_bad_request_line": "bytes of HTTP/1",
    "case_bad_version": "bytes of HTTP/1",
    "case_bad_header_line": "bytes of HTTP/1",
    "case_bad_header_space": "bytes of HTTP/1",
    "case_bad_content_length": "refused by the frames (tests/wire/http2/messages.rs)",
    "case_bad_two_lengths": "refused by the frames (tests/wire/http2/messages.rs)",
    "case_bad_both": "there is no Transfer-Encoding",
    "case_bad_te": "there is no Transfer-Encoding",
    "case_bad_chunk": "there are no chunks",
    "case_bad_two_hosts": "refused by the frames (tests/wire/http2/messages.rs)",
    "case_bad_host": "Python's h2 does not send it",
    "case_bad_huge_header": "the frames' own limit",
    "case_bad_too_long": "answered, and the connection goes on (tests/wire/http2/messages.rs)",
    "case_echo_expect_continue": "written by hand for HTTP/1",
    "case_not_found_custom": "a raw < in a target, which RFC 3986 does not have, is refused by the frames",
    "case_ws_": "an upgrade is HTTP/1's",
}
OF_CONNECTION = ("connection", "keep-alive", "transfer-encoding")


def parse(raw):
    """The requests in bytes of HTTP/1: (method, target, [(name, value)], body)."""
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        known = dict(fields)
        if known.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, raw = raw.partition(b"\r\n")
                n = int(size, 16)
                body, raw = body + raw[:n], raw[n + 2:]
                if n == 0:
                    break
        else:
            n = int(known.get("content-length", 0))
            body, raw = raw[:n], raw[n:]
        yield method, target, fields, body


class Http2Target:
    """The candidate. `t(raw)` sends the requests in `raw` on one fresh connection, each when the one before is answered."""

    def __init__(self, port, compare):
        self.port, self.compare = port, compare

    def __call__(self, raw, n=1, offset=0, head=False, **_):
        raw = b"".join(raw) if isinstance(raw, (list, tuple)) else raw
        with socket.create_connection(("127.0.0.1", self.port + offset), 5) as sock:
            link = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin1"))
            link.initiate_connection()
            responses = [self.exchange(sock, link, *request) for request in parse(raw)]
        return responses[0] if n == 1 else responses

    def exchange(self, sock, link, method, target, fields, body):
        host = dict(fields)["host"]
        heads = [(":method", method), (":scheme", "http"), (":authority", host), (":path", target)]
        heads += [(k, v) for k, v in fields if k not in (*OF_CONNECTION, "host")]
        stream = link.get_next_available_stream_id()
        link.send_headers(stream, heads, end_stream=not body)
        seen, status, got, done = [], None, b"", False
        while not done:
            while body and (room := min(link.local_flow_control_window(stream), link.max_outbound_frame_size)) > 0:
                part, body = body[:room], body[room:]
                link.send_data(stream, part, end_stream=not body)
            sock.sendall(link.data_to_send())
            came = sock.recv(65536)
            if not came:
                raise ConnectionError("closed")
            for event in link.receive_data(came):
                if isinstance(event, h2.events.ResponseReceived):
                    status, seen = int(dict(event.headers)[":status"]), event.headers
                elif isinstance(event, h2.events.DataReceived):
                    got += event.data
                    link.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    done = True
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise ConnectionError(event)
        headers = [(k, v) for k, v in seen if not k.startswith(":")]
        if dict(headers).get("content-encoding") == "gzip" and got:
            got = zlib.decompressobj(47).decompress(got)
            headers = [h for h in headers if h[0] != "content-length"]
        return self.compare.Response(status, "", headers, got, None)


def without_connection(seen):
    """What was observed, less what belongs to a connection of HTTP/1."""
    if isinstance(seen, list):
        return [without_connection(one) for one in seen]
    if not isinstance(seen, dict):
        return seen
    seen = {key: without_connection(value) for key, value in seen.items() if key not in ("reason", "closed")}
    if str(seen.get("version", "")).startswith("HTTP/"):
        seen["version"] = "<version>"
    if isinstance(seen.get("headers"), list):
        seen["headers"] = [h for h in seen["headers"] if h[0] not in OF_CONNECTION]
    return seen


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=int, default=9200)
    parser.add_argument("--candidate", type=int, default=9300)
    parser.add_argument("-k", default="", help="only cases whose name contains this")
    args = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    compare = load(os.path.join(here, "compare.py"), "compare")
    cases = [(name, case) for name, case in vars(load(os.path.join(here, "cases.py"), "cases")).items()
             if name.startswith("case_") and args.k in name]
    left_out = [name for name, _ in cases if any(name.startswith(prefix) for prefix in LEFT_OUT)]
    cases = [(name, case) for name, case in cases if name not in left_out]
    with ThreadPoolExecutor(8) as pool:
        seen = [(name, pool.submit(compare.run, case, compare.Target(args.reference)),
                 pool.submit(compare.run, case, Http2Target(args.candidate, compare))) for name, case in cases]
    passed = 0
    for name, want, got in seen:
        want, got = without_connection(want.result()), without_connection(got.result())
        diffs = list(compare.difference(want, got))
        if not diffs and not (isinstance(want, dict) and "error" in want):
            passed += 1
            continue
        print(f"FAIL {name}")
        for line in diffs or [f"both: {want}"]:
            print(f"     {line}")
    print(f"left out: {len(left_out)}, which are about HTTP/1's own bytes")
    print(f"passed {passed} of {len(cases)}")
    sys.exit(passed != len(cases))


if __name__ == "__main__":
    main()
