//! The numbers as Prometheus reads them: its text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use super::ours;
use super::slab::{BOUNDS, FETCHES, Histogram, REQUESTS, Slab, Value};
use super::slots;

/// All numbers of all processes, as text.
pub(crate) fn render() -> String {
    let (mut slabs, restarts) = slots::shared();
    slabs.extend(&ours().private);
    let mut out = String::with_capacity(8192);
    // Writing to a string does not fail.
    let _ = Totals::of(&slabs).write(&mut out, restarts);
    out
}

/// The sums over all slabs.
#[derive(Default)]
struct Totals {
    values: [u64; Value::COUNT],
    processes: usize,
    lag: Histogram,
    /// By route, method, status and version.
    requests: BTreeMap<(String, String, String, String), u64>,
    /// By route and method.
    durations: BTreeMap<(String, String), Histogram>,
    /// By method, status and version.
    fetches: BTreeMap<(String, String, String), Histogram>,
}

impl Totals {
    fn of(slabs: &[Slab]) -> Self {
        let mut all = Self::default();
        for slab in slabs {
            all.add(*slab);
        }
        all
    }

    fn add(&mut self, slab: Slab) {
        let live = slab.is_live();
        self.processes += usize::from(live);
        for (place, sum) in self.values.iter_mut().enumerate() {
            // What went up and down in a process that has ended is no more.
            if live || !Value::is_gauge(place) {
                *sum = sum.wrapping_add(slab.value(place));
            }
        }
        self.lag.add(&slab.lag());
        for entry in slab.entries(REQUESTS) {
            let count = entry.histogram.count();
            if count == 0 {
                continue;
            }
            // More label sets than there is room for are one.
            let (route, method, status, version) = if entry.rest {
                ("other".into(), "other".to_owned(), "other".into(), "other".into())
            } else {
                (entry.text, entry.method.to_owned(), entry.status.to_string(), entry.version.to_owned())
            };
            self.durations.entry((route.clone(), method.clone())).or_default().add(&entry.histogram);
            *self.requests.entry((route, method, status, version)).or_default() += count;
        }
        for entry in slab.entries(FETCHES) {
            if entry.histogram.count() == 0 {
                continue;
            }
            let status = match entry.status {
                _ if entry.rest => "other".to_owned(),
                0 => "error".to_owned(),
                class => format!("{class}xx"),
            };
            let version = if entry.rest { "other" } else { entry.version };
            let labels = (entry.method.to_owned(), status, version.to_owned());
            self.fetches.entry(labels).or_default().add(&entry.histogram);
        }
    }

    fn write(&self, out: &mut String, restarts: Option<u64>) -> fmt::Result {
        self.write_server(out)?;
        self.write_connections(out)?;
        self.write_client(out)?;
        let about = "How late the loop comes to what is due, looked at twice a second.";
        head(out, "squall_loop_lag_seconds", "histogram", about)?;
        histogram(out, "squall_loop_lag_seconds", "", &self.lag)?;
        let jobs = self.gauge(Value::ExecutorJobs);
        single(out, "squall_executor_jobs", "gauge", "Functions in executors that are waited for.", jobs)?;
        let processes = self.processes;
        single(out, "squall_processes", "gauge", "Processes that count for this.", processes)?;
        if let Some(restarts) = restarts {
            let about = "Processes that were started in the place of one that crashed.";
            single(out, "squall_process_restarts_total", "counter", about, restarts)?;
        }
        Ok(())
    }

    fn write_server(&self, out: &mut String) -> fmt::Result {
        let name = "squall_http_requests_total";
        head(
            out,
            name,
            "counter",
            "Requests that were answered, or whose clients left before (status 499).",
        )?;
        for ((route, method, status, version), count) in &self.requests {
            let route = Escaped(route);
            writeln!(
                out,
                "{name}{{route=\"{route}\",method=\"{method}\",status=\"{status}\",version=\"{version}\"}} {count}"
            )?;
        }
        let name = "squall_http_request_duration_seconds";
        head(out, name, "histogram", "From the arrival of a request to the end of its handler.")?;
        for ((route, method), took) in &self.durations {
            histogram(out, name, &format!("route=\"{}\",method=\"{method}\"", Escaped(route)), took)?;
        }
        let about = "Requests that are being received or answered.";
        single(out, "squall_http_requests_in_flight", "gauge", about, self.gauge(Value::RequestsInFlight))
    }

