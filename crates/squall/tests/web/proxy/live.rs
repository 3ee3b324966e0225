//! What depends on when something comes: early answers, half-closed clients, slow peers, kept connections.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::netutil::BindOptions;
use squall::testing::{TestServer, serve};
use squall::web::proxy;
use squall::{Application, Context, HttpServer, get, url};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::script::{Client, OK, Reply, Setup, body_end, find, octets, read_some, take_until, text};
use crate::log::Lines;

/// The other end of a connection to an upstream that a test plays itself.
struct Upstream {
    listener: TcpListener,
    client: Client,
    /// The proxy.
    front: TestServer,
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Upstream {
    /// And a client of the proxy before it.
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let front = serve(Application::new([url("/.*", proxy(upstream))]));
        let client = Client::connect(front.port()).await;
        Self { listener, client, front }
    }

    async fn accept(&self) -> Connection {
        Connection::of(&self.listener).await
    }
}

impl Connection {
    /// The next one.
    pub(crate) async fn of(listener: &TcpListener) -> Self {
        Self { stream: listener.accept().await.unwrap().0, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, row: &str) {
        self.stream.write_all(&octets(row)).await.unwrap();
    }

    /// Takes what comes up to `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        take_until(&mut self.stream, &mut self.buffer, end).await.expect("it comes before the end")
    }

    /// Whether the proxy has ended it without a further byte.
    pub(crate) async fn is_over(&mut self) -> bool {
        while read_some(&mut self.stream, &mut self.buffer).await {}
        self.buffer.is_empty()
    }
}

#[squall::test(timeout = 60)]
async fn an_error_that_comes_early_is_relayed_at_once() {
    for framing in ["Content-Length: 100", "Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut upstream = Upstream::new().await;
        upstream.client.send(&format!("PUT / HTTP/1.1|Host: h|{framing}||5|abcde|")).await;
        let mut connection = upstream.accept().await;
        connection.until("||").await;
        connection.send("HTTP/1.1 413 Content Too Large|Content-Length: 2||no").await;
        let got = text(&upstream.client.rest().await);
        assert!(got.starts_with("HTTP/1.1 413 Content Too Large|Content-Length: 2|Via:"), "{framing}: {got}");
        assert!(got.contains("|Connection: close|") && got.ends_with("||no"), "{framing}: {got}");
        connection.until("abcde|").await;
        assert!(connection.is_over().await, "{framing}");
    }
}

#[squall::test(timeout = 60)]
async fn a_body_goes_on_going_up_after_the_head_of_the_response() {
    let mut upstream = Upstream::new().await;
    upstream.client.send("POST / HTTP/1.1|Host: h|Transfer-Encoding: chunked|Connection: close||1|a|").await;
    let mut connection = upstream.accept().await;
    connection.until("1|a|").await;
    for (sent, letter) in
        [("HTTP/1.1 200 OK|Transfer-Encoding: chunked||1|A|", "b"), ("1|B|", "c"), ("1|C|", "d")]
    {
        connection.send(sent).await;
        let got = upstream.client.until(&sent[sent.len() - 4..]).await;
        assert!(got.ends_with(&sent[sent.len() - 4..]), "{got}");
        upstream.client.send(&format!("1|{letter}|")).await;
        assert_eq!(connection.until("|").await, "1|");
        assert_eq!(connection.until("|").await, format!("{letter}|"));
    }
    upstream.client.send("0||").await;
    assert_eq!(connection.until("0||").await, "0||");
    connection.send("0||").await;
    assert_eq!(text(&upstream.client.rest().await), "0||");
}

#[squall::test(timeout = 60)]
async fn a_client_that_has_shut_its_sending_side_gets_its_answer() {
    for request in [
        "GET / HTTP/1.1|Host: h||",
        "POST / HTTP/1.1|Host: h|Content-Length: 3||abc",
        "POST / HTTP/1.1|Host: h|Transfer-Encoding: chunked||3|abc|0||",
    ] {
        let mut upstream = Upstream::new().await;
        upstream.client.send(request).await;
        let mut connection = upstream.accept().await;
        connection.until("||").await;
        upstream.client.stream.shutdown().await.unwrap();
        // Long enough for the proxy to see it: to see it later is no failure.
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.send("HTTP/1.1 200 OK|Content-Length: 4||").await;
        let got = upstream.client.until("||").await;
        assert!(got.starts_with("HTTP/1.1 200 OK|Content-Length: 4|"), "{request}: {got}");
        connection.send("half").await;
        assert_eq!(text(&upstream.client.rest().await), "half", "{request}");
    }
}

