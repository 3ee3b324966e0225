//! Whom the client trusts over https, and who it says it is (feature `tls`).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::HttpClientError;
use crate::iostream::{IoStream, TlsRole};
use crate::log;
use crate::tcpclient::SslConnectOptions;
use crate::tls::provider;

/// Settings of https connections (what Tornado's `ca_certs`, `client_cert`, `client_key` and `ssl_options` say).
///
/// Cheap to clone. Connections are shared between requests with the same settings only: clones of one `TlsConfig`.
#[doc(alias = "ssl_options")]
#[derive(Clone)]
pub struct TlsConfig(Arc<Settings>);

/// How ALPN calls it.
const HTTP_2: &[u8] = b"h2";

struct Settings {
    /// For HTTP/1.1 and nothing else.
    config: Arc<ClientConfig>,
    /// Offers HTTP/2 as well.
    with_http2: Arc<ClientConfig>,
    /// Whose certificate the server must have, if not that of the URL's host.
    server_hostname: Option<ServerName<'static>>,
}

impl TlsConfig {
    /// To put settings together.
    pub fn builder() -> TlsConfigBuilder {
        TlsConfigBuilder::default()
    }

    /// The authorities of the system; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Read once per process.
    pub(super) fn system() -> Result<Self, HttpClientError> {
        static SYSTEM: OnceLock<TlsConfig> = OnceLock::new();
        if let Some(config) = SYSTEM.get() {
            return Ok(config.clone());
        }
        let config = Self::builder().build()?;
        Ok(SYSTEM.get_or_init(|| config).clone())
    }

    pub(crate) fn unverified() -> Self {
        static UNVERIFIED: OnceLock<TlsConfig> = OnceLock::new();
        let config = || {
            tracing::warn!(
                target: log::GENERAL,
                "validate_cert is off for some request: anybody on the way can read and change it"
            );
            Self::finish(without_verification().with_no_client_auth(), None)
        };
        UNVERIFIED.get_or_init(config).clone()
    }

