//! The proxies of the environment: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, as curl reads them.

use std::net::IpAddr;

use url::{Host, Url};

use super::error::HttpClientError;
use super::proxy::Proxy;
use crate::{escape, log};

/// What the variables said when they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxyEnvironment {
    http: Way,
    https: Way,
    no_proxy: Vec<Exception>,
}

/// How the URLs of a scheme are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Direct,
    Through(Proxy),
    /// The variable of this name is no proxy. Going past the proxy that was meant is not for us to choose.
    Broken(&'static str),
}

impl ProxyEnvironment {
    /// # Errors
    /// When a variable is no proxy, and none is one.
    pub(super) fn read() -> Result<Self, HttpClientError> {
        let environment = Self::from(|name| std::env::var(name).ok());
        match (&environment.http, &environment.https) {
            (Way::Through(_), _) | (_, Way::Through(_)) | (Way::Direct, Way::Direct) => Ok(environment),
            (Way::Broken(name), _) | (_, Way::Broken(name)) => Err(broken(name)),
        }
    }

    /// A variable that is empty is as one that is not there.
    fn from(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            get(name).map(|value| escape::trim(&value).to_owned()).filter(|value| !value.is_empty())
        };
        let way = |names: &[&'static str]| {
            let mut way = Way::Direct;
            for &name in names {
                let Some(value) = get(name) else { continue };
                match Proxy::new(&value) {
                    Ok(proxy) => return Way::Through(proxy),
                    Err(_) if way == Way::Direct => way = Way::Broken(name),
                    Err(_) => {}
                }
                // Without the value, which may hold a password.
                tracing::warn!(target: log::GENERAL, "the environment's {name} is no proxy");
            }
            way
        };
        let list = get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default();
        let entries = list.split([',', ' ', '\t', '\n', '\r']).filter(|entry| !entry.is_empty());
        Self {
            // `HTTP_PROXY` in capitals is what a CGI server makes of a request's `Proxy` header (httpoxy).
            http: way(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: way(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            no_proxy: entries.filter_map(Exception::parse).collect(),
        }
    }

    /// # Errors
    /// When the variable for this URL is no proxy.
    pub(super) fn for_url(&self, url: &Url) -> Result<Option<&Proxy>, HttpClientError> {
        let port = url.port_or_known_default().unwrap_or_default();
        if url.host().is_some_and(|host| self.no_proxy.iter().any(|exception| exception.covers(&host, port)))
        {
            return Ok(None);
        }
        match if url.scheme() == "https" { &self.https } else { &self.http } {
            Way::Direct => Ok(None),
            Way::Through(proxy) => Ok(Some(proxy)),
            Way::Broken(name) => Err(broken(name)),
        }
    }
}

fn broken(name: &str) -> HttpClientError {
    HttpClientError::Request(format!(
        "the environment's {name} is no proxy: http://host:port or socks5://host:port"
    ))
}

/// An entry of `no_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// An address and how many of its bits count.
    Network(IpAddr, u8),
    /// A name and what is below it.
    Name(String),
}

impl Exception {
    /// `*`, a name with or without a dot or `*.` before it, an address, or a network such as `10.0.0.0/8`; each but the last
    /// may have a port. `None` for what is none of these.
    fn parse(entry: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::parse(entry) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = entry.rsplit_once(':')?;
        Some(Self { hosts: Hosts::parse(host)?, port: Some(port.parse().ok()?) })
    }

    fn covers(&self, host: &Host<&str>, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.hosts.covers(host)
    }
}

