#!/usr/bin/env python3
"""The expected values of escape.json and locale.json, computed by Tornado.

    python3 escape_locale.py            # check: every expected value is what the installed Tornado computes
    python3 escape_locale.py --write    # compute them anew, and make the random rows and the translation files

The inputs are the tables below and what a seeded random generator makes; `../escape.rs` and `../locale.rs` run the
same rows through squall.
"""
import datetime
import json
import logging
import pathlib
import random
import struct
import sys
import types

import tornado
import tornado.escape as te
import tornado.httputil
import tornado.locale as tl
import tornado.web

HERE = pathlib.Path(__file__).parent
FILES = HERE / "translations"
RANDOM = random.Random(20261121)

# --- escape: calls ---------------------------------------------------------------------------------


def by_prefix(rule):
    return lambda href: rule["then"] if href.startswith(rule["prefix"]) else rule["otherwise"]


def linkify(text, options):
    options = dict(options)
    if "extra_params_by_prefix" in options:
        options["extra_params"] = by_prefix(options.pop("extra_params_by_prefix"))
    return te.linkify(text, **options)


def as_latin1(data):
    return data.decode("latin1")


ESCAPE = {
    "xhtml_escape": lambda x, o: te.xhtml_escape(x),
    "xhtml_unescape": lambda x, o: te.xhtml_unescape(x),
    "url_escape": lambda x, o: te.url_escape(x),
    "url_escape_latin1": lambda x, o: te.url_escape(x.encode("latin1")),
    "url_escape_path": lambda x, o: te.url_escape(x, plus=False),
    "url_unescape": lambda x, o: te.url_unescape(x),
    "url_unescape_path": lambda x, o: te.url_unescape(x, plus=False),
    "url_unescape_bytes": lambda x, o: as_latin1(te.url_unescape(x, encoding=None)),
    "url_unescape_path_bytes": lambda x, o: as_latin1(te.url_unescape(x.encode("latin1"), encoding=None, plus=False)),
    "json_encode": lambda x, o: te.json_encode(x),
    "json_decode": lambda x, o: te.json_decode(x),
    "squeeze": lambda x, o: te.squeeze(x),
    "linkify": linkify,
    "parse_qs": lambda x, o: [
        [k, as_latin1(v)]
        for k, vs in te.parse_qs_bytes(x.encode("latin1"), keep_blank_values=True).items()
        for v in vs
    ],
    "parse_qs_limited": lambda x, o: limited(x, o["max_num_fields"]),
}


def limited(query, limit):
    try:
        return len(te.parse_qs_bytes(query, keep_blank_values=True, max_num_fields=limit))
    except ValueError:
        return None


# --- escape: inputs --------------------------------------------------------------------------------

INPUTS = {
    "xhtml_escape": ["<foo>", "<>&\"'", "&amp;", "<é>", "", "plain", "\u2028<\0>"],
    "xhtml_unescape": [
        "&lt;foo&gt;", "&lt;&gt;&amp;&quot;&#x27;", "&amp;amp;", "&lt;é&gt;", "foo&#32;bar", "foo&#x20;bar", "foo&#X20;bar",
        "foo&#xabc;bar", "foo&#xyz;bar", "foo&#;bar", "foo&#x;bar", "&ampamp;", "&notit; &notin; &notinx;", "&Aacute &frac12x",
        "&#128;&#129;&#150;&#x9f;", "&#xd800;&#xdfff;&#x110000;&#0;", "&#1;&#x7f;&#xfdd0;&#x1ffff;|", "&nbsp&nbsp;", "&hellip &hellip;",
        "&ThickSpace;&NotEqualTilde;", "&#65&#66", "&#x41;&#x42 ;", "&CounterClockwiseContourIntegral;", "&x;&&lt", "&lt\n&gt\t",
    ],
    "url_escape": ["é", "+ #%", "a b/c?d=e&f", "-._~!*'()", " x ", ""],
    "url_escape_latin1": ["\xe9", "\xc3\xa9", "\x00\xff +"],
    "url_escape_path": ["+ #%", "a b/c?d=e&f", "é"],
    "url_unescape": ["%C3%A9", "%2B+%23%25", "a+b%20c", "%zz%4%", "%E9", "é%C3%A9+", "%E2%82", "%u00e9"],
    "url_unescape_path": ["%2B%20%23%25", "a+b%20c", "%C3%A9"],
    "url_unescape_bytes": ["%C3%A9", "%2B+%23%25", "%E9%00"],
    "url_unescape_path_bytes": [
        "%2B%20%23%25", "", "a=b", "%41%3d%3D%25", "%%41", "%%%", "%zz%4", "%", "a%", "%\r\nb", "%\rb\nc", "%\n", "=%41=",
        "a \r\n%20\t", "".join(map(chr, range(256))),
    ],
    "json_encode": ["é", "</script>", "\u2028\U0001f600\x7f", "\"\\\n\x00", 1, None, True, "a/b<"],
    "json_decode": ['"foo"', '"é"', '"\\u00e9"', '[1, {"a": null}]', '"<\\/a>"'],
    "squeeze": ["sequences     of    whitespace   chars", " \t a \r\n\x00 b ", "\u00a0 a \u00a0 b\u3000", "", " "],
    "parse_qs": ["a=1&b=%41+%2B&a=2&&c&d=", "%E9=%E9", "=x&==&a=b=c", "%zz=%", "a;b=1"],
}

