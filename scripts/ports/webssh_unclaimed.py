"""A shell of webssh_like that nobody comes for: after a while its place is free again."""

import json
import time
from urllib.parse import urlencode

from wire import TIMEOUT, Browser

OPTIONS = ["--password=secret", "--maxconn=1", "--delay=1"]


def visit(port, seen):
    browser = Browser(port, seen)
    browser.fetch("page", "GET", "/")
    form = urlencode({"hostname": "localhost", "password": "secret", "_xsrf": browser.token()}).encode()
    first = json.loads(browser.fetch("the only place", "POST", "/", form).body)["id"]
    deadline = time.monotonic() + TIMEOUT
    while True:
        asker = Browser(port, {})
        asker.cookies = browser.cookies
        status = asker.fetch("once more", "POST", "/", form).status
        asker.close()
        if status == 200:
            break
        assert status == 403 and time.monotonic() < deadline, status
        time.sleep(0.05)
    browser.note("too late, goodbye", browser.connect("too late", "/ws?id=" + first).closed())
    browser.close()
