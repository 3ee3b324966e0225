//! The way through a proxy: absolute-form requests, CONNECT (RFC 9110 §9.3.6), SOCKS5 (RFC 1928, 1929).

use std::fmt;
use std::net::IpAddr;

use url::Url;

use super::auth;
use super::error::HttpClientError;
use super::tls::{TlsConfig, secured};
use crate::http1::Http1ConnectionParameters;
use crate::http1::response::{self, Asked};
use crate::iostream::IoStream;

/// A proxy (`proxy_host`, `proxy_port`, `proxy_username` and `proxy_password` of Tornado's `HTTPRequest`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    user: Option<(String, String)>,
    tunnel: bool,
    /// How to speak TLS with it; `None` for the system's authorities.
    tls: Option<TlsConfig>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Http,
    /// HTTP over TLS with the proxy itself.
    Https,
    Socks5,
}

impl Proxy {
    /// The proxy that a URL names: `http://user:password@host:port`; `https://…`, when the proxy itself speaks TLS; or
    /// `socks5://…`, where names are resolved by the proxy. Ports default to 3128, 443 and 1080.
    ///
    /// # Errors
    /// [`HttpClientError::Request`] for any other URL.
    pub fn new(url: &str) -> Result<Self, HttpClientError> {
        let refuse = || {
            HttpClientError::Request(
                "a proxy is http://host:port, https://host:port or socks5://host:port".to_owned(),
            )
        };
        let text = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let url = Url::parse(&text).map_err(|_| refuse())?;
        let (kind, port) = match url.scheme() {
            "http" => (Kind::Http, 3128),
            "https" => (Kind::Https, 443),
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            _ => return Err(refuse()),
        };
        // `Url` leaves out the port 80 of http.
        let written_80 = kind == Kind::Http && text.trim_end_matches('/').ends_with(":80");
        let port = url.port().unwrap_or(if written_80 { 80 } else { port });
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(refuse)?.to_owned();
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = (!url.username().is_empty())
            .then(|| (decode(url.username()), decode(url.password().unwrap_or_default())));
        Ok(Self { kind, host, port, user, tunnel: false, tls: None })
    }

    /// With user and password.
    #[must_use]
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((user.into(), password.into()));
        self
    }

    /// Asks an HTTP proxy for a connection to the server (CONNECT) instead of handing it the request. The proxy then
    /// sees neither URLs nor headers. Default: no.
    #[must_use]
    pub fn tunnel(mut self, on: bool) -> Self {
        self.tunnel = on;
        self
    }

    /// Whom to trust when the proxy itself speaks TLS (`https://`). Default: the system's authorities.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether requests are handed to the proxy with their absolute URL.
    pub(super) fn forwards(&self) -> bool {
        self.speaks_http() && !self.tunnel
    }

    /// The value of `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<String> {
        let (user, password) = self.user.as_ref()?;
        self.speaks_http().then(|| auth::basic(user, password))
    }

    fn speaks_http(&self) -> bool {
        matches!(self.kind, Kind::Http | Kind::Https)
    }

    /// A new connection to the proxy, over TLS if it wants that.
    pub(crate) async fn secure(&self, stream: IoStream) -> Result<IoStream, HttpClientError> {
        match self.kind {
            Kind::Https => secured(self.tls.as_ref(), &stream, &self.host).await,
            Kind::Http | Kind::Socks5 => Ok(stream),
        }
    }

    /// On a new connection to the proxy: asks for one to the server.
    pub(crate) async fn establish(
        &self,
        stream: &IoStream,
        host: &str,
        port: u16,
    ) -> Result<(), HttpClientError> {
        match self.kind {
            Kind::Http | Kind::Https => self.connect(stream, host, port).await,
            Kind::Socks5 => self.socks5(stream, host, port).await,
        }
    }

    async fn connect(&self, stream: &IoStream, host: &str, port: u16) -> Result<(), HttpClientError> {
        let authority = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(value) = self.authorization() {
            request += &format!("Proxy-Authorization: {value}\r\n");
        }
        request += "\r\n";
        stream.write(request).await?;
        let limits = Http1ConnectionParameters::default();
        loop {
            let parsed = response::parse(stream.read_buffer().as_slice(), &limits, Asked::Connect)?;
            if let Some((length, head, _)) = parsed {
                stream.read_buffer().consume(length);
                return match head.status {
                    100..=199 => continue,
                    200..=299 => Ok(()),
                    status => Err(HttpClientError::Proxy(format!(
                        "the proxy does not connect to {authority}: HTTP {status}: {}",
                        head.reason
                    ))),
                };
            }
            if stream.fill().await.map_err(HttpClientError::closed_by)? == 0 {
                return Err(HttpClientError::Proxy(format!(
                    "the proxy closed the connection when asked for {authority}"
                )));
            }
        }
    }

    async fn socks5(&self, stream: &IoStream, host: &str, port: u16) -> Result<(), HttpClientError> {
        const NO_AUTH: u8 = 0;
        const USER_PASSWORD: u8 = 2;
        let fail = |what: &str| Err(HttpClientError::Proxy(format!("the SOCKS5 proxy {what}")));
        let methods: &[u8] = if self.user.is_some() { &[NO_AUTH, USER_PASSWORD] } else { &[NO_AUTH] };
        stream.write([&[5, methods.len() as u8], methods].concat()).await?;
        let chosen = stream.read_bytes(2).await?;
        match (chosen[0], chosen[1], &self.user) {
            (5, NO_AUTH, _) => {}
            (5, USER_PASSWORD, Some((user, password))) => {
                let (Ok(user_len), Ok(password_len)) =
                    (u8::try_from(user.len()), u8::try_from(password.len()))
                else {
                    return fail("takes no user name or password of more than 255 bytes");
                };
                let login = [&[1, user_len], user.as_bytes(), &[password_len], password.as_bytes()].concat();
                stream.write(login).await?;
                if stream.read_bytes(2).await?[1] != 0 {
                    return fail("refuses user and password");
                }
            }
            (5, ..) => return fail("wants an authentication that there is none for"),
            _ => return fail("does not speak SOCKS5"),
        }
        stream.write(socks_request(host, port)?).await?;
        let answer = stream.read_bytes(4).await?;
        if answer[0] != 5 {
            return fail("does not speak SOCKS5");
        }
        if answer[1] != 0 {
            return fail(socks_error(answer[1]));
        }
        let address_length = match answer[3] {
            1 => 4,
            4 => 16,
            3 => usize::from(stream.read_bytes(1).await?[0]),
            _ => return fail("does not speak SOCKS5"),
        };
        stream.read_bytes(address_length + 2).await?;
        Ok(())
    }
}

