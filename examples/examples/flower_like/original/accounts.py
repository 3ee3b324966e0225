"""Who may come in."""

import base64
import hashlib
import hmac


def digest(text):
    return hashlib.sha256(text.encode()).digest()


class Accounts:
    """The names and passwords of the command line."""

    def __init__(self, digests):
        self.digests = digests

    @classmethod
    def parse(cls, text):
        pairs = [pair.split(":", 1) for pair in text.split(",")]
        if any(len(pair) != 2 for pair in pairs):
            raise SystemExit("error: --basic-auth takes name:password")
        return cls({name: digest(password) for name, password in pairs})

    def __contains__(self, name):
        return name in self.digests

    def check(self, name, password):
        """Takes as long for a wrong password as for an unknown name, and for the right one."""
        expected = self.digests.get(name, b"")
        return hmac.compare_digest(expected or bytes(32), digest(password)) and bool(expected)

    def of_header(self, authorization):
        """The name in an `Authorization` header, if the password is right."""
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
        except ValueError:
            return None
        return name if self.check(name, password) else None
