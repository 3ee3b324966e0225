"""The page, the form that starts a shell, and the WebSocket that carries what it reads and writes."""

import hashlib
import hmac
import json

from tornado import web, websocket


def digest(text):
    return hashlib.sha256(text.encode()).digest()


class Base(web.RequestHandler):
    @property
    def workers(self):
        return self.settings["workers"]

    def set_default_headers(self):
        self.set_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code, **kwargs):
        self.finish("<!DOCTYPE html><title>%(status)d</title><h1>%(status)d %(reason)s</h1>\n" % {
            "status": status_code, "reason": self._reason,
        })

    def value(self, name):
        value = self.get_body_argument(name, "")
        if not value:
            raise web.HTTPError(400, reason="Missing value " + name)
        return value


class Index(Base):
    def get(self):
        self.render("index.html")

    def post(self):
        address = self.request.remote_ip
        if self.workers.are_too_many(address):
            raise web.HTTPError(403, reason="Too many live connections.")
        result = {"id": None, "status": None, "encoding": None}
        hostname, password = self.value("hostname"), self.value("password")
        if hostname != "localhost":
            result["status"] = "Unable to connect to %s" % hostname
        elif not hmac.compare_digest(digest(password), digest(self.settings["password"])):
            result["status"] = "Authentication failed."
        else:
            worker = self.workers.start(address)
            result.update(id=worker.id, encoding="utf-8")
        self.write(result)

    def write_error(self, status_code, **kwargs):
        if self.request.method == "POST":
            self.write({"status": self._reason})
        else:
            super().write_error(status_code, **kwargs)


class Terminal(Base, websocket.WebSocketHandler):
    worker = None

    def prepare(self):
        self.id = self.get_query_argument("id", "")

    def open(self):
        self.worker = self.workers.take(self.request.remote_ip, self.id)
        if self.worker is None:
            self.close(1000, "Websocket authentication failed.")
            return
        self.set_nodelay(True)
        self.worker.attach(self)

    async def on_message(self, message):
        """`{"data": "what was typed"}`; the next message is read when the shell has taken this one."""
        if self.worker is None:
            return
        try:
            data = json.loads(message)["data"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(data, str):
            await self.worker.write(data.encode())

    def on_close(self):
        if self.worker is not None:
            self.worker.close()


class Files(Base, web.StaticFileHandler):
    pass


class NotFound(Base):
    def prepare(self):
        raise web.HTTPError(404)
