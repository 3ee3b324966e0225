//! Connections that are kept, slots, the queue, cancelling.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest};
use squall::netutil::{CachingResolver, SystemResolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::httpclient::script::{Pause, Server, Stall, Until, answer, answers, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Lets the events of the sockets reach everybody.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[squall::test]
async fn one_connection_serves_many_requests() {
    let server = Server::playing(answers(OK, 3)).await;
    let client = AsyncHttpClient::new();
    for _ in 0..3 {
        assert_eq!(client.fetch(server.url("/")).await.unwrap().text(), "ok");
    }
    assert_eq!((server.seen().len(), server.seen()[0].matches("GET / HTTP/1.1").count()), (1, 3));
    client.close();
    assert_eq!(client.idle_connections(), 0);
    assert!(matches!(client.fetch(server.url("/")).await.unwrap_err(), HttpClientError::ClientClosed));
    client.close();
}

#[squall::test]
async fn a_connection_that_should_close_is_not_kept() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        // More than was announced: whose would the rest be?
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let server = Server::playing(answer(response)).await;
        let client = AsyncHttpClient::new();
        for _ in 0..2 {
            assert_eq!(client.fetch(server.url("/")).await.unwrap().text(), "ok", "{response}");
        }
        assert_eq!(server.seen().len(), 2, "{response}");
    }
}

/// The head of a request taken, and this answered.
async fn answered(mut stream: TcpStream, answer: &str) -> TcpStream {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0);
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

#[squall::test(timeout = 60)]
async fn what_follows_a_response_without_a_body_is_no_other_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, head) in [
        ("HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", poison.len())),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n", poison.len())),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        ("GET", OK.to_owned()),
    ] {
        let client = AsyncHttpClient::new();
        let upstream = async |answer: &str| answered(listener.accept().await.unwrap().0, answer).await;
        let request = HttpRequest::new(method, &url).raise_error(false);
        let (first, mut stream) = tokio::join!(client.fetch(request), upstream(&head));
        assert!(first.is_ok(), "{head}");
        assert_eq!(client.idle_connections(), 1, "{head}");
        // The loop hears of it only after the next request has been sent, and the kernel has it already.
        assert_eq!(stream.try_write(poison.as_bytes()).unwrap(), poison.len());
        let (second, _stream) = tokio::join!(client.fetch(&url), async {
            let mut byte = [0; 1];
            tokio::select! {
                stream = upstream(OK) => stream,
                // It was sent on the same connection.
                Ok(1..) = stream.read(&mut byte) => stream,
            }
        });
        assert_eq!(second.unwrap().text(), "ok", "{head}");
    }
}

#[squall::test]
async fn late_bytes_make_an_idle_connection_unfit() {
    let late = vec![Until("\r\n\r\n"), send(OK), Until("never"), send("x")];
    let server = Server::start(vec![late, answer(OK)]).await;
    let client = AsyncHttpClient::new();
    client.fetch(server.url("/")).await.unwrap();
    assert_eq!(client.idle_connections(), 1);

    let poisoned =
        [answer(OK), vec![send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), Stall]].concat();
    let server = Server::start(vec![poisoned, answer(OK)]).await;
    let client = AsyncHttpClient::new();
    client.fetch(server.url("/")).await.unwrap();
    settle().await;
    assert_eq!(client.fetch(server.url("/")).await.unwrap().text(), "ok");
    assert_eq!(server.seen().len(), 2);
}

#[squall::test]
async fn a_kept_connection_that_died_costs_an_idempotent_request_nothing() {
    // The server closes when the second request comes: this cannot be seen before it is sent.
    let once = vec![Until("\r\n\r\n"), send(OK), Until("\r\n\r\n")];
    let server = Server::start(vec![once.clone(), answer(OK)]).await;
    let client = AsyncHttpClient::new();
    client.fetch(server.url("/")).await.unwrap();
    assert_eq!(client.fetch(server.url("/again")).await.unwrap().text(), "ok");
    let seen = server.seen();
    assert!(seen[0].contains("GET /again") && seen[1].starts_with("GET /again"), "{seen:?}");

    // A POST might be carried out twice.
    let server = Server::start(vec![once, answer(OK)]).await;
    let client = AsyncHttpClient::new();
    client.fetch(server.url("/")).await.unwrap();
    let error = client.fetch(HttpRequest::post(server.url("/")).body("x")).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Closed(_)), "{error:?}");
    assert_eq!(server.seen().len(), 1);

    // A new connection that dies is an error for everybody.
    let server = Server::playing(vec![Until("\r\n\r\n")]).await;
    let error = AsyncHttpClient::new().fetch(server.url("/")).await.unwrap_err();
    assert!(matches!(error, HttpClientError::Closed(_)), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[squall::test]
async fn idle_connections_are_limited_in_number_and_time() {
    let server = Server::playing(answers(OK, 10)).await;
    let client =
        AsyncHttpClient::builder().max_idle_per_host(1).idle_timeout(Duration::from_millis(100)).build();
    let url = server.url("/");
    let (a, b) = tokio::join!(client.fetch(&url), client.fetch(&url));
    assert_eq!((a.unwrap().text(), b.unwrap().text()), ("ok".to_owned(), "ok".to_owned()));
    assert_eq!((server.seen().len(), client.idle_connections()), (2, 1));
    tokio::time::timeout(Duration::from_secs(30), async {
        while client.idle_connections() > 0 {
            settle().await;
        }
    })
    .await
    .unwrap();

    let none = AsyncHttpClient::builder().max_idle_per_host(0).build();
    none.fetch(&url).await.unwrap();
    assert_eq!(none.idle_connections(), 0);
}

#[squall::test]
async fn no_more_than_max_clients_at_a_time_and_in_order() {
    let stalling = Server::playing(vec![Until("\r\n\r\n"), Stall]).await;
    let quick = Server::playing(answer(OK)).await;
    let client = AsyncHttpClient::builder().max_clients(1).build();
    let mut blocking = Box::pin(client.fetch(stalling.url("/")));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut blocking).await.is_err());

    let finished = Rc::new(Cell::new(0));
    let queued: Vec<_> = (0..3)
        .map(|number| {
            let (client, url, finished) =
                (client.clone(), quick.url(&format!("/{number}")), Rc::clone(&finished));
            tokio::task::spawn_local(async move {
                client.fetch(url).await.unwrap();
                finished.set(finished.get() + 1);
            })
        })
        .collect();
    settle().await;
    assert_eq!((finished.get(), quick.seen().len()), (0, 0));
    let impatient = HttpRequest::get(quick.url("/impatient")).connect_timeout(Duration::from_millis(20));
    let error = client.fetch(impatient).await.unwrap_err();
    assert_eq!(error.to_string(), "Timeout in request queue");
    // Who leaves frees the slot.
    drop(blocking);
    for task in queued {
        task.await.unwrap();
    }
    let order: Vec<String> = quick.seen().iter().map(|seen| seen[4..6].to_owned()).collect();
    assert_eq!(order, ["/0", "/1", "/2"]);
}

