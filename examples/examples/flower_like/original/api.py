"""The API and the events, for scripts and for the pages."""

import json

from tornado import web, websocket

from base import Base
from tasks import TYPES


class Api(Base):
    """Answers in JSON, errors included, and never with a redirect to the login page."""

    def prepare(self):
        if not self.current_user:
            raise web.HTTPError(401)

    def check_xsrf_cookie(self):
        """A browser sends a password along as it does a cookie. What no form of another site can send is this type."""
        if self.request.headers.get("Content-Type") != "application/json":
            super().check_xsrf_cookie()

    def write_error(self, status_code, **kwargs):
        if status_code == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="flower_like"')
        self.write({"error": self._reason})


class ListTasks(Api):
    def get(self):
        state = self.get_argument("state", "")
        tasks = self.tasks.newest(self.number("limit", 50), self.number("offset", 0), state)
        self.write({task.uuid: task.as_dict() for task in tasks})


class TaskTypes(Api):
    def get(self):
        self.write({"task-types": list(TYPES)})


class TaskInfo(Api):
    def get(self, uuid):
        self.write(self.tasks.find(uuid).as_dict())


class ApplyTask(Api):
    def post(self, name):
        if name not in TYPES:
            raise web.HTTPError(404, reason="Unknown task")
        try:
            args = json.loads(self.request.body or "{}").get("args", [])
        except (ValueError, AttributeError):
            raise web.HTTPError(400)
        if not isinstance(args, list):
            raise web.HTTPError(400)
        task = self.tasks.apply(name, args)
        self.write({"task-id": task.uuid, "state": task.state})


class RevokeTask(Api):
    def post(self, uuid):
        self.tasks.revoke(uuid)
        self.write({"message": "Revoked '%s'" % uuid})


class Metrics(Api):
    def get(self):
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write("# TYPE flower_tasks gauge\n")
        for state, count in self.tasks.counts().items():
            self.write('flower_tasks{state="%s"} %d\n' % (state, count))


class Events(Api, websocket.WebSocketHandler):
    """Tells of every change of a task, and how many there are of each state."""

    def open(self):
        self.tasks.listeners.add(self)
        self.write_message({"counts": self.tasks.counts(), "task": None})

    def on_message(self, message):
        pass  # Nothing is expected.

    def on_close(self):
        self.tasks.listeners.discard(self)
