//! The client against servers and proxies that others wrote; scripts/ci-client.sh starts them and says where they are.

use std::time::{Duration, SystemTime};

use squall::httpclient::{AsyncHttpClient, BodyWriter, HttpClientError, HttpRequest, Proxy};
use squall::iostream::StreamError;

const USER: &str = "Ann";
const PASSWORD: &str = "open: sesame";

/// Where a server is; `None`, said aloud, where there is none.
fn server(name: &str) -> Option<String> {
    let found = std::env::var(name).ok();
    if found.is_none() {
        eprintln!("SKIPPED: {name} is not set");
    }
    found
}

async fn status(client: &AsyncHttpClient, request: HttpRequest) -> u16 {
    client.fetch(request).await.map_or_else(|error| error.code(), |response| response.status())
}

#[squall::test]
#[ignore = "needs nginx: scripts/ci-client.sh"]
async fn nginx_files() {
    let Some(nginx) = server("SQUALL_NGINX") else { return };
    let client = AsyncHttpClient::new();
    let fetch = async |request: HttpRequest| client.fetch(request.raise_error(false)).await.unwrap();
    // Every fifth response is the last of its connection.
    for _ in 0..12 {
        assert_eq!(fetch(HttpRequest::get(format!("{nginx}/small.txt"))).await.text(), "small\n");
    }
    assert_eq!(client.idle_connections(), 1);
    // And a connection that is idle for 300 ms is closed; a request may come at that moment too.
    for wait in [290, 300, 310, 600] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert_eq!(fetch(HttpRequest::get(format!("{nginx}/small.txt"))).await.status(), 200, "{wait}");
    }

    let large = fetch(HttpRequest::get(format!("{nginx}/large.bin"))).await;
    assert_eq!(large.body().len(), 5_000_000);
    assert!(large.body().iter().all(|byte| *byte == b'x'));
    let mut pieces = client.fetch_stream(format!("{nginx}/large.bin")).await.unwrap();
    let mut length = 0;
    while let Some(piece) = pieces.chunk().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, 5_000_000);

    let head = fetch(HttpRequest::head(format!("{nginx}/large.bin"))).await;
    assert_eq!((head.headers().get("Content-Length"), head.body().len()), (Some("5000000"), 0));
    let part = fetch(HttpRequest::get(format!("{nginx}/large.bin")).header("Range", "bytes=10-19")).await;
    assert_eq!((part.status(), part.body().len()), (206, 10));
    let same =
        fetch(HttpRequest::get(format!("{nginx}/small.txt")).if_modified_since(SystemTime::now())).await;
    assert_eq!((same.status(), same.body().len()), (304, 0));
    let moved = fetch(HttpRequest::get(format!("{nginx}/moved/"))).await;
    assert_eq!((moved.text(), moved.effective_url()), ("small\n".to_owned(), &*format!("{nginx}/small.txt")));
    assert_eq!(fetch(HttpRequest::get(format!("{nginx}/missing"))).await.status(), 404);

    let zipped = fetch(HttpRequest::get(format!("{nginx}/gz/page.html"))).await;
    assert_eq!((zipped.body().len(), zipped.headers().get("Content-Encoding")), (100_000, None));
    let raw = HttpRequest::get(format!("{nginx}/gz/page.html")).header("Accept-Encoding", "gzip");
    let raw = fetch(raw.decompress_response(false)).await;
    assert!(raw.body().starts_with(b"\x1f\x8b") && raw.body().len() < 10_000);
}

#[squall::test]
#[ignore = "needs nginx: scripts/ci-client.sh"]
async fn nginx_refuses_and_stalls() {
    let Some(nginx) = server("SQUALL_NGINX") else { return };
    let client = AsyncHttpClient::new();
    let inside = format!("{nginx}/basic/in.txt");
    assert_eq!(status(&client, HttpRequest::get(&inside)).await, 401);
    assert_eq!(status(&client, HttpRequest::get(&inside).basic_auth(USER, "wrong")).await, 401);
    assert_eq!(status(&client, HttpRequest::get(&inside).basic_auth(USER, PASSWORD)).await, 200);
    let in_url = inside.replace("http://", "http://Ann:open%3A%20sesame@");
    assert_eq!(status(&client, HttpRequest::get(in_url)).await, 200);

    // Answered before the body is read, and closed.
    for length in [2_000, 10_000_000] {
        let post = HttpRequest::post(format!("{nginx}/small.txt")).body(vec![b'z'; length]);
        assert_eq!(status(&client, post).await, 413, "{length}");
    }
    let slow = HttpRequest::get(format!("{nginx}/slow/")).request_timeout(Duration::from_millis(500));
    let error = client.fetch(slow).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let large = HttpRequest::get(format!("{nginx}/large.bin")).max_body_size(1_000_000);
    assert!(matches!(client.fetch(large).await, Err(HttpClientError::BodyTooLarge)));
}

