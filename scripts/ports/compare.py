#!/usr/bin/env python3
"""Visits a Tornado application and its port to squall, and compares the bytes of their answers; masks.py says what of
them may differ.

    compare.py VISIT ORIGINAL_APP_PY [BINARY OPTION...]

VISIT is a module beside this one. Without a binary it prints what the original answers.
"""

import importlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../porting"))

import masks
from walk import Process, free_port
from wire import Answer


def seen_at(visit, command):
    port = free_port()
    seen = {}
    with Process([*command, "--port=%d" % port], port):
        visit.visit(port, seen)
    return seen


def text(answer, is_original):
    """An answer as what is to be the same."""
    if isinstance(answer, Answer):
        head, body = (masks.expected if is_original else masks.found)(answer.head, answer.body)
        head, body = masks.masked(head, body)
        return head + b"\r\n\r\n" + body
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer[0], int):
        return b"%02x " % answer[0] + (masks.expected_frame(*answer) if is_original else answer)[1]
    return b"; ".join(text(part, is_original) for part in answer)


def main():
    name, original, *command = sys.argv[1:]
    visit = importlib.import_module(name)
    tornado = seen_at(visit, [sys.executable, original, "--logging=none", *visit.OPTIONS])
    # A mistake of the original is nothing to be compared with.
    broken = [step for step, answer in tornado.items() if isinstance(answer, Answer) and answer.status == 500]
    assert not broken, broken
    if not command:
        for step, answer in tornado.items():
            print("=== %s\n%s" % (step, text(answer, True)[:2000].decode("utf-8", "backslashreplace")))
        return
    squall = seen_at(visit, [*command, *visit.OPTIONS])
    assert list(tornado) == list(squall)
    wrong = 0
    for step, answer in tornado.items():
        expected, found = text(answer, True), text(squall[step], False)
        if expected != found:
            wrong += 1
            print("--- %s: Tornado\n%s\n+++ %s: squall\n%s\n" % tuple(
                part if isinstance(part, str) else part[:3000].decode("utf-8", "backslashreplace")
                for part in (step, expected, step, found)
            ))
    print("%s: %d of %d answers are Tornado's" % (name, len(tornado) - wrong, len(tornado)))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
