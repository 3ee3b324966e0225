//! The test client over HTTP/2.

use super::over::Over;
use super::{StopOnDrop, TestRequest, TestServer};
use crate::httpclient::{AsyncHttpClient, HttpRequest};
use crate::httpserver::HttpServer;

/// More requests at once than a test makes.
const MOST_AT_ONCE: usize = 1 << 16;

/// A client of a [`TestServer`] that speaks HTTP/2 (see [`TestServer::http2`]). Its requests share one connection.
#[derive(Clone, Debug)]
pub struct Http2TestClient {
    port: u16,
    over: Over,
}

impl TestServer {
    /// A client that speaks HTTP/2 with this server, and asserts as the one for HTTP/1.1 does. Its requests, which may be under
    /// way at the same time, share one connection, which ends when the client and they are dropped.
    ///
    /// ```
    /// # use squall::{Application, Context, get};
    /// # squall::IoLoop::current().run_sync(async {
    /// # let app = squall::testing::serve(Application::new([
    /// #     get("/", async |ctx: &Context| { ctx.write("Hello"); Ok(()) }),
    /// # ]));
    /// let http2 = app.http2();
    /// let (one, other) = tokio::join!(http2.get("/"), http2.get("/missing"));
    /// one.assert_status(200).assert_text("Hello");
    /// other.assert_status(404);
    /// # }, None).unwrap();
    /// ```
    ///
    /// From then on a server of [`serve`](super::serve) or [`serve_on`](super::serve_on) takes HTTP/2 in clear text
    /// ([`h2c`](crate::HttpServer::h2c)); with one that has TLS it is spoken over that, whatever the certificate. One of
    /// [`serve_with`](super::serve_with) is to understand it in clear text.
    #[must_use]
    pub fn http2(&self) -> Http2TestClient {
        let server = self.running.downcast_ref::<StopOnDrop>().map(|running| &running.0);
        let is_over_tls = server.is_some_and(HttpServer::is_over_tls);
        if let Some(server) = server {
            server.take_h2c();
        }
        let defaults = HttpRequest::get("").http2_prior_knowledge(true).connect_timeout(None);
        #[cfg(feature = "tls")]
        let defaults = match is_over_tls {
            true => defaults.tls(crate::httpclient::TlsConfig::unverified()),
            false => defaults,
        };
        let client = AsyncHttpClient::builder().max_clients(MOST_AT_ONCE).defaults(defaults).build();
        let scheme = if is_over_tls { "https" } else { "http" };
        Http2TestClient { port: self.port, over: Over::new(client, scheme) }
    }
}

macro_rules! methods {
    ($($name:ident $method:literal)*) => {$(
        #[doc = concat!("A `", $method, "` request.")]
        #[track_caller]
        pub fn $name(&self, path: &str) -> TestRequest {
            self.request($method, path)
        }
    )*};
}

impl Http2TestClient {
    methods! { get "GET" head "HEAD" post "POST" put "PUT" patch "PATCH" delete "DELETE" options "OPTIONS" }

    /// A request of any method but CONNECT; `target` is a path and a query, or `*`.
    #[doc(alias = "fetch")]
    #[track_caller]
    pub fn request(&self, method: &str, target: &str) -> TestRequest {
        TestRequest::new(self.port, Some(self.over.clone()), method, target)
    }
}
