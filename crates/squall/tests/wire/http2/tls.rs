//! HTTP/2 by ALPN.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use squall::httpserver::HttpServer;
use squall::iostream::{IoStream, TlsRole};
use squall::netutil::BindOptions;
use squall::tls::SslOptions;
use squall::{Application, Context, get};

use super::support::{self, answer};

fn app() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        ctx.write(format!("{:?} {}", ctx.request().version(), ctx.request().protocol()));
        Ok(())
    })])
}

fn certificate() -> (String, String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["server.test".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().clone())
}

/// A stream over TLS, and what was agreed on.
async fn connect(
    port: u16,
    certificate: &CertificateDer<'static>,
    alpn: &[&str],
) -> (IoStream, Option<Vec<u8>>) {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = IoStream::from(support::connect(port).await);
    let stream = stream.start_tls(TlsRole::client(config, "server.test").unwrap()).await.unwrap();
    let chosen = stream.tls_info().unwrap().alpn_protocol;
    (stream, chosen)
}

fn listen(server: HttpServer) -> (HttpServer, u16) {
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    (server, port)
}

#[squall::test]
async fn it_is_spoken_where_the_client_can() {
    let (cert, key, der) = certificate();
    let (_server, port) = listen(HttpServer::new(app).ssl_options(SslOptions::from_pem(cert, key)));
    let (stream, chosen) = connect(port, &der, &["h2", "http/1.1"]).await;
    assert_eq!(chosen.as_deref(), Some(&b"h2"[..]));
    let (mut requests, connection) = h2::client::Builder::new().handshake::<_, Bytes>(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    let asked = http::Request::get("https://server.test/").body(()).unwrap();
    let (response, _) = requests.send_request(asked, true).unwrap();
    assert_eq!(answer(response).await.unwrap().text(), "HTTP/2.0 https");
    for alpn in [&["http/1.1"][..], &[]] {
        let (stream, _) = connect(port, &der, alpn).await;
        stream.write("GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n").await.unwrap();
        let answer = stream.read_until_close().await.unwrap();
        assert!(answer.ends_with(b"HTTP/1.1 https"), "{answer:?}");
    }
}

#[squall::test]
async fn it_can_be_left_out_before_and_after_the_certificates_are_named() {
    let (cert, key, der) = certificate();
    let options = || SslOptions::from_pem(cert.clone(), key.clone());
    for server in [
        HttpServer::new(app).ssl_options(options()).http2(None),
        HttpServer::new(app).http2(None).ssl_options(options()),
        // Whose function may write bytes of HTTP/1.
        HttpServer::with_callback(|_| {}).ssl_options(options()),
    ] {
        let (_server, port) = listen(server);
        let (_stream, chosen) = connect(port, &der, &["h2", "http/1.1"]).await;
        assert_eq!(chosen.as_deref(), Some(&b"http/1.1"[..]));
    }
}
