//! One process per core on a shared port: bind before there is a loop, fork, and let each child make a loop and an
//! application of its own (seeds 000 and 001, `HTTPServer.bind` and `start(0)`).
//!
//! `cargo run --release --example multi_process`, then `curl -i localhost:8888/` a few times. Options: `--port`,
//! `--processes` (0, the default, is one per core; 1 does not fork), `--certfile` and `--keyfile` for HTTPS: a session
//! that one process began goes on with another.

use squall::{Application, Context, HttpServer, IoLoop, Result, get};
use squall_examples::{option, port_option, with_tls};

fn make_app() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        let process = std::process::id();
        match squall::process::task_id() {
            Some(task) => ctx.write(format!("Hello from task {task}, process {process}\n")),
            None => ctx.write(format!("Hello from the only process, {process}\n")),
        }
        Ok(())
    })])
}

fn main() -> Result {
    squall::log::enable_pretty_logging();
    let server = with_tls(HttpServer::new(make_app));
    server.bind(port_option(8888))?;
    println!("listening on {}", squall_examples::addresses(&server));
    // The parent stays in this call; it returns in the children.
    server.start(option("processes").unwrap_or(0))?;
    Ok(IoLoop::current().start()?)
}
