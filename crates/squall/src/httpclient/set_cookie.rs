//! What a `Set-Cookie` says, and which requests a cookie is for (RFC 6265 §5). Pure.

use std::time::{Duration, SystemTime};

use url::{Host, Url};

use crate::httputil::ows;

/// The largest cookie that is kept: name and value (what browsers take).
const LARGEST: usize = 4096;
/// No cookie lives longer, whatever it says (RFC 6265bis §5.5).
const LONGEST_LIFE: Duration = Duration::from_secs(400 * 86_400);
/// Attribute values that are longer are as if they were not there (RFC 6265bis §5.6).
const LONGEST_ATTRIBUTE: usize = 1024;

/// A cookie as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) value: String,
    /// The host that set it, or the domain that it named.
    pub(super) domain: String,
    /// It goes to that host only, not to those below.
    pub(super) host_only: bool,
    pub(super) path: String,
    /// It said its path, which is then no default.
    pub(super) path_given: bool,
    pub(super) secure: bool,
    /// `None`: until the jar is dropped.
    pub(super) expires: Option<SystemTime>,
}

impl Stored {
    /// The cookie that a response from `url` sets; `None` for one that must not be kept. `is_public` says of which
    /// domains nobody may set cookies for everybody below.
    pub(super) fn parse(
        text: &str,
        url: &Url,
        now: SystemTime,
        is_public: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        // Beyond ASCII no two programs agree what the bytes are.
        if !text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return None;
        }
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (ows::trim(name), ows::trim(value));
        if name.is_empty() || name.len() + value.len() > LARGEST {
            return None;
        }
        let attributes = Attributes::read(parts, now);
        let host = host_of(url)?;
        let (domain, host_only) = place(attributes.domain, &host, is_public)?;
        let cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain,
            host_only,
            path: attributes.path.map_or_else(|| default_path(url.path()), str::to_owned),
            path_given: attributes.path.is_some(),
            secure: attributes.secure,
            expires: attributes.max_age.or(attributes.expires).map(|at| at.min(now + LONGEST_LIFE)),
        };
        cookie.is_allowed(is_secure(url)).then_some(cookie)
    }

    /// RFC 6265bis §5.7: what is for secure connections is not set over others, and the two prefixes keep what they
    /// promise.
    fn is_allowed(&self, secure_connection: bool) -> bool {
        let starts = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        (!self.secure || secure_connection)
            && (!starts("__Secure-") || self.secure)
            && (!starts("__Host-") || (self.secure && self.host_only && self.path_given && self.path == "/"))
    }

    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Whether it replaces `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.host_only == other.host_only && self.path == other.path
    }

    /// Whether it would stand in the place of `secure`, a cookie for secure connections: one of its name that a request
    /// might take for it (RFC 6265bis §5.7: leave secure cookies alone). Domains count both ways, paths from above only.
    pub(super) fn shadows(&self, secure: &Self, now: SystemTime) -> bool {
        let is_below = |one: &str, other: &str| domains(one).any(|domain| domain == other);
        secure.secure
            && !secure.is_expired(now)
            && self.name == secure.name
            && path_matches(&self.path, &secure.path)
            && (is_below(&self.domain, &secure.domain) || is_below(&secure.domain, &self.domain))
    }

    /// Whether it goes along with a request for `path` (its domain has been looked at).
    pub(super) fn is_for(&self, host: &str, path: &str, secure_connection: bool) -> bool {
        (!self.host_only || self.domain == host)
            && (!self.secure || secure_connection)
            && path_matches(path, &self.path)
    }
}

/// The host of a URL as cookies know it.
pub(super) fn host_of(url: &Url) -> Option<String> {
    // `Url` has made it lower case and ASCII.
    url.host_str().map(|host| host.trim_end_matches('.').to_owned()).filter(|host| !host.is_empty())
}

pub(super) fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// The host and the domains above it, from the longest; of an IP address only itself.
pub(super) fn domains(host: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(host);
    let is_ip = is_ip(host);
    std::iter::from_fn(move || {
        let domain = next?;
        next = domain.split_once('.').map(|(_, above)| above).filter(|_| !is_ip);
        Some(domain)
    })
}

/// Which requests a cookie is for, as far as domains go: domain, and whether that host alone. `None`: it is not the
/// host's to set.
fn place(domain: Option<&str>, host: &str, is_public: impl Fn(&str) -> bool) -> Option<(String, bool)> {
    let Some(domain) = domain else { return Some((host.to_owned(), true)) };
    let Host::Domain(domain) = Host::parse(domain).ok()? else {
        return (domain == host).then(|| (host.to_owned(), true));
    };
    if is_public(&domain) {
        return (domain == host).then_some((domain, true));
    }
    let below = host.strip_suffix(domain.as_str());
    let matches = below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && !is_ip(host);
    matches.then_some((domain, false))
}

fn is_ip(host: &str) -> bool {
    !matches!(Host::parse(host), Ok(Host::Domain(_)))
}

/// RFC 6265 §5.1.4.
fn default_path(path: &str) -> String {
    match path.rfind('/') {
        Some(at @ 1..) => path[..at].to_owned(),
        _ => "/".to_owned(),
    }
}

fn path_matches(path: &str, cookie: &str) -> bool {
    let path = if path.is_empty() { "/" } else { path };
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[derive(Default)]
struct Attributes<'a> {
    domain: Option<&'a str>,
    path: Option<&'a str>,
    secure: bool,
    expires: Option<SystemTime>,
    max_age: Option<SystemTime>,
}

impl<'a> Attributes<'a> {
    /// Of an attribute that comes twice the last one counts; what is not known or wrong is left out (RFC 6265 §5.2).
    fn read(parts: impl Iterator<Item = &'a str>, now: SystemTime) -> Self {
        let mut found = Self::default();
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (ows::trim(name), ows::trim(value));
            if value.len() > LONGEST_ATTRIBUTE {
                continue;
            }
            match name.to_ascii_lowercase().as_str() {
                "domain" => {
                    let domain = value.strip_prefix('.').unwrap_or(value);
                    found.domain = Some(domain).filter(|domain| !domain.is_empty());
                }
                "path" => found.path = Some(value).filter(|value| value.starts_with('/')),
                "secure" => found.secure = true,
                "expires" => found.expires = cookie_date(value).or(found.expires),
                "max-age" => found.max_age = max_age(value, now).or(found.max_age),
                _ => {}
            }
        }
        found
    }
}

fn max_age(value: &str, now: SystemTime) -> Option<SystemTime> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if value.starts_with('-') {
        return Some(SystemTime::UNIX_EPOCH);
    }
    let age = Duration::from_secs(digits.parse().unwrap_or(u64::MAX)).min(LONGEST_LIFE);
    Some(now + age)
}

/// A date as it has been seen in cookies: day, month, year and time in any order between whatever delimits them (RFC 6265
/// §5.1.1).
fn cookie_date(text: &str) -> Option<SystemTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter = |c: char| matches!(c, '\t' | ' '..='/' | ';'..='@' | '['..='`' | '{'..='~');
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of_day(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = leading_number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = leading_number(token, 2..=4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year @ 1601.. => year,
        _ => return None,
    };
    let (hour, minute, second) = time?;
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month?, day?)?;
    let seconds = date.and_hms_opt(hour, minute, second)?.and_utc().timestamp();
    // Before 1970 is long ago, whenever it was.
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The number of so many digits that a token starts with; more digits are no such number.
fn leading_number(token: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let length = token.bytes().take_while(u8::is_ascii_digit).count();
    digits.contains(&length).then(|| token[..length].parse().ok()).flatten()
}

fn time_of_day(token: &str) -> Option<(u32, u32, u32)> {
    let mut fields = token.splitn(3, ':').map(|field| leading_number(field, 1..=2));
    Some((fields.next()??, fields.next()??, fields.next()??))
}

fn month_of(token: &str) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = token.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| *month == start).map(|at| at as u32 + 1)
}

