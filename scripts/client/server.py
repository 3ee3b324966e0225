#!/usr/bin/env python3
"""A Tornado server for the tests of squall's client: `server.py PORT`. Users are `Ann` with the password `open: sesame`."""

import asyncio
import base64
import hashlib
import re
import secrets
import sys

from tornado import web

USER, PASSWORD = "Ann", "open: sesame"


class Echo(web.RequestHandler):
    def answer(self):
        self.set_header("X-Method", self.request.method)
        self.set_header("X-Content-Type", self.request.headers.get("Content-Type", "none"))
        self.write(self.request.body)

    get = post = put = patch = delete = answer


class Basic(web.RequestHandler):
    def get(self):
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.request.headers.get("Authorization") != expected:
            self.set_status(401)
            self.set_header("WWW-Authenticate", 'Basic realm="basic"')
        self.write("in" if self.get_status() == 200 else "out")


class Digest(web.RequestHandler):
    """RFC 7616 with qop=auth; each nonce is good for two requests, with rising counts."""

    counts: dict[str, int] = {}

    def initialize(self, algorithm):
        self.algorithm = algorithm
        self.digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def hash(self, *parts):
        return self.digest(":".join(parts).encode()).hexdigest()

    def answer(self):
        if not self.allowed():
            nonce = secrets.token_hex()
            self.counts[nonce] = 0
            self.set_status(401)
            self.set_header(
                "WWW-Authenticate",
                f'Digest realm="a \\"realm\\"", qop="auth", algorithm={self.algorithm}, nonce="{nonce}", opaque="o,p"',
            )
        self.write("in" if self.get_status() == 200 else "out")

    get = post = answer

    def allowed(self):
        header = self.request.headers.get("Authorization", "")
        if not header.startswith("Digest "):
            return False
        pairs = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))', header[7:])
        given = {name: re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in pairs}
        nonce, count = given.get("nonce"), int(given.get("nc", "0"), 16)
        if nonce not in self.counts or count != self.counts[nonce] + 1:
            return False
        self.counts[nonce] = count
        if self.counts[nonce] > 2 or given.get("opaque") != "o,p" or given.get("uri") != self.request.uri:
            return False
        ha1 = self.hash(USER, 'a "realm"', PASSWORD)
        ha2 = self.hash(self.request.method, self.request.uri)
        expected = self.hash(ha1, nonce, given["nc"], given["cnonce"], given["qop"], ha2)
        return secrets.compare_digest(expected, given.get("response", ""))


class Drip(web.RequestHandler):
    async def get(self):
        for number in range(5):
            self.write(f"{number}\n")
            await self.flush()
            await asyncio.sleep(0.02)


class Slow(web.RequestHandler):
    async def get(self):
        await asyncio.sleep(30)


class Broken(web.RequestHandler):
    async def get(self):
        self.set_header("Content-Length", "100")
        self.write("half")
        await self.flush()
        self.detach().close()


class Around(web.RequestHandler):
    def get(self, number):
        self.redirect(f"/around/{int(number) + 1}")


async def main():
    web.Application(
        [
            (r"/echo", Echo),
            (r"/basic", Basic),
            (r"/digest/md5.*", Digest, {"algorithm": "MD5"}),
            (r"/digest/sha256.*", Digest, {"algorithm": "SHA-256"}),
            (r"/drip", Drip),
            (r"/slow", Slow),
            (r"/broken", Broken),
            (r"/around/(\d+)", Around),
        ],
        compress_response=True,
    ).listen(int(sys.argv[1]), "127.0.0.1", max_body_size=1 << 30)
    await asyncio.Event().wait()


asyncio.run(main())