#[squall::test(timeout = 60)]
async fn what_has_come_of_a_response_is_relayed_at_once() {
    let mut upstream = Upstream::new().await;
    upstream.client.send("GET / HTTP/1.1|Host: h|Connection: close||").await;
    let mut connection = upstream.accept().await;
    connection.until("||").await;
    for (sent, down) in [
        ("HTTP/1.1 103 Early Hints|Link: x||", "HTTP/1.1 103 Early Hints|Link: x|Via: 1.1 squall||"),
        (
            "HTTP/1.1 200 OK|Content-Length: 3||",
            "HTTP/1.1 200 OK|Content-Length: 3|Via: 1.1 squall|Date: <date>|Connection: close||",
        ),
    ] {
        connection.send(sent).await;
        assert_eq!(upstream.client.until("||").await, down);
    }
    for piece in ["a", "b", "c"] {
        connection.send(piece).await;
        assert_eq!(upstream.client.until(piece).await, piece);
    }
    assert_eq!(text(&upstream.client.rest().await), "");
}

#[squall::test(timeout = 60)]
async fn a_request_that_comes_byte_by_byte() {
    let setup = Setup::new([]).await;
    let mut client = setup.connect().await;
    let request = "POST / HTTP/1.1|Host: h|Connection: close|Transfer-Encoding: chunked||3;x|abc|0|T: x||";
    for byte in octets(request) {
        client.stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(text(&client.rest().await).ends_with("||ok"));
    let seen = setup.script.seen.borrow().clone();
    let head = find(&seen[0].bytes, b"\r\n\r\n").unwrap() + 4;
    assert_eq!((seen.len(), body_end(&seen[0].bytes, head)), (1, Some(seen[0].bytes.len())));
    assert!(text(&seen[0].bytes).ends_with("|0|T: x||"), "{seen:?}");
}

#[squall::test(timeout = 60)]
async fn a_body_that_becomes_malformed_is_no_whole_request() {
    let mut upstream = Upstream::new().await;
    upstream
        .client
        .send("POST / HTTP/1.1|Host: h|Transfer-Encoding: chunked||3|abc|xyz|GET /x HTTP/1.1|Host: h||")
        .await;
    let got = text(&upstream.client.rest().await);
    assert!(got.starts_with("HTTP/1.1 400 ") && got.matches("HTTP/1.").count() == 1, "{got}");
    // Whatever has come to the upstream is not whole.
    let mut connection = upstream.accept().await;
    let mut all = String::new();
    while read_some(&mut connection.stream, &mut connection.buffer).await {}
    all += &text(&connection.buffer);
    assert!(!all.contains("0||") && !all.contains("GET /x"), "{all}");
}

/// Sends requests one after the other on one connection of the client.
async fn on_connections(replies: Vec<Reply>, requests: &[&str]) -> (Vec<usize>, Vec<String>) {
    let setup = Setup::new(replies).await;
    let mut client = setup.connect().await;
    let mut answers = Vec::new();
    for request in requests {
        client.send(request).await;
        let head = client.until("||").await;
        let has_ok = !request.starts_with("HEAD") && head.starts_with("HTTP/1.1 200 ");
        let chunked = head.contains("chunked");
        let mut body = if has_ok { client.until("ok").await } else { String::new() };
        if chunked {
            client.until("0||").await;
            body = "ok".to_owned();
        }
        answers.push(format!("{} {body}", head.split(' ').nth(1).unwrap()));
        if answers.last().unwrap().starts_with("502") {
            client.until("</html>").await;
        }
    }
    (setup.script.connections(), answers)
}

#[squall::test(timeout = 120)]
async fn a_connection_serves_the_next_request_only_when_it_is_clean() {
    let get = "GET / HTTP/1.1|Host: h||";
    let head = "HEAD / HTTP/1.1|Host: h||";
    let reply = |text: &str| Reply::new(text);
    for (name, first, request, connections) in [
        ("kept", reply(OK), get, [0, 0]),
        ("chunks", reply("HTTP/1.1 200 OK|Transfer-Encoding: chunked||2|ok|0||"), get, [0, 0]),
        ("a 304 with a length", reply("HTTP/1.1 304 Not Modified|Content-Length: 9||"), get, [0, 0]),
        ("a 204", reply("HTTP/1.1 204 No Content||"), get, [0, 0]),
        ("HEAD", reply("HTTP/1.1 200 OK|Content-Length: 9||"), head, [0, 0]),
        (
            "an interim response",
            reply(&format!("HTTP/1.1 103 x||{OK}")),
            "GET / HTTP/1.0|Host: h|Connection: keep-alive||",
            [0, 0],
        ),
        ("Connection: close", reply("HTTP/1.1 200 OK|Connection: close|Content-Length: 2||ok"), get, [0, 1]),
        (
            "Connection: Close in a list",
            reply("HTTP/1.1 200 OK|Connection: x, Close|Content-Length: 2||ok"),
            get,
            [0, 1],
        ),
        ("HTTP/1.0", reply("HTTP/1.0 200 OK|Content-Length: 2||ok"), get, [0, 1]),
        (
            "HTTP/1.0 that stays",
            reply("HTTP/1.0 200 OK|Connection: keep-alive|Content-Length: 2||ok"),
            get,
            [0, 0],
        ),
        ("a byte behind it", reply(&format!("{OK}x")), get, [0, 1]),
        ("a response behind it", reply(&format!("{OK}{}", OK.replace("200 OK", "200 Poison"))), get, [0, 1]),
        ("bytes behind a 304", reply("HTTP/1.1 304 Not Modified|Content-Length: 2||ok"), get, [0, 1]),
        ("bytes behind HEAD", reply("HTTP/1.1 200 OK|Content-Length: 9||ok"), head, [0, 1]),
        ("closed", reply(OK).then_close(), get, [0, 1]),
        ("a bad response", reply("HTTP/1.1 200 OK|Content-Length: 2|Content-Length: 3||ok"), get, [0, 1]),
    ] {
        let (seen, answers) = on_connections(vec![first], &[request, get]).await;
        assert_eq!(seen, connections, "{name}: {answers:?}");
        assert_eq!(answers[1], "200 ok", "{name}");
    }
}

#[squall::test(timeout = 60)]
async fn bytes_that_nobody_asked_for_belong_to_nobody() {
    let mut upstream = Upstream::new().await;
    let get = "GET / HTTP/1.1|Host: h||";
    upstream.client.send(get).await;
    let mut first = upstream.accept().await;
    first.until("||").await;
    first.send(OK).await;
    upstream.client.until("ok").await;
    first.send("HTTP/1.1 200 Poison|Content-Length: 6||poison").await;
    upstream.client.send(get).await;
    let mut second = upstream.accept().await;
    second.until("||").await;
    second.send(OK).await;
    let got = upstream.client.until("ok").await;
    assert!(got.starts_with("HTTP/1.1 200 OK|"), "{got}");
    assert!(first.is_over().await);
}

/// A kept connection that the upstream closes when the next request has come on it.
async fn on_a_stale_connection(request: &str, before_the_end: &str) -> (Option<String>, String) {
    let mut upstream = Upstream::new().await;
    upstream.client.send("GET / HTTP/1.1|Host: h||").await;
    let mut first = upstream.accept().await;
    first.until("||").await;
    first.send(OK).await;
    upstream.client.until("ok").await;
    upstream.client.send(request).await;
    first.until("||").await;
    if !before_the_end.is_empty() {
        first.send(before_the_end).await;
    }
    drop(first);
    let Upstream { listener, mut client, front: _front } = upstream;
    let again = async {
        let mut second = Connection::of(&listener).await;
        let mut seen = second.until("||").await;
        let body = if seen.contains("chunked") { "0||" } else { "abc" };
        if !seen.starts_with("GET") {
            seen += &second.until(body).await;
        }
        second.send(OK).await;
        (seen, second)
    };
    let mut again = std::pin::pin!(again);
    let first = tokio::select! {
        (seen, _second) = &mut again => Some(seen),
        head = client.until("||") => return (None, head),
    };
    (first, client.until("||").await)
}

#[squall::test(timeout = 60)]
async fn a_request_is_sent_again_when_that_is_safe() {
    let put = "PUT / HTTP/1.1|Host: h|Content-Length: 3||abc";
    let chunks = "PUT / HTTP/1.1|Host: h|Transfer-Encoding: chunked||3|abc|0||";
    for (request, begun, again) in [
        ("GET / HTTP/1.1|Host: h||", "", true),
        (put, "", true),
        (chunks, "", true),
        ("POST / HTTP/1.1|Host: h|Content-Length: 3||abc", "", false),
        ("PATCH / HTTP/1.1|Host: h|Content-Length: 3||abc", "", false),
        // Once there is a byte of a response it has been seen.
        ("GET / HTTP/1.1|Host: h||", "H", false),
        (put, "HTTP/1.1 100 x||", false),
        (chunks, "HTTP/1.1 103 x||", false),
    ] {
        let (seen, head) = on_a_stale_connection(request, begun).await;
        let head = head.replace("HTTP/1.1 103 x|Via: 1.1 squall||", "");
        assert_eq!(seen.is_some(), again, "{request} {begun}: {head}");
        if let Some(seen) = seen {
            let body = request.split_once("||").unwrap().1;
            assert_eq!(seen.split_once("||").unwrap().1, body);
            assert!(head.starts_with("HTTP/1.1 200 "), "{request}: {head}");
        } else if !begun.contains(" x||") {
            assert!(head.starts_with("HTTP/1.1 502 "), "{request}: {head}");
        }
    }
}

#[squall::test(timeout = 60)]
async fn an_upload_that_was_answered_early_leaves_no_connection_behind() {
    let setup =
        Setup::new([Reply::new("HTTP/1.1 401 Unauthorized|Content-Length: 2||no").early(), Reply::new(OK)])
            .await;
    let mut client = setup.connect().await;
    // Half of a body, and a request where its other half would be.
    client.send("POST / HTTP/1.1|Host: h|Content-Length: 100000||GET /inner HTTP/1.1|Host: h||").await;
    let got = text(&client.rest().await);
    assert!(got.starts_with("HTTP/1.1 401 ") && got.ends_with("no"), "{got}");
    let mut other = setup.connect().await;
    other.send("GET /next HTTP/1.1|Host: h|Connection: close||").await;
    let got = text(&other.rest().await);
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("ok"), "{got}");
    let whole: Vec<_> = setup.script.requests().into_iter().filter(|seen| seen.starts_with("GET")).collect();
    assert!(whole.len() == 1 && whole[0].starts_with("GET /next "), "{whole:?}");
}