impl Hosts {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let bare = address.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(address);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                None => most,
                Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
            };
            return Some(Self::Network(ip, bits));
        }
        let name = text.strip_prefix('*').unwrap_or(text).trim_matches('.');
        if name.is_empty() || name.contains(['/', ':', '[', ']']) {
            return None;
        }
        // As it stands in a URL: lower case, international names in their `xn--` form.
        match Host::parse(name) {
            Ok(Host::Domain(name)) => Some(Self::Name(name)),
            // `1.2` is an address to a URL, but nobody writes one so here.
            _ => None,
        }
    }

    fn covers(&self, host: &Host<&str>) -> bool {
        let ip = match *host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        };
        match (self, host, ip) {
            (Self::All, ..) => true,
            (Self::Network(network, bits), _, Some(ip)) => {
                is_within(ip, *network, *bits) || is_within(ip.to_canonical(), *network, *bits)
            }
            (Self::Name(name), Host::Domain(host), _) => {
                let host = host.strip_suffix('.').unwrap_or(host);
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            _ => false,
        }
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        ProxyEnvironment::from(|name| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// The proxy's host, `-` for none, `!` for an error.
    fn way(environment: &ProxyEnvironment, url: &str) -> String {
        match environment.for_url(&url.parse().unwrap()) {
            Ok(Some(proxy)) => proxy.host().to_owned(),
            Ok(None) => "-".to_owned(),
            Err(_) => "!".to_owned(),
        }
    }

    #[test]
    fn the_environment() {
        let environment = environment(&[
            ("http_proxy", "http://one:1"),
            ("ALL_PROXY", "socks5://two:2"),
            ("HTTP_PROXY", "http://httpoxy:3"),
            ("no_proxy", "localhost, .example.com,10.0.0.1,special:81"),
        ]);
        for (url, expected) in [
            ("http://a/", "one"),
            ("https://a/", "two"),
            ("http://localhost/", "-"),
            ("http://example.com/", "-"),
            ("http://www.example.com/", "-"),
            ("http://notexample.com/", "one"),
            ("http://10.0.0.1/", "-"),
            ("http://special/", "one"),
            ("http://special:81/", "-"),
        ] {
            assert_eq!(way(&environment, url), expected, "{url}");
        }
    }

    #[test]
    fn which_variable_counts() {
        for (variables, http, https) in [
            (&[("HTTP_PROXY", "http://httpoxy:3")][..], "-", "-"),
            (&[("http_proxy", ""), ("all_proxy", ""), ("ALL_PROXY", "a")], "a", "a"),
            (&[("http_proxy", " \t"), ("all_proxy", " a ")], "a", "a"),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "b")], "-", "b"),
            (&[("https_proxy", "a"), ("HTTPS_PROXY", "b")], "-", "a"),
            // One that is bad hides no good one, and is not passed by.
            (&[("http_proxy", "ftp://bad"), ("ALL_PROXY", "a")], "a", "a"),
            (&[("http_proxy", "good"), ("https_proxy", "ftp://bad")], "good", "!"),
            (&[("http_proxy", "http://[bad"), ("https_proxy", "good")], "!", "good"),
            (&[("all_proxy", "ftp://bad")], "!", "!"),
        ] {
            let environment = environment(variables);
            let found = (way(&environment, "http://h/"), way(&environment, "https://h/"));
            assert_eq!((found.0.as_str(), found.1.as_str()), (http, https), "{variables:?}");
        }
        let empty = environment(&[("http_proxy", "a"), ("no_proxy", ""), ("NO_PROXY", "h")]);
        assert_eq!((way(&empty, "http://h/"), way(&empty, "http://g/")), ("-".to_owned(), "a".to_owned()));
        let lower = environment(&[("http_proxy", "a"), ("no_proxy", "g"), ("NO_PROXY", "h")]);
        assert_eq!((way(&lower, "http://h/"), way(&lower, "http://g/")), ("a".to_owned(), "-".to_owned()));
    }

    #[test]
    fn what_no_proxy_covers() {
        for (list, url, covered) in [
            ("*", "http://any/", true),
            ("x,*", "http://[::1]/", true),
            ("example.com", "http://example.com/", true),
            ("example.com", "http://EXAMPLE.com:8080/", true),
            ("example.com", "http://a.b.example.com/", true),
            ("example.com", "http://example.com./", true),
            ("example.com.", "http://example.com/", true),
            ("Example.COM", "http://example.com/", true),
            (".example.com", "http://a.example.com/", true),
            ("*.example.com", "http://a.example.com/", true),
            ("example.com", "http://badexample.com/", false),
            ("a.example.com", "http://example.com/", false),
            ("com", "http://example.com/", true),
            ("b\u{fc}cher.example", "http://xn--bcher-kva.example/", true),
            // What parts entries.
            ("a\tb", "http://b/", true),
            (" \ta \t", "http://a/", true),
            (",,a,", "http://a/", true),
            (",", "http://a/", false),
            (".", "http://a./", false),
            // Ports.
            ("a:81", "http://a:81/", true),
            ("a:81", "http://a:82/", false),
            ("a:443", "https://a/", true),
            ("a:80", "https://a/", false),
            ("10.0.0.1:81", "http://10.0.0.1:81/", true),
            ("10.0.0.1:81", "http://10.0.0.1/", false),
            ("[::1]:81", "http://[::1]:81/", true),
            ("[::1]:81", "http://[::1]/", false),
            ("a:x", "http://a/", false),
            // Addresses: no suffixes, networks by their bits.
            ("10.0.0.1", "http://10.0.0.1/", true),
            ("10.0.0.1", "http://110.0.0.1/", false),
            ("0.0.1", "http://10.0.0.1/", false),
            ("1", "http://10.0.0.1/", false),
            (".0.0.1", "http://10.0.0.1/", false),
            ("10.0.0.0/8", "http://10.255.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.1.2.3/8", "http://10.9.9.9/", true),
            ("192.168.4.0/22", "http://192.168.7.255/", true),
            ("192.168.4.0/22", "http://192.168.8.0/", false),
            ("10.0.0.1/32", "http://10.0.0.1/", true),
            ("10.0.0.1/32", "http://10.0.0.2/", false),
            ("0.0.0.0/0", "http://1.2.3.4/", true),
            ("0.0.0.0/0", "http://name/", false),
            ("0.0.0.0/0", "http://[2001:db8::1]/", false),
            ("10.0.0.0/33", "http://10.0.0.0/", false),
            ("10.0.0.0/", "http://10.0.0.0/", false),
            ("10.0.0.0/x", "http://10.0.0.0/", false),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", true),
            ("::1", "http://[::1]/", true),
            ("[::1]", "http://[::1]/", true),
            ("::1", "http://[::11]/", false),
            ("0:0:0:0:0:0:0:1", "http://[::1]/", true),
            ("fe80::/10", "http://[febf::1]/", true),
            ("fe80::/10", "http://[fec0::1]/", false),
            ("[2001:db8::]/32", "http://[2001:db8:ffff::1]/", true),
            ("::/0", "http://[2001:db8::1]/", true),
            ("2001:db8::/129", "http://[2001:db8::]/", false),
            ("name/8", "http://name/", false),
        ] {
            let environment = environment(&[("all_proxy", "proxy"), ("no_proxy", list)]);
            let expected = if covered { "-" } else { "proxy" };
            assert_eq!(way(&environment, url), expected, "{list:?} {url}");
        }
    }
}
