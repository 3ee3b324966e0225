//! From a host name to addresses (Tornado's `Resolver` and its kinds).

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Family;
use crate::ioloop::{IoLoop, later};
use crate::sys;

/// The addresses of a host, in the order in which they should be tried.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + 'a>>;

/// Finds the addresses of hosts.
///
/// An implementation gives at least one address or an error. Dropping the future gives up waiting.
pub trait Resolver {
    /// The addresses of `host` with `port`, of one family or of all.
    ///
    /// # Errors
    /// When the name cannot be resolved; the kind is [`NotFound`](io::ErrorKind::NotFound) when there is no such name.
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a>;
}

impl<R: Resolver + ?Sized> Resolver for Rc<R> {
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a> {
        (**self).resolve(host, port, family)
    }
}

/// The system's resolver (`getaddrinfo`) on a thread of the loop's executor, so that a slow name server holds nobody
/// up. IP addresses are taken as they are, without a thread.
#[doc(alias = "DefaultLoopResolver")]
#[doc(alias = "ThreadedResolver")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a> {
        Box::pin(async move {
            if let Some(found) = literal(host, port, family) {
                return found;
            }
            let host = host.to_owned();
            let lookup = IoLoop::current().run_in_executor(None, move || look_up(&host, port, family));
            lookup.await.map_err(io::Error::other)?
        })
    }
}

/// The system's resolver on the loop's own thread: nothing else runs meanwhile. For names that stand in `/etc/hosts`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockingResolver;

impl Resolver for BlockingResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a> {
        let found = literal(host, port, family).unwrap_or_else(|| look_up(host, port, family));
        Box::pin(std::future::ready(found))
    }
}

/// Sends some hosts elsewhere, as `/etc/hosts` does, and asks another resolver about the rest (Tornado's
/// `OverrideResolver`).
///
/// The most exact entry wins: host, port and family, then host and port, then the host alone.
#[derive(Clone, Debug)]
pub struct OverrideResolver<R> {
    inner: R,
    exact: HashMap<(String, u16, Family), (String, u16)>,
    ports: HashMap<(String, u16), (String, u16)>,
    hosts: HashMap<String, String>,
}

impl<R: Resolver> OverrideResolver<R> {
    /// Without any entry; `inner` also resolves what the entries name.
    pub fn new(inner: R) -> Self {
        Self { inner, exact: HashMap::new(), ports: HashMap::new(), hosts: HashMap::new() }
    }

    /// `host` is `target`, whatever the port.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>, target: impl Into<String>) -> Self {
        self.hosts.insert(host.into(), target.into());
        self
    }

    /// `host` at `port` is `target`, host and port.
    #[must_use]
    pub fn port(mut self, host: impl Into<String>, port: u16, target: (impl Into<String>, u16)) -> Self {
        self.ports.insert((host.into(), port), (target.0.into(), target.1));
        self
    }

    /// `host` at `port`, when asked for this family, is `target`.
    #[must_use]
    pub fn family(
        mut self,
        host: impl Into<String>,
        port: u16,
        family: Family,
        target: (impl Into<String>, u16),
    ) -> Self {
        self.exact.insert((host.into(), port, family), (target.0.into(), target.1));
        self
    }

    fn target<'a>(&'a self, host: &'a str, port: u16, family: Family) -> (&'a str, u16) {
        let by_port = (host.to_owned(), port);
        if let Some((host, port)) = self.ports.get(&by_port) {
            let (name, number) = by_port;
            return match self.exact.get(&(name, number, family)) {
                Some((host, port)) => (host, *port),
                None => (host, *port),
            };
        }
        match self.exact.get(&(by_port.0, port, family)) {
            Some((host, port)) => (host, *port),
            None => (self.hosts.get(host).map_or(host, String::as_str), port),
        }
    }
}

impl<R: Resolver> Resolver for OverrideResolver<R> {
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a> {
        let (host, port) = self.target(host, port, family);
        self.inner.resolve(host, port, family)
    }
}

/// Keeps what another resolver found for a while. Errors are not kept.
///
/// The system does not tell how long an answer holds, so the time is the application's choice.
#[derive(Debug)]
pub struct CachingResolver<R> {
    inner: R,
    time_to_live: Duration,
    entries: RefCell<HashMap<(String, Family), Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Whole, with the scopes of link-local addresses; the ports do not matter.
    found: Vec<SocketAddr>,
    until: Instant,
}

