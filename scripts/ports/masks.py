"""What may differ between Tornado's answer and squall's. Everything else is compared byte by byte: the status line, each
header with its name, value and place, the body, each WebSocket frame.

MASKS are put over both answers. They hide what differs between any two answers of one server as well, and what a
server may choose: in the place of each stands its name, so that one that is missing, or stands elsewhere, is seen.

EXPECTED are the differences on purpose (guide/porting.md lists them): Tornado's answer is rewritten to what squall's has
to be, to the byte.
"""

import json
import re

# Where it stands, the bytes, what takes their place, why.
MASKS = [
    ("head", rb"(?m)^Date: [^\r]+", rb"Date: DATE", "the time"),
    ("head", rb"(?m)^Server: [^\r]+", rb"Server: NAME", "each has its own name"),
    ("head", rb'(?m)^Etag: "[^"\r]+"', rb'Etag: "TAG"', "the hash of the body; any strong tag does"),
    ("both", rb"2\|[0-9a-f]{8}\|[0-9a-f]{32}\|[0-9]{10}", rb"XSRF", "a token: random, with a mask for each page"),
    ("head", rb'"?2\|1:0\|10:[0-9]{10}\|([0-9]+:[a-z]+\|[0-9]+:[^|]*)\|[0-9a-f]{64}"?', rb"SIGNED(\1)",
     "the time in a signed cookie, and its signature; its name and value are compared"),
    ("head", rb"(?m)expires=[A-Z][a-z]{2}, [^;\r]+", rb"expires=DATE", "the time"),
    ("head", rb"(?m)^Expires: [^\r]+", rb"Expires: DATE", "ten years from now, of static files"),
    ("head", rb"(?m)^Last-Modified: [^\r]+", rb"Last-Modified: DATE", "the time of the same file"),
    ("body", rb'"id": ?"[0-9a-f]{32}"', rb'"id": "ID"', "webssh_like: a random name of a shell"),
]


def masked(head, body):
    for where, pattern, name, _ in MASKS:
        if where in ("head", "both"):
            head = re.sub(pattern, name, head)
        if where in ("body", "both"):
            body = re.sub(pattern, name, body)
    return head, body


def compact(text):
    """JSON as Tornado writes it, without the spaces between its parts; exponents without a zero in front. All else stays."""
    value = json.loads(text, parse_float=Number, parse_int=Number)
    return write(value).replace("</", "<\\/").encode()


class Number(str):
    pass


def write(value):
    if isinstance(value, Number):
        return re.sub("e([-+])0", r"e\1", value)
    if isinstance(value, dict):
        return "{%s}" % ",".join("%s:%s" % (json.dumps(key), write(item)) for key, item in value.items())
    if isinstance(value, list):
        return "[%s]" % ",".join(map(write, value))
    return json.dumps(value)


def expected(head, body):
    """Tornado's answer as squall's is to be."""
    length = len(body)
    if b"Content-Type: application/json" in head:
        body = compact(body)  # JSON is written without spaces
    if b" 405 " in head.partition(b"\r\n")[0]:
        head += b"\r\nAllow: METHODS"  # RFC 9110 §15.5.6 asks for it
    return head.replace(b"Content-Length: %d" % length, b"Content-Length: %d" % len(body)), body


def found(head, body):
    """squall's answer, of which a 405 says what is allowed at its end."""
    if b" 405 " in head.partition(b"\r\n")[0]:
        head = re.sub(rb"(?m)\r\nAllow: [A-Z, ]+((?:\r\n.*)*)$", rb"\1\r\nAllow: METHODS", head)
    return head, body


def expected_frame(first, payload):
    """Likewise of a message."""
    is_json = first == 0x81 and payload[:1] in b"[{"
    return first, compact(payload) if is_json else payload
