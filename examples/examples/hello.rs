//! Tornado's hello world: `cargo run --release --example hello`, then `curl -i localhost:8888/`. `--help` lists the options
//! that every program has, such as `--port`.

use squall::{Application, Context, HttpServer, RequestHandler, Result, handler, options, post, url};

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

fn main() -> Result {
    options::parse_command_line()?;
    HttpServer::new(make_app).processes(1).run()
}
