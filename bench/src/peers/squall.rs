//! squall: the hello application, a class-based handler behind a route, with every default.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::process::Command;

use serde::Serialize;
use squall::log::{LogFormat, LogSettings};
use squall::tls::SslOptions;
use squall::web::{Next, StaticFileHandler, proxy};
use squall::{Application, Context, HttpServer, IoLoop, RequestHandler, handler, url};

use super::Settings;
use crate::{Result, static_files, tls};

#[derive(Clone)]
struct Hello;

#[handler]
impl RequestHandler for Hello {
    async fn get(&mut self, ctx: &Context) -> squall::Result {
        ctx.write("Hello world!");
        Ok(())
    }
}

#[derive(Clone)]
struct Json;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

#[handler]
impl RequestHandler for Json {
    async fn get(&mut self, ctx: &Context) -> squall::Result {
        ctx.write_json(&Message { message: "Hello, World!" })
    }
}

pub(super) fn serve(listener: TcpListener, settings: &Settings) -> Result {
    let files = settings.contains_key("files");
    let metrics = settings.contains_key("metrics");
    let layers: u32 = settings.get("around").map_or(Ok(0), |layers| layers.parse())?;
    let upstream = settings.get("upstream").map(|port| format!("http://127.0.0.1:{port}"));
    let mut server = HttpServer::new(move || {
        if let Some(upstream) = &upstream {
            return Application::new([]).fallback(proxy(upstream));
        }
        if files {
            return Application::new([url("/(.*)", StaticFileHandler::new(static_files::folder()))]);
        }
        let metrics = metrics.then(|| url("/metrics", squall::web::metrics()));
        let app = Application::new([url("/", Hello), url("/json", Json)].into_iter().chain(metrics));
        (0..layers).fold(app, |app, _| app.around(async |ctx: &Context, next: Next<'_>| next.run(ctx).await))
    })
    .xheaders(settings.contains_key("xheaders"));
    if settings.contains_key("tls") {
        server = server.ssl_options(SslOptions::new(tls::certfile(), tls::keyfile()));
    }
    server = server.h2c(settings.contains_key("http2"));
    server.add_sockets([listener.into()])?;
    let Some(log) = settings.get("log") else { return Ok(IoLoop::current().start()?) };
    log_to(log, settings.get("format").map_or("pretty", String::as_str))?;
    // As a server logs, by a thread of its own; killed at the end.
    let served = IoLoop::current().run_sync(async { server.serve().await }, None)?;
    Ok(served.map_err(|error| error.to_string())?)
}

/// Writes the access log to a `file`, to `null`, or to a `pipe` that nobody reads.
fn log_to(target: &str, format: &str) -> Result {
    let format = match format {
        "pretty" => LogFormat::Pretty,
        "json" => LogFormat::Json,
        "logfmt" => LogFormat::Logfmt,
        _ => return Err(format!("format={format}: pretty, json or logfmt").into()),
    };
    let own = std::env::temp_dir().join(format!("squall-bench-{}", std::process::id()));
    let file = match target {
        "null" => "/dev/null".into(),
        "file" => own,
        "pipe" => {
            if !Command::new("mkfifo").arg(&own).status()?.success() {
                return Err("mkfifo failed".into());
            }
            // Whoever opens both ends need not wait for anybody; it is never read.
            std::mem::forget(OpenOptions::new().read(true).write(true).open(&own)?);
            own
        }
        _ => return Err(format!("log={target}: file, null or pipe").into()),
    };
    // Rotated at 100 MB, of which two files are kept.
    let settings = LogSettings { file_prefix: Some(file), format, num_backups: 1, ..LogSettings::default() };
    Ok(squall::log::enable(settings)?)
}