/// What `xheaders` and `trusted_downstream` believe is what the upstream is told.
#[squall::test(timeout = 60)]
async fn behind_a_trusted_proxy_the_client_is_whom_that_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let script = super::script::Script::new([]);
    script.serve(listener);
    let server = HttpServer::new(move || Application::new([url("/.*", proxy(&upstream))]))
        .xheaders(true)
        .trusted_downstream(["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()]);
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    for (fields, ip, chain, protocol) in [
        (
            "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.0.0.1|",
            "9.9.9.9",
            "6.6.6.6, 9.9.9.9, 10.0.0.1, 9.9.9.9",
            "http",
        ),
        ("X-Forwarded-For: 9.9.9.9|X-Forwarded-Proto: https|", "9.9.9.9", "9.9.9.9, 9.9.9.9", "https"),
        (
            "X-Real-Ip: 9.9.9.9|X-Forwarded-For: 8.8.8.8|X-Scheme: https|",
            "9.9.9.9",
            "8.8.8.8, 9.9.9.9",
            "https",
        ),
        ("X_Real_Ip: 6.6.6.6|X_Forwarded_For: 6.6.6.6|", "127.0.0.1", "127.0.0.1", "http"),
        ("X-Real-Ip: nonsense|", "127.0.0.1", "127.0.0.1", "http"),
    ] {
        script.reset([Reply::new(OK).then_close()]);
        let mut client = Client::connect(port).await;
        client.send(&format!("GET / HTTP/1.1|Host: h|Connection: close|{fields}|")).await;
        assert!(text(&client.rest().await).ends_with("||ok"), "{fields}");
        assert_eq!(
            script.requests(),
            [format!(
                "GET / HTTP/1.1|Host: h|X-Forwarded-For: {chain}|X-Forwarded-Proto: {protocol}|X-Forwarded-Host: h|\
                 X-Real-Ip: {ip}|Via: 1.1 squall||"
            )]
        );
    }
}

#[squall::test(timeout = 60)]
async fn the_client_frames_its_requests_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let script = super::script::Script::new([]);
    script.serve(listener);
    let client = AsyncHttpClient::new();
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    for (name, request) in [
        ("a coding", HttpRequest::get(&url).header("Transfer-Encoding", "chunked")),
        ("a length", HttpRequest::get(&url).header("Content-Length", "5")),
        (
            "both",
            HttpRequest::post(&url)
                .header("Transfer-Encoding", "chunked")
                .header("Content-Length", "9")
                .body("abc"),
        ),
        (
            "two lengths",
            HttpRequest::put(&url)
                .header("Content-Length", "3")
                .add_header("Content-Length", "4")
                .body_producer(async |writer: squall::httpclient::BodyWriter| writer.write("abc").await),
        ),
        (
            "a coding of a producer",
            HttpRequest::put(&url)
                .header("Transfer-Encoding", "gzip")
                .body_producer(async |writer: squall::httpclient::BodyWriter| writer.write("abc").await),
        ),
    ] {
        let outcome = client.fetch(request).await.map_or_else(|error| error.to_string(), |r| r.text());
        told.borrow_mut().push(format!("{name}: {outcome}"));
    }
    assert_eq!(
        *told.borrow(),
        [
            "a coding: ok",
            "a length: a Content-Length without a body",
            "both: ok",
            "two lengths: Content-Length is not one number",
            "a coding of a producer: ok",
        ]
    );
    let framing = |seen: &String| {
        let kept: Vec<_> = seen
            .split('|')
            .filter(|line| {
                line.starts_with("Content-L") || line.starts_with("Transfer") || !line.contains(": ")
            })
            .collect();
        kept.join("|")
    };
    assert_eq!(
        script.requests().iter().map(framing).collect::<Vec<_>>(),
        [
            "GET / HTTP/1.1||",
            "POST / HTTP/1.1|Content-Length: 3||abc",
            "PUT / HTTP/1.1|Transfer-Encoding: chunked||3|abc|0||",
        ]
    );
}