    /// Makes `stream`, which is connected to `host`, one over TLS; with an offer of HTTP/2 if that can be spoken there.
    pub(super) async fn connect(
        &self,
        stream: &IoStream,
        host: &str,
        offers_http2: bool,
    ) -> Result<IoStream, HttpClientError> {
        let name = match &self.0.server_hostname {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        let config = if offers_http2 { &self.0.with_http2 } else { &self.0.config };
        stream.start_tls(TlsRole::of_client(Arc::clone(config), name)).await.map_err(HttpClientError::Tls)
    }

    fn finish(config: ClientConfig, server_hostname: Option<ServerName<'static>>) -> Self {
        let with = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let (config, with_http2) = (with(&[b"http/1.1"]), with(&[HTTP_2, b"http/1.1"]));
        Self(Arc::new(Settings { config, with_http2, server_hostname }))
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, HttpClientError> {
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(name)
        .map_err(|_| HttpClientError::Request(format!("{host} is no name that a certificate can have")))
}

/// Makes `stream`, which is connected to `host`, one over TLS, with the system's authorities unless there are settings;
/// perhaps with an offer of HTTP/2.
pub(crate) async fn secured(
    config: Option<&TlsConfig>,
    stream: &IoStream,
    host: &str,
    offers_http2: bool,
) -> Result<IoStream, HttpClientError> {
    match config {
        Some(config) => config.connect(stream, host, offers_http2).await,
        None => TlsConfig::system()?.connect(stream, host, offers_http2).await,
    }
}

/// Whether a server that was offered HTTP/2 takes it.
#[cfg(feature = "http2")]
pub(crate) fn takes_http2(stream: &IoStream) -> bool {
    stream.has_chosen(HTTP_2)
}

/// TLS 1.2 and 1.3, which is what rustls has.
fn versions() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the ciphers of both versions")
}

fn without_verification() -> rustls::ConfigBuilder<ClientConfig, WantsClientCert> {
    let verifier = NoVerification(Arc::new(provider()));
    versions().dangerous().with_custom_certificate_verifier(Arc::new(verifier))
}

/// For whatever else rustls can do: `TlsConfig::from(SslConnectOptions::from(config))`. HTTP/2 is offered if
/// `alpn_protocols` names it (`h2`, before `http/1.1`).
impl From<SslConnectOptions> for TlsConfig {
    fn from(options: SslConnectOptions) -> Self {
        let (given, server_hostname) = options.into_parts();
        let mut config = Arc::clone(&given);
        if given.alpn_protocols.iter().any(|protocol| protocol == HTTP_2) {
            Arc::make_mut(&mut config).alpn_protocols.retain(|protocol| protocol != HTTP_2);
        }
        Self(Arc::new(Settings { config, with_http2: given, server_hostname }))
    }
}

/// The same trust for connections that are not HTTP's: no protocol is named by ALPN.
impl From<TlsConfig> for SslConnectOptions {
    fn from(settings: TlsConfig) -> Self {
        let mut config = ClientConfig::clone(&settings.0.config);
        config.alpn_protocols = Vec::new();
        Self::new(Arc::new(config), settings.0.server_hostname.clone())
    }
}

impl PartialEq for TlsConfig {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsConfig {}

impl Hash for TlsConfig {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}

/// Makes a [`TlsConfig`].
#[derive(Debug, Default)]
#[must_use]
pub struct TlsConfigBuilder {
    authorities: Option<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    server_hostname: Option<ServerName<'static>>,
    unverified: bool,
}

impl TlsConfigBuilder {
    /// Trusts servers whose certificates are signed by these authorities, in PEM, and no others. Default: the system's.
    ///
    /// # Errors
    /// [`HttpClientError::Request`] when there is no certificate in it, or a broken one.
    pub fn ca_certs(mut self, pem: impl AsRef<[u8]>) -> Result<Self, HttpClientError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(pem.as_ref())? {
            store.add(certificate).map_err(|error| mistake("a CA certificate", error))?;
        }
        self.authorities = Some(store);
        Ok(self)
    }

    /// Says who the client is, with a certificate (and those between it and its authority) and its key, in PEM.
    ///
    /// # Errors
    /// [`HttpClientError::Request`] when one of them is missing or broken.
    #[doc(alias = "client_key")]
    pub fn client_cert(
        mut self,
        cert_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
    ) -> Result<Self, HttpClientError> {
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_ref())
            .map_err(|error| mistake("the client's key", error))?;
        self.identity = Some((certificates(cert_pem.as_ref())?, key));
        Ok(self)
    }

    /// Whose certificate the server must have, whatever host the URL names: for a server that is reached by an address,
    /// or through a tunnel. Also sent as SNI. Default: the host of the URL.
    ///
    /// # Errors
    /// [`HttpClientError::Request`] when no certificate can have the name.
    pub fn server_hostname(mut self, name: &str) -> Result<Self, HttpClientError> {
        self.server_hostname = Some(server_name(name)?);
        Ok(self)
    }

    /// Whether the server's certificate is checked at all (Tornado's `validate_cert`). Off, anybody on the way can read
    /// and change everything; it is logged as a warning. Default: on.
    pub fn validate_cert(mut self, on: bool) -> Self {
        self.unverified = !on;
        self
    }

    /// The settings.
    ///
    /// # Errors
    /// [`HttpClientError::Request`] when the system's authorities cannot be read, or certificate and key do not belong
    /// together.
    pub fn build(self) -> Result<TlsConfig, HttpClientError> {
        let config = if self.unverified {
            tracing::warn!(target: log::GENERAL, "validate_cert is off: TLS certificates are not checked");
            without_verification()
        } else {
            let authorities = match self.authorities {
                Some(authorities) => authorities,
                None => system_authorities()?,
            };
            versions().with_root_certificates(authorities)
        };
        let config = match self.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config
                .with_client_auth_cert(chain, key)
                .map_err(|error| mistake("the client's certificate", error))?,
        };
        Ok(TlsConfig::finish(config, self.server_hostname))
    }
}

fn system_authorities() -> Result<RootCertStore, HttpClientError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // Systems have odd certificates among theirs; the others are good.
    let (good, _) = store.add_parsable_certificates(found.certs);
    match found.errors.into_iter().next() {
        Some(error) if good == 0 => Err(mistake("the system's CA certificates", error)),
        None if good == 0 => Err(mistake("the system's CA certificates", "there are none")),
        _ => Ok(store),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, HttpClientError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(mistake("the certificates", "there are none")),
        Ok(found) => Ok(found),
        Err(error) => Err(mistake("the certificates", error)),
    }
}

fn mistake(what: &str, error: impl fmt::Display) -> HttpClientError {
    HttpClientError::Request(format!("{what}: {error}"))
}

/// `validate_cert(false)`: any certificate will do, though the server must have its key.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
