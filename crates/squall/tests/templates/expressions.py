"""Python's expressions and what Python makes of them: writes expressions.json, one row per line.

    python3 expressions.py            # checks every row against this Python (3.11 or later)
    python3 expressions.py --write    # computes them anew
    python3 expressions.py --random N [SEED]   # N random expressions, to the standard output
"""
import datetime
import json
import math
import os.path
import pathlib
import random
import re
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).parent
FILE = HERE / "expressions.json"
NAMES = {"datetime": datetime, "json": json, "math": math, "re": re, "urllib": urllib, "os": os, "time": time}

E = r"""
1 + 2 * 3 - 4 // 3 % 2
2 ** 10
2 ** -1
-2 ** 2
2 ** 3 ** 2
(-2) ** 3
7 // 2, -7 // 2, 7 // -2, -7 // -2
7 % 3, -7 % 3, 7 % -3, -7 % -3
7.5 // 2, -7.5 // 2, 7.5 % -2
1 / 3
10 / 5
9223372036854775807 + 1
-9223372036854775808 - 1
9223372036854775807 * 9223372036854775807
12345678901234567890 // 7, 12345678901234567890 % 7
-12345678901234567890 // 7, -12345678901234567890 % 7
12345678901234567890 / 3
10 ** 30 / 10 ** 29
(10 ** 30) ** 0.5
3 & 5, 3 | 5, 3 ^ 5, ~3
1 << 70, (1 << 70) >> 68
-1 >> 3, -8 >> 1
True + True
True & False, True | 1, True ^ True
not 1, not [], not ''
1 < 2 < 3, 1 < 3 < 2, 3 > 2 >= 2
1 == 1.0, 1 is 1, None is None, None is not None
'a' < 'b', [1, 2] < [1, 3], (1,) < (1, 2)
[1, 10] < [1, 9, 0]
{1, 2} < {1, 2, 3}, {1, 2} <= {1, 2}, {1} > {2}
1 in [1, 2], 3 not in (1, 2), 'a' in 'abc', 'x' in {'x': 1}, 2.0 in range(3)
'a' < 1
[] < ()
1 + 'a'
'a' + 1
[1] + (2,)
None + 1
'a' * 'b'
-'a'
1 / 0
1 // 0
1.0 % 0
0 ** -1
1 or 2 and 3
0 or '' or 'x', 1 and 2 and 0
1 if 0 else 2
1 if 1 else 2 if 3 else 4
[x for x in range(5) if x % 2]
[x * y for x in (1, 2) for y in (3, 4) if x != y]
{x: x * x for x in range(4)}
sorted({x % 3 for x in range(10)})
list(x + 1 for x in [1, 2])
[[y for y in range(x)] for x in range(3)]
[(lambda: i)() for i in range(3)]
[f() for f in [lambda: i for i in range(3)]]
(lambda a, b=2, *c, d=4, **e: (a, b, c, d, e))(1)
(lambda a, b=2, *c, d=4, **e: (a, b, c, d, e))(1, 5, 6, 7, d=8, x=9)
(lambda *a: a)(*[1, 2], 3)
(lambda **k: sorted(k))(**{'a': 1}, b=2)
(lambda a: a)()
(lambda a: a)(1, 2)
(lambda a: a)(b=1)
(lambda x: (lambda y: x + y))(1)(2)
[y := 5, y ** 2]
[(z := x) for x in range(3)], z
[*range(3), *'ab']
(*[1], 2)
{**{'a': 1, 'b': 2}, 'a': 3}
{*[1, 2], 3} == {1, 2, 3}
[1, 2, 3][-1], (1, 2, 3)[0], 'abc'[1], 'abc'[-3]
[1, 2, 3][3]
'abc'[5]
(1, 2)['a']
'abc'['a']
{'a': 1}['b']
[1, 2, 3, 4, 5][1:3], [1, 2, 3, 4, 5][::-1], [1, 2, 3, 4, 5][::2], [1, 2, 3, 4, 5][4:1:-1]
'hello'[::-1], 'hello'[1:-1], 'hello'[-3:], 'hello'[10:], 'hello'[:-10:-2]
(1, 2, 3)[::-1], ()[::-1], [][::-1], ''[::-1]
[1, 2, 3][::0]
range(10)[2:8:2], range(10)[::-1], range(10)[-1]
'日本語'[1], '日本語'[::-1], len('日本語')
b'abc'[1], b'abc'[1:], b'abc'[::-1]
str(None), str(True), str(1), str(1.5), str('a'), str([1, 'a']), str(b'a')
repr('a'), repr("it's"), repr('q"'), repr('both\'"'), repr('\n\t\\')
repr('\x00\x1f\x7f\x80\xa0\xad'), repr('\u200b\u2028\ufeff'), repr('é日😀')
repr(b'a\x00\xff\'"'), repr((1,)), repr(()), repr([]), repr({}), repr(set())
1.0, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 1.5e300, -0.0, 0.1 + 0.2
float('inf'), float('-inf'), float('nan')
9999999999999998.0, 9.999999999999999e-05, 5e-324, 1.7976931348623157e308
int('7'), int(' -42 '), int('1_000'), int('ff', 16), int('0x1f', 0), int('0b11', 2), int('٣')
int(3.9), int(-3.9), int(True), int(1e20), int()
int('x')
int('1.5')
int('')
int(None)
int('9', 8)
float('1.5'), float('1e3'), float(' 2 '), float('1_5'), float(3), float('-inf'), float()
float('x')
float(None)
bool(0), bool(''), bool('0'), bool([0]), bool(None), bool(0.0)
list('abc'), list({'a': 1}), list(range(3)), tuple([1, 2]), list(), tuple()
list(1)
dict(a=1, b=2), dict([('a', 1)]), dict({'a': 1}, b=2), dict()
dict([1])
set([1, 2, 1]), set('a'), frozenset([1]), set()
{3, 1, 2}, set([10, 5, 0, 8, 16]), {100, 50, 7}
{1, 2} | {3}, {1, 2} & {2, 3}, {1, 2} - {2}, {1, 2} ^ {2, 3}
{'a': 1} | {'b': 2}
{[]: 1}
{1: 'a', True: 'b', 1.0: 'c'}
hash(1), hash(-1), hash(1.0), hash(True), hash(2 ** 61)
hash([])
type(1), type('a'), type(None), type([]), type(1.5), type(b''), type({}), type(()), type({1}), type(lambda: 1)
type(1).__name__, type('').__name__, type(None).__name__, type(str.upper).__name__, type('a'.upper).__name__, type(dict.fromkeys).__name__
isinstance(1, int), isinstance(True, int), isinstance('a', (int, str)), isinstance([], dict), isinstance(None, type(None))
isinstance(1, 'a')
issubclass(bool, int), issubclass(int, str), issubclass(KeyError, LookupError)
callable(len), callable(1), callable(lambda: 1), callable(str)
abs(-3), abs(-1.5), abs(True), abs(-2 ** 70)
abs('a')
round(2.5), round(3.5), round(-2.5), round(1.256, 2), round(2.675, 2), round(1234, -2), round(15, -1), round(25, -1)
round(1e22), round(1.0, None), round(5, 2), round(1234.5678, -2), round(0.5), round(1.5), round(-0.4)
round('a')
divmod(7, 3), divmod(-7, 3), divmod(7.5, 2), divmod(-7, -2)
divmod(1, 0)
pow(2, 10), pow(2, 10, 1000), pow(2.0, 3), pow(3, -1, 7)
pow(2, -1, 4)
hex(255), hex(-255), oct(8), bin(5), bin(-5), hex(2 ** 70)
hex(1.5)
chr(65), chr(0x1f600), ord('A'), ord('😀')
chr(-1)
ord('ab')
min(3, 1, 2), max([1, 5, 3]), min('b', 'a'), max(1, 1.5), min([], default=7), max(['aa', 'b'], key=len)
min([])
max(1, 'a')
sum([1, 2, 3]), sum([0.1] * 3), sum([[1], [2]], []), sum([], 5), sum([True, True])
sum(['a'])
any([0, 1]), all([1, 0]), any([]), all([]), any(x > 2 for x in range(5))
sorted([3, 1, 2]), sorted('bca', reverse=True), sorted(['B', 'a'], key=str.lower), sorted({'b': 1, 'a': 2})
sorted([('b', 1), ('a', 1)], key=lambda p: p[1]), sorted([1, 3, 2], key=lambda x: -x), sorted([2, 1, 2.0, True])
sorted([1, 'a'])
list(reversed([1, 2, 3])), list(reversed('abc')), list(reversed(range(3))), list(reversed((1, 2)))
list(enumerate('ab')), list(enumerate('ab', 1)), list(enumerate('ab', start=5))
list(zip([1, 2], 'ab')), list(zip()), list(zip([1], [2], [3])), list(zip('ab', range(10)))
list(zip([1], [1, 2], strict=True))
list(map(str, [1, 2])), list(map(lambda a, b: a + b, [1, 2], [3, 4])), list(filter(None, [0, 1, ''])), list(filter(lambda x: x > 1, [1, 2]))
list(map(str.upper, 'ab')), list(map(len, ['a', 'bb']))
next(iter([1, 2])), next(iter([]), 'none'), next(x for x in range(5) if x > 2)
next(iter([]))
next([1])
list(iter(lambda: 1, 1))
range(5), range(1, 5), range(0, 10, 3), list(range(5, 0, -2)), len(range(0, 10, 3)), range(3) == range(0, 3, 1)
range(1, 2, 0)
len('abc'), len([]), len({'a': 1}), len({1, 2}), len(b'ab'), len((1, 2, 3))
len(1)
len(None)
hasattr('a', 'upper'), hasattr('a', 'nope'), hasattr([], 'append'), getattr('a', 'upper')(), getattr(1, 'x', 'd')
getattr('a', 'nope')
'a'.nope
[].nope()
(1).real, (5).bit_length(), (2.0).is_integer(), (2.5).is_integer()
format(3.14159, '.2f'), format(42, '05d'), format('a', '>5'), format(True), format(None), format(1234567, ',')
'%s %r %d %i' % ('a', 'b', 3, 4.7)
'%5s|%-5s|%05d|%+d|% d' % ('a', 'b', 42, 5, 6)
'%.2f %e %g %G %.3g' % (3.14159, 12345.678, 0.0001, 1e-10, 1234.5)
'%x %X %o %#x %#o' % (255, 255, 8, 255, 8)
'%c%c %%' % ('a', 66)
'%(a)s %(b)d' % {'a': 1, 'b': 2}
'%*d|%-*d|%.*f' % (5, 42, 5, 42, 2, 3.14159)
'%s' % [1, 2], '%s' % None, '%s' % (None,), '%r' % ('é',), '%a' % 'é', '%.2s' % 'abc'
'%10.3f|%-10.2e|%010.1f' % (3.14159, 1234.5, -2.5)
'%d' % 'a'
'%s %s' % 'a'
'%s' % (1, 2)
'%z' % 1
'%(a)s' % {'b': 1}
'%d' % 12345678901234567890, '%x' % -255, '%.5d' % 42
'{} {}'.format(1, 'a'), '{1} {0}'.format(1, 2), '{a} {b}'.format(a=1, b=2), '{0[0]} {0[1]}'.format([1, 2])
'{0.real} {a[b]}'.format(1, a={'b': 2}), '{!r} {!s} {!a}'.format('é', 'é', 'é')
'{:>10}|{:<10}|{:^10}|{:*^10}'.format('a', 'b', 'c', 'd')
'{:05d} {:+d} {: d} {:,} {:_} {:x} {:#x} {:b} {:#b} {:o} {:c}'.format(42, 42, 42, 1234567, 1234567, 255, 255, 5, 5, 8, 65)
'{:.2f} {:.3e} {:g} {:.1%} {:10.2f} {:,.2f} {:+.1f}'.format(3.14159, 12345.678, 0.0001, 0.256, 3.14159, 1234567.891, 2)
'{:{}}|{:{w}.{p}f}'.format('a', 5, 3.14159, w=8, p=2)
'{{}} {{{}}}'.format(1)
'{:08.2f} {:=+8d} {:<8.1f}| {:^8.1f}|'.format(-3.14159, 42, 2.55, 2.55)
'{:n} {:.3} {:.3} {:.0f} {:.0e} {:#.0f}'.format(1234, 1234.5678, 'abcdef', 2.5, 12345.0, 2.0)
'{:,} {:,} {:010,} {:010,.2f}'.format(0, 999, 1234567, 1234.5)
'{} {}'.format(1)
'{a}'.format(b=1)
'{:d}'.format('a')
'{:z}'.format('a')
'{'.format()
'{} {0}'.format(1)
f'{1 + 1} {"a"!r} {3.14159:.2f} {"x":>5} {42:05d}'
f'{1}{{}}{2}', f'{"a" "b"}', f'{[1, 2][0]}', f'{{1: 2}[1]}' 'x'
f'{1 + 1=} {"a"=} {3.5=:.2f}'
f'{3:{5}}|{3.14159:{8}.{2}f}'
f'{True} {None} {[1, "a"]} {1e16}'
'Hello'.upper(), 'Hello'.lower(), 'hello world'.title(), "they're bill's".title(), 'hELLO'.capitalize(), 'Hello'.swapcase()
'ß'.upper(), 'ŉ'.title(), 'ǆ'.title(), 'ﬁx'.title(), 'Straße'.casefold(), 'İ'.lower(), 'ΑΣ'.lower(), 'ß'.title()
' a '.strip(), 'xxaxx'.strip('x'), 'abc'.lstrip('ab'), 'abc'.rstrip('bc'), '\t\n a'.strip()
'a,b,c'.split(','), 'a b  c '.split(), 'a,b,c'.split(',', 1), 'a b c'.split(None, 1), 'a,b,c'.rsplit(',', 1), ' a b  c '.rsplit(None, 1), ''.split(), ''.split(',')
' a  b '.split(' '), 'a  b c'.split(maxsplit=1), '  a b  '.split(None, 0), 'a b'.split(sep=None)
'a'.split('')
'a\nb\r\nc\x0bd\u2028e'.splitlines(), 'a\nb\n'.splitlines(True), ''.splitlines(), '\n'.splitlines()
'a-b-c'.partition('-'), 'a-b-c'.rpartition('-'), 'abc'.partition('-'), 'abc'.rpartition('-')
', '.join(['a', 'b']), ''.join('abc'), '-'.join({'a': 1, 'b': 2}), ', '.join(str(x) for x in range(3))
', '.join([1, 2])
', '.join(1)
'hello'.replace('l', 'L'), 'hello'.replace('l', 'L', 1), 'abc'.replace('', '-'), ''.replace('', 'x')
'hello'.find('l'), 'hello'.rfind('l'), 'hello'.find('z'), 'hello'.index('e'), 'hello'.count('l'), ''.count(''), 'abc'.count(''), 'hello'.find('l', 3), 'hello'.find('l', -2), ''.find('', 1)
'hello'.index('z')
'hello'.startswith('he'), 'hello'.startswith(('x', 'he')), 'hello'.endswith('lo'), 'hello'.startswith('l', 2), 'hello'.endswith('l', 0, 4)
'a'.startswith(1)
'ab'.center(5, '*'), 'ab'.center(6, '*'), 'a'.center(4, '-'), 'abc'.center(6, '-'), 'a'.ljust(3) + '|', 'a'.rjust(3), '42'.zfill(5), '-42'.zfill(5), '+1'.zfill(1), 'é'.center(5)
'a\tb'.expandtabs(), 'a\tb'.expandtabs(4), 'ab\tc\n\td'.expandtabs(3), '\t'.expandtabs(0)
'abc'.isalpha(), 'a1'.isalnum(), '12'.isdigit(), '²'.isdigit(), '²'.isdecimal(), '½'.isnumeric(), ' '.isspace(), 'Abc'.istitle(), 'ABC'.isupper(), 'abc'.islower(), 'a b'.isidentifier(), ''.isalpha(), 'ab\n'.isprintable(), 'Ⅷ'.isnumeric(), '٣'.isdecimal()
'abc'.removeprefix('a'), 'abc'.removesuffix('bc'), 'abc'.removeprefix('x')
'abc'.translate({97: 'X', 98: None}), 'abc'.translate(str.maketrans('ab', 'xy')), 'abc'.translate(str.maketrans({'a': '1'}))
'é'.encode(), 'é'.encode('latin-1'), 'aé'.encode('ascii', 'ignore'), 'aé'.encode('ascii', 'replace'), 'aé'.encode('ascii', 'xmlcharrefreplace')
'é'.encode('ascii')
'a'.encode('nope')
b'\xc3\xa9'.decode(), b'a'.decode('ascii'), b'\xff'.decode('utf-8', 'replace'), b'\xff'.decode('latin-1'), b'ab'.hex()
b'\xff'.decode()
b'a' + b'b', b'a' * 3, b'a,b'.split(b','), b' a '.strip(), b'abc'.upper(), b'a' in b'abc', b'abc'.find(b'c'), b','.join([b'a', b'b'])
b'a' + 'a'
bytes([1, 2]), bytes(3), bytes('é', 'utf-8')
'\101\x42\u0043\N{LATIN SMALL LETTER A}\n'.strip(), r'\n', '\q', 'a' 'b', '''a
b'''
[1, 2].count(1), [1, 2, 1].index(1), [1, 2, 1].index(1, 1), (1, 2).index(2), [1, 2].copy()
[1].index(5)
[(l := [3, 1, 2]), l.append(4), l.sort(), l.reverse(), l.pop(), l.insert(0, 9), l.remove(4), l.extend([7, 8])][0]
[(l := [1, 2, 3]), l.pop(0), l.pop(-1), l.clear()]
[].pop()
[1].remove(2)
[1, 2, 3].pop(7)
[(l := [1]), l.append(l)][0]
[(d := {}), d.update(a=1), d.update({'b': 2}), d.setdefault('c', 3), d.setdefault('a', 9), d.pop('b'), d.pop('z', None)]
[(d := {'a': 1}), d.popitem(), d]
{'a': 1}.pop('b')
{'a': 1}.get('a'), {'a': 1}.get('b'), {'a': 1}.get('b', 5), list({'a': 1}.items()), {'a': 1}.keys(), {'a': 1}.values(), {'a': 1}.items()
{'a': 1}.a
{'a': 1} == {'a': 1.0}, {'a': 1, 'b': 2} == {'b': 2, 'a': 1}, [1, 2] == (1, 2), 'a' == b'a', {1, 2} == {2, 1}
dict.fromkeys('ab'), dict.fromkeys([1], 2), {'b': 1, 'a': 2}.copy(), 'a' in {'a': 1}.keys(), {'a': 1}.keys() | {'b'} == {'a', 'b'}
[(s := {1, 2}), s.add(3), s.discard(1), s.remove(2), s.update([5]), s][5]
{1, 2}.union([3]), {1, 2}.intersection({2}), {1, 2}.difference([1]), {1, 2}.issubset({1, 2, 3}), {1}.isdisjoint({2}), {1, 2}.symmetric_difference({2, 3})
{1}.remove(2)
datetime.datetime(2024, 3, 1), datetime.datetime(2024, 3, 1, 12, 30, 15, 500), datetime.date(2024, 3, 1), datetime.time(1, 2), datetime.timedelta(days=1, hours=2)
str(datetime.datetime(2024, 3, 1)), str(datetime.date(2024, 3, 1)), str(datetime.timedelta(days=-1, seconds=5)), str(datetime.timedelta(hours=25)), str(datetime.timedelta(microseconds=5)), str(datetime.time(1, 2, 3))
datetime.datetime(2024, 3, 1) - datetime.datetime(2024, 2, 1), datetime.date(2024, 3, 1) + datetime.timedelta(days=30), datetime.datetime(2024, 1, 31) - datetime.timedelta(hours=1)
datetime.timedelta(days=1) * 2, datetime.timedelta(days=1) / 2, datetime.timedelta(days=3) // datetime.timedelta(days=2), -datetime.timedelta(days=1), abs(datetime.timedelta(days=-1)), datetime.timedelta(hours=5) / datetime.timedelta(hours=2)
datetime.datetime(2024, 3, 1) < datetime.datetime(2024, 3, 2), datetime.date(2024, 3, 1) == datetime.date(2024, 3, 1), datetime.timedelta(1) > datetime.timedelta(0)
datetime.datetime(2024, 3, 1, 15, 4, 5).strftime('%d.%m.%y %H:%M:%S %p %I %j %a %A %b %B %Y %w %U %W %u %V %G %y %% %C %e %D %F %T %R %h')
datetime.datetime(2024, 3, 1, 15, 4, 5).isoformat(), datetime.datetime(2024, 3, 1).isoformat(' '), datetime.date(2024, 3, 1).isoformat(), datetime.datetime(2024, 3, 1, 15, 4, 5).isoformat(timespec='minutes')
datetime.datetime(2024, 3, 1).weekday(), datetime.date(2024, 3, 1).isoweekday(), datetime.datetime(2024, 3, 1).date(), datetime.datetime(2024, 3, 1, 2).time(), datetime.date(2024, 3, 1).timetuple()[:3], datetime.date(2024, 3, 1).isocalendar()[1]
datetime.datetime(2024, 3, 1).replace(day=5, hour=3), datetime.date(2024, 3, 1).replace(year=2020), datetime.timedelta(days=1, hours=1).total_seconds(), datetime.timedelta(days=1.5).seconds
datetime.datetime.strptime('2024-03-01 10:20', '%Y-%m-%d %H:%M'), datetime.date.fromisoformat('2024-03-01'), datetime.datetime.fromisoformat('2024-03-01T10:20:30')
datetime.datetime.utcfromtimestamp(0), datetime.datetime.fromtimestamp(0, datetime.timezone.utc), datetime.timezone.utc, datetime.date.fromordinal(738000)
datetime.datetime(2024, 13, 1)
datetime.datetime(2024, 2, 30)
datetime.datetime(2024, 3, 1) + 1
datetime.datetime(2024, 3, 1) < 1
datetime.datetime.strptime('x', '%Y')
f'{datetime.datetime(2024, 3, 1):%d.%m.%Y}', '{:%Y}'.format(datetime.date(2024, 3, 1)), format(datetime.datetime(2024, 3, 1), '%H')
time.gmtime(0), time.gmtime(1700000000.9).tm_year, time.gmtime(-0.5)[:6], time.gmtime(1709251200).tm_yday
time.strftime('%d.%m.%Y %H:%M:%S %a %j', time.gmtime(1700000000)), time.strftime('%Y', time.struct_time((2020, 2, 29, 0, 0, 0, 5, 60, -1)))
time.strftime('%c %j', (2020, 0, 0, 0, 0, 0, 2, 0, 0)), time.strftime('%H', (2020, 1, 1, 23, 59, 59, 2, 1, 0))
len(time.localtime()), time.localtime(0).tm_year in (1969, 1970), len(time.strftime('%Y-%m-%d')), time.strftime('%Y', time.localtime(86400 * 400))
isinstance(time.gmtime(0), tuple), type(time.gmtime(0)), time.gmtime(0) == (1970, 1, 1, 0, 0, 0, 3, 1, 0), len(time.gmtime(0)), tuple(time.gmtime(0))
datetime.datetime(2024, 3, 1, 15, 4, 5).timetuple(), time.strftime('%F %T', datetime.datetime(2024, 3, 1, 15, 4, 5).timetuple())
[part for part in time.gmtime(86400)], sorted([time.gmtime(5), time.gmtime(3)])[0].tm_sec, time.gmtime(0)[0], time.gmtime(0).index(3)
time.strftime('%Y', (2020, 13, 1, 0, 0, 0, 0, 1, 0))
time.strftime('%Y', (2020, 1, 32, 0, 0, 0, 0, 1, 0))
time.strftime('%Y', (2020, 1, 1, 24, 0, 0, 0, 1, 0))
time.strftime('%Y', (2020, 1, 1, 0, 60, 0, 0, 1, 0))
time.strftime('%Y', (2020, 1, 1, 0, 0, 62, 0, 1, 0))
time.strftime('%Y', (2020, 1, 1, 0, 0, 0, -2, 1, 0))
time.strftime('%Y', (2020, 1, 1, 0, 0, 0, 0, 367, 0))
time.strftime('%Y', (1, 2))
time.strftime('%Y', 5)
time.strftime('%Y', (2020, 1, 1, 0, 0, 0, 'a', 0, 0))
time.strftime(5)
time.gmtime('a')
time.gmtime(1, 2)
time.gmtime(0).tm_foo
time.struct_time((1, 2))
time.struct_time(range(9)), str(time.struct_time('123456789'))
math.sqrt(16), math.floor(2.7), math.ceil(2.1), math.floor(-2.5), math.pi, math.log(math.e), math.log10(1000), math.log2(8), math.gcd(12, 18), math.factorial(20), math.isnan(float('nan')), math.hypot(3, 4), math.trunc(-2.7), math.pow(2, 3), math.comb(5, 2)
math.sqrt(-1)
math.log(0)
json.dumps({'a': [1, 2.5, None, True, 'é"\n</script>']}), json.dumps([1, 2], indent=2), json.dumps({'b': 1, 'a': 2}, sort_keys=True), json.dumps('é', ensure_ascii=False), json.dumps([1, {'a': 2}], separators=(',', ':')), json.dumps({1: 2, None: 3, True: 4}), json.dumps([], indent=1), json.dumps(float('inf'))
json.loads('{"a": [1, 2.5, null, true, "x"]}'), json.loads('[]'), json.loads('1e3'), json.loads('12345678901234567890')
json.dumps({1, 2})
json.loads('{"a": 1}')['a'], json.loads('"\\u00e9"')
re.sub(r'\s+', ' ', 'a  b \n c'), re.sub('(a)(b)', r'\2\1', 'abab'), re.sub('a', lambda m: m.group().upper(), 'banana'), re.sub('a', 'x', 'aaa', count=2), re.sub(r'(?P<x>b)', r'[\g<x>]', 'abc')
re.match('a+', 'aab').group(), re.match('b', 'aab'), re.search('b', 'aab').start(), re.search(r'(\d+)-(\d+)', 'x12-34').groups(), re.fullmatch('a+', 'aab'), re.search('(?P<n>b)', 'abc').groupdict(), re.search('B', 'abc', re.I).span()
re.findall(r'\d+', 'a1b22c333'), re.findall(r'(\w)(\d)', 'a1 b2'), re.split(r'[,;]', 'a,b;c'), re.split('(,)', 'a,b'), [m.group() for m in re.finditer('a', 'aa')], re.escape('a.b*c')
re.compile('a(b)').search('xab').group(1), re.compile('a').sub('b', 'aa'), bool(re.match('x', 'y'))
urllib.parse.quote('a b/é?'), urllib.parse.quote('a/b', safe=''), urllib.parse.quote_plus('a b&c'), urllib.parse.unquote('a%20b%C3%A9'), urllib.parse.unquote_plus('a+b'), urllib.parse.urlencode({'a': 1, 'b': 'x y&'}), urllib.parse.urlencode([('a', 'é')]), urllib.parse.urlencode({'a': [1, 2]}, doseq=True), urllib.parse.urljoin('http://a.b/c/d', '../e')
os.path.join('a', 'b', 'c'), os.path.join('a', '/b'), os.path.join('a/', 'b'), os.path.basename('/a/b.txt'), os.path.dirname('/a/b.txt'), os.path.splitext('a/b.tar.gz'), os.path.splitext('.bashrc'), os.path.join('', 'a')
KeyError('a'), str(KeyError('a')), str(ValueError('x', 1)), ValueError('x').args, repr(ValueError()), isinstance(KeyError('a'), LookupError)
slice(1, 2), [1, 2, 3][slice(1, None)], slice(3)
ascii('é😀a'), repr(range(3)), repr(type), str(int), repr(None)
'a' if [] else 'b', [] or {} or (), [1] and {2}
(1, 2) + (3,), [1] * 3, (1,) * 2, 'ab' * 2, 3 * 'x', [1] * -1, 'a' * 0, [[]] * 2
1_000, 0xff, 0o17, 0b101, 1e3, 1.5E-3, .5, 5., 0xFFFFFFFFFFFFFFFFF
x
undefined_function(1)
(lambda: undefined_name)()
[undefined for i in range(1)]
[undefined for i in range(0)]
int.nope
'abc'.upper().nope
None.x
1()
'a'()
[i for i in 5]
len(*[[1, 2]])
str.upper('a'), str.join(',', ['a', 'b']), list.index([1, 2], 2), int.bit_length(5), dict.get({'a': 1}, 'a')
str.upper(1)
print
'%s' % (lambda: 1).__name__, len.__name__, str.__name__, KeyError.__name__
9007199254740993 == 9007199254740992.0, 2 ** 53 + 1 > 2.0 ** 53, 10 ** 400 > 1e308, 1e308 < 10 ** 309
10 ** 400 * 1.0
int(float('nan'))
int(float('inf'))
2 ** 0.5, 4 ** 0.5, (-8) ** 2, 0 ** 0, 0.0 ** 0, 1e200 ** -1
1e308 * 10, -1e308 * 10, 1e-320 / 10
1e300 ** 2
5 % 2.5, -5 % 2.5, 5.5 % -2, -0.0 % 1, 0 % 5.0, 1e20 % 3
-7.0 // 2, 7 // 2.0, -0.0 // 1, 1e20 // 3
2.5.is_integer(), 2.0.is_integer(), 1..is_integer(), 2.5.__class__.__name__, 1e3.is_integer(), 1_0.5_0, 0xfor 1, 1if 2else 3, .5.is_integer()
1.5.real, 2.imag
urllib.parse.urlparse('http://u:p@Ex.org:80/a/b;x?q=1&r#f')
urllib.parse.urlparse('http://u:p@Ex.org:80/a/b;x?q=1&r#f').hostname, urllib.parse.urlparse('//h:8/x').port, urllib.parse.urlparse('/x').port, urllib.parse.urlparse('http://u:p@h/').username, urllib.parse.urlparse('http://u:p@h/').password, urllib.parse.urlparse('http://[::1]:9/').hostname, urllib.parse.urlparse('http://[::1]:9/').port, urllib.parse.urlparse('mailto:a@b').hostname
tuple(urllib.parse.urlparse('/a?b=1'))[2:5], urllib.parse.urlparse('/a?b=1')[-2], len(urllib.parse.urlparse('')), list(urllib.parse.urlsplit('https://h/p?q#f')), tuple(urllib.parse.urlparse('x;y/z;w'))
urllib.parse.urlparse('HTTP://h/p?q#f').geturl(), urllib.parse.urlparse('http://h?').geturl(), urllib.parse.urlsplit('a b').geturl(), urllib.parse.urlparse('http://h/a')._replace(path='/z', query='k=v').geturl()
[urllib.parse.urlparse(u).path for u in ('a:b', '1:b', 'http:', '//h', 'a\tb', '  x', 'tel:1;2', 'urn:x;y', '', '#', '?', 'path:80', 'http://h/a;b;c')]
urllib.parse.urlparse('x', scheme='https').scheme, urllib.parse.urlparse('x#y', allow_fragments=False), urllib.parse.urlsplit('http://h/x#y', 'ftp', False)
urllib.parse.urlparse('http://[1/')
urllib.parse.urlunparse(('http', 'h', 'p', 'x', 'q', 'f')), urllib.parse.urlunparse(['', '', '/p', '', '', '']), urllib.parse.urlunsplit(('http', 'h', '', '', 'f')), urllib.parse.urlunsplit(('file', '', '/p', '', ''))
urllib.parse.parse_qs('a=1&b=2&a=3&c=&d&e=x+y%26'), urllib.parse.parse_qs('a=&b', keep_blank_values=True), urllib.parse.parse_qs(''), urllib.parse.parse_qs('a=1;b=2', separator=';')
urllib.parse.parse_qsl('a=1&b=2&a=3&c=&d&&e=%C3%A9'), urllib.parse.parse_qsl('=1&a==b'), urllib.parse.parse_qs(b'a=1')
urllib.parse.parse_qs('a', strict_parsing=True)
[urllib.parse.urljoin('http://a/b/c/d;p?q', u) for u in ('g:h', 'g', './g', 'g/', '/g', '//g', '?y', 'g?y', '#s', 'g#s', 'g?y#s', ';x', 'g;x', 'g;x?y#s', '', '.', './', '..', '../', '../g', '../..', '../../', '../../g', '../../../g', '/./g', '/../g', 'g.', '.g', '..g', './../g', './g/.', 'g/./h', 'g/../h', 'http:g', 'mailto:x')]
[urllib.parse.urljoin(b, u) for b, u in (('/a/b', 'c'), ('/a/b', '../c'), ('a', 'b'), ('', 'x'), ('http://h', 'x'), ('http://h', ''), ('http://h/a//b/', 'c'), ('x:y', 'z'), ('http://H/é', 'ü'), ('/a/', '?q'), ('http://h/a', '//o/p/../q'))]
urllib.parse.urldefrag('http://h/p#f'), urllib.parse.urldefrag('x').url, urllib.parse.urldefrag('x#y').fragment
""".strip("\n")


