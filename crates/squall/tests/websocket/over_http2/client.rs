//! Our own client over HTTP/2: against our server, and against servers that play a script.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use squall::websocket::{
    CompressionOptions, Message, WebSocketClientConnection, WebSocketConnectError, WebSocketOptions,
    WebSocketRequest, websocket_connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::support::{server_close, server_frame, within};
use super::tunnels::serve;

type Connected = Result<WebSocketClientConnection, WebSocketConnectError>;

/// The server's end of a connection that has asked for a WebSocket. Its frames go by themselves.
pub(crate) struct Peer {
    pub(crate) request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    /// Told when the client has closed the connection.
    over: Rc<Notify>,
}

impl Peer {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = within("a connection", listener.accept()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let mut connection = within("HTTP/2", builder.handshake(socket)).await.unwrap();
        let (request, respond) = within("a request", connection.accept()).await.unwrap().unwrap();
        let over = Rc::new(Notify::new());
        let tell = Rc::clone(&over);
        tokio::task::spawn_local(async move {
            while let Some(Ok(_)) = connection.accept().await {}
            tell.notify_one();
        });
        Self { request, respond, over }
    }

    /// Agrees, with these fields.
    pub(crate) async fn agree(self, fields: &[(&str, &str)]) -> (SendStream<Bytes>, RecvStream) {
        let Self { request, mut respond, .. } = self;
        let sink = respond.send_response(response(200, fields), false).unwrap();
        (sink, request.into_body())
    }
}

fn response(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

/// Has our client ask a server that plays this script.
async fn scripted<T>(
    request: impl FnOnce(WebSocketRequest) -> WebSocketRequest,
    script: impl AsyncFnOnce(Peer) -> T,
) -> (Connected, T) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/path?query", listener.local_addr().unwrap());
    let asked = websocket_connect(request(WebSocketRequest::new(url).http2_prior_knowledge(true)));
    let playing = async { script(Peer::accept(&listener).await).await };
    within("the handshake", async { tokio::join!(asked, playing) }).await
}

fn over_http2(port: u16, path: &str) -> WebSocketRequest {
    WebSocketRequest::new(format!("ws://127.0.0.1:{port}{path}")).http2_prior_knowledge(true)
}

/// What comes in until the end, and the reason if that is a reset.
async fn rest(body: &mut RecvStream) -> (Vec<u8>, Option<Reason>) {
    let mut come = Vec::new();
    loop {
        match within("more, or the end", body.data()).await {
            Some(Ok(data)) => {
                come.extend_from_slice(&data);
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            Some(Err(error)) => return (come, error.reason()),
            None => return (come, None),
        }
    }
}

#[squall::test(timeout = 60)]
async fn our_client_and_our_server() {
    let (server, seen) = serve(|server| server);
    for compression in [None, Some(CompressionOptions::new())] {
        let request = over_http2(server.port(), "/talk?a=b")
            .subprotocols(["other", "talk"])
            .compression(compression)
            .options(WebSocketOptions::new().max_message_size(32 << 20));
        let mut connection = websocket_connect(request).await.unwrap();
        assert_eq!(
            (connection.subprotocol(), connection.headers().get("X-Prepared")),
            (Some("talk"), Some("yes"))
        );
        assert_eq!(connection.headers().contains("Sec-WebSocket-Extensions"), compression.is_some());
        seen.wait_for("GET HTTP/2.0 /talk?a=b").await;
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 5 << 20] {
            let text = "squall ".repeat(size / 7 + 1)[..size].to_owned();
            println!("{size}");
            within("room", connection.write_message(text.as_str())).await.unwrap();
            let answer = within("an answer", connection.read_message()).await.expect("an answer");
            assert!(answer.as_text() == Some(&text), "{size}");
        }
        connection.write_message("much").await.unwrap();
        for _ in 0..400 {
            let piece = within("a piece", connection.read_message()).await.unwrap();
            assert_eq!(piece.len(), 10_000);
        }
        connection.close(4000, "enough");
        within("the end", connection.closed()).await;
        assert_eq!(connection.close_code(), Some(4000));
        seen.wait_for("closed Some(4000)").await;
    }
}

