//! Requests of a test that share connections: squall's own client sends them.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{TestRequest, TestResponse, takes_body};
use crate::httpclient::{AsyncHttpClient, HttpRequest, HttpResponse};
use crate::httputil::HttpHeaders;

/// What sends them.
#[derive(Clone)]
pub(super) struct Over {
    client: AsyncHttpClient,
    scheme: &'static str,
}

impl Over {
    #[cfg(feature = "http2")]
    pub(super) fn new(client: AsyncHttpClient, scheme: &'static str) -> Self {
        Self { client, scheme }
    }

    pub(super) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Sends exactly this request; the error is for the test's author.
    pub(super) async fn exchange(self, sent: TestRequest, name: String) -> Result<TestResponse, String> {
        let mut headers = HttpHeaders::new();
        for (name, value) in &sent.headers {
            headers.add(name, value.as_str()).map_err(|error| error.to_string())?;
        }
        let url = format!("{}://127.0.0.1:{}", self.scheme, sent.port);
        let mut request = HttpRequest::new(&sent.method, url)
            .verbatim(sent.target)
            .with_headers(headers)
            .allow_nonstandard_methods(true)
            .follow_redirects(false)
            .decompress_response(false)
            .raise_error(false)
            .request_timeout(None)
            .max_body_size(u64::MAX);
        let body = sent.body.unwrap_or_default();
        if !body.is_empty() || takes_body(&sent.method) {
            request = request.body(body);
        }
        let response = self.client.fetch(request).await.map_err(|error| error.to_string())?;
        taken(&response, name)
    }
}

fn taken(response: &HttpResponse, request: String) -> Result<TestResponse, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in response.headers().iter_bytes() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        headers.append(name, HeaderValue::from_bytes(value).map_err(|error| error.to_string())?);
    }
    Ok(TestResponse {
        request,
        status: response.status(),
        reason: response.reason().to_owned(),
        headers,
        body: response.body().to_vec(),
    })
}

impl fmt::Debug for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme)
    }
}
