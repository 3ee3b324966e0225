//! The HTTP client over TLS: what it speaks is agreed on by ALPN.

use std::net::SocketAddr;

use futures_util::future::join_all;
use squall::httpclient::{AsyncHttpClient, HttpRequest, TlsConfig};
use squall::httpserver::HttpServer;
use squall::iostream::IoStream;
use squall::netutil::BindOptions;
use squall::testing::serve_on;
use squall::tls::{SslOptions, TlsAcceptor};
use squall::{Application, Context, get};
use tokio::net::TcpListener;

use super::client::Counted;
use super::support::{HEADERS, RST_STREAM, frame};

fn app() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        ctx.write(format!("{:?} {}", ctx.request().version(), ctx.request().protocol()));
        Ok(())
    })])
}

fn identity() -> (SslOptions, TlsConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let trusted = TlsConfig::builder().ca_certs(&cert).unwrap().build().unwrap();
    (SslOptions::from_pem(cert, key), trusted)
}

/// What the server, a number of requests at the same time and one of HTTP/1.1 say of the version; and how many connections
/// that took.
async fn versions(
    options: impl FnOnce(HttpServer) -> HttpServer,
    tls: impl Fn(TlsConfig) -> TlsConfig,
) -> (String, usize) {
    let (ssl, trusted) = identity();
    let server = options(HttpServer::new(app).ssl_options(ssl));
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    let counted = Counted::before(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let url = format!("https://{}/", counted.address);
    let client = AsyncHttpClient::builder().defaults(HttpRequest::get("").tls(tls(trusted))).build();
    let all = join_all((0..8).map(|_| client.fetch(&*url))).await;
    let mut said: Vec<String> = all.into_iter().map(|response| response.unwrap().text()).collect();
    said.dedup();
    (said.join(","), counted.made.get())
}

#[squall::test(timeout = 60)]
async fn it_is_spoken_where_the_server_chooses_it() {
    assert_eq!(versions(|server| server, |tls| tls).await, ("HTTP/2.0 https".to_owned(), 1));
    let (said, connections) = versions(|server| server.http2(None), |tls| tls).await;
    assert_eq!(said, "HTTP/1.1 https");
    assert!((1..=8).contains(&connections), "{connections}");
}

#[squall::test(timeout = 60)]
async fn a_request_can_do_without() {
    let (ssl, trusted) = identity();
    let app = serve_on(HttpServer::new(app).ssl_options(ssl));
    let url = format!("https://127.0.0.1:{}/", app.port());
    let client = AsyncHttpClient::builder().defaults(HttpRequest::get("").tls(trusted)).build();
    for (on, said) in [(true, "HTTP/2.0 https"), (false, "HTTP/1.1 https"), (true, "HTTP/2.0 https")] {
        let response = client.fetch(HttpRequest::get(&*url).http2(on)).await.unwrap();
        assert_eq!(response.text(), said);
    }
    assert_eq!(client.idle_connections(), 2);
    // The test client knows by itself.
    app.http2().get("/").await.assert_text("HTTP/2.0 https");
}

#[squall::test(timeout = 60)]
async fn a_server_that_wants_a_request_over_http1_gets_it_so() {
    let (ssl, trusted) = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let config = rustls_server(&ssl);
    let server = async {
        let (socket, _) = listener.accept().await.unwrap();
        let stream = config.accept(IoStream::from(socket)).await.unwrap();
        assert_eq!(stream.tls_info().unwrap().alpn_protocol.as_deref(), Some(&b"h2"[..]));
        stream.read_until(b"\r\n\r\nSM\r\n\r\n", None).await.unwrap();
        stream.write(frame(4, 0, 0, b"")).await.unwrap();
        loop {
            let head = stream.read_bytes(9).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            stream.read_bytes(length).await.unwrap();
            if head[3] == HEADERS {
                break;
            }
        }
        // HTTP_1_1_REQUIRED
        stream.write(frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xd])).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let second = config.accept(IoStream::from(socket)).await.unwrap();
        assert_eq!(second.tls_info().unwrap().alpn_protocol.as_deref(), Some(&b"http/1.1"[..]));
        second.read_until(b"\r\n\r\n", None).await.unwrap();
        second.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").await.unwrap();
    };
    let client = AsyncHttpClient::builder().defaults(HttpRequest::get("").tls(trusted)).build();
    let (response, ()) = tokio::join!(client.fetch(&*url), server);
    assert_eq!(response.unwrap().text(), "old");
}

/// One that chooses what is offered first.
fn rustls_server(ssl: &SslOptions) -> TlsAcceptor {
    TlsAcceptor::new(ssl.clone().alpn_protocols(["h2", "http/1.1"])).unwrap()
}
