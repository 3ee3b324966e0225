//! Cookies: those of a request as browsers send them, and `Set-Cookie` as Tornado writes it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::date::format_timestamp;
use super::ows;

/// The cookies of a `Cookie` header, in the order of their first mention; of several with one name the last counts
/// (Tornado's `parse_cookie`).
///
/// Read as browsers do: only `;` separates, only spaces and tabs around names and values are dropped, a piece without `=` is the value of the cookie without a name, and a value
/// in double quotes is unquoted. Takes linear time.
pub fn parse_cookie(header: &str) -> Vec<(&str, Cow<'_, str>)> {
    let mut cookies: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for piece in header.split(';') {
        let (name, value) = piece.split_once('=').unwrap_or(("", piece));
        let (name, value) = (ows::trim(name), ows::trim(value));
        if name.is_empty() && value.is_empty() {
            continue;
        }
        match places.get(name) {
            Some(&at) => cookies[at].1 = unquote(value),
            None => {
                places.insert(name, cookies.len());
                cookies.push((name, unquote(value)));
            }
        }
    }
    cookies
}

/// Which requests from other sites carry a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// None of them.
    Strict,
    /// Those by which the user comes to this site.
    Lax,
    /// All. The cookie must be [`secure`](Cookie::secure).
    None,
}

/// A cookie to be set, with its attributes.
///
/// Anything may be put in; [`header_value`](Self::header_value) refuses what a browser would not take or would take
/// for something else. The path is `/` unless another is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Cookie {
    name: String,
    value: String,
    domain: String,
    path: String,
    expiry: Expiry,
    max_age: Option<Duration>,
    httponly: bool,
    /// `None`: not said.
    secure: Option<bool>,
    same_site: Option<SameSite>,
    partitioned: bool,
}

/// When a browser drops a cookie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expiry {
    /// With its session, or by the default of who sets it.
    Unset,
    Session,
    At(SystemTime),
    In(Duration),
}

impl Cookie {
    /// A cookie that lasts as long as the browser's session.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            domain: String::new(),
            path: "/".to_owned(),
            expiry: Expiry::Unset,
            max_age: None,
            httponly: false,
            secure: None,
            same_site: None,
            partitioned: false,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, not quoted.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The domain whose hosts get the cookie. Default: none, which means this host only.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = domain.into();
        self
    }

    /// The path below which the cookie is sent; an empty one is left out. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// When the browser drops the cookie. Default: at the end of its session.
    #[must_use]
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expiry = Expiry::At(at);
        self
    }

    /// The time until the browser drops the cookie, counted from when it is sent.
    #[must_use]
    #[doc(alias = "expires_days")]
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expiry = Expiry::In(time);
        self
    }

    /// Drops the cookie at the end of the browser's session, also where the default is another.
    #[must_use]
    pub fn session(mut self) -> Self {
        self.expiry = Expiry::Session;
        self
    }

    /// The time until the browser drops the cookie, in whole seconds; goes before `expires`. Default: none.
    ///
    /// Zero drops it at once. (Tornado leaves a zero out.)
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Whether scripts cannot see the cookie. Default: false.
    #[must_use]
    pub fn httponly(mut self, httponly: bool) -> Self {
        self.httponly = httponly;
        self
    }

    /// Whether the cookie is sent over TLS only. Default: false; for signed and XSRF cookies: if the request came by https.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = Some(secure);
        self
    }

    /// Which requests from other sites carry the cookie. Default: what the browser thinks best, mostly `Lax`.
    #[doc(alias = "samesite")]
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = Some(same_site);
        self
    }

    /// Whether each site that embeds this one has a cookie of its own. Must be [`secure`](Self::secure). Default: false.
    #[must_use]
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// What `Set-Cookie` says, when it is `now`: attributes in the order and spelling of Python's `http.cookies`.
    ///
    /// # Errors
    /// When the cookie would not reach the server as it was meant.
    pub fn header_value(&self, now: SystemTime) -> Result<String, InvalidCookie> {
        self.check()?;
        let mut header = String::with_capacity(self.name.len() + self.value.len() + 64);
        header.push_str(&self.name);
        header.push('=');
        quote_into(&mut header, &self.value)?;
        if !self.domain.is_empty() {
            header.push_str("; Domain=");
            header.push_str(&self.domain);
        }
        let expires = match self.expiry {
            Expiry::Unset | Expiry::Session => None,
            Expiry::At(at) => Some(at),
            Expiry::In(time) => Some(now.checked_add(time).unwrap_or_else(last_date)),
        };
        if let Some(expires) = expires {
            header.push_str("; expires=");
            header.push_str(&format_timestamp(expires));
        }
        if self.httponly {
            header.push_str("; HttpOnly");
        }
        if let Some(age) = self.max_age {
            // Writing to a String does not fail.
            let _ = write!(header, "; Max-Age={}", age.as_secs());
        }
        if self.partitioned {
            header.push_str("; Partitioned");
        }
        if !self.path.is_empty() {
            header.push_str("; Path=");
            header.push_str(&self.path);
        }
        header.push_str(match self.same_site {
            None => "",
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
        });
        if self.is_secure() {
            header.push_str("; Secure");
        }
        Ok(header)
    }

    /// Whether it is for https only, unless it says itself.
    pub(crate) fn or_secure(mut self, secure: bool) -> Self {
        self.secure.get_or_insert(secure);
        self
    }

    fn is_secure(&self) -> bool {
        self.secure == Some(true)
    }

    /// Gives a cookie whose expiry nobody has set this one.
    pub(crate) fn or_expires_in(mut self, time: Duration) -> Self {
        if self.expiry == Expiry::Unset {
            self.expiry = Expiry::In(time);
        }
        self
    }

    pub(crate) fn with_value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    fn check(&self) -> Result<(), InvalidCookie> {
        if !is_cookie_name(&self.name) {
            return Err(InvalidCookie::Name);
        }
        if !is_attribute(&self.domain) {
            return Err(InvalidCookie::Domain);
        }
        if !is_attribute(&self.path) {
            return Err(InvalidCookie::Path);
        }
        // RFC 6265bis §5.7: browsers compare the prefixes without regard to case.
        let has_prefix = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if has_prefix("__Host-") && !(self.is_secure() && self.path == "/" && self.domain.is_empty()) {
            return Err(InvalidCookie::HostPrefix);
        }
        if has_prefix("__Secure-") && !self.is_secure() {
            return Err(InvalidCookie::SecurePrefix);
        }
        if self.same_site == Some(SameSite::None) && !self.is_secure() {
            return Err(InvalidCookie::SameSiteNone);
        }
        if self.partitioned && !self.is_secure() {
            return Err(InvalidCookie::Partitioned);
        }
        Ok(())
    }
}