#[squall::test(timeout = 60)]
async fn what_told_of_a_body_that_is_none_serves_no_other_request() {
    for (reply, again) in [
        ("HTTP/1.1 204 No Content||", true),
        ("HTTP/1.1 204 No Content|Content-Length: 2||", false),
        ("HTTP/1.1 204 No Content|Transfer-Encoding: chunked||", false),
        ("HTTP/1.1 103 Early Hints|Content-Length: 2||HTTP/1.1 204 No Content||", false),
    ] {
        let setup = Setup::new([Reply::new(reply), Reply::new(OK)]).await;
        let mut client = setup.connect().await;
        client.send("GET / HTTP/1.1|Host: h||GET / HTTP/1.1|Host: h|Connection: close||").await;
        let got = text(&client.rest().await);
        assert!(got.contains("HTTP/1.1 204 ") && got.ends_with("||ok"), "{reply}: {got}");
        assert_eq!(setup.script.connections(), [0, usize::from(!again)], "{reply}");
    }
}

#[squall::test(timeout = 60)]
async fn a_body_that_is_too_large_by_its_head_leaves_the_kept_connection_alone() {
    let setup = Setup::new([]).await;
    let get = "GET / HTTP/1.1|Host: h||";
    let mut client = setup.connect().await;
    client.send(get).await;
    client.until("ok").await;
    client.send("POST / HTTP/1.1|Host: h|Expect: 100-continue|Content-Length: 104857601||").await;
    let got = text(&client.rest().await);
    assert!(got.starts_with("HTTP/1.1 413 ") && got.contains("|Connection: close|"), "{got}");
    let mut client = setup.connect().await;
    client.send(get).await;
    client.until("ok").await;
    assert_eq!(setup.script.connections(), [0, 0]);
}