    fn write_connections(&self, out: &mut String) -> fmt::Result {
        let kinds = ["http", "https", "websocket", "client_websocket"];
        let name = "squall_connections";
        head(out, name, "gauge", "Open connections; those of WebSockets are no others.")?;
        let open = [Value::HttpOpen, Value::HttpsOpen, Value::WebSocketsOpen, Value::ClientWebSocketsOpen];
        for (kind, value) in kinds.iter().zip(open) {
            writeln!(out, "{name}{{kind=\"{kind}\"}} {}", self.gauge(value))?;
        }
        let name = "squall_connections_opened_total";
        head(out, name, "counter", "Connections that were accepted, and WebSockets that were opened.")?;
        let opened =
            [Value::HttpOpened, Value::HttpsOpened, Value::WebSocketsOpened, Value::ClientWebSocketsOpened];
        for (kind, value) in kinds.iter().zip(opened) {
            writeln!(out, "{name}{{kind=\"{kind}\"}} {}", self.counter(value))?;
        }
        let name = "squall_websocket_messages_total";
        head(out, name, "counter", "Messages of all WebSockets.")?;
        writeln!(out, "{name}{{direction=\"in\"}} {}", self.counter(Value::MessagesIn))?;
        writeln!(out, "{name}{{direction=\"out\"}} {}", self.counter(Value::MessagesOut))?;
        let name = "squall_network_bytes_total";
        head(out, name, "counter", "Bytes on all sockets, servers' and clients', as they are on the wire.")?;
        writeln!(out, "{name}{{direction=\"in\"}} {}", self.counter(Value::BytesIn))?;
        writeln!(out, "{name}{{direction=\"out\"}} {}", self.counter(Value::BytesOut))
    }

    fn write_client(&self, out: &mut String) -> fmt::Result {
        let name = "squall_client_fetch_duration_seconds";
        head(out, name, "histogram", "From a fetch to the head of its response, redirects included.")?;
        for ((method, status, version), took) in &self.fetches {
            let labels = format!("method=\"{method}\",status=\"{status}\",version=\"{version}\"");
            histogram(out, name, &labels, took)?;
        }
        let about = "Fetches that wait for the head of their response.";
        single(out, "squall_client_fetches_in_flight", "gauge", about, self.gauge(Value::FetchesInFlight))?;
        let name = "squall_client_connections";
        head(out, name, "gauge", "Connections of HTTP clients: at a request, or kept for the next.")?;
        writeln!(out, "{name}{{state=\"busy\"}} {}", self.gauge(Value::ClientConnectionsBusy))?;
        writeln!(out, "{name}{{state=\"idle\"}} {}", self.gauge(Value::ClientConnectionsIdle))
    }

    fn counter(&self, value: Value) -> u64 {
        self.values[value as usize]
    }

    /// A process that is read while it counts may seem to have less than nothing.
    fn gauge(&self, value: Value) -> i64 {
        self.values[value as usize].cast_signed().max(0)
    }
}

fn head(out: &mut String, name: &str, kind: &str, about: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {about}\n# TYPE {name} {kind}")
}

fn single(out: &mut String, name: &str, kind: &str, about: &str, value: impl Display) -> fmt::Result {
    head(out, name, kind, about)?;
    writeln!(out, "{name} {value}")
}

fn histogram(out: &mut String, name: &str, labels: &str, all: &Histogram) -> fmt::Result {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut below = 0;
    for (bound, count) in BOUNDS.iter().map(|millis| (millis / 1000.0).to_string()).zip(all.buckets) {
        below += count;
        writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}")?;
    }
    let count = all.count();
    writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}")?;
    let set = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    writeln!(out, "{name}_sum{set} {}", all.nanos as f64 / 1e9)?;
    writeln!(out, "{name}_count{set} {count}")
}

/// A label's value: backslashes, quotes and line ends are escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
