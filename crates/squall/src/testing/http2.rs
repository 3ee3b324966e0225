//! The test client over HTTP/2.

use super::over::Over;
use super::{TestRequest, TestServer};
use crate::httpclient::{AsyncHttpClient, HttpRequest};

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
    /// A server of [`serve`](super::serve) understands it. One of [`serve_on`](super::serve_on) must be set to, by
    /// [`h2c`](crate::HttpServer::h2c) or with TLS, where the client trusts every certificate; one of
    /// [`serve_with`](super::serve_with) is taken to speak in clear text.
    #[must_use]
    pub fn http2(&self) -> Http2TestClient {
        let mut defaults = HttpRequest::get("").http2_prior_knowledge(true);
        #[cfg(feature = "tls")]
        if self.is_over_tls {
            defaults = defaults.tls(crate::httpclient::TlsConfig::unverified());
        }
        defaults = defaults.connect_timeout(None);
        let client = AsyncHttpClient::builder().max_clients(MOST_AT_ONCE).defaults(defaults).build();
        let scheme = if self.is_over_tls { "https" } else { "http" };
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