#[squall::test]
async fn what_is_asked_and_how_it_ends() {
    let (connected, peer) = scripted(
        |request| request.header("Cookie", "a=b").header("Connection", "close").subprotocols(["x"]),
        async |mut peer: Peer| {
            let request = &peer.request;
            assert_eq!(request.method(), "CONNECT");
            assert_eq!(request.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
            assert_eq!(request.uri().scheme_str(), Some("http"));
            assert_eq!(request.uri().path_and_query().unwrap(), "/path?query");
            let mut fields: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
            fields.sort_unstable();
            assert_eq!(fields, ["cookie", "sec-websocket-protocol", "sec-websocket-version"]);
            assert_eq!(request.headers()["sec-websocket-version"], "13");
            // Interim responses are passed over; a 101 there is none.
            peer.respond.send_informational(response(103, &[])).unwrap();
            let over = Rc::clone(&peer.over);
            (peer.agree(&[("sec-websocket-protocol", "x")]).await, over)
        },
    )
    .await;
    let ((mut sink, mut body), over) = peer;
    let mut connection = connected.unwrap();
    assert_eq!(connection.subprotocol(), Some("x"));
    sink.send_data(server_frame(0x81, b"hello").into(), false).unwrap();
    assert_eq!(within("it", connection.read_message()).await, Some(Message::from("hello")));
    sink.send_data(server_close(1000, "").into(), true).unwrap();
    assert_eq!(within("the end", connection.read_message()).await, None);
    assert_eq!(connection.close_code(), Some(1000));
    // The echo of the close frame, masked, and the end of the stream; then of the connection, which was its own.
    let (come, reset) = rest(&mut body).await;
    assert_eq!((come.len(), come[0], come[1], reset), (8, 0x88, 0x82, None));
    within("the connection to end", over.notified()).await;
}

#[squall::test]
async fn ends_that_are_no_good_ones() {
    // END_STREAM without a close frame (RFC 6455 §7.1.5: 1006), and a reset.
    for is_reset in [false, true] {
        let (connected, (mut sink, mut body)) =
            scripted(|request| request, async |peer: Peer| peer.agree(&[]).await).await;
        let mut connection = connected.unwrap();
        if is_reset {
            sink.send_reset(Reason::CANCEL);
        } else {
            sink.send_data(server_frame(0x81, b"last words").into(), true).unwrap();
            assert_eq!(within("them", connection.read_message()).await, Some(Message::from("last words")));
        }
        assert_eq!(within("the end", connection.read_message()).await, None);
        assert_eq!(connection.close_code(), None, "1006 is nothing that is sent");
        assert!(connection.write_message("late").await.is_err());
        let (come, _) = rest(&mut body).await;
        assert!(come.is_empty(), "{come:?}");
    }
    // Ours: what was aborted does not look complete.
    let (connected, (_sink, mut body)) =
        scripted(|request| request, async |peer: Peer| peer.agree(&[]).await).await;
    connected.unwrap().abort();
    assert_eq!(rest(&mut body).await, (Vec::new(), Some(Reason::CANCEL)));
    // Frames with masks are not a server's.
    let (connected, (mut sink, mut body)) =
        scripted(|request| request, async |peer: Peer| peer.agree(&[]).await).await;
    sink.send_data(crate::support::text("x").into(), false).unwrap();
    assert_eq!(connected.unwrap().read_message().await, None);
    let (come, _) = rest(&mut body).await;
    let code = [come[6] ^ come[2], come[7] ^ come[3]];
    assert_eq!((come[0], u16::from_be_bytes(code)), (0x88, 1002));
}

#[squall::test]
async fn a_client_pings_too() {
    let options = WebSocketOptions::new()
        .ping_interval(Duration::from_millis(30))
        .close_timeout(Duration::from_millis(50));
    let (connected, (_sink, mut body)) =
        scripted(|request| request.options(options), async |peer: Peer| peer.agree(&[]).await).await;
    let mut connection = connected.unwrap();
    assert_eq!(within("the ping to time out", connection.read_message()).await, None);
    let (come, _) = rest(&mut body).await;
    assert_eq!((come[0], come[1]), (0x89, 0x80), "a masked ping");
}

#[squall::test]
async fn handshakes_that_are_wrong() {
    for (row, field) in [
        ("subprotocol", ("sec-websocket-protocol", "y")),
        ("extension", ("sec-websocket-extensions", "permessage-deflate")),
    ] {
        let script = async |peer: Peer| peer.agree(&[field]).await;
        let (connected, (_sink, mut body)) = scripted(|request| request.subprotocols(["x"]), script).await;
        assert!(matches!(connected, Err(WebSocketConnectError::Handshake(_))), "{row}: {connected:?}");
        drop(connected);
        let (come, _) = rest(&mut body).await;
        assert!(come.is_empty(), "{row}: {come:?}");
    }
    for status in [302, 403, 500] {
        let script = async |mut peer: Peer| {
            let head = response(status, &[("location", "/elsewhere")]);
            peer.respond.send_response(head, true).unwrap();
        };
        let (connected, ()) = scripted(|request| request, script).await;
        let Err(WebSocketConnectError::Status { status: told, headers }) = connected else {
            panic!("{connected:?}")
        };
        assert_eq!((told, headers.get("Location")), (status, Some("/elsewhere")));
    }
    let reset =
        |reason| scripted(|request| request, async move |mut peer: Peer| peer.respond.send_reset(reason));
    let (connected, ()) = reset(Reason::REFUSED_STREAM).await;
    assert!(matches!(connected, Err(WebSocketConnectError::Connect(_))), "{connected:?}");
    let (connected, ()) = reset(Reason::HTTP_1_1_REQUIRED).await;
    assert!(matches!(connected, Err(WebSocketConnectError::ExtendedConnect)), "{connected:?}");
}

/// What comes of a server with these SETTINGS; `sent` is told of the frames that the client sends.
async fn with_settings(settings: &[u8], mut sent: impl FnMut(u8, u8)) -> Connected {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = over_http2(listener.local_addr().unwrap().port(), "/");
    let playing = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        let length = u8::try_from(settings.len()).unwrap();
        loop {
            let mut head = [0; 9];
            if socket.read_exact(&mut head).await.is_err() {
                return;
            }
            let length_of_it = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length_of_it];
            socket.read_exact(&mut payload).await.unwrap();
            sent(head[3], head[4]);
            match (head[3], head[4]) {
                // Not before the client has said all that it says without an answer.
                (4, 0) => {
                    let frame = [&[0, 0, length, 4, 0, 0, 0, 0, 0], settings].concat();
                    socket.write_all(&frame).await.unwrap();
                }
                // `:status: 200`, not the last.
                (1, _) => socket.write_all(b"\0\0\x01\x01\x04\0\0\0\x01\x88").await.unwrap(),
                _ => {}
            }
        }
    };
    tokio::select! {
        connected = within("a verdict", websocket_connect(request)) => connected,
        () = playing => panic!("the client is gone without a verdict"),
    }
}

