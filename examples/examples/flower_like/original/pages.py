"""The pages."""

from tornado import web

from base import Base
from tasks import STATES


class Index(Base):
    def get(self):
        self.redirect(self.reverse_url("tasks"))


class TaskList(Base):
    @web.authenticated
    def get(self):
        state = self.get_argument("state", "")
        tasks = self.tasks.newest(self.number("limit", 50), self.number("offset", 0), state)
        self.render("tasks.html", tasks=tasks, state=state, states=STATES, counts=self.tasks.counts())


class TaskPage(Base):
    @web.authenticated
    def get(self, uuid):
        self.render("task.html", task=self.tasks.find(uuid))

    @web.authenticated
    def post(self, uuid):
        self.tasks.revoke(uuid)
        self.redirect(self.reverse_url("task", uuid), status=303)


class Login(Base):
    def get(self):
        self.render("login.html", next=self.get_argument("next", "/"), refused=False)

    def post(self):
        name, target = self.get_body_argument("name"), self.get_body_argument("next", "/")
        if not self.settings["accounts"].check(name, self.get_body_argument("password", strip=False)):
            self.set_status(403)
            self.render("login.html", next=target, refused=True)
            return
        secure = self.request.protocol == "https"
        self.set_signed_cookie("user", name, expires_days=1, httponly=True, samesite="Lax", secure=secure)
        local = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
        self.redirect(target if local else "/", status=303)


class Logout(Base):
    def post(self):
        self.clear_cookie("user")
        self.redirect("/login", status=303)


class Healthcheck(Base):
    def get(self):
        self.write("OK")


class State(web.UIModule):
    """`{% module State(task) %}`"""

    def render(self, task):
        return self.render_string("modules/state.html", task=task)


class Files(Base, web.StaticFileHandler):
    pass


class NotFound(Base):
    def prepare(self):
        raise web.HTTPError(404)
