"""Random templates, of all directives, and what Tornado makes of them: rows like those of differences.jsonl.

    python3 directives.py N [SEED]   # N templates, to the standard output
"""
import copy
import json
import logging
import random
import signal
import sys

import tornado.template

CONTEXT = {"A": 3, "B": -7, "T": "x <y> & 'z'", "L": [1, "<two>", None], "D": {"k": 1, "m": [4, 5]}, "F": 1.5}
# Most names have a value first: in Python, what is set anywhere is a variable of its own everywhere.
START = "{% set a, b, t, l, d, f, u = A, B, T, L, D, F, None %}{% set v = w = i = [2] %}"
NAMES = ["a", "b", "t", "l", "d", "f", "u", "v", "w", "i", "nowhere"]
TEXTS = ["x", " ", "\n", "  \n  y\n", "<p>", "}}", "{ }", "a  b", "%}", "{{!", "{%!", "é"]
KEYS = ["'k'", "'m'", "'new'", "0", "-1", "9"]
ERRORS = ["KeyError", "TypeError", "(IndexError, NameError)", "ZeroDivisionError", "Exception", ""]


class Random:
    def __init__(self, rng):
        self.rng = rng
        self.loops = 0
        self.parts = []

    def pick(self, *choices):
        return self.rng.choice(choices)

    def expression(self, depth=0):
        if depth > 2 or self.rng.random() < 0.3:
            return self.pick(*NAMES, *NAMES, "0", "1", "2.5", "'<s>'", "None", "True", "[]", "[1, 2]", "{'k': 'v'}", "(1, 'x')")
        e = lambda: self.expression(depth + 1)
        return self.pick(
            lambda: "%s %s %s" % (e(), self.pick("+", "-", "//", "%", "and", "or", "==", "<", "in", "is"), e()),
            lambda: "%s * %s" % (e(), self.pick("2", "-1", "1.5", "t", "None")),
            lambda: "(%s if %s else %s)" % (e(), e(), e()),
            lambda: "%s[%s]" % (self.pick("l", "d", "t", "v"), self.pick(*KEYS)),
            lambda: "%s[%s:%s]" % (self.pick("l", "t", "v"), self.pick("", "1", "-2"), self.pick("", "2", "::-1"[2:])),
            lambda: "%s(%s)" % (self.pick("len", "str", "repr", "list", "bool", "sorted", "type"), e()) + "",
            lambda: "[%s for w in %s]" % (self.pick("w", "(w, a)", "str(w)"), self.pick("l", "range(3)", "d", "v")),
            lambda: "sum(w for w in %s if w)" % self.pick("range(4)", "d['m']", "l"),
            lambda: "d.get(%s, %s)" % (self.pick(*KEYS), e()),
            lambda: "', '.join(%s)" % self.pick("['a', 'b']", "map(str, l)", "d", "t.split()"),
            lambda: "'%s %%s' %% (%s,)" % (self.pick("a", "<"), e()),
            lambda: "f'{%s!r}'" % self.pick("a", "t", "l", "v"),
            lambda: "not %s" % e(),
            lambda: "(lambda w: [w, a])(%s)" % e(),
            lambda: "'%s' in %s" % (self.pick("v", "a", "i"), self.pick("locals()", "globals()")),
            lambda: "isinstance(%s, %s)" % (e(), self.pick("int", "(str, list)", "dict")),
        )()

    def statement(self):
        e = self.expression
        return self.pick(
            lambda: "%s = %s" % (self.pick("v", "w", "a", "i"), e()),
            lambda: "v, w = %s, %s" % (e(), e()),
            lambda: "v = w = %s" % e(),
            lambda: "%s += %s" % (self.pick("v", "a", "l", "t"), self.pick("1", "[1]", "'s'", "None")),
            lambda: "%s[%s] = %s" % (self.pick("d", "l", "v"), self.pick(*KEYS), e()),
            lambda: "_ = %s.append(%s)" % (self.pick("l", "v", "d['m']"), e()),
            lambda: "v = %s.pop()" % self.pick("l", "d['m']"),
            lambda: "*v, w = %s" % self.pick("l", "t", "d", "(1, 2, 3)"),
        )()

    def body(self, depth):
        return "".join(self.piece(depth + 1) for _ in range(self.rng.randint(1, 3)))

    def looped(self, depth):
        self.loops += 1
        body = self.body(depth)
        self.loops -= 1
        return body

    def piece(self, depth=0):
        if depth > 3 or self.rng.random() < 0.55:
            choices = [
                lambda: self.pick(*TEXTS),
                lambda: self.pick(*TEXTS),
                lambda: "{{ %s }}" % self.expression(),
                lambda: "{{ %s }}" % self.expression(),
                lambda: "{%% raw %s %%}" % self.expression(),
                lambda: "{%% set %s %%}" % self.statement(),
                lambda: "{%% set %s %%}" % self.statement(),
                lambda: self.pick("{# comment #}", "{% comment other %}"),
                lambda: "{%% whitespace %s %%}" % self.pick("all", "single", "oneline"),
                lambda: self.pick("{% import math %}{{ math.floor(f) }}", "{% from math import ceil as c %}{{ c(f) }}"),
            ]
            if self.loops:
                choices += [lambda: "{%% if %s %%}{%% %s %%}{%% end %%}" % (self.expression(), self.pick("break", "continue"))] * 2
            return self.pick(*choices)()
        # A loop in a loop could double a text too often.
        loop = 0 if self.loops else 2
        choices = [
            lambda: "{%% if %s %%}%s{%% elif %s %%}%s{%% else %%}%s{%% end %%}"
            % (self.expression(), self.body(depth), self.expression(), self.body(depth), self.body(depth)),
            lambda: "{%% if %s %%}%s{%% end %%}" % (self.expression(), self.body(depth)),
            *[lambda: "{%% for %s in %s %%}%s%s{%% end %%}"
            % (
                *self.pick(("i", "list(l)[:4]"), ("i", "range(3)"), ("v", "d"), ("i, v", "enumerate(list(l)[:3])"), ("v, w", "d.items()"), ("i", "'ab'")),
                self.looped(depth),
                self.pick("", "{%% else %%}%s" % self.body(depth)),
            )] * loop,
            *[lambda: "{%% set n%d = 0 %%}{%% while n%d < 3 %%}{%% set n%d += 1 %%}%s{%% end %%}"
            % (depth, depth, depth, self.looped(depth))] * loop,
            lambda: "{%% try %%}%s{%% except%s %%}%s%s%s{%% end %%}"
            % (
                self.body(depth),
                self.pick("", " KeyError as e", *(" " + error for error in ERRORS)).rstrip(),
                self.body(depth),
                self.pick("", "{%% else %%}%s" % self.body(depth)),
                self.pick("", "{%% finally %%}%s" % self.plain(depth)),
            ),
            lambda: "{%% apply %s %%}%s{%% end %%}" % (self.pick("xhtml_escape", "url_escape"), self.plain(depth)),
            lambda: "{%% block b%d %%}%s{%% end %%}" % (self.rng.randint(0, 2), self.body(depth)),
            lambda: "{% include 'part.html' %}",
        ]
        return self.pick(*choices)()

    def plain(self, depth):
        """Without what would leave a loop: Python forbids it in functions."""
        loops, self.loops = self.loops, 0
        body = self.body(depth)
        self.loops = loops
        return body

    def files(self):
        files = {"part.html": Random(self.rng).pick("{{ a }}{% set a = 'p' %}", "[{{ v }}]", "{% for i in l %}{{ i }}{% end %}", "p")}
        page = self.pick(START, START, START, "{% set v, l, d = 1, L, D %}", "") + "".join(self.piece() for _ in range(self.rng.randint(1, 5)))
        if self.rng.random() < 0.3:
            blocks = "".join("{%% block b%d %%}%s{%% end %%}" % (n, self.body(1)) for n in self.rng.sample(range(3), 2))
            files["base.html"] = page
            page = "{% extends 'base.html' %}" + self.pick("", "{% set v = 1 %}dropped") + blocks
        files["t.html"] = self.pick("", "", "{% autoescape None %}", "{% whitespace all %}") + page
        return files


def outcome(files):
    try:
        template = tornado.template.DictLoader(files).load("t.html")
    except Exception as error:
        return {"load": "%s: %s" % (type(error).__name__, error)}
    try:
        return {"ok": template.generate(**copy.deepcopy(CONTEXT)).decode()}
    except Exception as error:
        return {"gen": "%s: %s" % (type(error).__name__, error)}


def main():
    # Should one run away all the same.
    signal.alarm(300)
    logging.disable()
    count = int(sys.argv[1])
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(1 << 30))
    print("seed %s" % seed, file=sys.stderr)
    rng = random.Random(seed)
    for _ in range(count):
        files = Random(rng).files()
        row = {"files": files, "context": CONTEXT, "loader": {}, "tornado": outcome(files)}
        if " at 0x" not in json.dumps(row):  # no addresses
            print(json.dumps(row))


main()
