"""Visits the dashboard: somebody who has no password, a script, and a browser with a form."""

import json
from urllib.parse import urlencode

from wire import Browser, form_token

OPTIONS = ["--basic-auth=ann:secret,bob:x%:y", "--cookie-secret=the same for both"]
BASIC = {"Authorization": "Basic YW5uOnNlY3JldA=="}
JSON = {"Content_Type": "application/json"}


def visit(port, seen):
    strangers(Browser(port, seen))
    script = Browser(port, seen)
    script.headers = BASIC
    by_script(script)
    person = Browser(port, seen)
    by_browser(person)
    for browser in (script, person):
        browser.close()


def strangers(browser):
    for path in ["/", "/tasks", "/tasks?state=A%26B", "/task/t1", "/login", "/login?next=%2Ftask%2F%22%3Ct1", "/healthcheck",
                 "/metrics", "/api/tasks", "/api/task/info/t1", "/nowhere", "/api/nowhere", "/static/nowhere", "/task/a%2Fb/c"]:
        browser.fetch("nobody: " + path, "GET", path)
    for name, value in [("empty", ""), ("no scheme", "YW5uOnNlY3JldA=="), ("no base64", "Basic !"), ("no UTF-8", "Basic /w=="),
                        ("no colon", "Basic YW5u"), ("wrong", "Basic YW5uOndyb25n"), ("no such", "Basic ZXZlOnNlY3JldA=="),
                        ("other scheme", "Bearer YW5uOnNlY3JldA=="), ("no password", "Basic ZXZlOg=="),
                        ("small", "basic YW5uOnNlY3JldA=="), ("colons", "Basic Ym9iOnglOnk=")]:
        browser.fetch("password, " + name, "GET", "/api/tasks", Authorization=value)
    browser.fetch("apply by nobody", "POST", "/api/task/apply/tasks.echo", b"{}", **JSON)
    browser.connect("events for nobody", "/api/events")
    browser.close()


def by_script(browser):
    for path in ["/tasks", "/api/tasks", "/api/task/types", "/metrics", "/healthcheck"]:
        browser.fetch("at first: " + path, "GET", path)
    events = browser.connect("events", "/api/events")
    browser.note("counts", events.receive())

    def apply(name, task, body, states):
        browser.fetch(name, "POST", "/api/task/apply/" + task, body, **JSON)
        for state in states:
            browser.note("%s: %s" % (name, state), events.receive())

    done, failed = ["PENDING", "STARTED", "SUCCESS"], ["PENDING", "STARTED", "FAILURE"]
    everything = '{"args": [1, -2.5, 1e300, 1e-7, 18446744073709551615, "<\\u00e9>&\\"\'\\n\\u2028", null, true, ' \
                 '{"a": {}, "b": []}, "</script>"]}'
    apply("echo", "tasks.echo", everything.encode(), done)
    apply("echo nothing", "tasks.echo", b"", done)
    apply("join", "tasks.join", '{"args": ["ä", "b", "%s"]}'.encode() % (b"long" * 20), done)
    apply("join numbers", "tasks.join", b'{"args": [1]}', failed)
    apply("sleep for no number", "tasks.sleep", b'{"args": ["1"]}', failed)
    apply("sleep", "tasks.sleep", b'{"args": [0], "kwargs": {}}', done)
    for name, body in [("no JSON", b"["), ("cut", b"{"), ("a number", b"1"), ("other args", b'{"args": 1}'),
                       ("a dictionary", b'{"args": {}}'), ("no UTF-8", b'{"args": ["\xff"]}'), ("null", b'{"args": null}'), ("a list", b"[]")]:
        apply(name, "tasks.echo", body, [])
    apply("unknown task", "tasks.none", b"{}", [])
    apply("unknown quoted task", "tasks%2Fnone%3C", b"{}", [])
    browser.fetch("a form", "POST", "/api/task/apply/tasks.echo", b"{}")
    browser.fetch("text", "POST", "/api/task/apply/tasks.echo", b"{}", Content_Type="text/plain")
    browser.fetch("GET for POST", "GET", "/api/task/apply/tasks.echo")

    # The worker has one at a time: the second of these waits.
    apply("sleep long", "tasks.sleep", b'{"args": [3600]}', ["PENDING", "STARTED"])
    apply("waiting", "tasks.echo", b'{"args": [2]}', ["PENDING"])
    browser.fetch("two are not done", "GET", "/metrics")
    browser.fetch("a task that runs", "GET", "/task/t7")
    for uuid, states in [("t8", ["REVOKED"]), ("t8", []), ("t7", ["REVOKED"]), ("t99", [])]:
        name = "revoke %s %s" % (uuid, "again" if "revoke t8 " in browser.seen else "")
        browser.fetch(name, "POST", "/api/task/revoke/" + uuid, b"", **JSON)
        for state in states:
            browser.note("%s: %s" % (name, state), events.receive())

    for path in ["/tasks", "/tasks?limit=2", "/tasks?limit=2&offset=1", "/tasks?limit=x", "/tasks?offset=-1", "/tasks?limit=",
                 "/tasks?state=REVOKED", "/tasks?state=%3Cb%3E", "/tasks?state=%FF", "/tasks?offset=500", "/tasks?limit=0",
                 "/api/tasks", "/api/tasks?state=FAILURE&limit=1", "/task/t1", "/task/t2", "/task/t3", "/task/t7", "/task/t9",
                 "/task/%74%31", "/api/task/info/t1", "/api/task/info/t9", "/metrics"]:
        browser.fetch("then: " + path, "GET", path)
    browser.note("the end of the events", events.close(1000))