/// More names than this are not kept: whoever can make an application look up names must not fill its memory.
const MOST_ENTRIES: usize = 1024;

impl<R: Resolver> CachingResolver<R> {
    /// Keeps the answers of `inner` for `time_to_live`.
    pub fn new(inner: R, time_to_live: Duration) -> Self {
        Self { inner, time_to_live, entries: RefCell::new(HashMap::new()) }
    }

    /// Forgets every answer.
    pub fn clear(&self) {
        self.entries.borrow_mut().clear();
    }

    fn known(&self, key: &(String, Family), port: u16) -> Option<Vec<SocketAddr>> {
        let entries = self.entries.borrow();
        let entry = entries.get(key).filter(|entry| Instant::now() < entry.until)?;
        let mut found = entry.found.clone();
        found.iter_mut().for_each(|address| address.set_port(port));
        Some(found)
    }

    fn keep(&self, key: (String, Family), found: &[SocketAddr]) {
        let now = Instant::now();
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= MOST_ENTRIES {
            entries.retain(|_, entry| now < entry.until);
        }
        if entries.len() < MOST_ENTRIES {
            let until = later(now, self.time_to_live);
            entries.insert(key, Entry { found: found.to_vec(), until });
        }
    }
}

impl<R: Resolver> Resolver for CachingResolver<R> {
    fn resolve<'a>(&'a self, host: &'a str, port: u16, family: Family) -> Resolving<'a> {
        let key = (host.to_owned(), family);
        if let Some(found) = self.known(&key, port) {
            return Box::pin(std::future::ready(Ok(found)));
        }
        Box::pin(async move {
            let found = self.inner.resolve(host, port, family).await?;
            self.keep(key, &found);
            Ok(found)
        })
    }
}

/// An IP address needs no resolver; `Some(Err)` when it is of the wrong family.
pub(super) fn literal(host: &str, port: u16, family: Family) -> Option<io::Result<Vec<SocketAddr>>> {
    let ip: IpAddr = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()?;
    let fits = match family {
        Family::Unspec => true,
        Family::Inet => ip.is_ipv4(),
        Family::Inet6 => ip.is_ipv6(),
    };
    let wrong = || io::Error::new(io::ErrorKind::NotFound, format!("{host} is of another address family"));
    Some(if fits { Ok(vec![SocketAddr::new(ip, port)]) } else { Err(wrong()) })
}

