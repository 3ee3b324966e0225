"""Tornado's clients against a server over TLS: tornado_client.py PORT CA."""

import asyncio
import ssl
import sys

from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

port, authority = int(sys.argv[1]), sys.argv[2]
url = f"https://localhost:{port}"


async def main():
    client = SimpleAsyncHTTPClient(force_instance=True)
    answer = await client.fetch(url + "/", ca_certs=authority)
    assert answer.body == b"Hello, world", answer.body
    body = bytes(range(256)) * 8192
    headers = {"Content-Type": "application/octet-stream"}
    answer = await client.fetch(HTTPRequest(url + "/echo", "POST", headers, body, ca_certs=authority))
    assert answer.body == body
    try:
        await client.fetch(url + "/")
        raise AssertionError("an unknown authority was trusted")
    except ssl.SSLError:
        pass
    context = ssl.create_default_context(cafile=authority)
    stream = await TCPClient().connect("localhost", port, ssl_options=context)
    await stream.write(b"GET / HTTP/1.0\r\n\r\n")
    # Ends without an error only if the end was announced.
    assert (await stream.read_until_close()).endswith(b"Hello, world")
    print("Tornado's clients: ok")


asyncio.run(main())
