//! Cookies kept from response to request.
//!
//! Why a jar of ours, where the crate [`cookie_store`](https://docs.rs/cookie_store) is well known and kept: of the 71 rows of
//! `tests/client/httpclient/cookie_rows.rs` its version 0.22.1 gets 15 wrong and one in another order than RFC 6265 §5.4 asks for. It
//! knows nothing of RFC 6265bis: over plain http `Secure` cookies are set, replaced, shadowed from below and above, and
//! deleted; `__Secure-` and `__Host-` promise nothing. Without its list of public suffixes (a dependency with data of its own
//! to keep fresh) any host sets cookies for `com`. A host's own cookie and its domain's are one; control characters and
//! dates in another order are not read as the RFC says. And nothing bounds it: neither a cookie's size nor how many a
//! server sets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use url::Url;

use super::set_cookie::{Stored, domains, host_of, is_secure};
use crate::httputil::HttpHeaders;

/// Keeps the cookies that servers set, and sends them where they belong (RFC 6265).
///
/// A handle: clones share the cookies. Give it to a client with
/// [`HttpClientBuilder::cookie_jar`](super::HttpClientBuilder::cookie_jar); the responses of redirects count too. A request that
/// has a `Cookie` header of its own is sent with that one only.
///
/// Cookies go to the host that set them, or to the domain that they name with what is below it; to their path; those that
/// are `Secure` over https only. They are dropped when they expire, when a domain has more than 180 or the jar more than
/// 3,000 of them (those first that were not used for the longest time), or when they are larger than 4,096 bytes. The
/// prefixes `__Secure-` and `__Host-` are heeded. Cookies that are not ASCII are not kept.
///
/// No host may set a cookie for a domain without a dot, such as `com`. Below some domains with a dot everybody can have
/// a name as well (`co.uk`, `github.io`); a client that talks to hosts it does not trust should know them all, from
/// the crate `psl` for example: see [`with_public_suffixes`](Self::with_public_suffixes).
///
/// ```
/// use squall::httpclient::{AsyncHttpClient, CookieJar};
///
/// let jar = CookieJar::new();
/// let client = AsyncHttpClient::builder().cookie_jar(jar.clone()).build();
/// // After a login: jar.cookies("http://example.com/") is what the next request sends.
/// jar.set("http://example.com/login", "session=1234; Path=/; HttpOnly");
/// assert_eq!(jar.cookies("http://example.com/account").as_deref(), Some("session=1234"));
/// assert_eq!(jar.cookies("http://example.org/"), None);
/// ```
#[derive(Clone)]
pub struct CookieJar(Rc<Jar>);

struct Jar {
    is_public: Box<dyn Fn(&str) -> bool>,
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    by_domain: HashMap<String, Vec<Entry>>,
    count: usize,
    /// Counts creations and uses, which puts them in order.
    clock: u64,
}

struct Entry {
    cookie: Stored,
    created: u64,
    used: u64,
}

/// As many as Chrome; RFC 6265 §6.1 wants 50 at least.
const MOST_PER_DOMAIN: usize = 180;
/// RFC 6265 §6.1.
const MOST: usize = 3000;

impl CookieJar {
    /// An empty jar.
    pub fn new() -> Self {
        Self::with_public_suffixes(|_| false)
    }

    /// An empty jar that asks of which domains, beside those without a dot, no host may set a cookie for all that is below:
    /// public suffixes, such as `co.uk`. Names are lower case and, where international, in their `xn--` form.
    pub fn with_public_suffixes(is_public: impl Fn(&str) -> bool + 'static) -> Self {
        let is_public = move |domain: &str| !domain.contains('.') || is_public(domain);
        Self(Rc::new(Jar { is_public: Box::new(is_public), kept: RefCell::default() }))
    }