/// Why a cookie cannot be set. The messages do not hold its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCookie {
    /// The name is empty, that of an attribute, or has a character that no cookie's name may have.
    Name,
    /// The value has white space, a control character, or a character beyond U+00FF.
    Value,
    /// The domain has a space, a control character, `;`, or a character beyond ASCII.
    Domain,
    /// The path has a space, a control character, `;`, or a character beyond ASCII.
    Path,
    /// A name with `__Host-` needs `Secure`, the path `/` and no domain.
    HostPrefix,
    /// A name with `__Secure-` needs `Secure`.
    SecurePrefix,
    /// `SameSite=None` needs `Secure`.
    SameSiteNone,
    /// `Partitioned` needs `Secure`.
    Partitioned,
}

impl fmt::Display for InvalidCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "not a cookie's name",
            Self::Value => "a cookie's value has white space, a control character or one beyond U+00FF",
            Self::Domain => "a cookie's domain has a character that it must not have",
            Self::Path => "a cookie's path has a character that it must not have",
            Self::HostPrefix => "a `__Host-` cookie must be secure, with the path `/` and without a domain",
            Self::SecurePrefix => "a `__Secure-` cookie must be secure",
            Self::SameSiteNone => "a cookie with SameSite=None must be secure",
            Self::Partitioned => "a partitioned cookie must be secure",
        })
    }
}

impl StdError for InvalidCookie {}

/// Whether Python's `http.cookies` takes this name, and so Tornado: legal characters, and not an attribute's.
pub(crate) fn is_cookie_name(name: &str) -> bool {
    const ATTRIBUTES: [&str; 11] = [
        "expires",
        "path",
        "comment",
        "domain",
        "max-age",
        "secure",
        "httponly",
        "version",
        "samesite",
        "partitioned",
        "",
    ];
    name.bytes().all(is_legal) && !ATTRIBUTES.iter().any(|attribute| name.eq_ignore_ascii_case(attribute))
}

/// Characters of names, and of values that need no quotes.
fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte)
}

fn is_attribute(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b';')
}

/// What no clock can tell is the last second that a date can.
fn last_date() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799)
}