def by_browser(browser):
    page = browser.fetch("login page", "GET", "/login?next=%2Ftask%2Ft1%3Fa")
    token = form_token(page)

    def log_in(step, **fields):
        fields = {"name": "ann", "password": "secret", "next": "/task/t1?a", "_xsrf": token, **fields}
        fields = {key: value for key, value in fields.items() if value is not None}
        return browser.fetch(step, "POST", "/login", urlencode(fields).encode())

    log_in("without a token", _xsrf=None)
    log_in("with another's token", _xsrf="2|00000000|00112233445566778899aabbccddeeff|1700000000")
    log_in("without a name", name=None)
    log_in("wrong password", password="<secret", next='"/<x>')
    log_in("password with a space", password="secret ")
    log_in("no such name", name="eve", password="")
    for number, target in enumerate(["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", ""]):
        log_in("led elsewhere, %d" % number, next=target)
        del browser.cookies["user"]
    log_in("logged in")
    for path in ["/", "/tasks", "/task/t1", "/task/t5", "/nowhere", "/api/tasks?limit=1"]:
        browser.fetch("person: " + path, "GET", path)
    events = browser.connect("person: events", "/api/events")
    browser.note("person: counts", events.receive())
    browser.connect("events of another site's page", "/api/events", Origin="http://evil.example")
    own = browser.connect("events of the own page", "/api/events", Origin="http://127.0.0.1:%d" % browser.port)
    browser.note("own page's counts", own.receive())

    form = urlencode({"args": "[]"}).encode()
    browser.fetch("API, a form of another site", "POST", "/api/task/apply/tasks.echo", form)
    browser.fetch("API, a form with a token", "POST", "/api/task/apply/tasks.echo", form, X_XSRFToken=browser.token())
    browser.fetch("API, JSON", "POST", "/api/task/apply/tasks.sleep", b'{"args": [3600]}', **JSON)
    for listener in ("person", "own page"):
        for state in ("PENDING", "STARTED"):
            browser.note("%s: %s" % (listener, state), (events if listener == "person" else own).receive())
    page = browser.fetch("a running task", "GET", "/task/t9")
    browser.fetch("revoke without a token", "POST", "/task/t9", b"")
    revoke = urlencode({"_xsrf": form_token(page)}).encode()
    browser.fetch("revoke", "POST", "/task/t9", revoke)
    browser.note("person: REVOKED", events.receive())
    browser.fetch("revoke again", "POST", "/task/t9", revoke)
    own.send(1, b"nobody listens")
    own.send(9, b"ping")
    browser.note("own page: REVOKED", own.receive())
    browser.note("pong", own.receive())
    own.send(1, b"x" * 1025)
    browser.note("too long a message", (own.receive(), own.rest()))
    events.send(2, json.dumps({}).encode())
    browser.note("goodbye", events.close(4000))

    style = page.body.partition(b'href="/static/')[2].partition(b'"')[0].decode()
    answer = browser.fetch("style", "GET", "/static/" + style)
    browser.fetch("style, known", "GET", "/static/" + style, If_None_Match=answer.header("Etag"))
    browser.fetch("script", "GET", "/static/events.js")
    answer = browser.fetch("page", "GET", "/api/task/types")
    browser.fetch("page, known", "GET", "/api/task/types", If_None_Match=answer.header("Etag"))
    browser.fetch("log out without a token", "POST", "/logout")
    browser.fetch("log out", "POST", "/logout", urlencode({"_xsrf": browser.token()}).encode())
    browser.fetch("logged out", "GET", "/tasks")
