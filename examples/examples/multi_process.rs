//! One process per core on a shared port: bind before there is a loop, then `run` forks, and each child makes a loop and an
//! application of its own (seeds 000 and 001, `HTTPServer.bind` and `start(0)`).
//!
//! `cargo run --release --example multi_process`, then `curl -i localhost:8888/` a few times. `--help` lists the options that
//! every program has, among them `--port`, `--processes` (0, the default, is one per core; 1 does not fork), and `--certfile`
//! and `--keyfile` for HTTPS: a session that one process began goes on with another. `kill -HUP` of the first process starts
//! the program anew, and loses no request. `/metrics` has the numbers of all processes together; `/stuck` does what no handler
//! may, so that the log says what holds the loop, and the process is replaced.

use std::time::Duration;

use squall::web::{health, metrics, ready};
use squall::{Application, Context, HttpServer, Result, get, url};

fn make_app() -> Application {
    let hello = get("/", async |ctx: &Context| {
        let process = std::process::id();
        match squall::process::task_id() {
            Some(task) => ctx.write(format!("Hello from task {task}, process {process}\n")),
            None => ctx.write(format!("Hello from the only process, {process}\n")),
        }
        Ok(())
    });
    let stuck = get("/stuck", async |_: &Context| {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    });
    Application::new([
        hello,
        stuck,
        url("/healthz", health()),
        url("/readyz", ready()),
        url("/metrics", metrics()),
    ])
}

fn main() -> Result {
    squall::options::parse_command_line()?;
    // Forks and supervises; each process makes an application of its own, serves, and drains on SIGTERM. Where to listen
    // is left to the options.
    HttpServer::new(make_app).worker_timeout(Duration::from_secs(10)).run()
}
