#!/usr/bin/env python3
"""A terminal in the browser, in the manner of webssh (https://github.com/huashengdun/webssh), with a shell of this
machine in place of an ssh connection. It is what `../main.rs` is a port of.

    python3 original/app.py --port=8888 --password=secret

Whoever knows the password runs programs as you. It listens on 127.0.0.1 only, unless it is told otherwise.
"""

import asyncio
import os
import secrets

from tornado import web
from tornado.options import define, options

import handlers
from worker import Workers

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

define("port", default=8888, type=int)
define("address", default="127.0.0.1")
define("password", default="", help="without it one is made up, and printed")
define("delay", default=3, help="for so many seconds a shell waits for its WebSocket")
define("maxconn", default=20, help="so many shells an address may have")

MAX_BODY = 16 * 1024


def make_app(password):
    return web.Application(
        [(r"/", handlers.Index), (r"/ws", handlers.Terminal)],
        password=password,
        workers=Workers(options.maxconn, options.delay),
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Strict"},
        websocket_max_message_size=64 * 1024,
        websocket_ping_interval=30,
        template_path=os.path.join(HERE, "templates"),
        static_path=os.path.join(HERE, "static"),
        static_handler_class=handlers.Files,
        default_handler_class=handlers.NotFound,
    )


async def main():
    options.parse_command_line()
    password = options.password or secrets.token_hex(16)
    make_app(password).listen(options.port, options.address, max_body_size=MAX_BODY)
    if not options.password:
        print("the password is", password)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
