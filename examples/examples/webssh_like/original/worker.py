"""The shells."""

import os
import secrets
import signal
import subprocess

from tornado import ioloop, iostream, process, websocket

BLOCK = 32 * 1024


class Workers:
    """The shells, by the address that asked for them, and their names."""

    def __init__(self, most, patience):
        self.most, self.patience = most, patience
        self.of_address = {}

    def are_too_many(self, address):
        return len(self.of_address.get(address, ())) >= self.most

    def start(self, address):
        worker = Worker(lambda worker: self.forget(address, worker))
        self.of_address.setdefault(address, {})[worker.id] = worker
        ioloop.IOLoop.current().call_later(self.patience, worker.recycle)
        return worker

    def take(self, address, id):
        """The shell of that name, which nobody has taken yet."""
        worker = self.of_address.get(address, {}).get(id)
        if worker is None or worker.taken:
            return None
        worker.taken = True
        return worker

    def forget(self, address, worker):
        workers = self.of_address.get(address, {})
        workers.pop(worker.id, None)
        if not workers:
            self.of_address.pop(address, None)


class Worker:
    def __init__(self, on_close):
        self.id = secrets.token_hex(16)
        self.taken = False
        self.on_close = on_close
        stream = process.Subprocess.STREAM
        # A group of its own, so that what it has started ends with it.
        self.shell = process.Subprocess(
            ["sh"], stdin=stream, stdout=stream, stderr=subprocess.STDOUT, process_group=0, cwd=os.path.expanduser("~")
        )
        self.shell.set_exit_callback(lambda code: None)

    def attach(self, socket):
        ioloop.IOLoop.current().spawn_callback(self.pump, socket)

    async def pump(self, socket):
        """Carries output to the browser, no faster than it takes it."""
        try:
            while True:
                block = await self.shell.stdout.read_bytes(BLOCK, partial=True)
                await socket.write_message(block, binary=True)
        except iostream.StreamClosedError:
            socket.close(1000, "chan closed")
        except websocket.WebSocketClosedError:
            pass

    async def write(self, data):
        try:
            await self.shell.stdin.write(data)
        except iostream.StreamClosedError:
            pass  # It has ended, which `pump` tells.

    def recycle(self):
        if not self.taken:
            self.close()

    def close(self):
        self.shell.stdin.close()
        self.shell.stdout.close()
        if self.shell.returncode is None:
            os.killpg(self.shell.pid, signal.SIGHUP)
        self.on_close(self)
