//! What a site does that is served by https.

use std::time::Duration;

use crate::httputil::split_host_and_port;
use crate::web::application::Application;
use crate::web::context::Context;

/// # HTTPS
///
/// ```
/// use std::time::Duration;
/// use squall::Application;
/// use squall::web::Hsts;
///
/// let app = Application::new([]).https_redirect(443).hsts(Hsts::new(Duration::from_secs(365 * 24 * 3600)));
/// # let _ = app;
/// ```
impl Application {
    /// Sends requests that came by http to the same place by https, at this port of their host: with 301, or 308 for
    /// methods other than `GET` and `HEAD`, so that they stay what they are. It comes ahead of all hooks and handlers.
    /// Behind a proxy that ends TLS the server needs [`xheaders`](crate::HttpServer::xheaders), or all requests seem to
    /// have come by http.
    #[must_use]
    pub fn https_redirect(mut self, port: u16) -> Self {
        self.settings.hooks.add_first(move |ctx| {
            if ctx.is_https() {
                return Ok(());
            }
            let status = if matches!(ctx.method().as_str(), "GET" | "HEAD") { 301 } else { 308 };
            ctx.redirect_with(&secure_url(ctx, port), status)
        });
        self
    }

    /// Tells browsers to use https only from now on (`Strict-Transport-Security`, RFC 6797). Sent with every response to
    /// a request that came by https, never by http, where it means nothing (§7.2).
    #[must_use]
    pub fn hsts(mut self, hsts: Hsts) -> Self {
        let value = hsts.header_value();
        self.settings.hooks.add_after(move |ctx| {
            if ctx.is_https() {
                ctx.set_header("Strict-Transport-Security", value.as_str())?;
            }
            Ok(())
        });
        self
    }
}

/// How long browsers are to use https only: for [`Application::hsts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    max_age: Duration,
    include_subdomains: bool,
    preload: bool,
}

impl Hsts {
    /// For so long from each response on, in whole seconds; a year is usual, zero takes it back.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, include_subdomains: false, preload: false }
    }

    /// All subdomains too. Default: no.
    #[must_use]
    pub fn include_subdomains(mut self, on: bool) -> Self {
        self.include_subdomains = on;
        self
    }

    /// Agrees to the lists that browsers come with. It is hard to take back. Default: no.
    #[must_use]
    pub fn preload(mut self, on: bool) -> Self {
        self.preload = on;
        self
    }

    fn header_value(self) -> String {
        let subdomains = if self.include_subdomains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        format!("max-age={}{subdomains}{preload}", self.max_age.as_secs())
    }
}

impl Context {
    pub(in crate::web) fn is_https(&self) -> bool {
        self.request().protocol() == "https"
    }
}

/// The URL of the request, by https.
fn secure_url(ctx: &Context, port: u16) -> String {
    let request = ctx.request();
    let (host, _) = split_host_and_port(request.host());
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let query = if request.query().is_empty() { "" } else { "?" };
    format!("https://{host}{port}{}{query}{}", request.path(), request.query())
}
