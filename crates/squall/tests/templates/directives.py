"""Random templates, of all directives, and what Tornado makes of them: rows like those of differences.jsonl.

    python3 directives.py N [SEED]   # N templates, to the standard output
"""
import copy
import json
import logging
import os
import random
import signal
import subprocess
import sys

import tornado.template

CONTEXT = {"A": 3, "B": -7, "T": "x <y> & 'z'", "L": [1, "<two>", None], "D": {"k": 1, "m": [4, 5]}, "F": 1.5}
# Most names have a value first: in Python, what is set anywhere is a variable of its own everywhere.
START = "{% set a, b, t, l, d, f, u = A, B, T, L, D, F, None %}{% set v = w = i = [2] %}"
NAMES = ["a", "b", "t", "l", "d", "f", "u", "v", "w", "i", "z", "nowhere"]
TEXTS = ["x", " ", "\n", "  \n  y\n", "<p>", "}}", "{ }", "a  b", "%}", "{{!", "{%!", "é"]
SLICES = ["1:", ":2", "::-1", "1:3", "-2:", "::2", "5:0:-2", ":", "1:1", "a:b"]
KEYS = ["'k'", "'m'", "'new'", "0", "-1", "9"]
# What {% apply %} is given is bytes.
FILTERS = [
    "xhtml_escape", "url_escape", "json_encode", "squeeze", "linkify", "str", "repr", "len", "bytes.decode", "bytes.upper",
    "str.upper", "nowhere", "t", "lambda p: p.decode().upper()", "(lambda p: json_encode(p.decode()))", "lambda p: p + b'!'",
    "lambda p: [p, a][0]", "lambda p: None", "lambda p: squeeze(p.decode())", "(lambda p, q=a: p * 2)", "b'<%s>'.__class__",
    "lambda p: b'<%s>' % p", "lambda p: p.decode().replace('x', t)", "(z := bytes.strip)",
]
ESCAPES = ["None", "xhtml_escape", "url_escape", "json_encode", "linkify", "repr", "squeeze", "bytes.upper"]
ERRORS = ["KeyError", "TypeError", "(IndexError, NameError)", "ZeroDivisionError", "Exception", ""]