LONG = "http://reallylong.com/link/that/exceedsthelenglimit.html"
LINKS = [
    ("hello http://world.com/!", {}),
    ("hello http://world.com/with?param=true&stuff=yes", {}),
    ("http://url.com/w(" + "a" * 45, {}),
    ("http://url.com/withmany" + "." * 39, {}),
    ("http://url.com/withmany" + "(" * 34 + "a)", {}),
    ("http://foo.com/blah_blah", {}),
    ("http://foo.com/blah_blah/", {}),
    ("(Something like http://foo.com/blah_blah)", {}),
    ("http://foo.com/blah_blah_(wikipedia)", {}),
    ("http://foo.com/blah_(blah)_(wikipedia)_blah", {}),
    ("(Something like http://foo.com/blah_blah_(wikipedia))", {}),
    ("http://foo.com/blah_blah.", {}),
    ("http://foo.com/blah_blah/.", {}),
    ("<http://foo.com/blah_blah>", {}),
    ("<http://foo.com/blah_blah/>", {}),
    ("http://foo.com/blah_blah,", {}),
    ("http://www.example.com/wpstyle/?p=364.", {}),
    ("rdar://1234", {"permitted_protocols": ["http", "rdar"]}),
    ("rdar:/1234", {"permitted_protocols": ["rdar"]}),
    ("http://userid:password@example.com:8080", {}),
    ("http://userid@example.com", {}),
    ("http://userid@example.com:8080", {}),
    ("http://userid:password@example.com", {}),
    ("message://%3c330e7f8409726r6a4ba78dkf1fd71420c1bf6ff@mail.gmail.com%3e", {"permitted_protocols": ["http", "message"]}),
    ("http://\u27a1.ws/\u4a39", {}),
    ("<tag>http://example.com</tag>", {}),
    ("Just a www.example.com link.", {}),
    ("Just a www.example.com link.", {"require_protocol": True}),
    ("A " + LONG, {"require_protocol": True, "shorten": True}),
    ("A http://reallylongdomainnamethatwillbetoolong.com/hi!", {"shorten": True}),
    ("A file:///passwords.txt and http://web.com link", {}),
    ("A file:///passwords.txt and http://web.com link", {"permitted_protocols": ["file"]}),
    ("www.external-link.com", {"extra_params": 'rel="nofollow" class="external"'}),
    ("www.external-link.com and www.internal-link.com/blogs extra", {"extra_params_by_prefix": {
        "prefix": "http://www.internal-link.com", "then": 'class="internal"', "otherwise": 'rel="nofollow" class="external"'}}),
    ("www.external-link.com", {"extra_params_by_prefix": {
        "prefix": "", "then": '    rel="nofollow" class="external"  ', "otherwise": ""}}),
    # Beyond Tornado's own 35.
    ("a:/ b:// c:/// d:////x -e://x f-g://h _://i é://x", {"permitted_protocols": ["a", "b", "c", "d", "e", "f-g", "_", "é"]}),
    ("http://a.com/?x=1&y=2&quot;", {}),
    ("javascript://alert(1) awww.a.com -www.a.com www.", {}),
    ("http://www.www.com/www.x", {"shorten": True}),
    ("www.thisisaverylongnamewithoutanyslashatall.example.com", {"shorten": True}),
    ("http://example.com/&&&&&&&&&&&&&&&&&&x/y", {"shorten": True}),
    ("http://exämple.com/ünïcödé/thät/ïs/lönger/thän/it", {"shorten": True, "extra_params": "  x "}),
    ("http://a.b/\"onmouseover='x'<script>", {}),
    ("http://a.com/(x)(y)z(", {}),
] + [("http://" + "h" * n + "&" + "i" * 40 + "/j", {"shorten": True}) for n in range(14, 26)]