fn quote_into(header: &mut String, value: &str) -> Result<(), InvalidCookie> {
    if value.chars().any(|c| c <= ' ' || c > '\u{ff}') {
        return Err(InvalidCookie::Value);
    }
    if value.bytes().all(is_legal) {
        header.push_str(if value.is_empty() { "\"\"" } else { value });
        return Ok(());
    }
    header.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => header.extend(['\\', c]),
            '(' | ')' | '/' | '<'..='@' | '[' | ']' | '{' | '}' => header.push(c),
            _ if c.is_ascii() && is_legal(c as u8) => header.push(c),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(header, "\\{:03o}", u32::from(c));
            }
        }
    }
    header.push('"');
    Ok(())
}

/// Undoes Python's quoting: `\ooo` is the character with that octal number, any other `\x` is `x`.
fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escaped = &rest[at + 1..];
        match escaped.as_bytes() {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                plain.push(char::from((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')));
                rest = &escaped[3..];
            }
            _ => {
                let mut chars = escaped.chars();
                plain.push(chars.next().unwrap_or('\\'));
                rest = chars.as_str();
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn parsed(header: &str) -> Vec<(String, String)> {
        parse_cookie(header).into_iter().map(|(n, v)| (n.to_owned(), v.into_owned())).collect()
    }

    #[test]
    fn parses_as_tornado_does() {
        type Expected<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(&str, Expected<'_>)] = &[
            ("chips=ahoy; vienna=finger", &[("chips", "ahoy"), ("vienna", "finger")]),
            (
                r#"keebler="E=mc2; L=\"Loves\"; fudge=\012;""#,
                &[("keebler", "\"E=mc2"), ("L", r#"\"Loves\""#), ("fudge", r"\012"), ("", "\"")],
            ),
            ("keebler=E=mc2", &[("keebler", "E=mc2")]),
            ("key:term=value:term", &[("key:term", "value:term")]),
            ("a=b; c=[; d=r; f=h", &[("a", "b"), ("c", "["), ("d", "r"), ("f", "h")]),
            ("a=b; Domain=example.com", &[("a", "b"), ("Domain", "example.com")]),
            ("a=b; h=i; a=c", &[("a", "c"), ("h", "i")]),
            ("abc=def; unnamed; l=en", &[("abc", "def"), ("", "unnamed"), ("l", "en")]),
            ("a=b; \"; c=d", &[("a", "b"), ("", "\""), ("c", "d")]),
            ("a b c=d e = f; gh=i", &[("a b c", "d e = f"), ("gh", "i")]),
            ("a   b,c<>@:/[]?{}=d  \"  =e,f g", &[("a   b,c<>@:/[]?{}", "d  \"  =e,f g")]),
            ("saint=André Bessette", &[("saint", "André Bessette")]),
            ("  =  b  ;  ;  =  ;   c  =  ;  ", &[("", "b"), ("c", "")]),
            ("", &[]),
        ];
        for (header, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            assert_eq!(parsed(header), expected, "{header}");
        }
    }

    #[test]
    fn unquotes_as_python_does() {
        for (quoted, plain) in [
            (r#""b=\"""#, "b=\""),
            (r#""b=\\""#, "b=\\"),
            (r#""b=\=""#, "b=="),
            (r#""b=\n""#, "b=n"),
            (r#""b=\042""#, "b=\""),
            (r#""b=\134""#, "b=\\"),
            (r#""b=\377""#, "b=\u{ff}"),
            (r#""b=\400""#, "b=400"),
            (r#""b=\42""#, "b=42"),
            (r#""b=\\042""#, "b=\\042"),
            (r#""b=\\134""#, "b=\\134"),
            (r#""b=\\\"""#, "b=\\\""),
            (r#""b=\\\042""#, "b=\\\""),
            (r#""b=\134\"""#, "b=\\\""),
            (r#""b=\134\042""#, "b=\\\""),
            (r#""\""#, "\\"),
            (r#""\é""#, "é"),
            ("\"", "\""),
            ("\"\"", ""),
        ] {
            assert_eq!(unquote(quoted), plain, "{quoted}");
        }
    }

    /// CVE-2024-52804 took minutes for these.
    #[test]
    fn large_cookies_are_read_in_linear_time() {
        for escape in [r"\\", r"\134"] {
            let header = format!("a=\"b={}\"", escape.repeat(1_000_000));
            assert_eq!(parse_cookie(&header)[0].1.len(), 1_000_002);
        }
        let many: String = (0..200_000).map(|n| format!("{n}=;")).collect();
        assert_eq!(parse_cookie(&many).len(), 200_000);
    }

    #[test]
    fn writes_what_python_writes() {
        let at = UNIX_EPOCH + Duration::from_secs(1_798_761_600);
        let cases = [
            (Cookie::new("foo", "bar"), "foo=bar; Path=/"),
            (Cookie::new("foo", "bar").path("/foo"), "foo=bar; Path=/foo"),
            (Cookie::new("foo", "bar").path(""), "foo=bar"),
            (Cookie::new("equals", "a=b"), "equals=\"a=b\"; Path=/"),
            (Cookie::new("semicolon", "a;b"), "semicolon=\"a\\073b\"; Path=/"),
            (Cookie::new("quote", "a\"b"), "quote=\"a\\\"b\"; Path=/"),
            (Cookie::new("c", "a,b\\é\u{7f}"), "c=\"a\\054b\\\\\\351\\177\"; Path=/"),
            (Cookie::new("empty", ""), "empty=\"\"; Path=/"),
            (
                Cookie::new("z", "").expires(at - Duration::from_secs(365 * 86_400)),
                "z=\"\"; expires=Thu, 01 Jan 2026 00:00:00 GMT; Path=/",
            ),
            (
                Cookie::new("z", "1").expires_in(Duration::from_secs(36 * 3600)),
                "z=1; expires=Sat, 02 Jan 2027 12:00:00 GMT; Path=/",
            ),
            (Cookie::new("z", "1").max_age(Duration::ZERO), "z=1; Max-Age=0; Path=/"),
            (
                Cookie::new("a", "b")
                    .domain("x.com")
                    .expires(at)
                    .httponly(true)
                    .max_age(Duration::from_secs(5))
                    .path("/p")
                    .same_site(SameSite::Lax)
                    .secure(true)
                    .partitioned(true),
                "a=b; Domain=x.com; expires=Fri, 01 Jan 2027 00:00:00 GMT; HttpOnly; Max-Age=5; Partitioned; \
                 Path=/p; SameSite=Lax; Secure",
            ),
            (
                Cookie::new("__Host-a", "b").secure(true).same_site(SameSite::None),
                "__Host-a=b; Path=/; SameSite=None; Secure",
            ),
        ];
        for (cookie, expected) in cases {
            assert_eq!(cookie.header_value(at).as_deref(), Ok(expected));
        }
        let forever = Cookie::new("a", "b").expires_in(Duration::MAX).header_value(at).unwrap();
        assert_eq!(forever, "a=b; expires=Fri, 31 Dec 9999 23:59:59 GMT; Path=/");
    }

    #[test]
    fn refuses_what_browsers_would_misread() {
        let plain = || Cookie::new("a", "b");
        for (cookie, error) in [
            (Cookie::new("", "b"), InvalidCookie::Name),
            (Cookie::new("a;b", "b"), InvalidCookie::Name),
            (Cookie::new("a=b", "b"), InvalidCookie::Name),
            (Cookie::new("a\r\n", "b"), InvalidCookie::Name),
            (Cookie::new("Path", "b"), InvalidCookie::Name),
            (Cookie::new("a", "b c"), InvalidCookie::Value),
            (Cookie::new("a", "b\r\nX: y"), InvalidCookie::Value),
            (Cookie::new("a", "b\0"), InvalidCookie::Value),
            (Cookie::new("a", "\u{100}"), InvalidCookie::Value),
            (plain().domain("x.com; Path=/y"), InvalidCookie::Domain),
            (plain().domain("x.com;"), InvalidCookie::Domain),
            (plain().path("/\r\n"), InvalidCookie::Path),
            (plain().path("/a b"), InvalidCookie::Path),
            (plain().path("/\u{7f}"), InvalidCookie::Path),
            (Cookie::new("__Host-a", "b"), InvalidCookie::HostPrefix),
            (Cookie::new("__host-a", "b").secure(true).path("/x"), InvalidCookie::HostPrefix),
            (Cookie::new("__Host-a", "b").secure(true).domain("x.com"), InvalidCookie::HostPrefix),
            (Cookie::new("__Secure-a", "b"), InvalidCookie::SecurePrefix),
            (plain().same_site(SameSite::None), InvalidCookie::SameSiteNone),
            (plain().partitioned(true), InvalidCookie::Partitioned),
        ] {
            assert_eq!(cookie.header_value(UNIX_EPOCH), Err(error), "{cookie:?}");
        }
    }
}
