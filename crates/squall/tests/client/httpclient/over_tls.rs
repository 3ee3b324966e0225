//! Tornado's `SimpleHTTPSClientTestCase`: the tests of `tornado_simple` once more, over TLS.

#[path = "tornado_simple.rs"]
mod tornado_simple;

/// As `wire.rs`: before each server stands one that takes TLS, and passes on what is in it.
mod wire {
    use std::net::SocketAddr;
    use std::sync::OnceLock;

    use squall::httpclient::{AsyncHttpClient, HttpClientBuilder, HttpRequest, TlsConfig};
    use squall::tls::{SslOptions, TlsAcceptor};
    use tokio::net::{TcpListener, TcpStream};

    pub(crate) const SCHEME: &str = "https";

    /// A certificate for all that the tests ask for, in PEM.
    struct Identity {
        cert: String,
        key: String,
    }

    fn identity() -> &'static Identity {
        static IDENTITY: OnceLock<Identity> = OnceLock::new();
        IDENTITY.get_or_init(|| {
            let key = rcgen::KeyPair::generate().unwrap();
            let names = ["127.0.0.1", "::1", "example.com", "www.example.com", "foo.example.com"];
            let params = rcgen::CertificateParams::new(names.map(str::to_owned)).unwrap();
            Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
        })
    }

    pub(crate) fn builder() -> HttpClientBuilder {
        let trusted = TlsConfig::builder().ca_certs(&identity().cert).unwrap().build().unwrap();
        AsyncHttpClient::builder().defaults(HttpRequest::get("").tls(trusted))
    }

    pub(crate) fn front(address: SocketAddr) -> SocketAddr {
        let acceptor = TlsAcceptor::new(SslOptions::from_pem(&*identity().cert, &*identity().key)).unwrap();
        let listener = std::net::TcpListener::bind((address.ip(), 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let front = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(pass_on(acceptor.clone(), stream, address));
            }
        });
        front
    }

    async fn pass_on(acceptor: TlsAcceptor, stream: TcpStream, address: SocketAddr) {
        let Ok(mut client) = acceptor.accept(stream.into()).await else { return };
        let mut server = TcpStream::connect(address).await.unwrap();
        // Whoever cuts the connection on one side has it cut on the other.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