class Random:
    def __init__(self, rng, parts):
        self.rng = rng
        # What may be included.
        self.parts = parts
        self.loops = 0

    def pick(self, *choices):
        return self.rng.choice(choices)

    def expression(self, depth=0):
        if depth > 2 or self.rng.random() < 0.3:
            return self.pick(*NAMES[:-1] * 3, "nowhere", "0", "1", "2.5", "'<s>'", "None", "True", "[]", "[1, 2]", "{'k': 'v'}", "(1, 'x')")
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
            lambda: "%s[%s]" % (self.pick("l", "t", "v", "(1, 2, 3)", "range(9)", "b'abcd'"), self.pick(*SLICES)),
            lambda: "t.%s" % self.pick(
                "upper()", "split()", "replace('x', 'é')", "center(20, '*')", "title()", "find('y')", "partition(' ')", "encode()",
                "startswith(('x', 'y'))", "splitlines()", "strip('x')", "zfill(20)", "count('')", "nowhere", "isalpha()", "join('ab')",
            ),
            lambda: "%s('%s')" % (self.pick("escape", "url_escape", "json_encode", "squeeze", "linkify"), self.pick("<a>", " x  y ", "é", "http://a.b")),
            lambda: "%s(%s)" % (self.pick("escape", "url_escape", "json_encode", "squeeze", "len", "tuple", "abs", "float", "int", "ascii", "any", "dict"), e()),
            lambda: "'%s'.format(%s, %s)" % (self.pick("{}|{}", "{1!r:>9}{0}", "{:>5}|{!s:<4}|", "{0[0]}{1}", "{:,}{:x}"), e(), e()),
            lambda: "f'{%s%s}'" % (self.pick("f", "a", "t", "b", "f * 2", "l[0]"), self.pick("", ":.2f", ":>{a}", ":05", "!r:^9", "=", ":,d")),
            lambda: "%s(%s, key=%s)" % (self.pick("sorted", "max", "min"), self.pick("l", "d", "'bca'", "range(3)", "[v, w]"), self.pick("str", "repr", "lambda w: -len(str(w))", "a")),
            lambda: "%s(%s, %s)" % (self.pick("round", "divmod", "pow", "max", "isinstance", "getattr"), e(), self.pick("1", "a", "2", "'real'", "int")),
            lambda: "{%s: %s for w in %s}" % (self.pick("w", "str(w)", "1"), self.pick("w", "a", "[w]"), self.pick("range(3)", "d", "l", "t[:3]")),
            lambda: "list(%s)" % self.pick("zip(l, t)", "map(str, d)", "filter(None, l)", "enumerate(t[:2], a)", "reversed(l)", "d.items()", "(w for w in l)"),
            lambda: "[*l, %s]" % e(),
            lambda: "{**d, 'z': %s}" % e(),
            lambda: "(lambda *p, k=1, **q: (p, k, q))(%s)" % self.pick("*l", "k=a", "a, z=b", "**d", "*t[:2], **{'y': 1}"),
            lambda: "(z := %s)" % e(),
            lambda: "%s < %s <= %s" % (self.pick("a", "1"), e(), self.pick("b", "9", "f")),
            lambda: "type(%s).__name__" % e(),
            lambda: "b'%%s-%%d' %% (%s, a)" % self.pick("t.encode()", "t", "b'<'"),
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
            lambda: "%s[%s] = %s" % (self.pick("l", "v", "d['m']"), self.pick(*SLICES), e()),
            lambda: "%s[%s] %s= %s" % (self.pick("l", "v", "d['m']"), self.pick(*SLICES), self.pick("+", "*"), self.pick("[1]", "2", "l", "t")),
            lambda: "%s[%s] %s= %s" % (self.pick("d", "l", "v"), self.pick(*KEYS), self.pick("+", "-", "*", "//", "%", "|"), self.pick("1", "a", "[w]", "f")),
            # `**` of a negative number and a fraction would be a complex number, which squall has not.
            lambda: "%s %s= %s" % (self.pick("l", "d", "f", "t", "v"), *self.pick(("*", "f"), ("|", "{'k': a}"), ("-", "2"), ("/", "f"), ("**", "2"), ("/", "{'k': a}"))),
            lambda: "del %s" % self.pick("l[0]", "d['k']", "l[::2]", "v", "l[0], d['m']", "d['m'][1:]", "(w)"),
            lambda: "v = %s; w = %s" % (e(), e()),
            lambda: "l[0], (v, *w) = %s, %s" % (e(), self.pick("t", "l", "range(3)", "d")),
            lambda: "l.%s" % self.pick("append(a)", "sort(key=str)", "reverse()", "insert(1, a)", "extend(t[:2])", "clear()", "remove(1)", "index(9)"),
            lambda: "d.%s" % self.pick("update(k=a)", "setdefault('y', [])", "pop('k')", "clear()", "popitem()", "update({'q': l})"),
            lambda: "v = lambda x=%s: (x, %s)" % (e(), self.pick("w", "i", "a")),
            lambda: "w = v(%s)" % e(),
        )()

    def tried(self, text):
        """Seldom without what tells and survives an error, lest most templates end with one."""
        if self.rng.random() < 0.1:
            return text
        return "{%% try %%}%s{%% except NameError %%}N{%% except Exception as x %%}{{ type(x).__name__ }}{%% end %%}" % text

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
                lambda: self.tried("{{ %s }}" % self.expression()),
                lambda: self.tried("{{ %s }}" % self.expression()),
                lambda: self.tried("{%% raw %s %%}" % self.expression()),
                lambda: self.tried("{%% set %s %%}" % self.statement()),
                lambda: self.tried("{%% set %s %%}" % self.statement()),
                lambda: self.pick("{# comment #}", "{% comment other %}"),
                lambda: "{%% whitespace %s %%}" % self.pick("all", "single", "oneline"),
                lambda: self.pick("", "", "{%% autoescape %s %%}" % self.pick(*ESCAPES)),
                lambda: self.pick("{% import json %}{{ json.dumps(d) }}", "{% import datetime as dt %}{{ dt.date(2024, 2, 29) }}"),
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
                *self.pick(("i", "list(l)[:4]"), ("i", "range(3)"), ("v", "d"), ("i, v", "enumerate(list(l)[:3])"), ("l[0]", "'ab'"), ("v[1:]", "[t, 'x']"), ("i, *v", "['abc', l]"), ("v, w", "d.items()"), ("i", "'ab'")),
                self.looped(depth),
                self.pick("", "{%% else %%}%s" % self.body(depth)),
            )] * loop,
            *[lambda: "{%% set n%d = 0 %%}{%% while n%d < 3 %%}{%% set n%d += 1 %%}%s%s{%% end %%}"
            % (depth, depth, depth, self.looped(depth), self.pick("", "{%% else %%}%s" % self.body(depth)))] * loop,
            lambda: "{%% try %%}%s{%% except%s %%}%s%s%s{%% end %%}"
            % (
                self.body(depth),
                self.pick("", " KeyError as e", *(" " + error for error in ERRORS)).rstrip(),
                self.body(depth),
                self.pick("", "{%% else %%}%s" % self.body(depth)),
                self.pick("", "{%% finally %%}%s" % self.plain(depth)),
            ),
            lambda: self.tried("{%% apply %s %%}%s{%% end %%}" % (self.pick(*FILTERS), self.plain(depth))),
            lambda: "{%% block b%d %%}%s{%% end %%}" % (self.rng.randint(0, 2), self.body(depth)),
            lambda: "{%% include '%s' %%}" % self.pick(*self.parts),
        ]
        return self.pick(*choices)()

    def plain(self, depth):
        """Without what would leave a loop: Python forbids it in functions."""
        loops, self.loops = self.loops, 0
        body = self.body(depth)
        self.loops = loops
        return body

    def page(self, most):
        return "".join(self.piece() for _ in range(self.rng.randint(1, most)))

    def blocks(self):
        return "".join("{%% block b%d %%}%s{%% end %%}" % (n, self.body(1)) for n in self.rng.sample(range(3), 2))


