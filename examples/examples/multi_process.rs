//! One process per core on a shared port: bind before there is a loop, then `run` forks, and each child makes a loop and an
//! application of its own (seeds 000 and 001, `HTTPServer.bind` and `start(0)`).
//!
//! `cargo run --release --example multi_process`, then `curl -i localhost:8888/` a few times. `--help` lists the options that
//! every program has, among them `--port`, `--processes` (0, the default, is one per core; 1 does not fork), and `--certfile`
//! and `--keyfile` for HTTPS: a session that one process began goes on with another. `kill -HUP` of the first process starts
//! the program anew, and loses no request.

use squall::{Application, Context, HttpServer, Result, get};

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
    squall::options::parse_command_line()?;
    // Forks and supervises; each process makes an application of its own, serves, and drains on SIGTERM. Where to listen
    // is left to the options.
    HttpServer::new(make_app).run()
}
