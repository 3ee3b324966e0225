//! Certificates that exist for one test, and clients that trust them.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use squall::httpclient::{AsyncHttpClient, HttpRequest, TlsConfig};
use squall::iostream::{IoStream, TlsRole};
use squall::netutil::{OverrideResolver, SystemResolver};
use squall::tcpclient::SslConnectOptions;
use squall::tls::SslOptions;

/// An authority that exists for one test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "squall's test authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names.
    pub(crate) fn certify(&self, names: &[&str]) -> Identity {
        self.certify_with(names, |_| {})
    }

    pub(crate) fn certify_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
        change(&mut params);
        let cert = params.signed_by(&key, &self.0).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// The settings of a client that trusts this authority.
    pub(crate) fn trusted(&self) -> TlsConfig {
        TlsConfig::builder().ca_certs(self.pem()).unwrap().build().unwrap()
    }

    /// The same for streams.
    pub(crate) fn config(&self) -> ClientConfig {
        self.config_with(rustls::ALL_VERSIONS, None)
    }

    pub(crate) fn config_with(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
                )
                .unwrap(),
        }
    }

    /// An HTTP client that trusts this authority, and finds every `*.test` here.
    pub(crate) fn client(&self) -> AsyncHttpClient {
        client_with(self.trusted())
    }
}

impl Identity {
    pub(crate) fn options(&self) -> SslOptions {
        SslOptions::from_pem(self.cert.clone(), self.key.clone())
    }
}

pub(crate) fn client_with(config: TlsConfig) -> AsyncHttpClient {
    let resolver = ["server.test", "one.test", "two.test", "three.test"]
        .into_iter()
        .fold(OverrideResolver::new(SystemResolver), |resolver, name| resolver.host(name, "127.0.0.1"));
    AsyncHttpClient::builder().resolver(resolver).defaults(HttpRequest::get("").tls(config)).build()
}

pub(crate) fn ip_name(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

pub(crate) fn name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

/// The client's side of a handshake.
pub(crate) fn role(config: impl Into<SslConnectOptions>, host: &str) -> TlsRole {
    TlsRole::client(config, host).unwrap()
}

pub(crate) async fn plain(port: u16) -> IoStream {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    IoStream::from(stream)
}

/// Connects and makes the handshake with `server.test`.
pub(crate) async fn connect(config: &Arc<ClientConfig>, port: u16) -> io::Result<IoStream> {
    connect_to(config, port, "server.test").await
}

pub(crate) async fn connect_to(config: &Arc<ClientConfig>, port: u16, host: &str) -> io::Result<IoStream> {
    plain(port).await.start_tls(role(Arc::clone(config), host)).await
}

/// One request over a connection, and the body of its answer.
pub(crate) async fn ask(stream: &IoStream, path: &str) -> io::Result<String> {
    stream.write(format!("GET {path} HTTP/1.1\r\nHost: server.test\r\n\r\n")).await?;
    let head = stream.read_until("\r\n\r\n", None).await?;
    let head = String::from_utf8(head.to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let body = stream.read_bytes(length.parse().unwrap()).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}