#[squall::test]
async fn nothing_is_asked_before_the_server_allows_it() {
    const ENABLE_CONNECT_PROTOCOL: [u8; 6] = [0, 8, 0, 0, 0, 1];
    let mut frames = Vec::new();
    let connected =
        with_settings(&ENABLE_CONNECT_PROTOCOL, |kind, flags| frames.push((kind, flags & 1))).await;
    assert!(connected.is_ok(), "{connected:?}");
    let at = |wanted| frames.iter().position(|frame| *frame == wanted);
    let (acknowledged, asked) = (at((4, 1)).unwrap(), frames.iter().position(|frame| frame.0 == 1).unwrap());
    assert!(acknowledged < asked, "{frames:?}");
    // Other settings, and a value that says no.
    for settings in [&[][..], &[0, 3, 0, 0, 0, 9], &[0, 8, 0, 0, 0, 0]] {
        let connected = with_settings(settings, |kind, _| assert_ne!(kind, 1, "it is asked")).await;
        assert!(matches!(connected, Err(WebSocketConnectError::ExtendedConnect)), "{connected:?}");
    }
}

#[squall::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = over_http2(listener.local_addr().unwrap().port(), "/");
    let connected = websocket_connect(request.connect_timeout(Duration::from_millis(50))).await;
    assert!(matches!(connected, Err(WebSocketConnectError::Timeout)), "{connected:?}");
}

