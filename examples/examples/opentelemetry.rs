//! Traces by OpenTelemetry, over several services: the span of a request continues the trace that its `traceparent` (W3C
//! Trace Context) names, and a fetch hands that on. The spans are printed; another exporter sends them to a collector.
//!
//! ```sh
//! cargo run --features squall-examples/opentelemetry --example opentelemetry &
//! curl -H 'traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01' localhost:8888/
//! ```
//!
//! `/` fetches `/part` of the same server, so one trace has the spans of two requests.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::httputil::HttpHeaders;
use squall::{Application, Context, HttpServer, Result, get, options};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What a request says of the trace that it is part of.
struct Given<'a>(&'a HttpHeaders);

impl Extractor for Given<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name).collect()
    }
}

/// What a fetch is to say of it.
#[derive(Default)]
struct HandedOn(Vec<(String, String)>);

impl Injector for HandedOn {
    fn set(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }
}

/// Makes the span of a request part of the trace of whoever sent it.
fn continue_trace(ctx: &Context, span: &Span) {
    let parent = TraceContextPropagator::new().extract(&Given(ctx.request().headers()));
    // Without a trace the span begins one.
    let _ = span.set_parent(parent);
}

/// The request with the trace that is under way.
fn traced(request: HttpRequest) -> HttpRequest {
    let mut handed_on = HandedOn::default();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut handed_on);
    handed_on.0.into_iter().fold(request, |request, (name, value)| request.header(&name, value))
}

fn make_app(port: u16) -> Application {
    let client = AsyncHttpClient::new();
    let whole = get("/", async move |ctx: &Context| {
        let part = HttpRequest::get(format!("http://localhost:{port}/part"));
        let response = client.fetch(traced(part)).await?;
        ctx.write(format!("a whole of {}", response.text()));
        Ok(())
    });
    let part = get("/part", async |ctx: &Context| {
        tracing::info!("making a part");
        ctx.write(ctx.request().headers().get("traceparent").unwrap_or("no trace"));
        Ok(())
    });
    Application::new([whole, part]).on_request_span(continue_trace)
}

fn main() -> Result {
    let exporter = opentelemetry_stdout::SpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    // Only what is about requests; libraries have spans of their own.
    let wanted = EnvFilter::new("off,squall::request=info,opentelemetry=info");
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("squall")).with_filter(wanted);
    tracing_subscriber::registry().with(layer).init();

    options::parse_command_line()?;
    HttpServer::new(|| make_app(options::get("port"))).processes(1).run()?;
    provider.shutdown()?;
    Ok(())
}
