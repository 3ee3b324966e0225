"""What all handlers share."""

from tornado import web


class Base(web.RequestHandler):
    @property
    def tasks(self):
        return self.settings["tasks"]

    def set_default_headers(self):
        self.set_header("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
        self.set_header("X-Content-Type-Options", "nosniff")

    def get_current_user(self):
        """By the password, which a script sends each time, or by the cookie that the login page sets."""
        accounts = self.settings["accounts"]
        authorization = self.request.headers.get("Authorization")
        if authorization is not None:
            return accounts.of_header(authorization)
        name = self.get_signed_cookie("user")
        return name.decode() if name and name.decode() in accounts else None

    def get_template_namespace(self):
        namespace = super().get_template_namespace()
        namespace["site"] = "flower_like"
        return namespace

    def write_error(self, status_code, **kwargs):
        self.render("error.html", status=status_code, reason=self._reason)

    def number(self, name, default):
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()):
            raise web.HTTPError(400)
        return int(text)
