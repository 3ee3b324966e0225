//! Tests over real sockets: a server on an unused port of the loop that runs the test, and a client that asserts.
//!
//! ```no_run
//! # async fn test(app: squall::testing::TestServer) {
//! app.get("/stories/7").header("Accept", "text/html").await.assert_status(200).assert_text_contains("Rain");
//! app.post("/stories").form(&[("title", "Rain")]).await.assert_redirect("/stories/8");
//! # }
//! ```
//!
//! The client speaks plain HTTP/1.1 with a reader of its own, so that a mistake of squall's parser cannot hide one of its
//! writer, and refuses every response that is not exactly framed. It sends one request per connection, follows no
//! redirects and decodes no compression. [`http2`](TestServer::http2) is the same client over HTTP/2. Whatever goes wrong is a panic that names the request and the line of the
//! test that made it.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::Location;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::httpserver::{HttpServer, IntoDelegate};
use crate::netutil::Listener;

#[cfg(feature = "client")]
mod clients;
mod expect_log;
#[cfg(all(feature = "client", feature = "http2"))]
mod http2;
#[cfg(feature = "client")]
mod over;
mod reader;
mod response;
#[cfg(all(feature = "client", feature = "websocket"))]
mod websockets;

pub use self::expect_log::ExpectLog;
#[cfg(all(feature = "client", feature = "http2"))]
pub use self::http2::Http2TestClient;
use self::over::Over;
pub use self::response::TestResponse;

use self::clients::Jar;

/// A listening, non-blocking socket on a port of 127.0.0.1 that nobody else uses, and that port.
///
/// # Panics
///
/// When the system has no port left.
#[track_caller]
pub fn bind_unused_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?.port(), listener))
    });
    match listener {
        Ok((port, listener)) => (listener, port),
        Err(error) => panic!("no unused port on 127.0.0.1: {error}"),
    }
}

/// Starts a server on an unused port of 127.0.0.1.
///
/// `start` is given the listening socket; what it returns is kept as long as the [`TestServer`] lives, and dropped
/// with it to stop the server.
///
/// # Panics
///
/// When the system has no port left.
#[track_caller]
pub fn serve_with<G: 'static>(start: impl FnOnce(TcpListener) -> G) -> TestServer {
    let (listener, port) = bind_unused_port();
    TestServer { port, running: Box::new(start(listener)) }
}

/// Serves an application, or any other [`IntoDelegate`], on an unused port of 127.0.0.1, on the current loop.
///
/// # Panics
///
/// When the application is wrong, or the system has no port left.
#[track_caller]
pub fn serve(app: impl IntoDelegate) -> TestServer {
    let delegate = match app.into_delegate() {
        Ok(delegate) => delegate,
        Err(error) => panic!("cannot serve: {error}"),
    };
    serve_on(HttpServer::for_delegate(delegate))
}

/// Serves with a server of one's own, for its options.
///
/// # Panics
///
/// As [`serve`].
#[track_caller]
pub fn serve_on(server: HttpServer) -> TestServer {
    let (listener, port) = bind_unused_port();
    if let Err(error) = server.add_sockets([Listener::from(listener)]) {
        panic!("cannot serve: {error}");
    }
    TestServer { port, running: Box::new(StopOnDrop(server)) }
}

struct StopOnDrop(HttpServer);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
        self.0.close_all_connections();
    }
}

/// A server under test, and the client for it; stops when dropped.
#[doc(alias = "AsyncHTTPTestCase")]
pub struct TestServer {
    port: u16,
    /// Stops when it is dropped.
    #[cfg_attr(
        not(all(feature = "client", feature = "http2")),
        expect(dead_code, reason = "as with the features")
    )]
    running: Box<dyn Any>,
}

impl TestServer {
    /// The port on 127.0.0.1.
    #[doc(alias = "get_http_port")]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The absolute URL of a path that starts with a slash.
    #[doc(alias = "get_url")]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A `GET` request.
    #[track_caller]
    pub fn get(&self, path: &str) -> TestRequest {
        self.request("GET", path)
    }