def rows():
    text = E.replace("'''a\nb'''", "'''a\\nb'''")
    return [line for line in text.split("\n") if line.strip()]


def outcome(expression):
    try:
        return {"ok": str(eval("(%s)" % expression, dict(NAMES)))}
    except Exception as error:
        return {"error": "%s: %s" % (type(error).__name__, error)}


ATOMS = ["0", "1", "-3", "7", "2.5", "-0.5", "1e16", "10 ** 20", "True", "False", "None", "''", "'a'", "'Hello World'",
         "'é日'", "b'ab'", "[]", "[1, 2, 3]", "['b', 'a']", "()", "(1, 'x')", "{}", "{'a': 1, 'b': 2}", "{1: 'x'}",
         "{1, 2}", "range(4)", "'a,b'", "' x '", "'12'", "float('inf')", "datetime.date(2024, 2, 29)"]
METHODS = ["upper()", "title()", "strip()", "split()", "split(',')", "splitlines()", "center(9, '*')", "zfill(6)", "count('a')",
           "find('l')", "encode()", "keys()", "get('a')", "get(%s, %s)", "index(%s)", "join(%s)", "replace('l', %s)", "isdigit()",
           "partition(' ')", "startswith(%s)", "items()", "copy()", "values()", "rjust(7)", "swapcase()", "isalpha()", "format(%s)"]
