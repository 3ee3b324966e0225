//! HTTPS servers, as clients see them.

use std::sync::Arc;
use std::time::Duration;

use squall::httpclient::{HttpClientError, HttpRequest, TlsConfig};
use squall::httputil::HttpServerRequest;
use squall::iostream::IoStream;
use squall::netutil::Address;
use squall::tcpserver::TcpServer;
use squall::testing::{TestServer, serve_on};
use squall::tls::{AltName, CertReqs, SslOptions};
use squall::web::{Hsts, UrlSpec, any};
use squall::websocket::{WebSocketRequest, websocket_connect};
use squall::{
    Application, Context, HttpServer, Message, Result, WebSocket, WebSocketHandler, get, handler, post, ws,
};

use super::support::{Authority, ask, client_with, connect, plain};

fn routes() -> Vec<UrlSpec> {
    vec![
        get("/", async |ctx: &Context| {
            ctx.write(ctx.request().protocol());
            Ok(())
        }),
        post("/length", async |ctx: &Context| {
            ctx.write(ctx.request().body().len().to_string());
            Ok(())
        }),
        get("/url", async |ctx: &Context| {
            ctx.write(ctx.request().full_url());
            Ok(())
        }),
        get("/who", async |ctx: &Context| {
            let chain = ctx.request().ssl_certificate();
            let names: Vec<String> =
                chain.iter().map(|c| format!("{} by {}", c.subject(), c.issuer())).collect();
            ctx.write(names.join("\n"));
            Ok(())
        }),
        get("/large", async |ctx: &Context| {
            ctx.write(vec![b'x'; 5_000_000]);
            Ok(())
        }),
    ]
}

fn serve_https(options: SslOptions) -> TestServer {
    serve_on(HttpServer::new(|| Application::new(routes())).ssl_options(options))
}

fn url(server: &TestServer, path: &str) -> String {
    format!("https://server.test:{}{path}", server.port())
}

/// Tornado's SSLTestMixin: test_ssl, test_large_post.
#[squall::test(timeout = 60)]
async fn requests_come_by_https() {
    let authority = Authority::new();
    let server = serve_https(authority.certify(&["server.test"]).options());
    let client = authority.client();
    assert_eq!(client.fetch(url(&server, "/")).await.unwrap().text(), "https");
    assert_eq!(client.fetch(url(&server, "/url")).await.unwrap().text(), url(&server, "/url"));
    for length in [0, 1, 5_000, 1_000_000] {
        let request = HttpRequest::post(url(&server, "/length")).body(vec![b'A'; length]);
        assert_eq!(client.fetch(request).await.unwrap().text(), length.to_string());
    }
    assert_eq!(client.fetch(url(&server, "/large")).await.unwrap().body().len(), 5_000_000);
    assert_eq!(client.idle_connections(), 1, "all over one connection");
}

/// A pipelined batch, a body in pieces, and a request that is sent byte by byte.
#[squall::test(timeout = 60)]
async fn requests_in_any_pieces() {
    let authority = Authority::new();
    let server = serve_https(authority.certify(&["server.test"]).options());
    let config = Arc::new(authority.config());
    let stream = connect(&config, server.port()).await.unwrap();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
        stream.write([*byte]).await.unwrap();
    }
    let answer = stream.read_until("https", Some(4096)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    stream.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
    for _ in 0..100 {
        stream.read_until("\r\n\r\nhttps", Some(4096)).await.unwrap();
    }
}

/// `protocol` of the server, and `xheaders` of a proxy behind TLS (SSLXHeaderTest, ManualProtocolTest).
#[squall::test(timeout = 60)]
async fn the_scheme_of_a_request() {
    let authority = Authority::new();
    let options = || authority.certify(&["server.test"]).options();
    let make = || Application::new(routes());
    let xheaders = serve_on(HttpServer::new(make).ssl_options(options()).xheaders(true));
    let manual = serve_on(HttpServer::new(make).ssl_options(options()).protocol("http"));
    let client = authority.client();
    for (server, header, expected) in [
        (&xheaders, None, "https"),
        (&xheaders, Some(("X-Scheme", "http")), "http"),
        (&xheaders, Some(("X-Scheme", "bad")), "https"),
        (&xheaders, Some(("X-Forwarded-Proto", "http")), "http"),
        (&manual, None, "http"),
    ] {
        let mut request = HttpRequest::get(url(server, "/"));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        assert_eq!(client.fetch(request).await.unwrap().text(), expected, "{header:?}");
    }
}

/// Tornado's test_non_ssl_request closes; here the client is told.
#[squall::test(timeout = 60)]
async fn clear_text_is_answered_in_clear_text() {
    let authority = Authority::new();
    let server = serve_https(authority.certify(&["server.test"]).options());
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\n", "G", &"X".repeat(20_000)] {
        let stream = plain(server.port()).await;
        stream.write(request).await.unwrap();
        let answer = stream.read_until_close().await.unwrap();
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && body.contains("HTTPS"), "{answer}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    }
    assert_eq!(authority.client().fetch(url(&server, "/")).await.unwrap().text(), "https");
}

