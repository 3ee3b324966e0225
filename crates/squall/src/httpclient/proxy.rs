//! The way through a proxy: absolute-form requests, CONNECT (RFC 9110 §9.3.6), SOCKS5 (RFC 1928, 1929).

use std::fmt;
use std::net::IpAddr;

use http::Method;
use url::Url;

use super::auth::Credentials;
use super::error::HttpClientError;
use super::reference;
use super::tls::{TlsConfig, secured};
use crate::http1::head_writer;
use crate::http1::response::Asked;
use crate::http1connection::{HeadError, ResponseHeads};
use crate::httputil::ConnectionLimits;
use crate::iostream::IoStream;

/// A proxy (`proxy_host`, `proxy_port`, `proxy_username` and `proxy_password` of Tornado's `HTTPRequest`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
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
        reference::check(&text).map_err(|_| refuse())?;
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
        Ok(Self { kind, host, port, credentials: Credentials::of_url(&url), tunnel: false, tls: None })
    }

    /// With user and password.
    #[must_use]
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::new(user, password));
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
        self.credentials.as_ref().filter(|_| self.speaks_http()).map(Credentials::basic)
    }

    fn speaks_http(&self) -> bool {
        matches!(self.kind, Kind::Http | Kind::Https)
    }

    /// A new connection to the proxy, over TLS if it wants that.
    pub(crate) async fn secure(&self, stream: IoStream) -> Result<IoStream, HttpClientError> {
        match self.kind {
            Kind::Https => secured(self.tls.as_ref(), &stream, &self.host, false).await,
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
        let mut request = Vec::with_capacity(256);
        head_writer::request_line(&mut request, &Method::CONNECT, &[&authority]);
        head_writer::field(&mut request, "Host", &authority);
        if let Some(value) = self.authorization() {
            head_writer::field(&mut request, "Proxy-Authorization", value);
        }
        head_writer::end(&mut request);
        stream.write(request).await?;
        let limits = ConnectionLimits::default();
        match ResponseHeads::new(stream, &limits, Asked::Connect).last().await {
            Ok((head, _)) if (200..300).contains(&head.status) => Ok(()),
            Ok((head, _)) => Err(HttpClientError::Proxy(format!(
                "the proxy does not connect to {authority}: HTTP {}: {}",
                head.status, head.reason
            ))),
            Err(HeadError::Closed(None)) => Err(HttpClientError::Proxy(format!(
                "the proxy closed the connection when asked for {authority}"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn socks5(&self, stream: &IoStream, host: &str, port: u16) -> Result<(), HttpClientError> {
        const NO_AUTH: u8 = 0;
        const USER_PASSWORD: u8 = 2;
        let fail = |what: &str| Err(HttpClientError::Proxy(format!("the SOCKS5 proxy {what}")));
        let methods: &[u8] = if self.credentials.is_some() { &[NO_AUTH, USER_PASSWORD] } else { &[NO_AUTH] };
        stream.write([&[5, methods.len() as u8], methods].concat()).await?;
        let chosen = stream.read_bytes(2).await?;
        match (chosen[0], chosen[1], &self.credentials) {
            (5, NO_AUTH, _) => {}
            (5, USER_PASSWORD, Some(Credentials { user, password })) => {
                let (Ok(user_len), Ok(password_len)) =
                    (u8::try_from(user.len()), u8::try_from(password.len()))
                else {
                    return fail("takes no user name or password of more than 255 bytes");
                };
                let login = [&[1, user_len], &user[..], &[password_len], password].concat();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_urls() {
        let proxy = Proxy::new("http://us%20er:p%40w@proxy:8080/").unwrap();
        assert_eq!((proxy.host(), proxy.port(), proxy.forwards()), ("proxy", 8080, true));
        assert_eq!(proxy.credentials, Some(Credentials::new("us er", "p@w")));
        let token = Proxy::new("http://:token@proxy").unwrap();
        assert_eq!(token.authorization().as_deref(), Some("Basic OnRva2Vu"));
        assert_eq!(format!("{proxy:?}"), "Proxy(http://proxy:8080)");
        assert_eq!(Proxy::new("proxy").unwrap().port(), 3128);
        assert_eq!(Proxy::new("http://proxy:80").unwrap().port(), 80);
        let secure = Proxy::new("https://proxy").unwrap();
        assert_eq!((secure.port(), secure.forwards()), (443, true));
        let socks = Proxy::new("socks5://h").unwrap();
        assert_eq!((socks.port(), socks.forwards(), socks.authorization()), (1080, false, None));
        for bad in ["ftp://x", "http://", "socks4://x", "http://[bad", "http:///x"] {
            assert!(Proxy::new(bad).is_err(), "{bad}");
        }
    }
}