    /// Takes a `Set-Cookie` header of a response from `url`; says whether the cookie is kept. (One that has expired deletes
    /// that of its name.)
    pub fn set(&self, url: &str, set_cookie: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.take(&url, set_cookie, SystemTime::now()))
    }

    /// What a request for `url` sends as `Cookie`: those with the longest path first, then those that were set first.
    pub fn cookies(&self, url: &str) -> Option<String> {
        self.for_url(&Url::parse(url).ok()?)
    }

    /// How many cookies there are.
    pub fn len(&self) -> usize {
        self.0.kept.borrow().count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every cookie.
    pub fn clear(&self) {
        *self.0.kept.borrow_mut() = Kept::default();
    }

    pub(super) fn for_url(&self, url: &Url) -> Option<String> {
        self.0.kept.borrow_mut().find(url, SystemTime::now())
    }

    /// Takes what a response from `url` sets.
    pub(super) fn learn(&self, url: &Url, headers: &HttpHeaders) {
        let mut now = None;
        for set_cookie in headers.list("Set-Cookie") {
            self.take(url, set_cookie, *now.get_or_insert_with(SystemTime::now));
        }
    }

    fn take(&self, url: &Url, set_cookie: &str, now: SystemTime) -> bool {
        // The function is the user's: no borrow is held while it runs.
        let Some(cookie) = Stored::parse(set_cookie, url, now, &self.0.is_public) else { return false };
        self.0.kept.borrow_mut().put(cookie, is_secure(url), now)
    }
}

impl Kept {
    fn put(&mut self, cookie: Stored, secure_connection: bool, now: SystemTime) -> bool {
        // Who can only read and change plain connections must not shadow a cookie of a secure one.
        if !secure_connection
            && self.by_domain.values().flatten().any(|entry| cookie.shadows(&entry.cookie, now))
        {
            return false;
        }
        self.clock += 1;
        let mut entry = Entry { created: self.clock, used: self.clock, cookie };
        let of_domain = self.by_domain.entry(entry.cookie.domain.clone()).or_default();
        if let Some(at) = of_domain.iter().position(|old| old.cookie.is_same(&entry.cookie)) {
            entry.created = of_domain.swap_remove(at).created;
            self.count -= 1;
        }
        let kept = !entry.cookie.is_expired(now);
        if kept {
            // RFC 6265bis §5.7: first what has expired, then what a plain connection could have set, then the rest.
            let rank = |entry: &Entry| (!entry.cookie.is_expired(now), entry.cookie.secure, entry.used);
            if of_domain.len() >= MOST_PER_DOMAIN
                && let Some(oldest) = (0..of_domain.len()).min_by_key(|&at| rank(&of_domain[at]))
            {
                of_domain.swap_remove(oldest);
                self.count -= 1;
            }
            of_domain.push(entry);
            self.count += 1;
        } else if of_domain.is_empty() {
            self.by_domain.retain(|_, of_domain| !of_domain.is_empty());
        }
        if self.count > MOST {
            self.make_room(now);
        }
        kept
    }

    /// Drops what has expired, else the tenth that was not used for the longest time, so that this is seldom needed.
    fn make_room(&mut self, now: SystemTime) {
        self.keep(|entry| !entry.cookie.is_expired(now));
        if self.count > MOST {
            let mut used: Vec<u64> = self.by_domain.values().flatten().map(|entry| entry.used).collect();
            let (_, &mut limit, _) = used.select_nth_unstable(MOST / 10);
            self.keep(|entry| entry.used > limit);
        }
    }

    fn keep(&mut self, wanted: impl Fn(&Entry) -> bool) {
        self.by_domain.retain(|_, of_domain| {
            of_domain.retain(&wanted);
            !of_domain.is_empty()
        });
        self.count = self.by_domain.values().map(Vec::len).sum();
    }

    fn find(&mut self, url: &Url, now: SystemTime) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let (host, secure) = (host_of(url)?, is_secure(url));
        let mut found = Vec::new();
        for domain in domains(&host) {
            let Some(of_domain) = self.by_domain.get_mut(domain) else { continue };
            for (at, entry) in of_domain.iter_mut().enumerate() {
                let cookie = &entry.cookie;
                if cookie.is_for(&host, url.path(), secure) && !cookie.is_expired(now) {
                    self.clock += 1;
                    entry.used = self.clock;
                    found.push((std::cmp::Reverse(entry.cookie.path.len()), entry.created, domain, at));
                }
            }
        }
        found.sort_unstable();
        let pair = |&(_, _, domain, at): &(_, _, &str, usize)| {
            let cookie = &self.by_domain[domain][at].cookie;
            format!("{}={}", cookie.name, cookie.value)
        };
        (!found.is_empty()).then(|| found.iter().map(pair).collect::<Vec<_>>().join("; "))
    }
}

