//! Tornado's hello world: `cargo run --release --example hello`, then `curl -i localhost:8888/`.

use squall::{Application, Context, RequestHandler, Result, handler, post, url};
use squall_examples::port_option;

#[derive(Clone)]
struct Main;

#[handler]
impl RequestHandler for Main {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.write("Hello, world");
        Ok(())
    }

    async fn post(&mut self, ctx: &Context) -> Result {
        ctx.write(ctx.request().body());
        Ok(())
    }
}

fn make_app() -> Application {
    Application::new([
        url("/", Main),
        post("/echo", async |ctx: &Context| {
            ctx.write(ctx.request().body());
            Ok(())
        }),
    ])
}

#[squall::main]
async fn main() -> Result {
    squall::log::enable_pretty_logging();
    let port = port_option(8888);
    let server = make_app().listen(port)?;
    println!("listening on http://localhost:{port}/");
    server.serve().await
}
