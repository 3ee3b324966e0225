"""The tasks, and the worker that runs them, which a real dashboard hears of from a broker."""

import datetime

from tornado import locks, queues, util, web, websocket

STATES = ["PENDING", "STARTED", "SUCCESS", "FAILURE", "REVOKED"]
# So many are kept.
KEPT = 1000


class Task:
    def __init__(self, uuid, name, args):
        self.uuid, self.name, self.args = uuid, name, args
        self.state, self.result = "PENDING", None
        self.revoked = locks.Event()

    def is_done(self):
        return self.state not in ("PENDING", "STARTED")

    def as_dict(self):
        return {
            "uuid": self.uuid, "name": self.name, "state": self.state, "args": self.args, "result": self.result,
        }


class Tasks:
    def __init__(self):
        self.tasks, self.last = {}, 0
        self.queue = queues.Queue(maxsize=KEPT)
        self.listeners = set()

    def newest(self, limit, offset, state):
        tasks = [task for task in reversed(self.tasks.values()) if not state or task.state == state]
        return tasks[offset:offset + limit]

    def find(self, uuid):
        if uuid not in self.tasks:
            raise web.HTTPError(404)
        return self.tasks[uuid]

    def counts(self):
        counts = dict.fromkeys(STATES, 0)
        for task in self.tasks.values():
            counts[task.state] += 1
        return counts

    def apply(self, name, args):
        if len(self.tasks) >= KEPT:
            self.forget_one()
        task = Task("t%d" % (self.last + 1), name, args)
        try:
            self.queue.put_nowait(task)
        except queues.QueueFull:
            raise web.HTTPError(503)
        self.last += 1
        self.tasks[task.uuid] = task
        self.tell(task)
        return task

    def forget_one(self):
        oldest = next((task for task in self.tasks.values() if task.is_done()), None)
        if oldest is None:
            raise web.HTTPError(503)
        del self.tasks[oldest.uuid]

    def revoke(self, uuid):
        task = self.find(uuid)
        if task.is_done():
            raise web.HTTPError(409)
        task.revoked.set()
        self.change(task, "REVOKED")

    def change(self, task, state, result=None):
        task.state, task.result = state, result
        self.tell(task)

    def tell(self, task):
        event = {"counts": self.counts(), "task": task.as_dict()}
        for listener in list(self.listeners):
            try:
                listener.write_message(event)
            except websocket.WebSocketClosedError:
                pass

    async def work(self):
        async for task in self.queue:
            if task.revoked.is_set():
                continue
            self.change(task, "STARTED")
            try:
                result = await TYPES[task.name](task)
            except Exception as error:
                state, result = "FAILURE", str(error)
            else:
                state = "SUCCESS"
            if not task.revoked.is_set():
                self.change(task, state, result)


async def join(task):
    if not all(isinstance(arg, str) for arg in task.args):
        raise TypeError("join takes strings")
    return ", ".join(task.args)


async def sleep(task):
    """Waits for so many seconds, or until it is revoked."""
    seconds = task.args[0] if len(task.args) == 1 else None
    if type(seconds) is not int or not 0 <= seconds <= 3600:
        raise TypeError("sleep takes a number of seconds")
    try:
        await task.revoked.wait(timeout=datetime.timedelta(seconds=seconds))
    except util.TimeoutError:
        pass


async def echo(task):
    return task.args


TYPES = {"tasks.echo": echo, "tasks.join": join, "tasks.sleep": sleep}