    /// A `HEAD` request.
    #[track_caller]
    pub fn head(&self, path: &str) -> TestRequest {
        self.request("HEAD", path)
    }

    /// A `POST` request.
    #[track_caller]
    pub fn post(&self, path: &str) -> TestRequest {
        self.request("POST", path)
    }

    /// A `PUT` request.
    #[track_caller]
    pub fn put(&self, path: &str) -> TestRequest {
        self.request("PUT", path)
    }

    /// A `PATCH` request.
    #[track_caller]
    pub fn patch(&self, path: &str) -> TestRequest {
        self.request("PATCH", path)
    }

    /// A `DELETE` request.
    #[track_caller]
    pub fn delete(&self, path: &str) -> TestRequest {
        self.request("DELETE", path)
    }

    /// An `OPTIONS` request.
    #[track_caller]
    pub fn options(&self, path: &str) -> TestRequest {
        self.request("OPTIONS", path)
    }

    /// A request of any method; `target` is sent as it is, `*` and absolute URLs included.
    #[doc(alias = "fetch")]
    #[track_caller]
    pub fn request(&self, method: &str, target: &str) -> TestRequest {
        TestRequest::new(self.port, None, method, target)
    }

    /// Sends exactly these bytes on a new connection, and returns all that comes back until the server closes it.
    ///
    /// The connection stays open for writing, so that the server is not told of an end it would react to. A server that
    /// resets the connection only ends the answer.
    ///
    /// # Panics
    ///
    /// When the connection cannot be made.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await {
            Ok(stream) => stream,
            Err(error) => panic!("cannot connect to port {}: {error}", self.port),
        };
        let (mut reader, writer) = stream.split();
        let mut answer = Vec::new();
        let read = async {
            match reader.read_to_end(&mut answer).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => panic!("cannot read from port {}: {error}", self.port),
            }
        };
        while_writing(writer, bytes.as_ref(), read).await;
        answer
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("port", &self.port).finish_non_exhaustive()
    }
}

/// A request in the making; `.await` sends it.
///
/// `Host`, `Connection: close` and, with a body, `Content-Length` are added unless they are set.
#[derive(Clone, Debug)]
#[must_use = "a request is sent when it is awaited"]
pub struct TestRequest {
    port: u16,
    /// Instead of a connection of its own.
    over: Option<Over>,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    jar: Option<Jar>,
    timeout: Option<Duration>,
    caller: &'static Location<'static>,
}

impl TestRequest {
    #[track_caller]
    fn new(port: u16, over: Option<Over>, method: &str, target: &str) -> Self {
        Self {
            port,
            over,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
            jar: None,
            timeout: None,
            caller: Location::caller(),
        }
    }