# What the conformance cases send to /escape.
PAGES = ["<a href=\"x\">&amp;'   y/é",
         "see http://example.com/a/very/long/path/that/goes/on/and/on?q=1 and www.facebook.com (http://x.y) ftp://z"]

PIECES = {
    "linkify": ["http://", "https:/", "ftp:///", "www.", "wwww.", "a", "b.com", "/", "//", "-", "_", ":", ".", "...", "(", ")",
                "&", "<", ">", '"', "'", "?x=1", "#y", " ", "\n", "\u00a0", "é", "\u4a39", "!", ",", "@", "%20", "aaaaaaaaaaaa"],
    "xhtml_unescape": ["&", "#", "x", "X", ";", "lt", "gt", "amp", "not", "in", "notin", "1", "41", "80", "d800", "ffff", "Aacute",
                       "eacute", " ", "<", "é", "frac12", "\n"],
    "url_unescape": ["%", "+", "4", "1", "C3", "A9", "%C3%A9", "%E2", "%82", "%AC", "é", " ", "zz", "%2B", "="],
    "url_unescape_path": ["%", "+", "41", "%F0%9F", "%98%80", "é", "/"],
    "squeeze": [" ", "\t", "\n", "a", "b", "\u00a0", "\x00", "\x1f", "é"],
    "parse_qs": ["a", "b", "=", "&", "+", "%41", "%", "&&", "%E9", "%26"],
    "url_escape": [" ", "+", "%", "é", "/", "a", "~", "\x00", "\U0001f600"],
}
OPTIONS = [{}, {"shorten": True}, {"require_protocol": True}, {"shorten": True, "permitted_protocols": ["ftp", "http"]},
           {"extra_params": 'rel="x"', "shorten": True}]


def escape_rows():
    for call, inputs in INPUTS.items():
        yield from ((call, text, {}) for text in inputs)
    yield from (("linkify", text, options) for text, options in LINKS)
    for text in PAGES:
        for call in ["xhtml_escape", "xhtml_unescape", "url_escape", "url_escape_path", "squeeze", "json_encode", "linkify"]:
            yield call, text, {}
        yield "linkify", text, {"shorten": True, "extra_params": 'rel="nofollow"'}
    yield from (("parse_qs_limited", "a=1&b=2", {"max_num_fields": n}) for n in (1, 2))
    for call, pieces in PIECES.items():
        for _ in range(400 if call == "linkify" else 60):
            text = "".join(RANDOM.choices(pieces, k=RANDOM.randint(1, 14)))
            yield call, text, RANDOM.choice(OPTIONS) if call == "linkify" else {}


def escape_corpus():
    rows = []
    for call, text, options in escape_rows():
        row = {"call": call, "in": text, "out": ESCAPE[call](text, options)}
        if options:
            row["options"] = options
        rows.append(row)
    return rows


# --- locale: files ---------------------------------------------------------------------------------

