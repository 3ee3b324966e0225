//! `TcpClient` with `ssl_options` (Tornado's tcpclient_test: three about TLS).

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use squall::httpclient::TlsConfig;
use squall::netutil::{OverrideResolver, SystemResolver};
use squall::tcpclient::{ConnectOptions, TcpClient};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::support::{Authority, Identity};

fn client() -> TcpClient {
    TcpClient::with_resolver(OverrideResolver::new(SystemResolver).host("server.test", "127.0.0.1"))
}

/// A server over TLS that says hello to one client after the other.
fn serve(identity: &Identity) -> (squall::tcpserver::TcpServer<impl squall::tcpserver::StreamHandler>, u16) {
    let hello = async |stream: squall::iostream::IoStream, _| stream.write("hello\n").await;
    let server = squall::tcpserver::TcpServer::new(hello);
    server.ssl_options(identity.options()).unwrap();
    server.listen_on(0, &squall::netutil::BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    (server, port)
}

#[squall::test(timeout = 60)]
async fn connects_and_checks_the_name() {
    let authority = Authority::new();
    let (server, port) = serve(&authority.certify(&["server.test"]));
    let named =
        TlsConfig::builder().ca_certs(authority.pem()).unwrap().server_hostname("server.test").unwrap();
    for (what, host, options) in [
        ("rustls' own", "server.test", ConnectOptions::new().ssl_options(authority.config())),
        ("the HTTP client's", "server.test", ConnectOptions::new().ssl_options(authority.trusted())),
        ("a name of its own", "127.0.0.1", ConnectOptions::new().ssl_options(named.build().unwrap())),
    ] {
        let stream = client().connect_with(host, port, &options).await.unwrap();
        assert_eq!(stream.read_until("\n", None).await.unwrap(), "hello\n", "{what}");
        assert_eq!(stream.tls_info().unwrap().alpn_protocol, None, "{what}");
    }
    for (what, host, options) in [
        ("another name", "127.0.0.1", ConnectOptions::new().ssl_options(authority.config())),
        ("a stranger", "server.test", ConnectOptions::new().ssl_options(Authority::new().config())),
    ] {
        let error = client().connect_with(host, port, &options).await.unwrap_err();
        assert!(error.is_tls() && !error.is_timeout() && !error.is_resolve(), "{what}: {error}");
        let inner = error.io_error().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        assert!(matches!(inner, Some(rustls::Error::InvalidCertificate(_))), "{what}: {error:?}");
    }
    server.stop();
}

/// `test_connect_tls_timeout_closes_stream`, `…_cancel_closes_stream`, `…_cancel_with_timeout_closes_stream`: a server that
/// accepts and says nothing sees the connection end.
#[squall::test(timeout = 60)]
async fn a_handshake_that_is_given_up_closes_the_connection() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = || ConnectOptions::new().ssl_options(authority.config());
    for (what, options, cancelled) in [
        ("a time limit", options().timeout(Duration::from_secs(5)), false),
        ("cancelled", options(), true),
        ("cancelled, with a time limit", options().timeout(Duration::from_secs(30)), true),
    ] {
        let client = client();
        let mut connecting = Box::pin(client.connect_with("server.test", port, &options));
        let mut peer = tokio::select! {
            _ = &mut connecting => unreachable!("{what}: nobody answers"),
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let mut hello = [0; 5];
        // The handshake is under way.
        tokio::select! {
            result = &mut connecting => unreachable!("{what}: {result:?}"),
            read = peer.read_exact(&mut hello) => drop(read.unwrap()),
        }
        assert_eq!(hello[0], 22, "{what}");
        if cancelled {
            assert!(poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await.is_pending());
        } else {
            let error = connecting.as_mut().await.unwrap_err();
            assert!(
                error.is_timeout() && error.to_string().contains("TLS handshake with server.test"),
                "{error}"
            );
        }
        drop(connecting);
        // To the end, which comes because the connection is closed.
        let _ = peer.read_to_end(&mut Vec::new()).await;
    }
}