FUNCTIONS = ["str(%s)", "repr(%s)", "len(%s)", "int(%s)", "float(%s)", "bool(%s)", "list(%s)", "tuple(%s)", "sorted(%s)", "sum(%s)",
             "max(%s)", "min(%s, %s)", "abs(%s)", "round(%s)", "round(%s, 1)", "list(zip(%s, %s))", "list(enumerate(%s))", "hex(%s)",
             "divmod(%s, %s)", "list(reversed(%s))", "isinstance(%s, (int, str))", "type(%s).__name__", "any(%s)", "all(%s)", "format(%s, '>8')",
             "'%%s|%%r' %% (%s, %s)", "'%%5.2f' %% %s", "'%%d' %% %s", "'{:>6}|{!r}'.format(%s, %s)", "f'{%s}'", "dict(%s)",
             "[x for x in %s]", "{x: 1 for x in %s}", "(lambda a, b=1: (a, b))(%s)", "json.dumps(%s)", "bytes(%s)", "'{:,.2f}'.format(%s)"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">=", "in", "not in", "and", "or", "&", "|", "^"]


def random_expression(rng, depth=0):
    kind = rng.random()
    sub = lambda: random_expression(rng, depth + 1)
    fill = lambda text: text % tuple(sub() for _ in range(text.count("%s") - text.count("%%s")))
    if depth > 2 or kind < 0.2:
        return rng.choice(ATOMS)
    if kind < 0.5:
        operator = rng.choice(OPERATORS)
        right = rng.choice(["2", "3", "-1", "0", "4"]) if operator == "**" else sub()
        return "(%s) %s (%s)" % (sub(), operator, right)
    if kind < 0.6:
        return "(%s)[%s]" % (sub(), rng.choice(["0", "-1", "1:", "::-1", ":2", "'a'", "5", "::2", "-2:5:-1", "True"]))
    if kind < 0.75:
        method = rng.choice(METHODS)
        return "(%s).%s" % (sub(), fill(method))
    return fill(rng.choice(FUNCTIONS))


if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    if "--random" in sys.argv:
        at = sys.argv.index("--random")
        seed = sys.argv[at + 2] if len(sys.argv) > at + 2 else str(random.randrange(1 << 30))
        print("seed %s" % seed, file=sys.stderr)
        rng = random.Random(seed)
        made = 0
        while made < int(sys.argv[at + 1]):
            expression = random_expression(rng)
            found = outcome(expression)
            # Texts that Python cannot show, or that are without end, are not compared.
            if len(str(found)) < 2000 and "j)" not in str(found):
                print(json.dumps([expression, found]))
                made += 1
        sys.exit()
    found = "".join(json.dumps([row, outcome(row)]) + "\n" for row in rows())
    if "--write" in sys.argv:
        FILE.write_text(found)
    elif FILE.read_text() != found:
        old = FILE.read_text().splitlines()
        sys.exit("\n".join("%s\n  is %s" % pair for pair in zip(old, found.splitlines()) if pair[0] != pair[1]) or "other rows")
