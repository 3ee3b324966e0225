//! Servers that lie, stall, garble and vanish: each gives its error, and no connection is used again.

use std::time::{Duration, Instant};

use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest};

use crate::httpclient::script::{Forever, Reset, Server, Stall, Step, Until, answer, send};

fn kind(error: &HttpClientError) -> &'static str {
    match error {
        HttpClientError::Status(_) => "status",
        HttpClientError::Request(_) => "request",
        HttpClientError::Connect(_) => "connect",
        HttpClientError::Timeout(_) => "timeout",
        HttpClientError::Closed(_) => "closed",
        HttpClientError::Redirect(_) => "redirect",
        HttpClientError::Protocol(_) => "protocol",
        HttpClientError::BodyTooLarge => "too large",
        HttpClientError::Decode => "decode",
        _ => "other",
    }
}

#[squall::test(timeout = 60)]
async fn each_lie_has_its_error() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b".as_slice();
    let truncated_gzip =
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 11\r\n\r\n".as_slice(), gzip]
            .concat();
    let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"A: b\r\n".repeat(20_000)].concat();
    let long_line = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &vec![b'x'; 100_000]].concat();
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let many_headers = "A: b\r\nC: d\r\nE: f\r\n".repeat(100).leak();
    let zeros = "0".repeat(8 * 1024).leak();
    let long = "x".repeat(8 * 1024).leak();
    let (soon, slowly) = (Duration::ZERO, Duration::from_millis(5));
    let cases: Vec<(&str, Vec<Step>, &str)> = vec![
        ("closes at once", vec![], "closed"),
        ("closes after the request", vec![Until("\r\n\r\n")], "closed"),
        ("resets", vec![Until("\r\n\r\n"), Reset], "closed"),
        ("closes inside the head", answer("HTTP/1.1 200 OK\r\nContent-Le"), "closed"),
        ("closes inside the body", answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), "closed"),
        (
            "resets inside the body",
            [answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), vec![Reset]].concat(),
            "closed",
        ),
        (
            "closes inside a chunk",
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"),
            "closed",
        ),
        (
            "closes before the last chunk",
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
            "closed",
        ),
        ("garbage", answer("SSH-2.0-OpenSSH_9.2\r\n"), "protocol"),
        ("garbage without an end", [answer("\x16\x03\x01"), vec![Stall]].concat(), "protocol"),
        ("no status", answer("HTTP/1.1 OK\r\n\r\n"), "protocol"),
        (
            "two lengths",
            answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
            "protocol",
        ),
        (
            "length and chunks",
            answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "protocol",
        ),
        ("a negative length", answer("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "protocol"),
        ("a bad chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "protocol"),
        ("an unknown coding", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), "protocol"),
        ("endless headers", answer(endless), "protocol"),
        ("an endless line", answer(long_line), "protocol"),
        ("NUL in a header", answer("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"), "protocol"),
        ("a huge length", answer("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "too large"),
        ("truncated gzip", answer(truncated_gzip), "decode"),
        (
            "no gzip",
            answer("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
            "decode",
        ),
        ("stalls before the head", vec![Until("\r\n\r\n"), Stall], "timeout"),
        ("stalls inside the head", vec![Until("\r\n\r\n"), send("HTTP/1.1 200"), Stall], "timeout"),
        (
            "stalls inside the body",
            [answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), vec![Stall]].concat(),
            "timeout",
        ),
        (
            "redirects in circles",
            answer("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            "status",
        ),
        ("interim for ever", answer("HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)), "protocol"),
        (
            "interim without end",
            vec![Until("\r\n\r\n"), Forever("HTTP/1.1 102 Wait\r\n\r\n", soon)],
            "protocol",
        ),
        (
            "headers without end",
            [answer("HTTP/1.1 200 OK\r\n"), vec![Forever(many_headers, soon)]].concat(),
            "protocol",
        ),
        ("a reason without end", [answer("HTTP/1.1 200 "), vec![Forever(long, soon)]].concat(), "protocol"),
        ("a chunk size without end", [answer(chunked), vec![Forever(zeros, soon)]].concat(), "protocol"),
        (
            "a chunk extension without end",
            [answer(format!("{chunked}1;")), vec![Forever(long, soon)]].concat(),
            "protocol",
        ),
        (
            "a trailer without end",
            [answer(format!("{chunked}0\r\n")), vec![Forever(many_headers, soon)]].concat(),
            "protocol",
        ),
        (
            "a body without end",
            [answer("HTTP/1.1 200 OK\r\n\r\n"), vec![Forever(long, soon)]].concat(),
            "too large",
        ),
        ("chunks without end", [answer(chunked), vec![Forever("400\r\n", soon)]].concat(), "protocol"),
        (
            "a head byte by byte",
            [answer("HTTP/1.1 200 OK\r\nA: "), vec![Forever("x", slowly)]].concat(),
            "timeout",
        ),
        (
            "a body byte by byte",
            [answer("HTTP/1.1 200 OK\r\n\r\n"), vec![Forever("x", slowly)]].concat(),
            "timeout",
        ),
        ("chunks byte by byte", [answer(chunked), vec![Forever("1\r\nx\r\n", slowly)]].concat(), "timeout"),
        ("a body after 204", answer("HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil"), "protocol"),
        ("redirects to nowhere", answer("HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\n\r\n"), "redirect"),
    ];
    for (what, script, expected) in cases {
        let server = Server::playing(script).await;
        let client = AsyncHttpClient::builder().max_body_size(1 << 20).build();
        let limit = if expected == "timeout" { Duration::from_millis(100) } else { Duration::from_secs(30) };
        let began = Instant::now();
        let error = client.fetch(HttpRequest::get(server.url("/")).request_timeout(limit)).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{what}: {error:?}");
        assert!(began.elapsed() < limit + Duration::from_secs(10), "{what}: after {:?}", began.elapsed());
        assert_eq!((client.idle_connections(), client.active_requests()), (0, 0), "{what}");
    }
}

#[squall::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = AsyncHttpClient::new();
    let error = client.fetch(format!("http://{address}/")).await.unwrap_err();
    assert_eq!((kind(&error), error.code()), ("connect", 599));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let error = client.fetch("http://no.such.name.invalid/").await.unwrap_err();
    assert_eq!(kind(&error), "connect");
}

/// Every response is cut at every byte: each prefix gives an error, and none a wrong answer.
#[squall::test]
async fn a_response_cut_anywhere_is_an_error() {
    for whole in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let client = AsyncHttpClient::new();
        let scripts = (0..=whole.len()).map(|end| answer(&whole[..end])).collect();
        let server = Server::start(scripts).await;
        for end in 0..=whole.len() {
            let result = client.fetch(server.url("/")).await;
            match result {
                Ok(response) => assert_eq!((end, response.text()), (whole.len(), "hello".to_owned())),
                Err(error) => assert!(end < whole.len() && kind(&error) == "closed", "{end}: {error:?}"),
            }
        }
    }
}

/// The same, but the server stalls or resets: at whichever byte, it is the time limit or the reset that ends the fetch, and
/// its connection goes to nobody else.
#[squall::test(timeout = 60)]
async fn a_response_that_stops_anywhere_ends_in_time() {
    for whole in [
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        for (last, expected) in [(Stall, "timeout"), (Reset, "closed")] {
            let client = AsyncHttpClient::builder().max_clients(100).build();
            let fetches = (0..whole.len()).map(|end| {
                let (client, last) = (client.clone(), last.clone());
                async move {
                    let server = Server::playing([answer(&whole[..end]), vec![last]].concat()).await;
                    let limit = Duration::from_millis(if expected == "timeout" { 200 } else { 30_000 });
                    let request = HttpRequest::get(server.url("/")).request_timeout(limit);
                    let error = client.fetch(request).await.unwrap_err();
                    assert_eq!(kind(&error), expected, "{:?}: {error:?}", &whole[..end]);
                }
            });
            futures_util::future::join_all(fetches).await;
            assert_eq!((client.idle_connections(), client.active_requests()), (0, 0));
        }
    }
}
