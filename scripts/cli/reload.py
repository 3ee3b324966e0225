"""Watches a page of `squall dev` change by itself while its sources do.

    reload.py URL PROJECT

PROJECT is the folder of a project made by `squall new` that URL serves. Drives a headless Chromium through chromedriver; needs
the Python package `selenium`. Prints one line for each thing that holds, with the time from the edit; the first that does not
ends it with status 1.
"""
import pathlib
import sys
import time

from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 120


def main():
    url, project = sys.argv[1], pathlib.Path(sys.argv[2])
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        visit(browser, url, project)
    finally:
        browser.quit()


def visit(browser, url, project):
    browser.get(url)
    wait_for(browser, "the page is there", lambda: "Scribbles" in text(browser))

    template, style, pages = (project / name for name in ("templates/home.html", "static/style.css", "src/pages.rs"))
    edit(template, "<h1>Scribbles</h1>", "<h1>Sketches</h1>")
    wait_for(browser, "a changed template", lambda: "Sketches" in text(browser))
    edit(style, "color: #222", "color: rgb(1, 2, 3)")
    wait_for(browser, "a changed style", lambda: color(browser) == "rgb(1, 2, 3)")

    edit(pages, "let name = ctx", 'let oops: u8 = "x"; let name = ctx')
    wait_for(browser, "what the compiler says", lambda: "mismatched types" in text(browser))
    edit(pages, 'let oops: u8 = "x"; ', "")
    wait_for(browser, "the page again", lambda: "Sketches" in text(browser))
    edit(pages, "context! { name, notes }", 'context! { name => format!("{name}!"), notes }')
    wait_for(browser, "a changed handler", lambda: name(browser) == "!")

    browser.execute_script("window.stays = true")
    time.sleep(1)  # nothing to wait for: a page that loads itself for ever would have by now
    check("and then the page stays as it is", browser.execute_script("return window.stays === true"))


def edit(path, old, new):
    source = path.read_text()
    if old not in source:
        check(f"{path} has {old!r}", False, source)
    path.write_text(source.replace(old, new))


def text(browser):
    return browser.execute_script("return document.body ? document.body.innerText : ''")


def color(browser):
    return browser.execute_script("return getComputedStyle(document.body).color")


def name(browser):
    return browser.execute_script("return document.querySelector('[name=name]')?.value")


def wait_for(browser, what, holds):
    started = time.monotonic()

    def holds_now(_):
        try:
            return holds()
        except WebDriverException:
            return False  # it is being loaded

    try:
        WebDriverWait(browser, SECONDS, 0.02).until(holds_now)
    except TimeoutException:
        check(what, False, text(browser))
    check(f"{what}, after {time.monotonic() - started:.1f} s", True)


def check(what, holds, seen=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {seen!r:.400}")
    print(f"ok: {what}", flush=True)


if __name__ == "__main__":
    main()
