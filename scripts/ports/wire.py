"""A browser that sees the bytes: requests by hand over sockets, answers as they come."""

import re
import socket
import struct

TIMEOUT = 20
END = b"\r\n\r\n"


class Answer:
    """The bytes of a response; of a chunked one the body as it was cut."""

    def __init__(self, head, body):
        self.head, self.body = head, body
        lines = head.decode("latin-1").split("\r\n")
        self.status_line = lines[0]
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:]]

    @property
    def status(self):
        return int(self.status_line.split(" ")[1])

    def header(self, name):
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


class Connection:
    """A socket, and what has come over it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.settimeout(TIMEOUT)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the connection ends after %r" % self.buffer)
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, length):
        while len(self.buffer) < length:
            self.fill()
        found, self.buffer = self.buffer[:length], self.buffer[length:]
        return found

    def answer(self, method):
        head = self.until(END)
        answer = Answer(head, b"")
        if answer.status in (101, 204, 304) or method == "HEAD":
            return answer
        if answer.header("Transfer-Encoding"):
            while not answer.body.endswith(b"0\r\n\r\n"):
                answer.body += self.until(b"\r\n") + b"\r\n"
        else:
            answer.body = self.exactly(int(answer.header("Content-Length")))
        return answer

    def close(self):
        self.socket.close()


class Browser:
    """Keeps cookies and the connection, and writes down every answer under a name."""

    def __init__(self, port, seen):
        self.port, self.seen = port, seen
        self.cookies, self.headers = {}, {}
        self.connection = None

    def request(self, method, path, body, headers):
        lines = {"Host": "127.0.0.1:%d" % self.port, **self.headers, **headers}
        if self.cookies:
            lines["Cookie"] = "; ".join("%s=%s" % pair for pair in self.cookies.items())
        if body is not None:
            lines["Content-Length"] = len(body)
        head = ["%s %s HTTP/1.1" % (method, path)] + ["%s: %s" % line for line in lines.items()]
        return "\r\n".join(head).encode() + END + (body or b"")

    def fetch(self, name, method, path, body=None, **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        if body is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        if self.connection is None:
            self.connection = Connection(self.port)
        self.connection.send(self.request(method, path, body, headers))
        answer = self.connection.answer(method)
        self.keep_cookies(answer)
        if answer.header("Connection") == "close":
            self.connection.close()
            self.connection = None
        self.note(name, answer)
        return answer

    def keep_cookies(self, answer):
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                key, value = value.split(";")[0].split("=", 1)
                self.cookies[key] = value.strip('"')
                if not self.cookies[key]:
                    del self.cookies[key]

    def connect(self, name, path, **headers):
        """A WebSocket, or `None` if the answer is no 101."""
        connection = Connection(self.port)
        headers = {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers,
        }
        connection.send(self.request("GET", path, None, headers))
        answer = connection.answer("GET")
        self.note(name, answer)
        if answer.status == 101:
            return Frames(connection)
        connection.close()
        return None

    def token(self):
        """Of the cookie, which does as well as the one of a form."""
        return self.cookies["_xsrf"]

    def note(self, name, what):
        assert name not in self.seen, name
        self.seen[name] = what

    def close(self):
        if self.connection is not None:
            self.connection.close()


class Frames:
    """An open WebSocket. Frames are seen as they are: first byte, and payload."""

    def __init__(self, connection):
        self.connection = connection

    def send(self, opcode, payload):
        length = len(payload)
        head = bytes([0x80 | length]) if length < 126 else bytes([0xFE]) + struct.pack("!H", length)
        # A mask of zeros changes nothing.
        self.connection.send(bytes([0x80 | opcode]) + head + bytes(4) + payload)

    def receive(self):
        first, length = self.connection.exactly(2)
        assert length < 0x80, "masked"
        if length == 126:
            (length,) = struct.unpack("!H", self.connection.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.connection.exactly(8))
        return first, self.connection.exactly(length)

    def output(self, mark):
        """The payloads of binary messages up to the one that ends with `mark`. How a pipe's bytes are cut is chance."""
        output = b""
        while not output.endswith(mark):
            first, payload = self.receive()
            assert first == 0x82, (first, payload, output)
            output += payload
        return output

    def close(self, code):
        """Says goodbye; gives the answer, and what comes after it."""
        self.send(8, struct.pack("!H", code))
        return self.receive(), self.rest()

    def closed(self):
        """The goodbye of the server, which is answered, and what comes after it."""
        first, payload = self.receive()
        self.send(8, payload[:2])
        return (first, payload), self.rest()

    def rest(self):
        """What comes until the peer closes the connection."""
        try:
            while True:
                self.connection.fill()
        except EOFError:
            self.connection.close()
            return self.connection.buffer


def form_token(answer):
    return re.search(rb'name="_xsrf" value="([^"]+)"', answer.body).group(1).decode()
