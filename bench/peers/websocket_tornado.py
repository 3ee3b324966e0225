"""Tornado's side of `bench websocket`: `/` echoes, `/room` joins, what comes to `/publish` goes to the room."""

import asyncio
import sys

import tornado.web
import tornado.websocket

room = set()


class Socket(tornado.websocket.WebSocketHandler):
    def get_compression_options(self):
        return {} if "deflate" in sys.argv else None

    def open(self):
        self.set_nodelay(True)


class Echo(Socket):
    def on_message(self, message):
        return self.write_message(message)


class Room(Socket):
    def open(self):
        super().open()
        room.add(self)

    def on_close(self):
        room.discard(self)

    def on_message(self, message):
        pass


class Publish(Socket):
    def on_message(self, message):
        for member in room:
            member.write_message(message)


async def main():
    app = tornado.web.Application([("/", Echo), ("/room", Room), ("/publish", Publish)], log_function=lambda _: None)
    app.listen(int(sys.argv[1]), "127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


asyncio.run(main())