def random_files(rng):
    part = Random(rng, ["small.html"])
    files = {
        "small.html": part.pick("{{ a }}{% set a = 'p' %}", "[{{ v }}]", "{% for i in list(l) %}{{ i }}{% end %}", "p"),
        "part.html": part.page(2),
        "deep/part.html": part.pick("{% include '../part.html' %}", "{% block b1 %}deep{% include '../small.html' %}{% end %}"),
    }
    main = Random(rng, ["part.html", "small.html", "deep/part.html"])
    page = main.pick(START, START, START, "{% set v, l, d = 1, L, D %}", "") + main.page(5)
    if rng.random() < 0.3:
        files["base.html"] = page
        page = "{% extends 'base.html' %}" + main.pick("", "{% set v = 1 %}dropped") + main.blocks()
        if rng.random() < 0.4:
            files["middle.html"] = page
            page = "{% extends 'middle.html' %}" + main.pick("", "{% autoescape None %}") + main.blocks()
    files["t.html"] = main.pick("", "", "{% autoescape None %}", "{% whitespace all %}") + page
    return files


class RunsAway(BaseException):
    """So that `except Exception` does not catch it; a plain `except` does, and is told again."""


def run_away(*_):
    run_away.did = True
    raise RunsAway


def outcome(files):
    """What Tornado makes of them; None of what takes too long, such as a list that doubles in a loop."""
    run_away.did = False
    signal.setitimer(signal.ITIMER_VIRTUAL, 2, 0.1)
    try:
        try:
            template = tornado.template.DictLoader(files).load("t.html")
        except Exception as error:
            return {"load": "%s: %s" % (type(error).__name__, error)}
        try:
            page = template.generate(**copy.deepcopy(CONTEXT))
        except Exception as error:
            return {"gen": "%s: %s" % (type(error).__name__, error)}
        return None if run_away.did or len(page) > 100_000 else {"ok": page.decode()}
    except RunsAway:
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def answer(seed):
    """One row a template, without end: what `main` reads from two processes."""
    signal.signal(signal.SIGVTALRM, run_away)
    logging.disable()
    rng = random.Random(seed)
    while True:
        files = random_files(rng)
        print(json.dumps({"files": files, "context": CONTEXT, "loader": {}, "tornado": outcome(files)}))


def main(missing, seed):
    """Two interpreters, since what they disagree on holds an address or an order of theirs, in whatever disguise: URL
    encoded, reversed, in capital letters."""
    print("random templates: seed %s" % seed, file=sys.stderr)
    command = [sys.executable, "-B", "-W", "ignore", __file__, "--answer", seed]
    twins = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        for hash_seed in ("1", "2")
    ]
    try:
        for row, twin in zip(*(process.stdout for process in twins), strict=True):
            # A twin of which one line is None took too long.
            if row == twin and json.loads(row)["tornado"] and " at 0x" not in row:
                print(row, end="")
                missing -= 1
                if missing == 0:
                    return
        sys.exit("the interpreters ended early")
    finally:
        for process in twins:
            process.kill()
            process.wait()


if __name__ == "__main__":
    if sys.argv[1] == "--answer":
        answer(sys.argv[2])
    else:
        main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(1 << 30)))
