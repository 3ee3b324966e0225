//! What the HTTP client can be told about TLS, per request.

use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest, Proxy, TlsConfig};
use squall::iostream::IoStream;
use squall::netutil::Address;
use squall::tcpserver::{BoxError, TcpServer};
use squall::testing::{TestServer, bind_unused_port, serve_on};
use squall::tls::CertReqs;
use squall::websocket::{WebSocketRequest, WebSocketStream, websocket, websocket_connect};
use squall::{Application, Context, HttpServer, Message, get};

use super::support::Authority;
use crate::log::Lines;

fn app() -> Application {
    Application::new([
        get("/", async |ctx: &Context| {
            let chain = ctx.request().ssl_certificate();
            ctx.write(chain.first().map_or("nobody", |own| own.subject()));
            Ok(())
        }),
        websocket("/ws", async |_: &Context, socket: &mut WebSocketStream| {
            while let Some(message) = socket.recv().await {
                socket.write_message(message).await?;
            }
            Ok(())
        }),
    ])
}

fn url(server: &TestServer) -> String {
    format!("https://127.0.0.1:{}/", server.port())
}

/// `server_hostname`: the name that counts is not that of the URL.
#[squall::test(timeout = 60)]
async fn a_name_of_one_s_own() {
    let authority = Authority::new();
    let server = serve_on(HttpServer::new(app).ssl_options(authority.certify(&["server.test"]).options()));
    let client = AsyncHttpClient::new();
    let with = |name: Option<&str>| {
        let builder = TlsConfig::builder().ca_certs(authority.pem()).unwrap();
        let builder = match name {
            Some(name) => builder.server_hostname(name).unwrap(),
            None => builder,
        };
        HttpRequest::get(url(&server)).tls(builder.build().unwrap())
    };
    assert_eq!(client.fetch(with(Some("server.test"))).await.unwrap().text(), "nobody");
    for name in [None, Some("other.test")] {
        assert!(matches!(client.fetch(with(name)).await, Err(HttpClientError::Tls(_))), "{name:?}");
    }
    assert!(matches!(TlsConfig::builder().server_hostname("a b"), Err(HttpClientError::Request(_))));
}

/// Without checks, which is said in the log, and still with a certificate of the client's.
#[squall::test(timeout = 60)]
async fn unchecked_with_a_warning() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let options = authority.certify(&["server.test"]).options();
    let options = options.ca_certs_pem(clients.pem()).cert_reqs(CertReqs::Required);
    let server = serve_on(HttpServer::new(app).ssl_options(options));
    let (log, _guard) = Lines::capture();
    let ann = clients.certify(&["ann"]);
    let config = TlsConfig::builder().client_cert(&ann.cert, &ann.key).unwrap().validate_cert(false);
    let request = HttpRequest::get(url(&server)).tls(config.build().unwrap());
    assert_eq!(AsyncHttpClient::new().fetch(request).await.unwrap().text(), "CN=ann");
    assert_eq!(log.count("validate_cert is off"), 1, "{}", log.text());
}

/// A proxy that answers plain requests itself and connects for CONNECT.
async fn proxy(stream: IoStream, _: Address) -> Result<(), BoxError> {
    let head = stream.read_until("\r\n\r\n", Some(4096)).await?;
    let head = String::from_utf8(head.to_vec())?;
    let target = head.split(' ').nth(1).ok_or("no target")?;
    if !head.starts_with("CONNECT ") {
        let text = format!("by proxy: {target}");
        stream.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await?;
        return Ok(());
    }
    let mut server = tokio::net::TcpStream::connect(target).await?;
    stream.write("HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut client = stream;
    // Either side may end it by a cut.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    Ok(())
}

/// TLS with the proxy: for plain requests, and for a tunnel in which there is TLS again.
#[squall::test(timeout = 60)]
async fn proxies_that_speak_tls() {
    let authority = Authority::new();
    let server = serve_on(HttpServer::new(app).ssl_options(authority.certify(&["127.0.0.1"]).options()));
    let (listener, port) = bind_unused_port();
    let tcp = TcpServer::new(proxy);
    tcp.ssl_options(authority.certify(&["localhost"]).options()).unwrap();
    tcp.add_socket(listener);
    let trusting = Proxy::new(&format!("https://localhost:{port}")).unwrap().tls(authority.trusted());
    let client = AsyncHttpClient::new();
    let plain = HttpRequest::get("http://somewhere.test/a").proxy(trusting.clone());
    assert_eq!(client.fetch(plain).await.unwrap().text(), "by proxy: http://somewhere.test/a");
    let secure = || HttpRequest::get(url(&server)).tls(authority.trusted());
    assert_eq!(client.fetch(secure().proxy(trusting.clone())).await.unwrap().text(), "nobody");
    let stranger = Proxy::new(&format!("https://localhost:{port}")).unwrap().tls(Authority::new().trusted());
    for request in [HttpRequest::get("http://somewhere.test/"), secure()] {
        let refused = client.fetch(request.proxy(stranger.clone())).await;
        assert!(matches!(refused, Err(HttpClientError::Tls(_))), "{refused:?}");
    }
    let request = WebSocketRequest::new(format!("{}ws", url(&server).replace("https", "wss")));
    let request = request.tls(authority.trusted()).proxy(trusting);
    let mut socket = websocket_connect(request).await.unwrap();
    socket.write_message("through both").await.unwrap();
    assert_eq!(socket.read_message().await, Some(Message::from("through both")));
}