#[squall::test(timeout = 60)]
async fn a_server_that_takes_nothing_holds_the_writer_back() {
    let (connected, (_sink, mut body)) =
        scripted(|request| request, async |peer: Peer| peer.agree(&[]).await).await;
    let connection = connected.unwrap();
    let written = std::cell::Cell::new(0);
    let writing = async {
        for _ in 0..50 {
            connection.write_message(vec![7; 100_000]).await.unwrap();
            written.set(written.get() + 1);
        }
    };
    let reading = async {
        // Whatever the time: the window and the queue take a part of it, and no more.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(written.get() < 50, "all of it was written");
        let mut come = 0;
        while come < 50 * 100_000 {
            let data = within("more", body.data()).await.unwrap().unwrap();
            come += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
    };
    within("all of it", join(writing, reading)).await;
}

async fn join(one: impl Future, other: impl Future) {
    tokio::join!(one, other);
}

#[cfg(feature = "tls")]
mod tls {
    use squall::HttpServer;
    use squall::httpclient::TlsConfig;
    use squall::iostream::IoStream;
    use squall::testing::serve_on;
    use squall::tls::{SslOptions, TlsAcceptor};
    use squall::websocket::{WebSocketStream, accept_key, websocket};
    use squall::{Application, Context};

    use super::*;

    fn identity() -> (SslOptions, TlsConfig) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let trusted = TlsConfig::builder().ca_certs(&cert).unwrap().build().unwrap();
        (SslOptions::from_pem(cert, key), trusted)
    }

    fn wss(port: u16, trusted: &TlsConfig, http2: bool) -> WebSocketRequest {
        WebSocketRequest::new(format!("wss://127.0.0.1:{port}/talk")).tls(trusted.clone()).http2(http2)
    }

    #[squall::test(timeout = 60)]
    async fn alpn_decides_if_it_is_asked() {
        let (ssl, trusted) = identity();
        let make = || {
            let echo = async |_: &Context, ws: &mut WebSocketStream| {
                while let Some(message) = ws.recv().await {
                    ws.write_message(message).await?;
                }
                Ok(())
            };
            Application::new([websocket("/talk", echo)])
        };
        let both = serve_on(HttpServer::new(make).ssl_options(ssl.clone()));
        let old = serve_on(HttpServer::new(make).ssl_options(ssl).http2(None));
        for (server, asked, is_http2) in
            [(&both, true, true), (&both, false, false), (&old, true, false), (&old, false, false)]
        {
            let mut connection = websocket_connect(wss(server.port(), &trusted, asked)).await.unwrap();
            assert_eq!(connection.headers().contains("Sec-WebSocket-Accept"), !is_http2);
            connection.write_message("hello").await.unwrap();
            assert_eq!(connection.read_message().await, Some(Message::from("hello")));
        }
    }

    /// One that chooses HTTP/2 and makes no tunnels, or wants HTTP/1.1 for them.
    #[squall::test(timeout = 60)]
    async fn a_server_without_tunnels_is_asked_over_http1() {
        for allows in [false, true] {
            let (ssl, trusted) = identity();
            let acceptor = TlsAcceptor::new(ssl.alpn_protocols(["h2", "http/1.1"])).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let playing = async {
                let (socket, _) = listener.accept().await.unwrap();
                let stream = acceptor.accept(IoStream::from(socket)).await.unwrap();
                let mut builder = h2::server::Builder::new();
                if allows {
                    builder.enable_connect_protocol();
                }
                let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
                tokio::task::spawn_local(async move {
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        respond.send_reset(Reason::HTTP_1_1_REQUIRED);
                    }
                });
                let (socket, _) = listener.accept().await.unwrap();
                let stream = acceptor.accept(IoStream::from(socket)).await.unwrap();
                assert_eq!(stream.tls_info().unwrap().alpn_protocol.as_deref(), Some(&b"http/1.1"[..]));
                let head = stream.read_until(b"\r\n\r\n", None).await.unwrap();
                let head = String::from_utf8_lossy(&head).into_owned();
                let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {}\r\n\r\n",
                    accept_key(key)
                );
                stream.write(answer).await.unwrap();
                stream
            };
            let asked = websocket_connect(wss(port, &trusted, true));
            let (connected, _stream) = within("it", async { tokio::join!(asked, playing) }).await;
            assert!(connected.is_ok(), "{allows}: {connected:?}");
        }
    }
}
