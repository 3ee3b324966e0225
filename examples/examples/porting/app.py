#!/usr/bin/env python3
"""The notice board: a small Tornado service, to be taken over by `main.rs` route by route.

    python3 app.py --port=8889 --data=/tmp/notes.json

Everything that two processes have to agree on stands outside of both: the notes in a file, the user in a signed
cookie, the secret in the environment.
"""

import asyncio
import json
import os

from tornado import locale, web, websocket
from tornado.options import define, options

HERE = os.path.dirname(os.path.abspath(__file__))

define("port", default=8889, type=int)
define("data", default="notes.json", help="the file with the notes")


class Board:
    """The notes. Read for each request, replaced as a whole."""

    def __init__(self, path):
        self.path = path

    def load(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {"last": 0, "notes": []}

    def save(self, board):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump(board, file)
        os.replace(self.path + ".new", self.path)


class Base(web.RequestHandler):
    @property
    def board(self):
        return self.settings["board"]

    def set_default_headers(self):
        self.set_header("X-Frame-Options", "DENY")

    def get_current_user(self):
        user = self.get_signed_cookie("user")
        return user.decode() if user else None

    def get_user_locale(self):
        code = self.get_cookie("lang")
        return locale.get(code) if code else None

    def write_error(self, status_code, **kwargs):
        self.render("error.html", status=status_code, reason=self._reason)


class NotFound(Base):
    def prepare(self):
        raise web.HTTPError(404)


class Moved(Base, web.RedirectHandler):
    pass


class Files(Base, web.StaticFileHandler):
    pass


class Home(Base):
    @web.authenticated
    def get(self):
        self.render("home.html", notes=self.board.load()["notes"])

    @web.authenticated
    def post(self):
        add_note(self.board, self.get_body_argument("text"), self.current_user)
        self.redirect("/", status=303)


class Login(Base):
    def get(self):
        self.render("login.html", next=self.get_argument("next", "/"))

    def post(self):
        self.set_signed_cookie("user", self.get_body_argument("name"), httponly=True, samesite="Lax")
        target = self.get_argument("next", "/")
        local = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
        self.redirect(target if local else "/", status=303)


class Logout(Base):
    def post(self):
        self.clear_cookie("user")
        self.redirect("/login", status=303)


class About(Base):
    def get(self):
        self.render("about.html", notes=len(self.board.load()["notes"]))


def add_note(board, text, user):
    notes = board.load()
    notes["last"] += 1
    note = {"id": notes["last"], "text": text, "by": user}
    notes["notes"].append(note)
    board.save(notes)
    return note


class Api(Base):
    """Answers in JSON, errors included."""

    def prepare(self):
        if not self.current_user:
            raise web.HTTPError(403)

    def write_error(self, status_code, **kwargs):
        self.write({"error": self._reason})

    def text(self):
        try:
            text = json.loads(self.request.body)["text"]
        except (ValueError, KeyError, TypeError):
            raise web.HTTPError(400)
        if not isinstance(text, str):
            raise web.HTTPError(400)
        return text


class Notes(Api):
    def get(self):
        self.write({"notes": self.board.load()["notes"]})

    def post(self):
        note = add_note(self.board, self.text(), self.current_user)
        self.set_status(201)
        self.set_header("Location", self.reverse_url("note", note["id"]))
        self.write(note)


class Note(Api):
    def find(self, board, id):
        for note in board["notes"]:
            if note["id"] == int(id):
                return note
        raise web.HTTPError(404)

    def get(self, id):
        self.write(self.find(self.board.load(), id))

    def put(self, id):
        board = self.board.load()
        note = self.find(board, id)
        note["text"] = self.text()
        self.board.save(board)
        self.write(note)

    def delete(self, id):
        board = self.board.load()
        board["notes"].remove(self.find(board, id))
        self.board.save(board)
        self.set_status(204)


class Export(Base):
    """All notes as text, a line at a time."""

    @web.authenticated
    async def get(self):
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("Content-Disposition", 'attachment; filename="notes.txt"')
        for note in self.board.load()["notes"]:
            self.write("%d %s: %s\n" % (note["id"], note["by"], note["text"]))
            await self.flush()


class Upload(Base):
    """Says what was uploaded."""

    @web.authenticated
    def post(self):
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        for file in self.request.files.get("file", []):
            self.write("%s %s %d\n" % (file.filename, file.content_type, len(file.body)))
        self.write("comment: %s\n" % self.get_body_argument("comment", ""))


class Events(Base):
    """How many notes there are: three server-sent events."""

    @web.authenticated
    async def get(self):
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")
        for number in range(3):
            self.write("id: %d\ndata: %d\n\n" % (number, len(self.board.load()["notes"])))
            await self.flush()
            await asyncio.sleep(0.05)


class Talk(websocket.WebSocketHandler, Base):
    """Greets the user and says everything back, in capitals."""

    def prepare(self):
        if not self.current_user:
            raise web.HTTPError(403)

    def open(self):
        self.write_message("Hello, " + self.current_user)

    def on_message(self, message):
        if message == "bye":
            self.close(4000, "see you")
        else:
            self.write_message(message.upper(), binary=isinstance(message, bytes))


class NoteModule(web.UIModule):
    def render(self, note, own=False):
        return self.render_string("modules/note.html", note=note, own=own)

    def embedded_css(self):
        return ".own { font-weight: bold }"


def make_app(board):
    return web.Application(
        [
            web.url(r"/", Home),
            web.url(r"/login", Login),
            web.url(r"/logout", Logout),
            web.url(r"/about", About),
            web.url(r"/api/notes", Notes),
            web.url(r"/api/notes/([0-9]+)", Note, name="note"),
            web.url(r"/export", Export),
            web.url(r"/upload", Upload),
            web.url(r"/events", Events),
            web.url(r"/talk", Talk),
            web.url(r"/home", Moved, {"url": "/"}),
        ],  # and /static/, which is the twelfth
        board=board,
        default_handler_class=NotFound,
        cookie_secret=os.environ.get("COOKIE_SECRET", "the example's secret, which everybody knows"),
        login_url="/login",
        xsrf_cookies=True,
        template_path=os.path.join(HERE, "templates"),
        static_path=os.path.join(HERE, "static"),
        static_handler_class=Files,
        ui_modules={"Note": NoteModule},
    )


async def main():
    options.parse_command_line()
    locale.load_translations(os.path.join(HERE, "locale"))
    # Behind squall: the client is whom X-Forwarded-For names.
    make_app(Board(options.data)).listen(options.port, "127.0.0.1", xheaders=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
