//! Tornado's hello world: `cargo run --release --example hello`, then `curl -i localhost:8888/`.

use squall::{Application, Context, RequestHandler, Result, handler, post, url};
use squall_examples::{listen, port_option, scheme};

#[derive(Clone)]
struct Main;

#[handler]
impl RequestHandler for Main {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("Hello, world");
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        echo(ctx).await
    }
}

/// What a client sends is not HTML unless it is escaped, and here it is to come back as it was.
async fn echo(ctx: &Context) -> Result {
    ctx.set_header("Content-Type", "text/plain; charset=UTF-8")?;
    ctx.write(ctx.request().body());
    Ok(())
}

fn make_app() -> Application {
    Application::new([url("/", Main), post("/echo", echo)])
}

#[squall::main]
async fn main() -> Result {
    squall::log::enable_pretty_logging();
    let port = port_option(8888);
    let server = listen(make_app, port)?;
    println!("listening on {}://localhost:{port}/", scheme());
    server.serve().await
}