#[squall::test(timeout = 60)]
async fn client_certificates() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let own = authority.certify(&["server.test"]);
    let (good, stranger) = (clients.certify(&["ann"]), Authority::new().certify(&["mallory"]));
    let config = |identity: Option<&super::support::Identity>| {
        let builder = TlsConfig::builder().ca_certs(authority.pem()).unwrap();
        match identity {
            Some(identity) => builder.client_cert(&identity.cert, &identity.key).unwrap(),
            None => builder,
        }
        .build()
        .unwrap()
    };
    for (required, identity, expected) in [
        (CertReqs::None, None, Some("")),
        (CertReqs::None, Some(&good), Some("")),
        (CertReqs::Optional, None, Some("")),
        (CertReqs::Optional, Some(&good), Some("CN=ann by CN=squall's test authority")),
        (CertReqs::Optional, Some(&stranger), None),
        (CertReqs::Required, None, None),
        (CertReqs::Required, Some(&good), Some("CN=ann by CN=squall's test authority")),
        (CertReqs::Required, Some(&stranger), None),
    ] {
        let mut options = own.options().cert_reqs(required);
        if required != CertReqs::None {
            options = options.ca_certs_pem(clients.pem());
        }
        let server = serve_https(options);
        let client = client_with(config(identity));
        // Twice anew: the second takes up the session of the first.
        for _ in 0..2 {
            let answer =
                client.fetch(HttpRequest::get(url(&server, "/who")).header("Connection", "close")).await;
            match (&answer, expected) {
                (Ok(answer), Some(expected)) => assert_eq!(answer.text(), expected, "{required:?}"),
                (Err(_), None) => {}
                _ => panic!("{required:?} {expected:?}: {answer:?}"),
            }
        }
    }
}

#[squall::test(timeout = 60)]
async fn what_a_client_s_certificate_says() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let identity = clients.certify_with(&["ann.test"], |params| {
        params.subject_alt_names.push(super::support::ip_name("10.0.0.1"));
        params.subject_alt_names.push(super::support::ip_name("2001:db8::1"));
        params.subject_alt_names.push(rcgen::SanType::URI("spiffe://a/b".try_into().unwrap()));
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("ann@a.test".try_into().unwrap()));
    });
    let options = authority.certify(&["server.test"]).options();
    let options = options.ca_certs_pem(clients.pem()).cert_reqs(CertReqs::Required);
    let make = || {
        Application::new([get("/", async |ctx: &Context| {
            let info = ctx.request().tls_info().unwrap();
            let [own] = &ctx.request().ssl_certificate()[..] else { panic!("one certificate was sent") };
            assert_eq!(own.der(), &info.peer_certificates[0][..]);
            assert!(own.not_before() < own.not_after() && !own.serial_number().is_empty());
            let expected = [
                AltName::Dns("ann.test".to_owned()),
                AltName::Ip("10.0.0.1".parse()?),
                AltName::Ip("2001:db8::1".parse()?),
                AltName::Uri("spiffe://a/b".to_owned()),
                AltName::Email("ann@a.test".to_owned()),
            ];
            assert_eq!(own.alt_names(), expected);
            ctx.write(own.subject());
            Ok(())
        })])
    };
    let server = serve_on(HttpServer::new(make).ssl_options(options));
    let config = Arc::new(authority.config_with(rustls::ALL_VERSIONS, Some(&identity)));
    let stream = connect(&config, server.port()).await.unwrap();
    assert_eq!(ask(&stream, "/").await.unwrap(), "CN=ann.test");
}

#[squall::test(timeout = 60)]
async fn https_redirect_and_hsts() {
    let hsts = || Hsts::new(Duration::from_secs(86_400)).include_subdomains(true);
    let make = move || {
        let everything = any("/.*", async |ctx: &Context| {
            ctx.write("secret");
            Ok(())
        });
        Application::new([everything]).hsts(hsts()).https_redirect(8443).before(async |ctx: &Context| {
            assert_eq!(ctx.request().protocol(), "https", "a hook saw the request first");
            Ok(())
        })
    };
    let clear = serve_on(HttpServer::new(make).xheaders(true));
    for (method, target, host, status, location) in [
        ("GET", "/a/b?c=d&e", "a.test:8080", 301, "https://a.test:8443/a/b?c=d&e"),
        ("HEAD", "/", "a.test", 301, "https://a.test:8443/"),
        ("POST", "/form", "a.test", 308, "https://a.test:8443/form"),
        ("GET", "//evil.test/", "a.test", 301, "https://a.test:8443//evil.test/"),
        ("GET", "/%0d%0aX:y", "[::1]:80", 301, "https://[::1]:8443/%0d%0aX:y"),
    ] {
        let answer = clear.request(method, target).header("Host", host).await;
        assert_eq!(
            (answer.status(), answer.header("Location")),
            (status, Some(location)),
            "{method} {target}"
        );
        assert_eq!(answer.header("Strict-Transport-Security"), None);
    }
    let answer = clear.get("/").header("X-Scheme", "https").await;
    answer.assert_status(200).assert_text("secret");
    answer.assert_header("Strict-Transport-Security", "max-age=86400; includeSubDomains");

    let authority = Authority::new();
    let secure = serve_on(HttpServer::new(make).ssl_options(authority.certify(&["server.test"]).options()));
    let answer = authority.client().fetch(url(&secure, "/")).await.unwrap();
    let sent = answer.headers().get("Strict-Transport-Security");
    assert_eq!(sent, Some("max-age=86400; includeSubDomains"));
}

