"""Visits examples/members as a person would: logs in, uploads a file, watches the counter, reloads a static page.

    members.py URL UPLOADS

URL is where the example listens, UPLOADS the folder in which it keeps what it is sent. Drives a headless Chromium
through chromedriver; needs the Python package `selenium`. Prints one line for each thing that holds; the first that
does not ends it with status 1.
"""
import glob
import hashlib
import json
import os
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 60
MEGABYTE = 1 << 20


def main():
    url, uploads = sys.argv[1].rstrip("/"), sys.argv[2]
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        visit(browser, url, uploads)
    finally:
        browser.quit()


def visit(browser, url, uploads):
    wait = WebDriverWait(browser, SECONDS)

    browser.get(url + "/")
    check("a stranger is sent to the login page", "/login?next=%2F" in browser.current_url, browser.current_url)

    forge(browser)
    check("a form without the token is refused", "403" in browser.find_element(By.TAG_NAME, "body").text)

    browser.get(url + "/")
    browser.find_element(By.NAME, "name").send_keys("Ann <b>")
    browser.find_element(By.TAG_NAME, "button").click()
    wait.until(lambda b: b.current_url == url + "/")
    greeting = browser.find_element(By.ID, "greeting").text
    check("the login form with its token lets her in", greeting == "Hello, Ann <b>", greeting)
    cookie = browser.get_cookie("user")
    check("the cookie is signed", cookie["value"].startswith('"2|1:0|') or
          cookie["value"].startswith("2|1:0|"), cookie)
    check("the cookie is not for scripts", cookie["httpOnly"] and "user" not in browser.execute_script(
        "return document.cookie"), cookie)

    wait.until(lambda b: b.find_element(By.ID, "counter").text == "5")
    check("the counter arrives event by event", browser.execute_script("return seen") == ["1", "2", "3", "4", "5"])

    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        content = os.urandom(MEGABYTE) * 50
        file.write(content)
        file.flush()
        browser.find_element(By.NAME, "file").send_keys(file.name)
        browser.find_element(By.ID, "upload").click()
        answer = wait.until(lambda b: b.find_element(By.ID, "received")).text
    digest = hashlib.sha256(content).hexdigest()
    check("50 MB arrive whole", answer == f"{50 * MEGABYTE} bytes, SHA-256 {digest}", answer)
    kept = glob.glob(uploads + "/*")
    check("and lie on the disk", len(kept) == 1 and open(kept[0], "rb").read() == content, kept)

    page = url + "/static/about.html"
    browser.get(page)
    statuses(browser, page)
    browser.refresh()
    seen = statuses(browser, page)
    check("a static page that is reloaded is answered with 304", seen == [304], seen)

    browser.get(url + "/logout")
    check("who logs out is a stranger again", "/login" in browser.current_url, browser.current_url)


def forge(browser):
    """Posts the login form as another site would, without the token."""
    browser.execute_script("""
        const form = document.createElement("form");
        form.method = "post";
        form.action = "/login";
        document.body.append(form);
        form.submit();
    """)
    WebDriverWait(browser, SECONDS).until(lambda b: "403" in b.title)


def statuses(browser, page):
    """The statuses with which the server has answered for this page since the last call."""
    seen = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        # What the network said: the page itself sees a 304 as the 200 from its cache.
        if message["method"] == "Network.responseReceivedExtraInfo":
            seen.append((message["params"]["requestId"], message["params"]["statusCode"]))
        if message["method"] == "Network.responseReceived" and message["params"]["response"]["url"] == page:
            seen.append((message["params"]["requestId"], None))
    wanted = {request for request, status in seen if status is None}
    return [status for request, status in seen if status is not None and request in wanted]


def check(what, holds, seen=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {seen!r:.400}")
    print(f"ok: {what}")


if __name__ == "__main__":
    main()