/// The request to connect; names are left to the proxy to resolve.
fn socks_request(host: &str, port: u16) -> Result<Vec<u8>, HttpClientError> {
    let mut request = vec![5, 1, 0];
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend_from_slice(&ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend_from_slice(&ip.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len())
                .map_err(|_| HttpClientError::Request("the host name is too long for SOCKS5".to_owned()))?;
            request.extend_from_slice(&[3, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// RFC 1928 §6.
fn socks_error(code: u8) -> &'static str {
    match code {
        2 => "does not allow the connection",
        3 => "says that the network is unreachable",
        4 => "says that the host is unreachable",
        5 => "says that the connection was refused",
        6 => "says that the connection timed out",
        7 => "does not know the command",
        8 => "does not know the kind of address",
        _ => "has failed",
    }
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Socks5 => "socks5",
        };
        write!(f, "Proxy({scheme}://{}:{})", self.host, self.port)
    }
}

/// The proxies of the environment: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, as curl reads them.
#[derive(Debug, Clone, Default)]
pub(super) struct ProxyEnvironment {
    http: Option<Proxy>,
    https: Option<Proxy>,
    no_proxy: Vec<String>,
}

impl ProxyEnvironment {
    pub(super) fn read() -> Result<Self, HttpClientError> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(get: impl Fn(&str) -> Option<String>) -> Result<Self, HttpClientError> {
        // `HTTP_PROXY` in capitals is what a CGI server makes of a request's `Proxy` header (httpoxy).
        let proxy = |names: &[&str]| {
            let found = names.iter().find_map(|name| get(name)).filter(|value| !value.is_empty());
            found.map(|value| Proxy::new(&value)).transpose()
        };
        let all = proxy(&["all_proxy", "ALL_PROXY"])?;
        let list = get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default();
        Ok(Self {
            http: proxy(&["http_proxy"])?.or_else(|| all.clone()),
            https: proxy(&["https_proxy", "HTTPS_PROXY"])?.or(all),
            no_proxy: list
                .split([',', ' '])
                .map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
        })
    }

    pub(super) fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let excepted = self.no_proxy.iter().any(|entry| {
            entry == "*"
                || entry == host
                || *entry == with_port
                || host.strip_suffix(entry.as_str()).is_some_and(|rest| rest.ends_with('.'))
        });
        if excepted {
            return None;
        }
        if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_urls() {
        let proxy = Proxy::new("http://us%20er:p%40w@proxy:8080/").unwrap();
        assert_eq!((proxy.host(), proxy.port(), proxy.forwards()), ("proxy", 8080, true));
        assert_eq!(proxy.user, Some(("us er".to_owned(), "p@w".to_owned())));
        assert_eq!(format!("{proxy:?}"), "Proxy(http://proxy:8080)");
        assert_eq!(Proxy::new("proxy").unwrap().port(), 3128);
        assert_eq!(Proxy::new("http://proxy:80").unwrap().port(), 80);
        let secure = Proxy::new("https://proxy").unwrap();
        assert_eq!((secure.port(), secure.forwards()), (443, true));
        let socks = Proxy::new("socks5://h").unwrap();
        assert_eq!((socks.port(), socks.forwards(), socks.authorization()), (1080, false, None));
        for bad in ["ftp://x", "http://", "socks4://x", "http://[bad"] {
            assert!(Proxy::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_environment() {
        let environment = ProxyEnvironment::from(|name| {
            let value = match name {
                "http_proxy" => "http://one:1",
                "ALL_PROXY" => "socks5://two:2",
                "HTTP_PROXY" => "http://httpoxy:3",
                "no_proxy" => "localhost, .example.com,10.0.0.1,special:81",
                _ => return None,
            };
            Some(value.to_owned())
        })
        .unwrap();
        for (url, expected) in [
            ("http://a/", Some("one")),
            ("https://a/", Some("two")),
            ("http://localhost/", None),
            ("http://example.com/", None),
            ("http://www.example.com/", None),
            ("http://notexample.com/", Some("one")),
            ("http://10.0.0.1/", None),
            ("http://special/", Some("one")),
            ("http://special:81/", None),
        ] {
            let url: Url = url.parse().unwrap();
            assert_eq!(environment.for_url(&url).map(Proxy::host), expected, "{url}");
        }
        let none =
            ProxyEnvironment::from(|name| (name == "HTTP_PROXY").then(|| "http://httpoxy:3".to_owned()));
        assert_eq!(none.unwrap().for_url(&"http://a/".parse().unwrap()), None);
    }
}
