//! The settings of a TLS server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a server speaks TLS (Tornado's `ssl_options`).
///
/// ```no_run
/// use squall::tls::SslOptions;
/// use squall::{Application, Context, HttpServer, get};
///
/// # fn main() -> squall::Result {
/// let make_app = || Application::new([get("/", async |ctx: &Context| ctx.write_json("Hello"))]);
/// let options = SslOptions::new("cert.pem", "key.pem").certificate("other.pem", "other-key.pem");
/// let server = HttpServer::new(make_app).ssl_options(options);
/// server.listen(443)?;
/// # Ok(())
/// # }
/// ```
///
/// What is wrong with them is found when the server is set up: an [`SslError`](super::SslError) names the file and the
/// cause. That is also so for a certificate that has expired.
#[doc(alias = "ssl_options")]
#[derive(Clone)]
pub struct SslOptions {
    pub(super) identities: Vec<(Pem, Pem)>,
    pub(super) ca_certs: Option<Pem>,
    pub(super) cert_reqs: CertReqs,
    pub(super) min_version: TlsVersion,
    pub(super) ciphers: Option<String>,
    pub(super) curves: Option<String>,
    pub(super) alpn_protocols: Option<Vec<Vec<u8>>>,
    pub(super) handshake_timeout: Duration,
    pub(super) max_handshakes: usize,
    pub(super) session_tickets: bool,
    pub(super) reload: bool,
    /// What a peer is told that speaks in clear text: the protocol's own words.
    pub(super) clear_text_answer: &'static [u8],
}

impl SslOptions {
    /// With a certificate (and those between it and its authority, its own first) and its key, from PEM files. The key
    /// is in PKCS#8, PKCS#1 or SEC1, not encrypted. Both may be in one file.
    #[doc(alias = "certfile")]
    #[doc(alias = "keyfile")]
    pub fn new(certfile: impl Into<PathBuf>, keyfile: impl Into<PathBuf>) -> Self {
        Self::with(Pem::File(certfile.into()), Pem::File(keyfile.into()))
    }

    /// [`new`](Self::new) with the PEM texts themselves.
    pub fn from_pem(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self::with(Pem::text(certificate), Pem::text(key))
    }

    fn with(certificate: Pem, key: Pem) -> Self {
        Self {
            identities: vec![(certificate, key)],
            ca_certs: None,
            cert_reqs: CertReqs::None,
            min_version: TlsVersion::Tls12,
            ciphers: None,
            curves: None,
            alpn_protocols: None,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1024,
            session_tickets: true,
            reload: true,
            clear_text_answer: b"",
        }
    }

    /// Another certificate. Each is for the names in it; a client that asks for another name, or for none, gets the
    /// first. Of several for one name a client gets the first whose kind of key it can check.
    #[must_use]
    pub fn certificate(mut self, certfile: impl Into<PathBuf>, keyfile: impl Into<PathBuf>) -> Self {
        self.identities.push((Pem::File(certfile.into()), Pem::File(keyfile.into())));
        self
    }

    /// [`certificate`](Self::certificate) with the PEM texts themselves.
    #[must_use]
    pub fn certificate_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identities.push((Pem::text(certificate), Pem::text(key)));
        self
    }

    /// The authorities of client certificates, a PEM file. Needs [`cert_reqs`](Self::cert_reqs), and that needs these.
    #[must_use]
    pub fn ca_certs(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_certs = Some(Pem::File(file.into()));
        self
    }

    /// [`ca_certs`](Self::ca_certs) as PEM text.
    #[must_use]
    pub fn ca_certs_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certs = Some(Pem::text(pem));
        self
    }

    /// Whether clients must have a certificate. Default: none is asked for.
    #[must_use]
    pub fn cert_reqs(mut self, required: CertReqs) -> Self {
        self.cert_reqs = required;
        self
    }

    /// The oldest version that is spoken. Default: TLS 1.2.
    #[doc(alias = "ssl_version")]
    #[must_use]
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// The cipher suites, the preferred first, with colons between them; by OpenSSL's names
    /// (`ECDHE-RSA-AES128-GCM-SHA256`) or IANA's. As with OpenSSL those of TLS 1.3 stay unless one of them is named.
    /// Default: all that rustls has.
    #[must_use]
    pub fn ciphers(mut self, names: impl Into<String>) -> Self {
        self.ciphers = Some(names.into());
        self
    }

    /// The groups for the key exchange, the preferred first, with colons between them: `X25519`, `P-256`, `P-384`, with
    /// the feature `tls-aws-lc` also `X25519MLKEM768`. Default: all that there are.
    #[must_use]
    pub fn curves(mut self, names: impl Into<String>) -> Self {
        self.curves = Some(names.into());
        self
    }

    /// The protocols offered by ALPN (RFC 7301), the preferred first. A client that names only others is refused, as the
    /// RFC wants. Default: `http/1.1` for an HTTP server, none for others.
    #[must_use]
    pub fn alpn_protocols(mut self, names: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn_protocols = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How long a handshake may take. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How many handshakes may be under way at once; one more ends the one that has been at it for longest, which is
    /// rarely an honest one. Default: 1,024.
    #[must_use]
    pub fn max_handshakes(mut self, handshakes: usize) -> Self {
        self.max_handshakes = handshakes.max(1);
        self
    }

    /// Whether clients may take up a former session with a ticket (RFC 8446 §2.2), which spares both sides half of the
    /// work. The keys change every 6 hours; all processes that [`start`](crate::HttpServer::start) forks have the same.
    /// Default: on.
    #[must_use]
    pub fn session_tickets(mut self, on: bool) -> Self {
        self.session_tickets = on;
        self
    }

    /// Whether the files are looked at four times a second and taken anew, all together, half a second after they have
    /// changed. What is wrong with them then is logged as an error, and the former ones stay. Connections go on either
    /// way. Default: on.
    #[must_use]
    pub fn reload(mut self, on: bool) -> Self {
        self.reload = on;
        self
    }

    pub(crate) fn for_http(mut self, protocols: &[&'static [u8]], clear_text_answer: &'static [u8]) -> Self {
        self.alpn_protocols.get_or_insert_with(|| protocols.iter().map(|name| name.to_vec()).collect());
        self.clear_text_answer = clear_text_answer;
        self
    }
}

impl fmt::Debug for SslOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SslOptions")
            .field("identities", &self.identities)
            .field("ca_certs", &self.ca_certs)
            .field("cert_reqs", &self.cert_reqs)
            .field("min_version", &self.min_version)
            .finish_non_exhaustive()
    }
}

/// What a server wants of its clients' certificates (Python's `ssl.CERT_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CertReqs {
    /// None is asked for.
    #[doc(alias = "CERT_NONE")]
    #[default]
    None,
    /// One is asked for, and checked if there is one.
    #[doc(alias = "CERT_OPTIONAL")]
    Optional,
    /// A client without a good one is refused.
    #[doc(alias = "CERT_REQUIRED")]
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// PEM text, or where it is.
#[derive(Clone)]
pub(super) enum Pem {
    File(PathBuf),
    Text(Arc<[u8]>),
}

impl Pem {
    fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(text.into().into())
    }
}

/// Keys are not for logs.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Text(_) => f.write_str("PEM"),
        }
    }
}
