"""The page of `bench template` in Tornado: prints the page, then for each line of input the CPU seconds that one page took."""
import pathlib
import sys
import time

import tornado.template

loader = tornado.template.Loader(str(pathlib.Path(__file__).parent.parent / "templates" / "tornado"))


class Modules:
    def Nav(self, section):
        return loader.load("nav.html").generate(section=section)

    def Footer(self, year):
        return loader.load("footer.html").generate(year=year)

    def Pager(self, page, pages):
        return loader.load("pager.html").generate(page=page, pages=pages)


rows = [
    {"id": i, "name": f"Tea & <cups> no. {i}", "cents": 250 + i * 7, "stock": i % 5} for i in range(100)
]


def page():
    return loader.load("page.html").generate(
        title="Items & more", section="Items", rows=rows, page=2, pages=9, _tt_modules=Modules()
    )


text = page().decode()
print(len(text.splitlines()))
print(text.rstrip("\n"), flush=True)
for _ in range(200):
    page()
for _ in sys.stdin:
    since, count = time.process_time(), 0
    while time.process_time() - since < 0.25:
        page()
        count += 1
    print((time.process_time() - since) / count, flush=True)