FRENCH = 'school,école\n"Sign out",Déconnexion\n'
SPANISH = """"Sign out","Cerrar sesión"
"%(n)d item","%(n)d artículo","singular"
"%(n)d items","%(n)d artículos","plural"
"%(commas)s and %(last)s"," %(commas)s y %(last)s "
"%(time)s","a las %(time)s"
"yesterday at %(time)s","ayer a las %(time)s","unknown"
"1 minute ago","hace un minuto",singular
"%(minutes)d minutes ago","hace %(minutes)d minutos",plural
"January","enero"
"Monday","lunes"
"%(weekday)s, %(month_name)s %(day)s","%(weekday)s, %(day)s de %(month_name)s"
"multi
line","dos
líneas"
"bad","malo","dual"
"alone"
"""
CSV_FILES = {
    "csv/es.csv": SPANISH.encode(),
    "csv/fr_FR.csv": FRENCH.encode(),
    "csv/fa_IR.csv": "school,مدرسه\n".encode(),
    "csv/not-a-locale.csv": b"a,b\n",
    "csv/readme.txt": b"not translations\n",
    "csv_bom/fr_FR.csv": FRENCH.encode("utf-8-sig"),
    "csv_utf16/fr_FR.csv": b"\xff\xfe" + FRENCH.encode("utf-16-le"),
    "csv_utf16be/fr_FR.csv": b"\xfe\xff" + FRENCH.encode("utf-16-be"),
    "csv_crlf/fr_FR.csv": SPANISH.replace("\n", "\r\n").encode(),
}


def header(language, plural, charset="UTF-8"):
    return f"Language: {language}\nContent-Type: text/plain; charset={charset}\nPlural-Forms: {plural};\n"


MO_FILES = {
    "fr_FR": ("<", "utf-8", {
        "": header("fr_FR", "nplurals=2; plural=(n > 1)"), "school": "école", "law\x04right": "le droit", "good\x04right": "le bien",
        "organization\x04club\0clubs": "le club\0les clubs", "stick\x04club\0clubs": "le bâton\0les bâtons",
        "%(n)d item\0%(n)d items": "%(n)d article\0%(n)d articles", "Monday": "lundi"}),
    "pl": (">", "utf-8", {
        "": header("pl", "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2)"),
        "file\0files": "plik\0pliki\0plików", "1 minute ago\0%(minutes)d minutes ago": "minutę temu\0%(minutes)d minuty temu\0%(minutes)d minut temu"}),
    "pt": ("<", "latin1", {"": header("pt", "nplurals=2; plural=n != 1", "ISO-8859-1"), "yes": "sim", "no": "não", "day\0days": "dia\0dias"}),
    "pt_BR": ("<", "utf-8", {"": header("pt_BR", "nplurals=2; plural=n > 1"), "yes": "claro"}),
}


def mo(order, charset, messages):
    entries = sorted((k.encode(charset), v.encode(charset)) for k, v in messages.items())
    start = 28 + 16 * len(entries)
    tables, strings = [[], []], b""
    for column in (0, 1):
        for entry in entries:
            tables[column].append(struct.pack(order + "II", len(entry[column]), start + len(strings)))
            strings += entry[column] + b"\0"
    head = struct.pack(order + "7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    return head + b"".join(tables[0] + tables[1]) + strings


def write_files():
    files = dict(CSV_FILES)
    for language, (order, charset, messages) in MO_FILES.items():
        files[f"gettext/{language}/LC_MESSAGES/app.mo"] = mo(order, charset, messages)
    files["gettext/xx/LC_MESSAGES/app.mo"] = b"\xde\x12\x04\x95 damaged"
    for name, data in files.items():
        (FILES / name).parent.mkdir(parents=True, exist_ok=True)
        (FILES / name).write_bytes(data)


# --- locale: calls ---------------------------------------------------------------------------------


class Clock(datetime.datetime):
    moment = None

    @classmethod
    def now(cls, tz=None):
        return cls.moment


def moment(seconds):
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=seconds)


def format_date(locale, args):
    Clock.moment = moment(args["now"])
    clock = types.SimpleNamespace(datetime=Clock, timedelta=datetime.timedelta, UTC=datetime.UTC)
    tl.datetime = clock
    try:
        return locale.format_date(moment(args["date"]), **args.get("options", {}))
    finally:
        tl.datetime = datetime


