//! A client for programs without a loop.

use std::io;

use super::{AsyncHttpClient, HttpClientBuilder, HttpClientError, HttpRequest, HttpResponse};
use crate::ioloop::IoLoop;

/// A client that waits for each response, for scripts (Tornado's `HTTPClient`).
///
/// It has a loop of its own; using it while another loop runs on the thread is a mistake.
///
/// ```no_run
/// use squall::httpclient::HttpClient;
///
/// let client = HttpClient::new().unwrap();
/// match client.fetch("http://localhost:8888/") {
///     Ok(response) => println!("{}", response.text()),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
#[doc(alias = "HTTPClient")]
#[derive(Debug)]
pub struct HttpClient {
    ioloop: IoLoop,
    client: AsyncHttpClient,
}

impl HttpClient {
    /// A client with the default settings.
    ///
    /// # Errors
    /// When the system has no resources for a loop.
    pub fn new() -> io::Result<Self> {
        Self::with_builder(AsyncHttpClient::builder())
    }

    /// A client with other settings.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_builder(builder: HttpClientBuilder) -> io::Result<Self> {
        Ok(Self { ioloop: IoLoop::new()?, client: builder.build() })
    }

    /// [`AsyncHttpClient::fetch`], waited for.
    ///
    /// # Errors
    /// As there, and [`HttpClientError::Request`] when a loop is running on this thread.
    pub fn fetch(&self, request: impl Into<HttpRequest>) -> Result<HttpResponse, HttpClientError> {
        let fetching = self.client.fetch(request.into());
        self.ioloop
            .run_sync(fetching, None)
            .map_err(|error| HttpClientError::Request(format!("HttpClient cannot wait: {error}")))?
    }
}
