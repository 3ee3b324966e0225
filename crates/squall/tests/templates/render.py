"""The pages of cases/, and of Tornado's own demos, as Tornado renders them.

    python3 render.py                        # checks every .expected against the installed Tornado (6.6 or later)
    python3 render.py --write                # computes them anew
    python3 render.py --demos FOLDER > FILE  # the pages of demos.json, whose templates are in FOLDER, as JSON
"""
import asyncio
import datetime
import json
import pathlib
import sys

import tornado.escape
import tornado.httpclient
import tornado.httpserver
import tornado.locale
import tornado.netutil
import tornado.template
import tornado.web
from tornado.util import ObjectDict

HERE = pathlib.Path(__file__).parent
XSRF = "0123456789abcdef0123456789abcdef"


def value(json_value):
    """Dicts have attributes too, as the rows of a database; {"$datetime": ...} is a date."""
    if isinstance(json_value, list):
        return [value(item) for item in json_value]
    if isinstance(json_value, dict):
        if "$datetime" in json_value:
            return datetime.datetime.fromisoformat(json_value["$datetime"])
        return ObjectDict((key, value(item)) for key, item in json_value.items())
    return json_value


class Box(tornado.web.UIModule):
    def render(self, title):
        return "<div>%s</div>" % tornado.escape.xhtml_escape(title)

    def embedded_css(self):
        return "div { margin: 0 }"

    def css_files(self):
        return ["box.css", "http://e.com/x.css?a=1&b=2"]

    def embedded_javascript(self):
        return "box();"

    def javascript_files(self):
        return ["box.js", "/abs.js"]

    def html_head(self):
        return "<meta box>"

    def html_body(self):
        return "<i>box</i>"


class Plain(tornado.web.UIModule):
    def render(self):
        return "<p>plain</p>"


class Part(tornado.web.UIModule):
    def render(self, name, **values):
        return self.render_string(name, **values)


class Entry(tornado.web.UIModule):
    """Of the blog demo."""

    def render(self, entry):
        return self.render_string("modules/entry.html", entry=entry)


FUNCTIONS = {
    "inc": lambda x: x + 1,
    "upper": lambda text: tornado.escape.to_unicode(text).upper(),
    "py_escape": lambda text: repr(tornado.escape.native_str(text)),
    "kw": lambda a, b=0: a + b * 10,
}


class Page(tornado.web.RequestHandler):
    def initialize(self, cases):
        self.cases = cases

    def get(self, name):
        self.case = self.cases[name]
        values = {**FUNCTIONS, **value(self.case.get("values", {}))}
        self.render(self.case["main"], **values)

    def get_current_user(self):
        return value(self.case.get("user"))

    def get_user_locale(self):
        return tornado.locale.get(self.case.get("language", "en_US"))

    def get_template_path(self):
        return str(self.case["folder"])

    def create_template_loader(self, path):
        options = {name: self.case[name] for name in ("autoescape", "whitespace") if name in self.case}
        return tornado.template.Loader(path, **options)

    def write_error(self, status, exc_info=None, **kwargs):
        self.finish("error: %r" % (exc_info[1],))


def own_cases():
    cases = {}
    for path in sorted((HERE / "cases").glob("*.json")):
        folder = path.with_suffix("")
        case = json.loads(path.read_text())
        case.update(folder=folder, main=next(folder.glob("main.*")).name)
        cases[path.stem] = case
    return cases


def demo_cases(demos):
    cases = {case["name"]: case for case in json.loads((HERE / "demos.json").read_text())}
    for case in cases.values():
        case["folder"] = pathlib.Path(demos) / case["folder"]
    return cases


async def pages(cases):
    tornado.locale.load_translations(str(HERE / "translations"), encoding="utf-8")
    app = tornado.web.Application(
        [
            (r"/page/([^/]+)", Page, {"cases": cases}),
            tornado.web.url(r"/story/([^/]+)", Page, {"cases": cases}, name="story"),
        ],
        static_path=str(HERE / "static"),
        ui_modules={"Box": Box, "Plain": Plain, "Part": Part, "Entry": Entry},
        ui_methods={"shout": lambda handler, text: text.upper() + "!"},
        blog_title="Ann & Bob",
        xsrf_cookie_version=1,
    )
    server = tornado.httpserver.HTTPServer(app)
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    client = tornado.httpclient.AsyncHTTPClient()
    found, failures = {}, []
    for name in cases:
        # Loaders are kept by path, but two cases may want one path with other options.
        tornado.web.RequestHandler._template_loaders.clear()
        response = await client.fetch(
            "http://127.0.0.1:%d/page/%s?name=Ann&x=1&x=%%3Cb%%3E" % (sockets[0].getsockname()[1], name),
            headers={"Host": "example.org", "X-Test": "yes", "Cookie": "theme=dark; _xsrf=" + XSRF},
            raise_error=False,
        )
        if response.code != 200:
            failures.append("%s: %s" % (name, response.body.decode()))
        found[name] = response.body
    if failures:
        sys.exit("\n".join(failures))
    return found


def main():
    if "--demos" in sys.argv:
        found = asyncio.run(pages(demo_cases(sys.argv[sys.argv.index("--demos") + 1])))
        json.dump({name: body.decode() for name, body in found.items()}, sys.stdout)
        return
    wrong = []
    found = asyncio.run(pages(own_cases()))
    for name, body in found.items():
        path = HERE / "cases" / (name + ".expected")
        if "--write" in sys.argv:
            path.write_bytes(body)
        elif path.read_bytes() != body:
            wrong.append(name)
    if wrong:
        sys.exit("these differ from what this Tornado makes of them: " + ", ".join(wrong))
    print("ok: %d pages are what Tornado makes of them" % len(found))


main()