LOCALE = {
    "code": lambda l, a: l.code,
    "name": lambda l, a: l.name,
    "rtl": lambda l, a: l.rtl,
    "translate": lambda l, a: l.translate(*a),
    "pgettext": lambda l, a: l.pgettext(*a),
    "format_date": format_date,
    "format_day": lambda l, a: l.format_day(moment(a["date"]), a["gmt_offset"], a["dow"]),
    "list": lambda l, a: l.list(a),
    "friendly_number": lambda l, a: l.friendly_number(a),
}


def load(name, default):
    tl.Locale._cache, tl._translations, tl._use_gettext = {}, {}, False
    tl._supported_locales = frozenset([default])
    if name and name.startswith("csv"):
        tl.load_translations(str(FILES / name))
    elif name:
        tl.load_gettext_translations(str(FILES / name), "app")
    tl.set_default_locale(default)


def locale_value(row):
    load(row["load"], row.get("default", "en_US"))
    if row["call"] == "supported":
        return sorted(tl.get_supported_locales())
    if row["call"] == "browser":
        headers = tornado.httputil.HTTPHeaders()
        for value in row["args"]:
            headers.add("Accept-Language", value)
        request = types.SimpleNamespace(headers=headers)
        return tornado.web.RequestHandler.get_browser_locale(types.SimpleNamespace(request=request)).code
    return LOCALE[row["call"]](tl.get(*row["codes"]), row.get("args"))


# --- locale: inputs --------------------------------------------------------------------------------

DATE = 1367174100  # 2013-04-28 18:35 UTC, a Sunday
HOUR, DAY = 3600, 86400
AGES = [0, 1, 2, 49, 50, 89, 90, 91, 150, 120, 2999, 3000, 3599, 5400, 2 * HOUR, 9000, DAY - 1, DAY, DAY + 1, 30 * HOUR, 47 * HOUR,
        2 * DAY, 4 * DAY, 5 * DAY, 300 * DAY, 333 * DAY, 334 * DAY, 500 * DAY, 5000 * DAY, -1, -30, -59, -60, -61, -DAY - 30]
FORMATS = [{}, {"shorter": True}, {"relative": False}, {"full_format": True}, {"full_format": True, "shorter": True},
           {"gmt_offset": -480}, {"gmt_offset": 300, "shorter": True}, {"relative": False, "shorter": True, "gmt_offset": 60}]
HEADERS = [["es-MX,es;q=0.8,fr;q=0.5"], ["de,fr-FR;q=0.4,es;q=0.1"], ["xx, *;q=0.1"], ["es;q=abc,fr_FR;q=0.9"], [], [""], ["es;q=0"],
           ["de", "es"], ["es;q=0.3", "fr-fr;q=0.4"], ["zh-Hans-CN,es"], ["fr"], ["ES"], ["es;q=-1,fr-FR;q=0.1"],
           ["en;q=0.1,es;q=1e-3"], ["es;q=nan,fa-ir"], ["es;level=1;q=0"], [";q=1,es"], ["es;q="], ["es; q=0.5 ,fr-FR ;q=0.4"]]