/// Documented deviation from Tornado, which leaves `Secure` to its users.
#[squall::test(timeout = 60)]
async fn cookies_are_secure_by_https() {
    let make = || {
        let cookies = get("/", async |ctx: &Context| {
            ctx.set_signed_cookie("signed", "value")?;
            let cookie = squall::httputil::Cookie::new("lax", "").secure(false);
            ctx.set_signed_cookie_with(cookie, "value")?;
            ctx.set_cookie("plain", "value")?;
            ctx.xsrf_token()?;
            Ok(())
        });
        Application::new([cookies]).cookie_secret("a secret for the test's cookies").xsrf_cookies(true)
    };
    let server = serve_on(HttpServer::new(make).xheaders(true));
    for (scheme, expected) in [("http", [false; 4]), ("https", [true, false, false, true])] {
        let answer = server.get("/").header("X-Scheme", scheme).await;
        answer.assert_status(200);
        for (name, expected) in ["signed", "lax", "plain", "_xsrf"].into_iter().zip(expected) {
            let cookie = answer.headers().get_all("Set-Cookie").iter().map(|cookie| cookie.to_str().unwrap());
            let cookie = cookie.into_iter().find(|cookie| cookie.starts_with(&format!("{name}="))).unwrap();
            assert_eq!(cookie.contains("; Secure"), expected, "{scheme}: {cookie}");
        }
    }
}

#[derive(Clone)]
struct Echo;

#[handler]
impl WebSocketHandler for Echo {
    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        ws.write_message(message).await?;
        Ok(())
    }
}

#[squall::test(timeout = 60)]
async fn websockets() {
    let authority = Authority::new();
    let options = authority.certify(&["localhost"]).options();
    let server = serve_on(HttpServer::new(|| Application::new([ws("/", Echo)])).ssl_options(options));
    let request =
        WebSocketRequest::new(format!("wss://localhost:{}/", server.port())).tls(authority.trusted());
    let mut client = websocket_connect(request).await.unwrap();
    for size in [0, 5, 125, 70_000, 1_000_000] {
        client.write_message("x".repeat(size)).await.unwrap();
        assert_eq!(client.read_message().await, Some("x".repeat(size).into()));
    }
}

/// A bare function on each request, and a bare server of streams.
#[squall::test(timeout = 60)]
async fn callbacks_and_tcp_servers() {
    let authority = Authority::new();
    let options = authority.certify(&["server.test"]).options();
    let callback = |request: HttpServerRequest| {
        let text = request.protocol();
        let _ = request.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        let _ = request.finish();
    };
    let server = serve_on(HttpServer::with_callback(callback).ssl_options(options.clone()));
    assert_eq!(authority.client().fetch(url(&server, "/")).await.unwrap().text(), "https");

    let (listener, port) = squall::testing::bind_unused_port();
    let server = TcpServer::new(async |stream: IoStream, _: Address| -> std::io::Result<()> {
        stream.wait_for_handshake().await?;
        let line = stream.read_until("\n", None).await?;
        assert_eq!(stream.tls_info().unwrap().alpn_protocol, None);
        stream.write(line).await?;
        Ok(())
    });
    server.ssl_options(options).unwrap();
    server.add_socket(listener);
    let stream = connect(&Arc::new(authority.config()), port).await.unwrap();
    stream.write("a line\n");
    assert_eq!(stream.read_until_close().await.unwrap(), "a line\n");
    // Not HTTP: there is nothing to say in clear text.
    let clear = plain(port).await;
    clear.write("GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(clear.read_until_close().await.unwrap(), "");
}

/// A body without a length ends with the connection, and only if that was meant.
#[squall::test(timeout = 60)]
async fn a_response_that_breaks_off_does_not_look_complete() {
    let authority = Authority::new();
    let callback = |request: HttpServerRequest| {
        let _ = request.write("HTTP/1.0 200 OK\r\n\r\nhalf");
        squall::IoLoop::current().spawn(async move {
            let _ = request.connection().flush().await;
            if request.path() == "/end" { drop(request.finish()) } else { request.connection().abort() }
        });
    };
    let options = authority.certify(&["server.test"]).options();
    let server = serve_on(HttpServer::with_callback(callback).no_keep_alive(true).ssl_options(options));
    let client = authority.client();
    assert_eq!(client.fetch(url(&server, "/end")).await.unwrap().text(), "half");
    let cut = client.fetch(url(&server, "/cut")).await;
    assert!(matches!(cut, Err(HttpClientError::Closed(_))), "{cut:?}");
}
