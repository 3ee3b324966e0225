//! squall's own clients, for tests of what they do together with the server.

use super::{TestRequest, TestServer};
pub(super) use crate::httpclient::CookieJar as Jar;
use crate::httpclient::{
    AsyncHttpClient, CookieJar, HttpClientError, HttpRequest, HttpResponse, MultipartForm,
};

/// With the feature `client`, a default one.
impl TestServer {
    /// Fetches with an [`AsyncHttpClient`] and every option that an [`HttpRequest`] has (Tornado's `self.fetch`). A URL that
    /// begins with a slash is this server's. Redirects are followed unless the request says otherwise, and a status that is no
    /// success is no error unless it says so, too.
    ///
    /// ```
    /// # use squall::httpclient::HttpRequest;
    /// # async fn test(app: squall::testing::TestServer) {
    /// let response = app.fetch(HttpRequest::post("/login").form(&[("name", "ann")])).await.unwrap();
    /// assert_eq!(response.status(), 200);
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AsyncHttpClient::fetch`].
    pub async fn fetch(&self, request: impl Into<HttpRequest>) -> Result<HttpResponse, HttpClientError> {
        self.fetch_with(&AsyncHttpClient::new(), request).await
    }

    /// As [`fetch`](Self::fetch) with a client of one's own, which may have a cookie jar.
    ///
    /// # Errors
    /// As [`AsyncHttpClient::fetch`].
    pub async fn fetch_with(
        &self,
        client: &AsyncHttpClient,
        request: impl Into<HttpRequest>,
    ) -> Result<HttpResponse, HttpClientError> {
        client.fetch(request.into().for_test(&self.url(""))).await
    }
}

/// With the feature `client`, a default one.
impl TestRequest {
    /// Sets the body to a multipart form, and its `Content-Type`.
    pub fn multipart(self, form: &MultipartForm) -> Self {
        let (content_type, body) = form.encode();
        self.header("Content-Type", content_type).body(body)
    }

    /// Sends the cookies of this jar, unless there is a `Cookie` header, and keeps there what the response sets: for requests
    /// that belong together, such as what follows a login.
    pub fn cookie_jar(mut self, jar: &CookieJar) -> Self {
        self.jar = Some(jar.clone());
        self
    }
}
