//! A counter that all visitors see, by server-sent events: `cargo run --release --example sse`, then open
//! http://localhost:8888/ in two windows, or `curl -N localhost:8888/events`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use squall::web::Event;
use squall::{Application, Context, HttpServer, Result, get, options, post};
use tokio::sync::Notify;

const PAGE: &str = r#"<!DOCTYPE html>
<title>Counter</title>
<p>Clicks so far: <output id="count">?</output> <button onclick="fetch('/click', {method: 'POST'})">Click</button>
<script>
  const events = new EventSource("/events");
  events.addEventListener("count", (event) => (document.getElementById("count").value = event.data));
</script>
"#;

#[derive(Default)]
struct Counter {
    clicks: Cell<u64>,
    changed: Notify,
}

/// Sends the count, and again whenever it has changed. A visitor who is slow gets the newest, not all there were.
async fn send_counts(ctx: &Context, counter: &Counter) -> Result {
    let events = ctx.event_stream()?;
    // What the browser has seen, when it comes back after the connection broke.
    let mut seen: Option<u64> = ctx.last_event_id().and_then(|id| id.parse().ok());
    loop {
        let clicks = counter.clicks.get();
        if seen != Some(clicks) {
            let event = Event::new().event("count").id(clicks.to_string()).retry(Duration::from_secs(1));
            events.send(&event.data(clicks.to_string())).await?;
            seen = Some(clicks);
        } else if events.while_open(counter.changed.notified()).await.is_none() {
            return Ok(());
        }
    }
}

fn make_app() -> Application {
    let counter = Rc::new(Counter::default());
    let shown = Rc::clone(&counter);
    Application::new([
        get("/", async |ctx: &Context| {
            ctx.write(PAGE);
            Ok(())
        }),
        get("/events", async move |ctx: &Context| send_counts(ctx, &shown).await),
        post("/click", async move |ctx: &Context| {
            counter.clicks.set(counter.clicks.get() + 1);
            counter.changed.notify_waiters();
            ctx.set_status(204);
            Ok(())
        }),
    ])
    .compress_response(true)
}

fn main() -> Result {
    options::parse_command_line()?;
    HttpServer::new(make_app).processes(1).run()
}