def locale_inputs():
    for name in ["csv", "csv_bom", "csv_utf16", "csv_utf16be", "gettext"]:
        yield dict(load=name, codes=["fr_FR"], call="translate", args=["school"])
        yield dict(load=name, call="supported")
    for args in [["law", "right"], ["good", "right"], ["organization", "club", "clubs", 1], ["organization", "club", "clubs", 2],
                 ["stick", "club", "clubs", 1], ["stick", "club", "clubs", 2], ["x", "school"], ["x", "%(n)d item", "%(n)d items", 2],
                 ["stick", "nothing", "nothings", 1], ["stick", "nothing", "nothings", 0]]:
        yield dict(load="gettext", codes=["fr_FR"], call="pgettext", args=args)
        yield dict(load="csv", codes=["es"], call="pgettext", args=args)
    for count in [0, 1, 2, 5, 12, 22, 25, 101, -1]:
        yield dict(load="gettext", codes=["pl"], call="translate", args=["file", "files", count])
        yield dict(load="gettext", codes=["pt-BR"], call="translate", args=["day", "days", count])
        yield dict(load="gettext", codes=["pl"], call="translate", args=["dog", "dogs", count])
        yield dict(load="csv", codes=["es"], call="translate", args=["%(n)d item", "%(n)d items", count])
        yield dict(load="csv", codes=["es"], call="translate", args=["dog", "dogs", count])
    for message in ["yes", "no", "day", "maybe"]:
        yield dict(load="gettext", codes=["pt_BR"], call="translate", args=[message])
    for message in ["Sign out", "bad", "alone", "multi\nline", "%(n)d item", "yesterday at %(time)s"]:
        yield dict(load="csv", codes=["es"], call="translate", args=[message])
        yield dict(load="csv_crlf", codes=["fr_FR"], call="translate", args=[message])
    for codes in [["es"], ["es-mx"], ["ES_mx"], ["fr"], ["FR-fr"], ["de", "", "fr-fr"], ["a-b-c", "fa_IR"], [], ["en_US"], ["en"], ["fa-ir"]]:
        for call in ["code", "name", "rtl"]:
            yield dict(load="csv", codes=codes, call=call)
        yield dict(load="csv", default="es_LA", codes=codes, call="code")
    for code in sorted(tl.LOCALE_NAMES):
        yield dict(load=None, default=code, codes=[code], call="name")
        yield dict(load=None, default=code, codes=[code], call="rtl")
    for headers in HEADERS:
        yield dict(load="csv", call="browser", args=headers)
        yield dict(load="csv", default="fr_FR", call="browser", args=headers)
    for parts in [[], ["A"], ["A", "B"], ["A", "B", "C"], ["%(last)s", "%", "%(commas)s"]]:
        for name, code in [("csv", "es"), ("csv", "fa_IR"), (None, "en_US")]:
            yield dict(load=name, codes=[code], call="list", args=parts)
    for number in [0, 7, 999, 1000, 12345, 1000000, 1234567890123]:
        for code in ["en_US", "es"]:
            yield dict(load="csv", codes=[code], call="friendly_number", args=number)
    yield from date_inputs()


def date_inputs():
    for dow in [True, False]:
        for code in ["en_US", "es"]:
            yield dict(load="csv", codes=[code], call="format_day", args=dict(date=DATE, gmt_offset=0, dow=dow))
            yield dict(load="csv", codes=[code], call="format_day", args=dict(date=DATE - 112 * DAY, gmt_offset=-600, dow=dow))
    for age in AGES:
        for options in FORMATS:
            yield dict(load="csv", codes=["en_US"], call="format_date", args=dict(date=DATE - age, now=DATE, options=options))
        yield dict(load="csv", codes=["es"], call="format_date", args=dict(date=DATE - age, now=DATE))
        yield dict(load="gettext", codes=["pl"], call="format_date", args=dict(date=DATE - age, now=DATE))
        yield dict(load=None, default="zh_CN", codes=["zh_CN"], call="format_date", args=dict(date=DATE - age, now=DATE, options={"full_format": True}))
    for _ in range(300):
        now = RANDOM.randint(-2**31, 2**33)
        age = RANDOM.choice([RANDOM.randint(-120, 4000), RANDOM.randint(0, 3 * DAY), RANDOM.randint(0, 400 * DAY)])
        options = {"gmt_offset": RANDOM.randint(-840, 840), "relative": RANDOM.random() < 0.7, "shorter": RANDOM.random() < 0.5}
        yield dict(load="csv", codes=[RANDOM.choice(["en_US", "es"])], call="format_date", args=dict(date=now - age, now=now, options=options))


def locale_corpus():
    return [{**row, "out": locale_value(row)} for row in locale_inputs()]


# --- both ------------------------------------------------------------------------------------------


def main():
    logging.disable(logging.CRITICAL)
    write = "--write" in sys.argv[1:]
    if write:
        write_files()
    failed = False
    for name, make in [("escape.json", escape_corpus), ("locale.json", locale_corpus)]:
        rows = make()
        text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
        if write:
            (HERE / name).write_text(text)
        elif json.loads((HERE / name).read_text()) != rows:
            failed = True
            print(f"{name}: Tornado {tornado.version} says otherwise; see --write")
        print(f"{name}: {len(rows)} rows")
    sys.exit(failed)


if __name__ == "__main__":
    main()