#[squall::test(timeout = 60)]
async fn no_transform_touches_what_is_relayed() {
    let body = "a".repeat(5_000);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let fields = "Etag: \"strong\"|Content-Type: text/plain|Content-Digest: sha-256=:x:|";
    let script = super::script::Script::new([
        Reply::new(&format!("HTTP/1.1 200 OK|{fields}Content-Length: 5000||{body}")),
        Reply::new(&format!("HTTP/1.1 304 Not Modified|{fields}Content-Length: 5000||")),
    ]);
    script.serve(listener);
    let front = serve(Application::new([url("/.*", proxy(upstream))]).compress_response(true));
    for (status, body) in [("200 OK", body.as_str()), ("304 Not Modified", "")] {
        let mut client = Client::connect(front.port()).await;
        client.send("GET / HTTP/1.1|Host: h|Accept-Encoding: gzip|Connection: close||").await;
        assert_eq!(
            text(&client.rest().await),
            format!(
                "HTTP/1.1 {status}|{fields}Content-Length: 5000|Via: 1.1 squall|Date: <date>|Connection: close||{body}"
            )
        );
    }
}

#[squall::test(timeout = 60)]
async fn the_log_says_what_became_of_the_upstream() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unreachable =
        serve(Application::new([url("/.*", proxy(format!("http://{}", nobody.local_addr().unwrap())))]));
    drop(nobody);
    let setup = Setup::new([]).await;
    let (lines, _guard) = Lines::capture();
    for (reply, expected) in [
        (None, "the upstream server cannot be reached: "),
        (Some(""), "the upstream server broke off before the end of its response: "),
        (Some("hello||"), "the upstream server does not speak HTTP as it should: "),
    ] {
        let port = if reply.is_some() { setup.front.port() } else { unreachable.port() };
        // Whether a line is wanted is remembered when it is first met, perhaps by a test on another thread that wants none.
        for _ in 0..2 {
            setup.script.reset(reply.map(|reply| Reply::new(reply).then_close()));
            let mut client = Client::connect(port).await;
            client.send("POST / HTTP/1.1|Host: h|Connection: close||").await;
            assert!(text(&client.rest().await).starts_with("HTTP/1.1 502 "), "{reply:?}");
            tracing::callsite::rebuild_interest_cache();
        }
        let log = lines.take();
        assert!(log.contains(expected), "{reply:?}: {log}");
        assert_eq!(log.contains("cannot be reached"), reply.is_none(), "{log}");
    }
}

