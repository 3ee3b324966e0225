#!/usr/bin/env python3
"""A dashboard for tasks, in the manner of flower (https://github.com/mher/flower): pages behind a login, an API for
scripts, events over a WebSocket. It is what `../main.rs` is a port of.

    python3 original/app.py --port=5555 --basic-auth=ann:secret
"""

import asyncio
import os
import secrets

from tornado import web
from tornado.options import define, options

import api
import pages
from accounts import Accounts
from tasks import Tasks

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

define("port", default=5555, type=int)
define("basic_auth", default="", help="who may come in: name:password, several with commas; without it one is made up")
define("cookie_secret", default="", help="without it nobody is logged in after a restart")

# No upload has any business here.
MAX_BODY = 64 * 1024


def make_app(tasks, accounts, cookie_secret):
    return web.Application(
        [
            (r"/", pages.Index),
            web.url(r"/tasks", pages.TaskList, name="tasks"),
            web.url(r"/task/([^/]+)", pages.TaskPage, name="task"),
            (r"/login", pages.Login),
            (r"/logout", pages.Logout),
            (r"/healthcheck", pages.Healthcheck),
            (r"/metrics", api.Metrics),
            (r"/api/tasks", api.ListTasks),
            (r"/api/task/types", api.TaskTypes),
            (r"/api/task/info/([^/]+)", api.TaskInfo),
            (r"/api/task/apply/([^/]+)", api.ApplyTask),
            (r"/api/task/revoke/([^/]+)", api.RevokeTask),
            (r"/api/events", api.Events),
        ],
        tasks=tasks,
        accounts=accounts,
        cookie_secret=cookie_secret,
        login_url="/login",
        xsrf_cookies=True,
        # Without a word about days, Tornado puts those of a user's into this dictionary, for everybody.
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Lax", "expires_days": 1},
        websocket_max_message_size=1024,
        websocket_ping_interval=30,
        template_path=os.path.join(HERE, "templates"),
        static_path=os.path.join(HERE, "static"),
        static_handler_class=pages.Files,
        default_handler_class=pages.NotFound,
        ui_modules={"State": pages.State},
    )


async def main():
    options.parse_command_line()
    basic_auth = options.basic_auth
    if not basic_auth:
        basic_auth = "admin:" + secrets.token_hex(16)
        print("log in as", basic_auth)
    tasks = Tasks()
    app = make_app(tasks, Accounts.parse(basic_auth), options.cookie_secret or secrets.token_hex(16))
    app.listen(options.port, max_body_size=MAX_BODY)
    await tasks.work()


if __name__ == "__main__":
    asyncio.run(main())
