//! What a proxy in front says of its client.

use std::net::IpAddr;
use std::rc::Rc;

use crate::httputil::{
    BodyKind, HttpHeaders, HttpServerConnectionDelegate, HttpServerRequest, NameSet, RequestContext, Scheme,
    Shutdown, Started, ows,
};

/// Believes what a proxy says about the client (`xheaders`).
pub(super) struct ProxyHeaders {
    pub(super) inner: Rc<dyn HttpServerConnectionDelegate>,
    pub(super) trusted: Vec<IpAddr>,
}

/// Whether there may be one of the fields that [`ProxyHeaders`] reads: one look at the names.
#[inline]
fn says_something(headers: &HttpHeaders) -> bool {
    const NAMES: NameSet = NameSet::of(&["X-Scheme", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Proto"]);
    headers.may_have(NAMES) && headers.iter_bytes().any(|(name, _)| name.starts_with("X-"))
}

impl ProxyHeaders {
    fn apply(&self, request: &HttpServerRequest) -> RequestContext {
        let mut context = request.context();
        let headers = request.headers();
        let forwarded = headers.joined("X-Forwarded-For");
        let mut addresses = forwarded.as_deref().unwrap_or_default().rsplit(',').map(ows::trim);
        let first = addresses.clone().next_back();
        // When all are trusted proxies it is the first who asked.
        let last =
            addresses.find(|a| a.parse::<IpAddr>().map_or(true, |ip| !self.trusted.contains(&ip))).or(first);
        let claimed = headers.get("X-Real-Ip").or(last);
        if let Some(ip) = claimed.and_then(|text| text.parse().ok()) {
            (context.remote_ip, context.remote_port) = (ip, None);
        }
        let scheme = headers.get("X-Scheme").or_else(|| headers.get("X-Forwarded-Proto"));
        let scheme = scheme.and_then(|s| s.rsplit(',').next()).map(ows::trim);
        context.protocol = scheme.and_then(Scheme::named).unwrap_or(context.protocol);
        context
    }
}

impl HttpServerConnectionDelegate for ProxyHeaders {
    fn start_request(&self, mut request: HttpServerRequest, body: BodyKind) -> Started {
        if says_something(request.headers()) {
            let context = self.apply(&request);
            request.set_context(context);
        }
        self.inner.start_request(request, body)
    }

    fn on_close(&self) {
        self.inner.on_close();
    }

    fn on_shutdown(&self, shutdown: &Shutdown) {
        self.inner.on_shutdown(shutdown);
    }
}