#[squall::test]
#[ignore = "needs nginx: scripts/ci-client.sh"]
async fn nginx_many_at_once() {
    let Some(nginx) = server("SQUALL_NGINX") else { return };
    let client = AsyncHttpClient::builder().max_clients(32).build();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let (client, nginx) = (client.clone(), nginx.clone());
            tokio::task::spawn_local(async move {
                let range = format!("bytes={n}-{}", 2 * n);
                let request = HttpRequest::get(format!("{nginx}/large.bin")).header("Range", range);
                assert_eq!(client.fetch(request).await.unwrap().body().len(), n + 1);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[squall::test]
#[ignore = "needs Apache: scripts/ci-client.sh"]
async fn apache_digest() {
    let Some(apache) = server("SQUALL_APACHE") else { return };
    let client = AsyncHttpClient::new();
    let page = format!("{apache}/small.txt?a=b");
    assert_eq!(status(&client, HttpRequest::get(&page)).await, 401);
    assert_eq!(status(&client, HttpRequest::get(&page).digest_auth(USER, "wrong")).await, 401);
    assert_eq!(status(&client, HttpRequest::get(&page).basic_auth(USER, PASSWORD)).await, 401);
    for _ in 0..3 {
        let response = client.fetch(HttpRequest::get(&page).digest_auth(USER, PASSWORD)).await.unwrap();
        assert_eq!(response.text(), "small\n");
    }
}

#[squall::test]
#[ignore = "needs Tornado: scripts/ci-client.sh"]
async fn tornado_bodies() {
    let Some(tornado) = server("SQUALL_TORNADO") else { return };
    let client = AsyncHttpClient::new();
    let echo = format!("{tornado}/echo");
    for method in ["POST", "PUT", "PATCH"] {
        let response = client.fetch(HttpRequest::new(method, &echo).body("the body")).await.unwrap();
        assert_eq!((response.text(), response.headers().get("X-Method")), ("the body".into(), Some(method)));
    }
    let response = client.fetch(HttpRequest::delete(&echo)).await.unwrap();
    assert_eq!((response.headers().get("X-Method"), response.body().len()), (Some("DELETE"), 0));
    let response = client.fetch(HttpRequest::post(&echo).json(&[1, 2])).await.unwrap();
    assert_eq!(response.json::<Vec<u32>>().unwrap(), [1, 2]);
    for expect in [false, true] {
        let large = HttpRequest::post(&echo).expect_100_continue(expect).body(vec![b'z'; 3_000_000]);
        assert_eq!(client.fetch(large).await.unwrap().body().len(), 3_000_000);
        let pieces = async |writer: BodyWriter| {
            for _ in 0..100 {
                writer.write([b'y'; 1000]).await?;
            }
            Ok::<(), StreamError>(())
        };
        let chunked = HttpRequest::post(&echo).expect_100_continue(expect).body_producer(pieces);
        assert_eq!(client.fetch(chunked).await.unwrap().body().len(), 100_000);
    }
    assert_eq!(client.fetch(format!("{tornado}/drip")).await.unwrap().text(), "0\n1\n2\n3\n4\n");
    assert_eq!(client.idle_connections(), 1);
}

#[squall::test]
#[ignore = "needs Tornado: scripts/ci-client.sh"]
async fn tornado_users() {
    let Some(tornado) = server("SQUALL_TORNADO") else { return };
    let client = AsyncHttpClient::new();
    let basic = format!("{tornado}/basic");
    assert_eq!(status(&client, HttpRequest::get(&basic).basic_auth(USER, "wrong")).await, 401);
    assert_eq!(status(&client, HttpRequest::get(&basic).basic_auth(USER, PASSWORD)).await, 200);
    for algorithm in ["md5", "sha256"] {
        let digest = format!("{tornado}/digest/{algorithm}?a=b,c");
        assert_eq!(status(&client, HttpRequest::get(&digest)).await, 401);
        assert_eq!(status(&client, HttpRequest::get(&digest).digest_auth(USER, "wrong")).await, 401);
        assert_eq!(status(&client, HttpRequest::get(&digest).digest_auth("Bob", PASSWORD)).await, 401);
        // A nonce is good for two requests there.
        for n in 0..5 {
            let get = HttpRequest::get(&digest).digest_auth(USER, PASSWORD);
            assert_eq!(status(&client, get).await, 200, "{algorithm}, {n}");
            let post = HttpRequest::post(&digest).body("x=y").digest_auth(USER, PASSWORD);
            assert_eq!(status(&client, post).await, 200, "{algorithm}, {n}");
        }
    }
}

#[squall::test]
#[ignore = "needs Tornado: scripts/ci-client.sh"]
async fn tornado_fails() {
    let Some(tornado) = server("SQUALL_TORNADO") else { return };
    let client = AsyncHttpClient::new();
    let slow = HttpRequest::get(format!("{tornado}/slow")).request_timeout(Duration::from_millis(200));
    let error = client.fetch(slow).await.unwrap_err();
    assert!(error.is_timeout() && error.code() == 599, "{error}");
    let error = client.fetch(format!("{tornado}/broken")).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Closed(_)), "{error:?}");
    let error = client.fetch(format!("{tornado}/around/0")).await.unwrap_err();
    assert_eq!(error.code(), 302);
    assert!(error.response().unwrap().effective_url().ends_with("/around/5"), "{error:?}");
    assert_eq!(client.fetch(format!("{tornado}/echo")).await.unwrap().status(), 200);
}

#[squall::test]
#[ignore = "needs squid and nginx: scripts/ci-client.sh"]
async fn through_a_caching_proxy() {
    let (Some(proxy), Some(nginx)) = (server("SQUALL_PROXY"), server("SQUALL_NGINX")) else { return };
    let client = AsyncHttpClient::builder().proxy(Proxy::new(&proxy).unwrap()).build();
    let small = format!("{nginx}/small.txt?{}", std::process::id());
    for (n, cache) in ["MISS", "HIT", "HIT"].into_iter().enumerate() {
        let response = client.fetch(small.as_str()).await.unwrap();
        let said = response.headers().get("X-Cache").unwrap_or_default();
        assert!(said.starts_with(cache), "{n}: {said}");
        assert_eq!((response.text(), response.effective_url()), ("small\n".to_owned(), small.as_str()));
    }
    assert_eq!(client.fetch(format!("{nginx}/large.bin")).await.unwrap().body().len(), 5_000_000);
    let post = HttpRequest::post(format!("{nginx}/small.txt")).body(vec![b'z'; 100_000]);
    assert_eq!(status(&client, post).await, 413);
    // The proxy says that nobody listens there.
    assert_eq!(status(&client, HttpRequest::get("http://127.0.0.1:1/")).await, 503);

    let tunnel = AsyncHttpClient::builder().proxy(Proxy::new(&proxy).unwrap().tunnel(true)).build();
    for _ in 0..7 {
        let response = tunnel.fetch(small.as_str()).await.unwrap();
        assert_eq!((response.text(), response.headers().get("X-Cache")), ("small\n".to_owned(), None));
    }
    let error = tunnel.fetch("http://127.0.0.1:1/").await.unwrap_err();
    assert!(matches!(error, HttpClientError::Proxy(_)), "{error:?}");
}

#[squall::test]
#[ignore = "needs squid and nginx: scripts/ci-client.sh"]
async fn through_a_proxy_that_wants_credentials() {
    let (Some(proxy), Some(nginx)) = (server("SQUALL_PROXY_AUTH"), server("SQUALL_NGINX")) else { return };
    let small = format!("{nginx}/small.txt");
    let basic = format!("{nginx}/basic/in.txt");
    for tunnel in [false, true] {
        let through = |password: Option<&str>| {
            let proxy = Proxy::new(&proxy).unwrap().tunnel(tunnel);
            let proxy = match password {
                Some(password) => proxy.credentials(USER, password),
                None => proxy,
            };
            AsyncHttpClient::builder().proxy(proxy).build()
        };
        for refused in [None, Some("wrong")] {
            let error = through(refused).fetch(small.as_str()).await.unwrap_err();
            assert_eq!(error.code(), if tunnel { 599 } else { 407 }, "{error:?}");
        }
        let client = through(Some(PASSWORD));
        assert_eq!(client.fetch(small.as_str()).await.unwrap().text(), "small\n");
        // Those for the server are others than those for the proxy.
        assert_eq!(status(&client, HttpRequest::get(&basic)).await, 401);
        assert_eq!(status(&client, HttpRequest::get(&basic).basic_auth(USER, PASSWORD)).await, 200);
    }
}

#[squall::test]
#[ignore = "needs microsocks and nginx: scripts/ci-client.sh"]
async fn through_socks() {
    let Some(nginx) = server("SQUALL_NGINX") else { return };
    let (Some(open), Some(closed)) = (server("SQUALL_SOCKS"), server("SQUALL_SOCKS_AUTH")) else { return };
    let through = |proxy: Proxy| AsyncHttpClient::builder().proxy(proxy).build();
    let small = format!("{nginx}/small.txt");
    let named = small.replace("127.0.0.1", "localhost");
    let client = through(Proxy::new(&open).unwrap());
    for url in [&small, &named, &small] {
        assert_eq!(client.fetch(url.as_str()).await.unwrap().text(), "small\n");
    }
    assert_eq!(client.fetch(format!("{nginx}/large.bin")).await.unwrap().body().len(), 5_000_000);
    let error = client.fetch("http://127.0.0.1:1/").await.unwrap_err();
    assert!(matches!(error, HttpClientError::Proxy(_)), "{error:?}");

    let known = through(Proxy::new(&closed).unwrap().credentials(USER, PASSWORD));
    assert_eq!(known.fetch(small.as_str()).await.unwrap().text(), "small\n");
    for proxy in [Proxy::new(&closed).unwrap(), Proxy::new(&closed).unwrap().credentials(USER, "wrong")] {
        let error = through(proxy).fetch(small.as_str()).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Proxy(_)), "{error:?}");
    }
}

