"""Opens WebSockets over HTTP/2 (RFC 8441) with the example websocket_echo.

    http2.py URL

URL is that of the example over https. The browser has a connection of HTTP/2 to it once it has loaded a page, if only one
that says 404, and opens WebSockets on it, which shows by the status of the handshake: 200, where it is 101 over HTTP/1.1.
Drives a headless Chromium through chromedriver; needs the Python package `selenium`. Prints one line for each thing that
holds; the first that does not ends it with status 1.
"""
import json
import sys

from selenium import webdriver

# Sends a message, gives what comes back, and how it ends; the size stands for a message that is too large to carry around.
TALK = """
const [url, protocol, message, size, code, done] = arguments;
const socket = new WebSocket(url, protocol ? [protocol] : []);
const sent = size ? message.repeat(size) : message;
let back = null;
socket.onopen = () => socket.send(sent);
socket.onmessage = event => {
  back = event.data === sent ? 'the same' : `${event.data.length} others`;
  code ? socket.close(code, 'enough') : done({back, end: 'open'});
};
socket.onerror = () => { back = back || 'an error'; };
socket.onclose = event => done({back, end: event.wasClean ? event.code : 'not clean'});
"""


def main():
    url = sys.argv[1]
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--ignore-certificate-errors"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        browser.set_script_timeout(60)
        visit(browser, url)
    finally:
        browser.quit()


def visit(browser, url):
    browser.get(url)
    protocol = browser.execute_script("return performance.getEntriesByType('navigation')[0].nextHopProtocol")
    check("the page came over HTTP/2", protocol == "h2", protocol)
    sockets = url.replace("https:", "wss:", 1)
    for path in ("echo", "deflate"):
        for name, message, size in [("a message", "hello, \u2603", 0), ("an empty message", "", 0), ("10 MB", "0123456789", 1_000_000)]:
            told = browser.execute_async_script(TALK, sockets + path, "", message, size, 4000)
            check(f"{path}: {name} comes back, and the close frame", told == {"back": "the same", "end": 4000}, told)
    told = browser.execute_async_script(TALK, sockets + "echo", "unknown", "x", 0, 4000)
    check("a subprotocol that the server does not choose is an error", told["back"] == "an error" and told["end"] == "not clean", told)
    told = browser.execute_async_script(TALK, sockets + "nothing", "", "x", 0, 4000)
    check("where there is no WebSocket, none is opened", told["back"] == "an error" and told["end"] == "not clean", told)
    many = "const [url, done] = arguments; let open = 0; for (let n = 0; n < 30; n++) {" \
        " const socket = new WebSocket(url); socket.onopen = () => socket.send(n);" \
        " socket.onmessage = event => { if (event.data == n && ++open == 30) done(open); } }"
    told = browser.execute_async_script(many, sockets + "echo")
    check("30 at once", told == 30, told)
    # Those that were opened, by the browser's own word.
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    statuses = [event["params"]["response"]["status"] for event in events if event["method"] == "Network.webSocketHandshakeResponseReceived"]
    check("all of them over HTTP/2", len(statuses) >= 36 and set(statuses) <= {200, 404} and 200 in statuses, statuses)


def check(what, holds, seen):
    if not holds:
        print(f"FAILED: {what}: {seen!r}")
        sys.exit(1)
    print(f"ok: {what}", flush=True)


if __name__ == "__main__":
    main()