    /// Sets a header, instead of those of that name.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self.add_header(name, value)
    }

    /// Adds a header beside those of that name.
    pub fn add_header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to JSON, and its `Content-Type` unless that is set already.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON.
    #[track_caller]
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.default_header("Content-Type", "application/json").body(body),
            Err(error) => panic!("the value is not JSON: {error}"),
        }
    }

    /// Sets the body to a URL-encoded form, and its `Content-Type` unless that is set already.
    ///
    /// # Panics
    ///
    /// When a key or value is not a text or a number.
    #[track_caller]
    pub fn form<K: Serialize, V: Serialize>(self, fields: &[(K, V)]) -> Self {
        let body = url_encoded(fields);
        self.default_header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    /// Adds arguments to the target's query.
    ///
    /// # Panics
    ///
    /// When a key or value is not a text or a number.
    #[track_caller]
    pub fn query<K: Serialize, V: Serialize>(mut self, arguments: &[(K, V)]) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(&url_encoded(arguments));
        self
    }

    /// How long the answer may take (default: as long as it likes; `#[squall::test]` has a limit for all of a test).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    fn default_header(mut self, name: &str, value: &str) -> Self {
        if !self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    async fn send(self) -> TestResponse {
        let name = format!("{} {}", self.method, self.target);
        let caller = self.caller;
        let (jar, url) = (self.jar.clone(), format!("{}{}", self.base(), self.target));
        let result = match self.timeout {
            None => self.exchange(name.clone()).await,
            Some(limit) => {
                let late = |_| Err(format!("no answer within {limit:?}"));
                tokio::time::timeout(limit, self.exchange(name.clone())).await.unwrap_or_else(late)
            }
        };
        match result {
            Ok(response) => {
                if let Some(jar) = jar {
                    let lines = response.headers.get_all("Set-Cookie").iter();
                    for line in lines.filter_map(|line| line.to_str().ok()) {
                        jar.set(&url, line);
                    }
                }
                response
            }
            Err(problem) => panic!("{name} at {caller}: {problem}"),
        }
    }

    /// Scheme, host and port of the server.
    fn base(&self) -> String {
        let scheme = self.over.as_ref().map_or("http", Over::scheme);
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    async fn exchange(mut self, request: String) -> Result<TestResponse, String> {
        if let Some(cookies) =
            self.jar.take().and_then(|jar| jar.cookies(&format!("{}{}", self.base(), self.target)))
        {
            self = self.default_header("Cookie", &cookies);
        }
        if let Some(over) = self.over.take() {
            return over.exchange(self, request).await;
        }
        let port = self.port;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|error| format!("cannot connect to port {port}: {error}"))?;
        let body = self.body.take().unwrap_or_default();
        let with_body = !body.is_empty() || takes_body(&self.method);
        let chunked = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Transfer-Encoding"));
        let mut sent =
            self.default_header("Host", &format!("127.0.0.1:{port}")).default_header("Connection", "close");
        if with_body && !chunked {
            sent = sent.default_header("Content-Length", &body.len().to_string());
        }
        let mut bytes = format!("{} {} HTTP/1.1\r\n", sent.method, sent.target);
        for (name, value) in &sent.headers {
            // Writing to a `String` cannot fail.
            let _ = write!(bytes, "{name}: {value}\r\n");
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(&body);

        let (reader, writer) = stream.split();
        let response = reader::read_response(reader, request, sent.method == "HEAD");
        while_writing(writer, &bytes, response).await
    }
}

impl IntoFuture for TestRequest {
    type Output = TestResponse;
    type IntoFuture = Pin<Box<dyn Future<Output = TestResponse>>>;

    /// Sends the request and reads the response.
    ///
    /// # Panics
    ///
    /// The future panics when there is no connection, or no complete and correct response.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// Whether a request of this method has a body, be it an empty one.
fn takes_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

#[track_caller]
fn url_encoded<K: Serialize, V: Serialize>(pairs: &[(K, V)]) -> String {
    match serde_urlencoded::to_string(pairs) {
        Ok(text) => text,
        Err(error) => panic!("the values cannot be URL-encoded: {error}"),
    }
}

/// Writes while it reads, since a server may answer and close before it has read all. The answer tells the outcome
/// better than a failed write would.
async fn while_writing<T>(
    mut writer: impl AsyncWriteExt + Unpin,
    bytes: &[u8],
    read: impl Future<Output = T>,
) -> T {
    let write = async {
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        answer = read => answer,
        () = write => unreachable!("the writing side stays pending once it is done"),
    }
}

/// Without the feature `client` there are no cookie jars.
#[cfg(not(feature = "client"))]
mod clients {
    #[derive(Debug, Clone)]
    pub(super) enum Jar {}

    impl Jar {
        pub(super) fn set(&self, _: &str, _: &str) {
            match *self {}
        }

        pub(super) fn cookies(&self, _: &str) -> Option<String> {
            match *self {}
        }
    }
}

/// Nor is there anything that a request could go over but a connection of its own.
#[cfg(not(feature = "client"))]
mod over {
    use super::{TestRequest, TestResponse};

    #[derive(Debug, Clone)]
    pub(super) enum Over {}

    impl Over {
        pub(super) fn scheme(&self) -> &'static str {
            match *self {}
        }

        #[expect(clippy::unused_async, reason = "as its counterpart")]
        pub(super) async fn exchange(self, _: TestRequest, _: String) -> Result<TestResponse, String> {
            match self {}
        }
    }
}