/// `NAME=URL` of servers that speak HTTP/2, by ALPN or in clear text.
#[cfg(all(feature = "http2", feature = "tls"))]
#[squall::test(timeout = 300)]
#[ignore = "needs nghttpd, nginx or hypercorn: scripts/ci-http2.sh"]
async fn http2_files() {
    let Some(servers) = server("SQUALL_HTTP2") else { return };
    for (name, url) in servers.split_whitespace().filter_map(|server| server.split_once('=')) {
        println!("{name} at {url}");
        let defaults = HttpRequest::get("").validate_cert(false).raise_error(false);
        let client = AsyncHttpClient::builder().defaults(defaults);
        let client = client.http2_prior_knowledge(true).max_clients(32).build();
        let fetch = async |request: HttpRequest| client.fetch(request).await.unwrap();
        for _ in 0..12 {
            let small = fetch(HttpRequest::get(format!("{url}/small.txt"))).await;
            assert_eq!(
                (small.text().as_str(), format!("{:?}", small.version()).as_str()),
                ("small\n", "HTTP/2.0")
            );
        }
        assert_eq!(client.idle_connections(), 1);
        let head = fetch(HttpRequest::head(format!("{url}/small.txt"))).await;
        assert_eq!((head.status(), head.body().len()), (200, 0));
        assert_eq!(fetch(HttpRequest::get(format!("{url}/missing"))).await.status(), 404);
        let many = (0..200).map(|n| {
            let path = if n % 20 == 0 { "large.bin" } else { "small.txt" };
            let request = HttpRequest::get(format!("{url}/{path}"));
            let client = &client;
            async move { client.fetch(request).await.unwrap().body().len() }
        });
        let lengths = futures_util::future::join_all(many).await;
        assert_eq!(lengths.iter().sum::<usize>(), 10 * 5_000_000 + 190 * 6);
        // One that is left in the middle disturbs nobody.
        let mut large = client.fetch_stream(format!("{url}/large.bin")).await.unwrap();
        assert!(large.chunk().await.unwrap().is_some());
        drop(large);
        assert_eq!(fetch(HttpRequest::get(format!("{url}/small.txt"))).await.text(), "small\n");
        if name == "hypercorn" {
            let body = vec![b'z'; 3_000_000];
            let echo = fetch(HttpRequest::post(format!("{url}/echo")).body(body.clone())).await;
            assert!(echo.body()[..] == body[..]);
        }
    }
}