#[squall::test]
async fn time_limits() {
    let stalling = Server::playing(vec![Until("\r\n\r\n"), Stall]).await;
    let client = AsyncHttpClient::new();
    let soon = |server: &Server| HttpRequest::get(server.url("/")).request_timeout(Duration::from_millis(50));
    let error = client.fetch(soon(&stalling)).await.unwrap_err();
    assert_eq!((error.is_timeout(), error.to_string()), (true, "Timeout during request".to_owned()));
    // Also in the middle of the body, and while reading it in pieces.
    let partial = vec![Until("\r\n\r\n"), send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Stall];
    let server = Server::playing(partial).await;
    assert!(client.fetch(soon(&server)).await.unwrap_err().is_timeout());
    let mut response = client.fetch_stream(soon(&server)).await.unwrap();
    assert_eq!(&response.chunk().await.unwrap().unwrap()[..], b"half");
    assert!(response.chunk().await.unwrap_err().is_timeout());
    assert_eq!(client.idle_connections(), 0);
    assert_eq!(response.chunk().await.unwrap(), None);
}

#[squall::test]
async fn an_early_answer_ends_the_sending() {
    // The server has had enough after the head, and reads no more.
    let refuse = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!";
    let server = Server::playing([answer(refuse), vec![Stall]].concat()).await;
    let client = AsyncHttpClient::new();
    let request = HttpRequest::post(server.url("/")).body(vec![0; 50_000_000]).raise_error(false);
    let response = client.fetch(request).await.unwrap();
    assert_eq!((response.status(), response.text()), (413, "no!".to_owned()));
    assert_eq!(client.idle_connections(), 0);
}

/// The number 22: what a server takes to redirect, or to ask who is there, is not the next connection's time.
#[squall::test(timeout = 60)]
async fn each_connection_has_its_own_time_to_connect() {
    let (limit, longer) = (Duration::from_secs(5), Duration::from_secs(6));
    let slowly = |head: &str| vec![Until("\r\n\r\n"), Pause(longer), send(head), Stall];
    let next = Server::playing(answer(OK)).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", next.url("/"));
    let redirecting = Server::playing(slowly(&redirect)).await;
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\
                     Connection: close\r\nContent-Length: 0\r\n\r\n";
    let asking = Server::start(vec![slowly(challenge), answer(OK)]).await;
    let client = AsyncHttpClient::new();
    let request =
        |server: &Server| HttpRequest::get(server.url("/")).connect_timeout(limit).request_timeout(None);
    let (redirected, asked) = tokio::join!(
        client.fetch(request(&redirecting)),
        client.fetch(request(&asking).digest_auth("user", "pw"))
    );
    assert_eq!((redirected.unwrap().text(), asked.unwrap().text()), ("ok".to_owned(), "ok".to_owned()));
}

/// `Duration::MAX` is how "never" is written.
#[squall::test]
async fn limits_that_are_never_reached() {
    let server = Server::playing([answers(OK, 2), vec![Stall]].concat()).await;
    let resolver = CachingResolver::new(SystemResolver, Duration::MAX);
    let client = AsyncHttpClient::builder().idle_timeout(Duration::MAX).resolver(resolver).build();
    for _ in 0..2 {
        let request = HttpRequest::get(format!("http://localhost:{}/", server.address.port()))
            .connect_timeout(Duration::MAX)
            .request_timeout(Duration::MAX)
            .allow_ipv6(false);
        assert_eq!(client.fetch(request).await.unwrap().text(), "ok");
    }
    assert_eq!((server.seen().len(), client.idle_connections()), (1, 1));
}