fn look_up(host: &str, port: u16, family: Family) -> io::Result<Vec<SocketAddr>> {
    // A name with a NUL byte is none; getaddrinfo would see what stands before it.
    if host.is_empty() || host.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host:?} is no host name")));
    }
    let mut found = sys::addrinfo::resolve(Some(host), port, family.as_raw(), 0)?;
    let mut seen = Vec::with_capacity(found.len());
    found.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::net::SocketAddrV6;

    /// Answers with one address per host name and counts the questions.
    #[derive(Default)]
    struct Fixed {
        asked: Cell<usize>,
    }

    impl Resolver for Fixed {
        fn resolve<'a>(&'a self, host: &'a str, port: u16, _family: Family) -> Resolving<'a> {
            self.asked.set(self.asked.get() + 1);
            let found = literal(host, port, Family::Unspec)
                .unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::NotFound, "no such host")));
            Box::pin(std::future::ready(found))
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let ioloop = IoLoop::new().unwrap();
        ioloop.run_sync(future, Some(Duration::from_secs(30))).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_are_taken_as_they_are() {
        run(async {
            for (host, family, expected) in [
                ("127.0.0.1", Family::Unspec, "127.0.0.1:80"),
                ("::1", Family::Inet6, "[::1]:80"),
                ("[::1]", Family::Unspec, "[::1]:80"),
            ] {
                assert_eq!(SystemResolver.resolve(host, 80, family).await.unwrap(), addresses(&[expected]));
                assert_eq!(BlockingResolver.resolve(host, 80, family).await.unwrap(), addresses(&[expected]));
            }
            assert!(SystemResolver.resolve("127.0.0.1", 80, Family::Inet6).await.is_err());
        });
    }

    #[test]
    fn localhost_resolves_and_nonsense_does_not() {
        run(async {
            let found = SystemResolver.resolve("localhost", 80, Family::Inet).await.unwrap();
            assert_eq!(found, addresses(&["127.0.0.1:80"]));
            for host in ["an invalid domain", "", "a\0b", "no.such.name.invalid"] {
                assert!(SystemResolver.resolve(host, 80, Family::Unspec).await.is_err(), "{host:?}");
            }
        });
    }

    #[test]
    fn the_most_exact_override_wins() {
        run(async {
            let resolver = OverrideResolver::new(Fixed::default())
                .host("google.com", "1.2.3.4")
                .port("google.com", 80, ("1.2.3.4", 8080))
                .family("google.com", 80, Family::Inet6, ("2a02::1", 8081))
                .family("other.com", 80, Family::Inet6, ("::1", 8082));
            for (host, port, family, expected) in [
                ("google.com", 80, Family::Inet6, "[2a02::1]:8081"),
                ("google.com", 80, Family::Inet, "1.2.3.4:8080"),
                ("google.com", 443, Family::Inet, "1.2.3.4:443"),
                ("other.com", 80, Family::Inet6, "[::1]:8082"),
                ("127.0.0.1", 7, Family::Inet, "127.0.0.1:7"),
            ] {
                assert_eq!(resolver.resolve(host, port, family).await.unwrap(), addresses(&[expected]));
            }
            assert!(resolver.resolve("other.com", 80, Family::Inet).await.is_err());
        });
    }

    #[test]
    fn a_kept_answer_serves_every_port_and_errors_are_not_kept() {
        run(async {
            let resolver = CachingResolver::new(Fixed::default(), Duration::from_secs(3600));
            for port in [80, 443, 80] {
                let found = resolver.resolve("127.0.0.1", port, Family::Unspec).await.unwrap();
                assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], port))]);
            }
            assert_eq!(resolver.inner.asked.get(), 1);
            for _ in 0..2 {
                resolver.resolve("nothing", 80, Family::Unspec).await.unwrap_err();
            }
            assert_eq!(resolver.inner.asked.get(), 3);
            resolver.clear();
            resolver.resolve("127.0.0.1", 80, Family::Unspec).await.unwrap();
            assert_eq!(resolver.inner.asked.get(), 4);

            let forgetful = CachingResolver::new(Fixed::default(), Duration::ZERO);
            forgetful.resolve("127.0.0.1", 80, Family::Unspec).await.unwrap();
            forgetful.resolve("127.0.0.1", 80, Family::Unspec).await.unwrap();
            assert_eq!(forgetful.inner.asked.get(), 2);
        });
    }

    /// Two link-local addresses, and another port for each name.
    struct LinkLocal;

    impl Resolver for LinkLocal {
        fn resolve<'a>(&'a self, _host: &'a str, port: u16, _family: Family) -> Resolving<'a> {
            let scoped =
                |scope| SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), port, 7, scope));
            Box::pin(std::future::ready(Ok(vec![scoped(2), scoped(3)])))
        }
    }

    #[test]
    fn a_kept_answer_is_the_answer() {
        run(async {
            let resolver = CachingResolver::new(LinkLocal, Duration::MAX);
            let first = resolver.resolve("h", 80, Family::Unspec).await.unwrap();
            assert_eq!(resolver.resolve("h", 80, Family::Unspec).await.unwrap(), first);
            assert_eq!(resolver.entries.borrow().len(), 1);
            let other = resolver.resolve("h", 81, Family::Unspec).await.unwrap();
            assert_eq!(other, LinkLocal.resolve("h", 81, Family::Unspec).await.unwrap());
        });
    }

    #[test]
    fn many_names_do_not_fill_the_memory() {
        run(async {
            let resolver = CachingResolver::new(Fixed::default(), Duration::from_secs(3600));
            for n in 0..MOST_ENTRIES + 100 {
                let host = format!("10.0.{}.{}", n / 256, n % 256);
                resolver.resolve(&host, 80, Family::Unspec).await.unwrap();
            }
            assert_eq!(resolver.entries.borrow().len(), MOST_ENTRIES);
        });
    }
}