/// RFC 8441 with a server of others.
#[cfg(all(feature = "http2", feature = "tls", feature = "websocket"))]
#[squall::test(timeout = 60)]
#[ignore = "needs hypercorn: scripts/ci-http2.sh"]
async fn http2_websockets() {
    use squall::websocket::{CompressionOptions, Message, WebSocketRequest, websocket_connect};

    let Some(servers) = server("SQUALL_HTTP2") else { return };
    for (name, url) in servers.split_whitespace().filter_map(|server| server.split_once('=')) {
        if name != "hypercorn" {
            continue;
        }
        let request = WebSocketRequest::new(url.replacen("http", "ws", 1))
            .validate_cert(false)
            .http2(true)
            .http2_prior_knowledge(true)
            .compression(CompressionOptions::new());
        let mut connection = websocket_connect(request).await.unwrap();
        assert_eq!(connection.headers().get("X-Version"), Some("2"), "{url}");
        for size in [0, 1, 1_000, 100_000, 1_000_000] {
            let text = "squall ".repeat(size / 7 + 1)[..size].to_owned();
            connection.write_message(text.as_str()).await.unwrap();
            assert_eq!(connection.read_message().await, Some(Message::from(text)), "{size}");
        }
        connection.close(1000, "done");
        assert_eq!(connection.read_message().await, None);
        assert_eq!(connection.close_code(), Some(1000));
    }
}
