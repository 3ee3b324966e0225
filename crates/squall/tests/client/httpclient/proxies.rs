//! Through proxies, played byte by byte.

use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest, Proxy};

use crate::httpclient::script::{Forever, Server, Until, answer, answers, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[squall::test]
async fn an_http_proxy_gets_the_whole_url() {
    let proxy = Server::playing(answers(OK, 2)).await;
    let client = AsyncHttpClient::builder()
        .proxy(Proxy::new(&proxy.url("")).unwrap().credentials("user", "pw"))
        .build();
    for path in ["/a?b", "/c"] {
        let url = format!("http://server.invalid:81{path}");
        assert_eq!(client.fetch(url).await.unwrap().text(), "ok");
    }
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1, "one connection serves all hosts");
    assert!(
        seen[0].starts_with("GET http://server.invalid:81/a?b HTTP/1.1\r\nHost: server.invalid:81\r\n"),
        "{seen:?}"
    );
    assert_eq!(seen[0].matches("Proxy-Authorization: Basic dXNlcjpwdw==\r\n").count(), 2);

    // Past the proxy.
    let direct = Server::playing(answer(OK)).await;
    client.fetch(HttpRequest::get(direct.url("/")).proxy(None)).await.unwrap();
    assert!(direct.seen()[0].starts_with("GET / HTTP/1.1") && !direct.seen()[0].contains("Proxy-"));
}

#[squall::test]
async fn a_tunnel_hides_the_request() {
    let script = [answer("HTTP/1.1 200 Connection established\r\n\r\n"), answers(OK, 2)].concat();
    let proxy = Server::playing(script).await;
    let through = Proxy::new(&proxy.url("")).unwrap().credentials("user", "pw").tunnel(true);
    let client = AsyncHttpClient::builder().proxy(through).build();
    for _ in 0..2 {
        assert_eq!(client.fetch("http://server.invalid/").await.unwrap().text(), "ok");
    }
    let seen = proxy.seen();
    assert!(seen[0].starts_with(
        "CONNECT server.invalid:80 HTTP/1.1\r\nHost: server.invalid:80\r\nProxy-Authorization: Basic dXNlcjpwdw==\r\n\r\n\
         GET / HTTP/1.1\r\nHost: server.invalid\r\n"
    ));
    assert_eq!((seen.len(), seen[0].matches("Proxy-Authorization").count()), (1, 1));

    let refusing =
        Server::playing(answer("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"))
            .await;
    let request = HttpRequest::get("http://server.invalid/");
    let error = AsyncHttpClient::new()
        .fetch(request.proxy(Proxy::new(&refusing.url("")).unwrap().tunnel(true)))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpClientError::Proxy(_)));
    assert!(error.to_string().contains("HTTP 407"), "{error}");
}

#[squall::test]
async fn socks5() {
    let request = || HttpRequest::get("http://server.invalid:81/x");
    let through = |server: &Server| Proxy::new(&server.url("").replace("http", "socks5")).unwrap();

    let open = vec![
        Until("\x05\x01\x00"),
        send(b"\x05\x00"),
        Until("\x05\x01\x00\x03\x0eserver.invalid\x00\x51"),
        send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"),
        Until("\r\n\r\n"),
        send(OK),
    ];
    let server = Server::playing(open).await;
    let response = AsyncHttpClient::new().fetch(request().proxy(through(&server))).await.unwrap();
    assert_eq!(response.text(), "ok");
    assert!(
        server.seen()[0].ends_with("\r\n\r\n")
            && server.seen()[0].contains("GET /x HTTP/1.1\r\nHost: server.invalid:81")
    );

    let login = vec![
        Until("\x05\x02\x00\x02"),
        send(b"\x05\x02"),
        Until("\x01\x04user\x02pw"),
        send(b"\x01\x00"),
        Until("\x51"),
        send(b"\x05\x00\x00\x03\x01h\x00\x50"),
        Until("\r\n\r\n"),
        send(OK),
    ];
    let server = Server::playing(login).await;
    let proxy = through(&server).credentials("user", "pw");
    assert_eq!(AsyncHttpClient::new().fetch(request().proxy(proxy)).await.unwrap().text(), "ok");

    for (script, said) in [
        (vec![Until("\x05\x01\x00"), send(b"\x05\xff")], "wants an authentication"),
        (vec![Until("\x05\x01\x00"), send(b"HTTP/1.1 400")], "does not speak SOCKS5"),
        (
            vec![Until("\x05\x01\x00"), send(b"\x05\x00"), Until("\x51"), send(b"\x05\x05\x00\x01")],
            "connection was refused",
        ),
        (
            vec![Until("\x05\x01\x00"), send(b"\x05\x00"), Until("\x51"), send(b"\x05\x00\x00\x09")],
            "does not speak SOCKS5",
        ),
    ] {
        let server = Server::playing(script).await;
        let error = AsyncHttpClient::new().fetch(request().proxy(through(&server))).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// A proxy that says nothing but "soon" is not waited for; one that says it a few times is.
#[squall::test(timeout = 60)]
async fn interim_responses_of_a_proxy() {
    let established = "HTTP/1.1 200 Connection established\r\n\r\n";
    let soon = "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n";
    let request = || HttpRequest::get("http://server.invalid/").request_timeout(None).connect_timeout(None);
    let script = [answer(format!("{}{established}", soon.repeat(10))), answer(OK)].concat();
    let proxy = Server::playing(script).await;
    let through = |proxy: &Server| Proxy::new(&proxy.url("")).unwrap().tunnel(true);
    let response = AsyncHttpClient::new().fetch(request().proxy(through(&proxy))).await.unwrap();
    assert_eq!(response.text(), "ok");

    let endless = vec![Until("\r\n\r\n"), Forever(soon, Duration::ZERO)];
    let proxy = Server::playing(endless).await;
    let error = AsyncHttpClient::new().fetch(request().proxy(through(&proxy))).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Protocol(_)), "{error:?}");

    // Another protocol is no tunnel.
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let proxy = Server::playing([answer(upgraded), answer(OK)].concat()).await;
    let error = AsyncHttpClient::new().fetch(request().proxy(through(&proxy))).await.unwrap_err();
    assert!(error.to_string().contains("HTTP 101"), "{error}");
}
