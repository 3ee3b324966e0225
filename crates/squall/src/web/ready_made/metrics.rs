//! What Prometheus asks for.

use crate::metrics;
use crate::web::access_log::Took;
use crate::web::context::Context;
use crate::web::error::Result;
use crate::web::handler::RequestHandler;
use crate::web::methods::Methods;

/// A handler that answers with numbers about the server, in Prometheus' text format: for a scraper.
///
/// ```
/// use squall::web::metrics;
/// use squall::{Application, url};
///
/// # let app =
/// Application::new([url("/metrics", metrics())])
/// # ; drop(app);
/// ```
///
/// | name | labels | |
/// |---|---|---|
/// | `squall_http_requests_total` | `route`, `method`, `status`, `version` | requests that were answered |
/// | `squall_http_request_duration_seconds` | `route`, `method` | histogram, from the arrival of a request to the end of its handler |
/// | `squall_http_requests_in_flight` | | requests that are being received or answered |
/// | `squall_connections`, `squall_connections_opened_total` | `kind` | `http`, `https`, `websocket`, `client_websocket` |
/// | `squall_websocket_messages_total` | `direction` | |
/// | `squall_network_bytes_total` | `direction` | on all sockets of servers and clients, as on the wire |
/// | `squall_loop_lag_seconds` | | histogram, how late the loop comes to a timer |
/// | `squall_executor_jobs` | | jobs in executors that are waited for |
/// | `squall_client_fetch_duration_seconds` | `method`, `status`, `version` | histogram of fetches, until the head; `status` is `2xx` and so on, or `error`, whose `version` is `none` |
/// | `squall_client_fetches_in_flight`, `squall_client_connections` | `state` | `busy` ones, and `idle` ones of the pools |
/// | `squall_processes`, `squall_process_restarts_total` | | |
///
/// They are those of all processes of the server together, whichever of them answers, where one process has forked them
/// ([`HttpServer::run`](crate::HttpServer::run), [`fork_processes`](crate::process::fork_processes)). Those that only grow go
/// on growing when a worker ends and another takes its place; a reload, which is a new program, begins anew, as Prometheus
/// knows from other restarts.
///
/// `route` is the pattern as it was written ([`Context::route_pattern`]), `unmatched` for what no route takes, so a client
/// cannot make up label sets; 112 bytes of it count. Unknown methods are `other`. Beyond 1,023 label sets of a process what
/// is new has the label `other` throughout. A client that leaves before the answer counts as status 499, which no server sends.
/// Requests that end below the level of handlers ([delegates](crate::web::delegate), fallbacks, what is no HTTP) have no label
/// set, but count as in flight and in bytes.
///
/// Nothing is counted in a program that never calls this function. Who may not know these numbers must be kept out by the
/// application ([`UrlSpec::around`](crate::web::UrlSpec::around)), a separate port or a proxy.
pub fn metrics() -> Metrics {
    metrics::enable();
    Metrics
}

/// Made by [`metrics`].
#[derive(Debug, Clone)]
pub struct Metrics;

/// What Prometheus asks for.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl RequestHandler for Metrics {
    const METHODS: Methods = Methods::of(&["GET"]);

    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.set_header("Content-Type", CONTENT_TYPE)?;
        ctx.set_header("Cache-Control", "no-store")?;
        ctx.write(metrics::render());
        Ok(())
    }
}

/// The status of a request whose client left, by nginx' custom.
pub(in crate::web) const CLIENT_LEFT: u16 = 499;

/// Counts a request that has ended.
#[inline]
pub(in crate::web) fn count_request(ctx: &Context, status: u16, took: &Took<'_>) {
    if metrics::is_on() {
        let (route, request) = (ctx.route(), ctx.request());
        let pattern = route.written().unwrap_or("unmatched");
        let method = request.method().as_str();
        metrics::request(route.last_counted(), pattern, method, status, request.version(), took.time());
    }
}