impl Default for CookieJar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CookieJar {
    /// Without the cookies, which are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn order_replacement_and_deletion() {
        let jar = CookieJar::new();
        for set in ["a=1", "b=2; Path=/x", "c=3; Domain=example.com", "d=4; Path=/other", "a=5"] {
            assert!(jar.set("http://www.example.com/", set), "{set}");
        }
        assert_eq!(jar.cookies("http://www.example.com/x/y").as_deref(), Some("b=2; a=5; c=3"));
        assert_eq!(jar.cookies("http://example.com/x").as_deref(), Some("c=3"));
        assert_eq!(jar.cookies("http://www.example.com:81/").as_deref(), Some("a=5; c=3"));
        assert_eq!(jar.cookies("http://sub.www.example.com/").as_deref(), Some("c=3"));
        assert!(!jar.set("http://www.example.com/", "a=; Max-Age=0"));
        assert_eq!((jar.cookies("http://www.example.com/").as_deref(), jar.len()), (Some("c=3"), 3));
        jar.clear();
        assert!(jar.is_empty() && jar.cookies("http://www.example.com/").is_none());
    }

    #[test]
    fn public_suffixes() {
        let jar = CookieJar::with_public_suffixes(|domain| domain == "co.uk");
        assert!(!jar.set("http://shop.co.uk/", "a=1; Domain=co.uk"));
        assert!(!jar.set("http://shop.co.uk/", "a=1; Domain=uk"));
        assert!(jar.set("http://shop.co.uk/", "a=1; Domain=shop.co.uk"));
        assert!(CookieJar::new().set("http://shop.co.uk/", "a=1; Domain=co.uk"));
    }

    #[test]
    fn secure_cookies_are_left_alone() {
        let jar = CookieJar::new();
        assert!(jar.set("https://example.com/", "a=secret; Secure; Domain=example.com"));
        assert_eq!(jar.cookies("http://example.com/"), None);
        assert_eq!(jar.cookies("https://example.com/").as_deref(), Some("a=secret"));
        assert!(!jar.set("http://example.com/", "a=evil"));
        assert!(!jar.set("http://www.example.com/", "a=evil; Path=/x"));
        assert!(jar.set("http://example.com/", "b=2"));
        assert!(jar.set("https://example.com/", "a=new; Domain=example.com"));
        assert_eq!(jar.cookies("http://example.com/").as_deref(), Some("a=new; b=2"));
    }

    /// Where a cookie of a plain connection would stand in the place of a secure one, and where not.
    #[test]
    fn secure_cookies_are_left_alone_both_ways() {
        for (secure, plain, kept) in [
            (("https://example.com/", "a=s; Secure"), ("http://example.com/", "a=x"), false),
            (("https://example.com/", "a=s; Secure"), ("http://example.com/", "b=x"), true),
            (("https://example.com/", "a=s"), ("http://example.com/", "a=x"), true),
            // From below and from above, also what the host alone would be sent.
            (
                ("https://example.com/", "a=s; Secure; Domain=example.com"),
                ("http://www.example.com/", "a=x"),
                false,
            ),
            (("https://example.com/", "a=s; Secure"), ("http://www.example.com/", "a=x"), false),
            (
                ("https://www.example.com/", "a=s; Secure"),
                ("http://example.com/", "a=x; Domain=example.com"),
                false,
            ),
            (("https://www.example.com/", "a=s; Secure"), ("http://example.com/", "a=x"), false),
            (("https://www.example.com/", "a=s; Secure"), ("http://ftp.example.com/", "a=x"), true),
            (
                ("https://www.example.com/", "a=s; Secure"),
                ("http://ftp.example.com/", "a=x; Domain=example.com"),
                false,
            ),
            (("https://10.0.0.1/", "a=s; Secure"), ("http://20.0.0.1/", "a=x"), true),
            // A path above the secure one's does not reach it first.
            (("https://h/", "a=s; Secure; Path=/x"), ("http://h/", "a=x; Path=/x"), false),
            (("https://h/", "a=s; Secure; Path=/x"), ("http://h/", "a=x; Path=/x/y"), false),
            (("https://h/", "a=s; Secure; Path=/x"), ("http://h/", "a=x; Path=/"), true),
            (("https://h/", "a=s; Secure; Path=/x"), ("http://h/", "a=x; Path=/xy"), true),
        ] {
            let jar = CookieJar::new();
            assert!(jar.set(secure.0, secure.1), "{secure:?}");
            assert_eq!(jar.set(plain.0, plain.1), kept, "{secure:?} {plain:?}");
            // Nor is it deleted from there.
            assert_eq!(jar.len(), if kept && secure.1 != "a=s" { 2 } else { 1 }, "{secure:?} {plain:?}");
        }
    }

    #[test]
    fn an_expired_secure_cookie_blocks_nothing() {
        let jar = CookieJar::new();
        let start = SystemTime::now();
        let set = |url: &str, cookie: &str, after: u64| {
            jar.take(&url.parse().unwrap(), cookie, start + Duration::from_secs(after))
        };
        assert!(set("https://h/", "a=s; Secure; Max-Age=60", 0));
        assert!(!set("http://h/", "a=x", 59));
        assert!(set("http://h/", "a=x", 60));
    }

    #[test]
    fn secure_and_living_cookies_are_kept_longest() {
        let jar = CookieJar::new();
        let url: Url = "https://h/".parse().unwrap();
        let start = SystemTime::now();
        assert!(jar.take(&url, "secure=1; Secure", start));
        for n in 0..MOST_PER_DOMAIN - 2 {
            assert!(jar.take(&url, &format!("c{n}=1"), start));
        }
        assert!(jar.take(&url, "dead=1; Max-Age=1; Secure", start));
        let later = start + Duration::from_secs(5);
        assert!(jar.take(&url, "one=1", later) && jar.len() == MOST_PER_DOMAIN);
        let sent = |jar: &CookieJar| jar.0.kept.borrow_mut().find(&url, later).unwrap();
        assert!(sent(&jar).starts_with("secure=1; c0=1; "), "the dead one went");
        let plain: Url = "http://h/".parse().unwrap();
        for n in 0..500 {
            assert!(jar.take(&plain, &format!("d{n}=1"), later));
        }
        assert!(sent(&jar).starts_with("secure=1; d") && jar.len() == MOST_PER_DOMAIN);
    }

    #[test]
    fn time_passes() {
        let jar = CookieJar::new();
        let url: Url = "http://h/".parse().unwrap();
        let start = SystemTime::now();
        assert!(jar.take(&url, "a=1; Max-Age=60", start));
        let mut kept = jar.0.kept.borrow_mut();
        assert!(kept.find(&url, start + Duration::from_secs(59)).is_some());
        assert!(kept.find(&url, start + Duration::from_secs(60)).is_none());
    }

    #[test]
    fn a_server_cannot_fill_the_memory() {
        let jar = CookieJar::new();
        for n in 0..1000 {
            jar.set("http://one.example/", &format!("c{n}=x"));
        }
        assert_eq!(jar.len(), MOST_PER_DOMAIN);
        assert!(jar.cookies("http://one.example/").unwrap().ends_with("c999=x"));
        for n in 0..10_000 {
            jar.set(&format!("http://{n}.example/"), "a=1");
            assert!(jar.len() <= MOST);
        }
        assert!(jar.cookies("http://9999.example/").is_some());
        assert!(jar.cookies("http://one.example/").is_none());
        let counted: usize = jar.0.kept.borrow().by_domain.values().map(Vec::len).sum();
        assert_eq!(jar.len(), counted);
    }
}
