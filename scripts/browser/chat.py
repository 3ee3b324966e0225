"""Visits the chat examples with two windows that talk to each other, also after their server was started anew.

    chat.py COMMAND PORT [OPTION...]

COMMAND is the program chat_websocket or chat_longpoll, which this starts on PORT with these options, stops and starts again.
With `--certfile` among them the visit is over https, whoever has signed the certificate. Drives a
headless Chromium through chromedriver; needs the Python package `selenium`. Prints one line for each thing that holds;
the first that does not ends it with status 1.
"""
import socket
import subprocess
import sys
import time

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 60


def main():
    command, port, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    scheme = "https" if "--certfile" in rest else "http"
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    if scheme == "https":
        options.add_argument("--ignore-certificate-errors")
    server = Server(command, port, rest)
    try:
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
        try:
            visit(browser, server, f"{scheme}://localhost:{port}/")
        finally:
            browser.quit()
    finally:
        server.stop()


class Server:
    def __init__(self, command, port, options):
        self.command, self.port, self.options = command, port, options
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.command, "--port", self.port, *self.options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return socket.create_connection(("localhost", int(self.port))).close()
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    check("the server listens", False, self.process.poll())
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(SECONDS)


def visit(browser, server, url):
    browser.get(url)
    ann = browser.current_window_handle
    wait_for(browser, "Ann is connected", lambda: state(browser) == "connected")
    browser.switch_to.new_window("window")
    browser.get(url)
    bob = browser.current_window_handle
    wait_for(browser, "Bob, in a second window, is connected", lambda: state(browser) == "connected")

    said = []
    talk(browser, ann, bob, "Hello, Bob", said)
    talk(browser, bob, ann, "Hello, Ann", said)
    talk(browser, ann, bob, "<img src=x onerror='document.title=1'> & <b>bold</b>", said)
    images = browser.execute_script("return document.querySelectorAll('#messages img, #messages b').length")
    check("what looks like HTML is shown as it is", images == 0 and browser.title == "Chat", browser.title)

    browser.switch_to.new_window("tab")
    browser.get(url)
    wait_for(browser, "a newcomer sees what was said", lambda: messages(browser) == said)
    browser.close()

    server.stop()
    for window, name in ((ann, "Ann"), (bob, "Bob")):
        browser.switch_to.window(window)
        wait_for(browser, f"{name} sees that the server is gone", lambda: state(browser) == "connecting")
    server.start()
    for window, name in ((ann, "Ann"), (bob, "Bob")):
        browser.switch_to.window(window)
        wait_for(browser, f"{name} is connected again", lambda: state(browser) == "connected")
    talk(browser, bob, ann, "Still there?", said)
    talk(browser, ann, bob, "Again.", said)


def talk(browser, speaker, listener, text, said):
    """One window says something; both then show the whole conversation, once."""
    said.append(text)
    browser.switch_to.window(speaker)
    browser.find_element(By.ID, "text").send_keys(text)
    browser.find_element(By.ID, "send").click()
    wait_for(browser, f"who says {text!r} sees it", lambda: messages(browser) == said)
    browser.switch_to.window(listener)
    wait_for(browser, "and so does the other window", lambda: messages(browser) == said)


def messages(browser):
    return browser.execute_script("return [...document.querySelectorAll('#messages .message')].map(m => m.textContent)")


def state(browser):
    return browser.execute_script("return document.getElementById('state').textContent")


def wait_for(browser, what, holds):
    try:
        WebDriverWait(browser, SECONDS, 0.05).until(lambda _: holds())
    except TimeoutException:
        check(what, False, (state(browser), messages(browser)))
    check(what, True)


def check(what, holds, seen=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {seen!r:.400}")
    print(f"ok: {what}")


if __name__ == "__main__":
    main()
