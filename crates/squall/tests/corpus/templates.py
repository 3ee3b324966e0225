"""Templates and what Tornado makes of them: writes templates.json, one row per line.

    python3 templates.py            # checks every expected text against the installed Tornado
    python3 templates.py --write    # computes them anew
"""
import json
import pathlib
import sys

import tornado.template

V = {"x": "a<b>&\"'", "n": 3, "f": 1.5, "none": None, "yes": True, "items": ["one", "t&wo", 3], "empty": [],
     "user": {"name": "Ann", "age": 30, "tags": ["p", "q"]}, "pairs": [["a", 1], ["b", 2]], "text": "Hello, World"}
P = [  # one template, t.html or t.txt
    "", "plain { text } }} %} #}", "{{ x }}", "{% raw x %}", "{{ n }} {{ f }} {{ None }} {{ True }} {{ yes }}",
    "{{ items }} {{ user }} {{ (1,) }} {{ (1, 'b') }} {{ 1e20 }} {{ 1e-7 }} {{ 2.0 }} {{ 10/4 }} {{ 7//2 }} {{ -7 % 3 }}",
    "{{! x }} {%! y %} {#! z #}{# gone #}{% comment gone %}", "{{{ x }}}", "{{ '}' }}{{ \"{\" }}",
    "{% if n > 2 %}a{% elif n %}b{% else %}c{% end %}", "{% if not empty and x is not None %}y{% end %}",
    "{% if 1 < n <= 3 %}chain{% end %}{% if none is None %}none{% end %}{% if 'a' not in items %}out{% end %}",
    "{% for i in items %}[{{ i }}]{% end %}", "{% for k, v in pairs %}{{ k }}={{ v }};{% end %}",
    "{% for k, v in user.items() %}{{ k }}:{{ v }} {% end %}", "{% for i, v in enumerate(items) %}{{ i }}{{ v }}{% end %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% end %}{% if i == 5 %}{% break %}{% end %}{{ i }}{% end %}",
    "{% for i in items %}{{ i }}{% else %}done{% end %}", "{% for i in items %}{% break %}{% else %}done{% end %}",
    "{% for i in empty %}x{% else %}none{% end %}", "{% set a = n * 2 + 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a + b }}",
    "{% set t = 0 %}{% for i in range(4) %}{% set t = t + i %}{% end %}{{ t }}",
    "{% set t = 0 %}{% for i in range(4) %}{% set t += i %}{% end %}{{ t }}",
    "{% if n %}{% set q = 1 %}{% end %}{{ q }}", "{% set i = 0 %}{% while i < 3 %}{{ i }}{% set i = i + 1 %}{% end %}",
    "{% set i = 0 %}{% while True %}{% set i += 1 %}{% if i > 3 %}{% break %}{% end %}{{ i }}{% end %}",
    "{% apply url_escape %}a b&{{ x }}{% end %}", "{% apply xhtml_escape %}<{% raw '&' %}>{% end %}",
    "{% autoescape None %}{{ x }}", "{{ x }}{% autoescape None %}", "{% autoescape url_escape %}{{ x }}",
    "{% autoescape xhtml_escape %}{{ x }}", "{{ url_escape('a b&c') }} {{ json_encode({'k': [1, 2], 'é': '</x>'}) }}",
    "{{ squeeze('  a   b ') }}{{ linkify('see http://example.com/x?a=1&b=2 now') }}", "{% raw linkify('www.a.com', shorten=True) %}",
    "{{ 'a' if n else 'b' }} {{ n or 5 }} {{ empty or 'no' }} {{ not n }} {{ n and 7 }}", "{{ text[0:5] }} {{ text[-5:] }} {{ items[0] }} {{ items[-1] }}",
    "{{ user['name'] }} {{ user.get('zip', '-') }} {{ len(items) }} {{ text.upper() }} {{ text.lower().title() }}",
    "{{ ', '.join(['a', 'b']) }} {{ text.replace('l', 'L') }} {{ text.split(', ') }} {{ text.startswith('He') }}",
    "{{ '%s is %d' % (user['name'], n) }} {{ '%.2f' % f }} {{ '%s' % none }} {{ '%05d' % n }}", "{{ f'{n:03d} {text!r} {user[\"name\"]}' }}",
    "{{ '{} {}'.format(n, text) }} {{ 'a' 'b' }} {{ r'\\d' }} {{ 'é\\n\\x41' }}", "{{ sorted([3, 1, 2]) }} {{ sorted([3, 1, 2], reverse=True) }} {{ sum([1, 2]) }}",
    "{{ min(1, 2) }} {{ max([1, 5]) }} {{ abs(-3) }} {{ round(2.5) }} {{ round(1.256, 2) }} {{ int('7') + 1 }} {{ str(n) + 'x' }}",
    "{{ list(range(3)) }} {{ list(zip([1, 2], ['a', 'b'])) }} {{ list(reversed([1, 2])) }} {{ bool(empty) }} {{ 2 ** 8 }}",
    "{{ [1, 2] + [3] }} {{ 'ab' * 2 }} {{ 'x'.zfill(3) }}|{{ 'x'.rjust(3) }}|{{ 'x'.ljust(3) }}|", "{{ True and 'yes' }} {{ 0x10 }} {{ 1_000 }} {{ -n }} {{ (n + 1) * 2 }}",
    "  a  \n\n  b  <pre>  c </pre>", "  a  \n\n  b  {% whitespace oneline %}  c \n d {% whitespace all %}  e \n\n f",
    "{% block a %}A{% block b %}B{% end %}{% end %}", "line\n{{ n }}\n", "\n\n{% if n %}\n  yes\n{% end %}\n", "{{ \n n \n }}", "a\r\n{{ n }}\r\n",
    "{{ items == ['one', 't&wo', 3] }} {{ 'b' > 'a' }} {{ n != 3 }}", "{% for i in range(3) %}{% for j in range(2) %}{{ i * j }}{% end %},{% end %}",
    "{{ {'a': 1}['a'] }} {{ {'a': [1, None]} }} {{ \"it's\" }} {{ [\"it's\", 'q\"'] }}", "{{ 1 if False else 2 if False else 3 }}", "{{ 'a' in user['tags'] }} {{ 'name' in user }}",
    "{{ [i * 2 for i in range(4) if i % 2] }} {{ ', '.join(t.upper() for t in user['tags']) }} {{ {k: v for k, v in pairs} }}",
    "{{ [[i * j for j in range(3)] for i in range(3)] }} {{ [i + j for i in range(2) for j in range(2)] }} {{ sorted({i % 2 for i in range(5)}) }}",
    "{% set i = 7 %}{% for j in range(2) %}{% set i = i + j %}{{ [i for i in range(j + 1)] }}{{ [i + k for k in range(2)] }}{% end %}{{ i }}",
    "{% if empty and [z.q for z in nothing] %}x{% elif any(i == 3 for i in items) %}three{% end %}{% for a, b in [(i, i * i) for i in range(3)] %}{{ a }}{{ b }} {% end %}",
    "{{ sorted(pairs, key=lambda p: -p[1]) }} {% set add = lambda a, b: a + b %}{{ add(1, n) }} {{ [(lambda q: q + i)(1) for i in range(2)] }}",
    "{% set k = 0 %}{% while sum([k for _ in range(2)]) < 6 %}{{ k }}{% set k += 1 %}{% end %}{{ f'{[q for q in range(2)]}' }}",
    "{% try %}a{{ user['zip'] }}b{% except %}none{% end %}", "{% try %}a{% set y = 1 %}{% except %}x{% else %}-{{ y }}{% finally %}!{% end %}{{ y }}",
    "{% for i in items %}{% try %}{{ i.upper() }}{% except AttributeError %}{{ i }}{% continue %}{% end %},{% end %}",
    "{% try %}{% try %}{{ user['q'] }}{% finally %}f{% end %}{% except KeyError as e %}outer{% end %}{% try %}{{ 1 / 0 }}{% except Exception %}zero{% end %}",
    "{% try %}{% for i in range(3) %}{{ i }}{% if i == 1 %}{{ missing }}{% end %}{% end %}{% except (NameError, KeyError) %}!{% end %}",
]
M = [  # several files; the first is rendered
    {"p.html": "{% extends \"b.html\" %}dropped{% block t %}T{{ x }}{% end %}", "b.html": "<{% block t %}def{% end %}|{% block u %}U{% end %}>"},
    {"c.html": "{% extends b.html %}{% block u %}C{% end %}", "b.html": "{% extends 'a.html' %}{% block t %}B{% block u %}BU{% end %}{% end %}", "a.html": "[{% block t %}A{% end %}]"},
    {"p.html": "{% set v = 5 %}{% for i in range(2) %}{% include 'q.html' %}{% end %}", "q.html": "{{ i }}{{ v }} "},
    {"d/p.html": "{% include 'q.html' %}{% include '../r.html' %}", "d/q.html": "q", "r.html": "r"},
    {"p.html": "{{ x }}{% include 'q.html' %}", "q.html": "{% autoescape None %}{{ x }}"},
    {"p.html": "{% extends 'b.html' %}{% autoescape None %}{% block t %}{{ x }}{% end %}", "b.html": "{{ x }}{% block t %}{% end %}{% block u %}{{ x }}{% end %}"},
    {"p.html": "{% include 'q.html' %}{{ w }}", "q.html": "{% set w = 'set there' %}"},
    {"p.txt": "  a \n\n b {% include 'q.html' %}", "q.html": "  c \n\n d "},
]


def rows():
    for text in P:
        yield {"t.html": text}
    yield {"t.txt": P[-14]}
    yield from M


def render(files):
    return tornado.template.DictLoader(files).load(next(iter(files))).generate(**V).decode()


def main():
    path = pathlib.Path(__file__).parent / "templates.json"
    lines = [json.dumps(V)]
    for files in rows():
        try:
            lines.append(json.dumps([list(files.items()), render(files)]))
        except Exception as error:
            sys.exit(f"{files}: {error!r}")
    text = "\n".join(lines) + "\n"
    if "--write" in sys.argv:
        path.write_text(text)
    elif path.read_text() != text:
        sys.exit("templates.json differs from what this Tornado computes")


main()