/// What the fuzz target calls: a byte chooses the URL, the rest is a `Set-Cookie`. A cookie that is kept is the host's to
/// set, holds what can be sent back, and keeps what its name promises.
///
/// # Panics
/// When it does not.
#[doc(hidden)]
pub fn __fuzz(data: &[u8]) {
    const URLS: [&str; 4] = [
        "https://www.example.com/a/b",
        "http://www.example.com/",
        "http://127.0.0.1/a",
        "https://[::1]:8443/a/b/",
    ];
    let Some((&settings, text)) = data.split_first() else { return };
    let Ok(url) = Url::parse(URLS[usize::from(settings) % URLS.len()]) else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let text = String::from_utf8_lossy(text);
    let Some(cookie) = Stored::parse(&text, &url, now, |domain| domain == "com") else { return };
    let host = host_of(&url).unwrap_or_default();
    for part in [&cookie.name, &cookie.value] {
        assert!(part.bytes().all(|octet| matches!(octet, b'\t' | b' '..=b'~') && octet != b';'), "{part:?}");
        assert_eq!(ows::trim(part), part);
    }
    assert!(!cookie.name.is_empty() && cookie.name.len() + cookie.value.len() <= LARGEST);
    assert!(!cookie.name.contains('='));
    let above = host.strip_suffix(&cookie.domain).is_some_and(|rest| rest.ends_with('.') && !is_ip(&host));
    assert!(cookie.domain == host || (above && !cookie.host_only), "{} for {host}", cookie.domain);
    assert_ne!(cookie.domain, "com");
    assert!(cookie.path.starts_with('/'));
    assert!(cookie.expires.is_none_or(|at| at <= now + LONGEST_LIFE));
    assert!(!cookie.secure || is_secure(&url));
    let name = cookie.name.to_ascii_lowercase();
    assert!(cookie.secure || !(name.starts_with("__secure-") || name.starts_with("__host-")));
    assert!(!name.starts_with("__host-") || (cookie.host_only && cookie.path == "/"));
    assert!(cookie.path_given || cookie.is_for(&host, url.path(), is_secure(&url)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
    }

    fn parse(text: &str, url: &str) -> Option<Stored> {
        Stored::parse(text, &url.parse().unwrap(), now(), |domain| !domain.contains('.'))
    }

    #[test]
    fn the_parts_of_a_cookie() {
        let cookie = parse(
            " a = b=c ; Path=/x; DOMAIN=.Example.com; secure; HttpOnly; Max-Age=60",
            "https://www.example.com/",
        );
        let expected = Stored {
            name: "a".to_owned(),
            value: "b=c".to_owned(),
            domain: "example.com".to_owned(),
            host_only: false,
            path: "/x".to_owned(),
            path_given: true,
            secure: true,
            expires: Some(now() + Duration::from_secs(60)),
        };
        assert_eq!(cookie, Some(expected));
        for none in ["", "a", "=b", "a\x01=b", "a=é", "; a=b"] {
            assert_eq!(parse(none, "http://h/"), None, "{none:?}");
        }
        assert_eq!(parse(&format!("a={}", "x".repeat(4095)), "http://h/").unwrap().value.len(), 4095);
        assert_eq!(parse(&format!("a={}", "x".repeat(4096)), "http://h/"), None);
    }

    #[test]
    fn only_a_host_s_own_domains() {
        for (host, domain, expected) in [
            ("www.example.com", "example.com", Some(("example.com", false))),
            ("www.example.com", ".example.com", Some(("example.com", false))),
            ("www.example.com", "www.example.com", Some(("www.example.com", false))),
            ("www.example.com", "", Some(("www.example.com", true))),
            ("www.example.com", "..example.com", None),
            ("www.example.com", "example.com.", None),
            ("www.example.com.", "example.com", Some(("example.com", false))),
            ("www.example.com", "com", None),
            ("www.example.com", "other.com", None),
            ("www.example.com", "w.example.com", None),
            ("example.com", "www.example.com", None),
            ("badexample.com", "example.com", None),
            ("localhost", "localhost", Some(("localhost", true))),
            ("127.0.0.1", "127.0.0.1", Some(("127.0.0.1", true))),
            ("127.0.0.1", "0.0.1", None),
            ("[::1]", "", Some(("[::1]", true))),
            ("bücher.example.com", "xn--bcher-kva.EXAMPLE.com", Some(("xn--bcher-kva.example.com", false))),
        ] {
            let cookie = parse(&format!("a=b; Domain={domain}"), &format!("http://{host}/"));
            let found = cookie.as_ref().map(|cookie| (cookie.domain.as_str(), cookie.host_only));
            assert_eq!(found, expected, "{host} {domain}");
        }
    }

    #[test]
    fn paths() {
        for (url, expected) in [("/", "/"), ("/a", "/"), ("/a/b", "/a"), ("/a/b/", "/a/b"), ("", "/")] {
            assert_eq!(parse("a=b", &format!("http://h{url}")).unwrap().path, expected, "{url}");
        }
        assert_eq!(parse("a=b; Path=x", "http://h/a/b").unwrap().path, "/a");
        for (path, cookie, matches) in [
            ("/a", "/a", true),
            ("/a/b", "/a", true),
            ("/a/b", "/a/", true),
            ("/ab", "/a", false),
            ("/", "/a", false),
            ("/a", "/a/", false),
            ("", "/", true),
        ] {
            assert_eq!(path_matches(path, cookie), matches, "{path} {cookie}");
        }
    }

    #[test]
    fn secure_cookies_and_prefixes() {
        for (text, url, kept) in [
            ("a=b; Secure", "https://h/", true),
            ("a=b; Secure", "http://h/", false),
            ("__Secure-a=b; Secure", "https://h/", true),
            ("__secure-a=b", "https://h/", false),
            ("__Host-a=b; Secure; Path=/", "https://h/", true),
            ("__Host-a=b; Secure", "https://h/x/y", false),
            ("__Host-a=b; Secure", "https://h/", false),
            ("__Host-a=b; Secure; Path=x", "https://h/", false),
            ("__Host-a=b; Secure; Path=/x", "https://h/x", false),
            ("__HOST-a=b; Secure", "https://h/", false),
            ("__Host-a=b; Path=/", "https://h/", false),
            ("__Host-a=b; Secure; Path=/; Domain=h.com", "https://h.com/", false),
        ] {
            assert_eq!(parse(text, url).is_some(), kept, "{text} {url}");
        }
    }

    #[test]
    fn dates_as_they_have_been_seen() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "1994 november 6 8:49:37",
            "8:49:37 6 Nov 94",
        ] {
            assert_eq!(
                cookie_date(text),
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)),
                "{text}"
            );
        }
        assert_eq!(cookie_date("Thu, 01-Jan-1601 00:00:00"), Some(SystemTime::UNIX_EPOCH));
        for bad in [
            "",
            "tomorrow",
            "6 Nov 1994",
            "6 Nov 1500 08:49:37",
            "31 Feb 2020 08:49:37",
            "6 Nov 1994 25:00:00",
        ] {
            assert_eq!(cookie_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn ages_win_over_dates() {
        let expires = |text: &str| parse(text, "http://h/").unwrap().expires;
        assert_eq!(expires("a=b"), None);
        assert_eq!(expires("a=b; Max-Age=0"), Some(now()));
        assert_eq!(expires("a=b; Max-Age=-1"), Some(SystemTime::UNIX_EPOCH));
        assert_eq!(expires("a=b; Max-Age=x"), None);
        let days = |days: u64| Some(now() + Duration::from_secs(days * 86_400));
        assert_eq!(expires("a=b; Max-Age=86400; Expires=Sun, 06 Nov 1994 08:49:37 GMT"), days(1));
        assert_eq!(expires("a=b; Max-Age=99999999999999999999999"), days(400));
        assert_eq!(expires("a=b; Expires=Fri, 31 Dec 9999 23:59:59 GMT"), days(400));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}", date in "[ 0-9:A-Za-z,-]{0,40}") {
            let _ = parse(&text, "http://www.example.com/a/b");
            let _ = parse(&format!("a=b; Expires={date}; {text}"), "https://h/");
        }
    }
}
