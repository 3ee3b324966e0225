"""A Tornado server over TLS: tornado_server.py PORT CERTFILE KEYFILE. Says hello."""

import asyncio
import sys

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler


class Hello(RequestHandler):
    def get(self):
        self.write("<a href='/more'>Hello from Tornado</a>")


async def main():
    options = {"certfile": sys.argv[2], "keyfile": sys.argv[3]}
    HTTPServer(Application([("/.*", Hello)]), ssl_options=options).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
