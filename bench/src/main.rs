//! squall side by side with other servers; `README.md` says what is measured and how.

mod answer;
mod client;
mod http;
mod http2;
mod idle;
mod load;
mod measure;
mod options;
mod peers;
mod proxy;
mod routes;
mod static_files;
mod sys;
mod template;
mod tls;
mod web;
mod websocket;

use std::process::ExitCode;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo run --release --manifest-path bench/Cargo.toml -- <command> [options]

commands
  http      GET / over keep-alive connections: requests/s, latency, CPU per request of the server process
  http2     JSON and a file of 1 KB under h2load, h2c and TLS; memory per idle connection
  web       a page with cookies, arguments and JSON behind one of 100 routes
  client    keep-alive GETs: CPU per request of the client process, 64 at a time and one at a time
  idle      userland memory per idle keep-alive connection
  static    files of 1 KB and 10 MB and a 304 beside nginx: CPU per request and per byte
  websocket echo, one message to 10,000 sockets, memory per idle socket: CPU per message
  tls       handshakes, GET /json, a 10 MB file, idle connections and stalled handshakes over TLS
  proxy     GET / through a reverse proxy beside nginx: CPU per proxied request
  template  CPU per page: inheritance, 100 rows, three modules, beside other template engines
  routes    time to match one of 10, 100 and 1,000 routes
  fetch C   run client C (client starts it)
  serve P   run peer P on a port of its own and print the port (the other commands start these themselves)

options (http, web; template knows --rounds; idle knows --peers, --rounds and --connections)
  --peers a,b        which servers, of: %PEERS%
                     a peer may take settings: tokio:event_interval=127:read=try (see src/peers/tokio.rs)
                     and another build of this program may serve it: squall:exe=/tmp/bench-before
  --rounds N         interleaved rounds                      (http 7, tls 7, template 9, idle 3)
  --case NAME        static, websocket, tls, http2: only the cases whose names contain this
  --seconds S        measured window per server and round    (2)
  --connections N    open connections                        (http 64, idle 10000)
  --pipeline A,B     requests in flight per connection       (1,16)
  --headers KIND     minimal | browser                       (minimal)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let outcome = match args.next().as_deref() {
        Some("http") => options::parse(args).and_then(|options| http::run(&options)),
        Some("http2") => options::parse(args).and_then(|options| http2::run(&options)),
        Some("web") => options::parse(args).and_then(|options| web::run(&options)),
        Some("client") => options::parse(args).and_then(|options| client::run(&options)),
        Some("fetch") => client::fetch_here(args),
        Some("idle") => options::parse(args).and_then(|options| idle::run(&options)),
        Some("static") => options::parse(args).and_then(|options| static_files::run(&options)),
        Some("websocket") => options::parse(args).and_then(|options| websocket::run(&options)),
        Some("tls") => options::parse(args).and_then(|options| tls::run(&options)),
        Some("proxy") => options::parse(args).and_then(|options| proxy::run(&options)),
        Some("template") => options::parse(args).and_then(|options| template::run(&options)),
        Some("routes") => {
            routes::run();
            Ok(())
        }
        Some("serve") => peers::serve(args.next().as_deref().unwrap_or_default()),
        _ => {
            eprint!("{}", USAGE.replace("%PEERS%", &peers::names().join(",")));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
