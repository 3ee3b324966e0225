//! The client's side of a connection, in the clear or over TLS, and the certificate of the servers.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion, version,
};

use crate::Result;
use crate::peers::Server;

/// Both files' folder; the peers read them there.
fn folder() -> PathBuf {
    std::env::temp_dir().join("squall-bench-tls")
}

pub fn certfile() -> PathBuf {
    folder().join("cert.pem")
}

pub fn keyfile() -> PathBuf {
    folder().join("key.pem")
}

/// A certificate for localhost with a key on P-256, as most servers have.
pub fn make_files() -> Result {
    fs::create_dir_all(folder())?;
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    fs::write(certfile(), certificate.pem())?;
    fs::write(keyfile(), key.serialize_pem())?;
    Ok(())
}

/// All connections have the same cipher, the one that browsers ask for first: servers would choose differently.
fn provider() -> Arc<CryptoProvider> {
    const CIPHERS: [CipherSuite; 2] =
        [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| CIPHERS.contains(&suite.suite()));
    Arc::new(provider)
}

/// A client that trusts the servers.
pub fn client(
    version: &'static SupportedProtocolVersion,
    resumption: Resumption,
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certfile())?)?;
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version])?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = resumption;
    Ok(Arc::new(config))
}

/// What the Rust peers serve with, those apart that have settings of their own.
pub fn server() -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_file(certfile())?];
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(keyfile())?)?;
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("it is a name")
}

/// A client's connection to a server.
pub enum Carrier {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Carrier {
    /// Connects, and makes the handshake (TLS 1.3) where the server wants one. The socket blocks.
    pub fn open(server: &Server) -> Result<Self> {
        static CONFIGS: [OnceLock<Arc<ClientConfig>>; 2] = [OnceLock::new(), OnceLock::new()];
        let mut stream = TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        if !server.tls {
            return Ok(Self::Plain(stream));
        }
        let kept = &CONFIGS[usize::from(server.http2)];
        let config = match kept.get() {
            Some(config) => Arc::clone(config),
            None => {
                let mut config = client(&version::TLS13, Resumption::disabled())?;
                if server.http2 {
                    Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
                }
                Arc::clone(kept.get_or_init(|| config))
            }
        };
        let mut session = ClientConnection::new(config, server_name())?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// The socket alone. Over TLS the session is forgotten, and nobody told.
    pub fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.into_parts().1,
        }
    }
}

impl Read for Carrier {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Carrier {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Carrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}