#[squall::test(timeout = 30)]
async fn something_stands_behind_pages() {
    const PAGE: &str = "<html>a</html>";
    let upstream = serve(
        Application::new([
            get("/page", async |ctx: &Context| {
                ctx.write(PAGE);
                Ok(())
            }),
            get("/data", async |ctx: &Context| ctx.write_json(PAGE)),
        ])
        .compress_response(true),
    );
    let count = Rc::new(Cell::new(0));
    let html = move || {
        count.set(count.get() + 1);
        format!("<!-- {} -->", count.get()).into()
    };
    let front = serve(Application::new([url(
        "/.*",
        proxy(upstream.url("/").trim_end_matches('/')).append_html(html),
    )]));
    let tag = upstream.get("/page").await.header("Etag").unwrap().to_owned();
    for number in 1..=2 {
        // Nothing of what the client has, or takes, keeps the page from being whole and plain.
        let asked = front.get("/page").header("If-None-Match", &tag).header("Range", "bytes=0-1");
        let page = asked.header("Accept-Encoding", "gzip").await;
        page.assert_status(200).assert_text(&format!("{PAGE}<!-- {number} -->"));
        page.assert_header("Cache-Control", "no-store");
        assert_eq!(page.header("Etag"), None);
    }
    front.get("/data").await.assert_text("\"<html>a<\\/html>\"");
    let head = front.head("/page").await;
    head.assert_status(200).assert_text("");
    assert_eq!(head.header("Content-Length"), None);
}
