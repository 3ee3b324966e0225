import asyncio
import sys

import tornado.web


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.write("Hello world!")


async def main():
    # without the access log, as every other peer
    app = tornado.web.Application([("/", Hello)], log_function=lambda handler: None)
    app.listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
