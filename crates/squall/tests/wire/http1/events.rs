//! Server-sent events, and clients that leave or do not read.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use squall::iostream::StreamError;
use squall::testing::{TestServer, serve, serve_on};
use squall::web::{Disconnected, Event};
use squall::{Application, Context, HttpServer, Result, get};
use tokio::sync::{Notify, mpsc};

use super::support::{Client, ok, probe, within};

const SHORT: Duration = Duration::from_millis(100);

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

fn head(fields: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: <server>\r\nContent-Type: text/event-stream\r\nDate: <date>\r\n\
         Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
    )
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn serving<F: AsyncFn(&Context) -> Result + 'static>(function: F) -> TestServer {
    serve(Application::new([get("/", function), probe()]))
}

/// What became of a handler, and a signal when it is known.
#[derive(Clone, Default)]
struct Outcome(Rc<RefCell<Option<String>>>, Rc<Notify>);

impl Outcome {
    fn set(&self, text: impl Into<String>) {
        *self.0.borrow_mut() = Some(text.into());
        self.1.notify_one();
    }

    async fn get(&self) -> String {
        within("the handler to end", async {
            loop {
                if let Some(text) = self.0.take() {
                    return text;
                }
                self.1.notified().await;
            }
        })
        .await
    }
}

#[squall::test(timeout = 60)]
async fn events_on_the_wire() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let server = serving(async move |ctx: &Context| {
        let events = ctx.event_stream()?;
        waits.notified().await;
        let last = ctx.last_event_id().unwrap_or("none").to_owned();
        events.send(&Event::new().id("1").event("last").retry(Duration::from_secs(2)).data(last)).await?;
        events.send(&Event::new().json(&["a\nb"])?).await?;
        events.send_data("one\r\ntwo\rthree\n").await?;
        events.comment("for\nnobody").await
    });
    for (fields, last) in [("", "none"), ("Last-Event-ID: 41\r\n", "41"), ("last-event-id:\r\n", "none")] {
        let mut client = Client::connect(&server).await;
        client.send(request("/", fields)).await;
        // The head is there before any event.
        client.expect(head("")).await;
        go.notify_one();
        client.expect(chunk(&format!("event: last\nid: 1\nretry: 2000\ndata: {last}\n\n"))).await;
        client.expect(chunk("data: [\"a\\nb\"]\n\n")).await;
        client.expect(chunk("data: one\ndata: two\ndata: three\ndata: \n\n")).await;
        client.expect(chunk(": for\n: nobody\n\n")).await;
        client.expect("0\r\n\r\n").await;
        client.alive().await;
    }
}

#[squall::test(timeout = 60)]
async fn the_start_of_a_stream() {
    let server = serving(async |ctx: &Context| {
        match ctx.request().query() {
            "headers" => {
                ctx.set_header("Cache-Control", "no-store")?;
                ctx.set_header("Content-Length", 5)?;
            }
            "204" => ctx.set_status(204),
            "flushed" => {
                ctx.write("x");
                ctx.flush().await?;
            }
            "broken" => {
                let events = ctx.event_stream()?;
                return events.send(&Event::new().id("a\nb")).await;
            }
            _ => {}
        }
        ctx.event_stream()?.send_data("x").await
    });
    let mut client = Client::connect(&server).await;
    // Nobody would read the events of a HEAD.
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.expect(head("").replace("Transfer-Encoding: chunked\r\n", "")).await;
    client.alive().await;
    client.send(request("/?headers", "")).await;
    client
        .expect(
            head("")
                .replace("no-cache", "no-store")
                .replace("Cache-Control: no-store\r\n", "")
                .replace("X-Accel", "Cache-Control: no-store\r\nX-Accel")
                + &chunk("data: x\n\n")
                + "0\r\n\r\n",
        )
        .await;
    client.alive().await;
    client.send(request("/?204", "")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 500 "));
    // With an older client the end of the connection is the end of the stream.
    let mut client = Client::connect(&server).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.expect(head("").replace("Transfer-Encoding: chunked\r\n", "") + "data: x\n\n").await;
    client.closed().await;
    // What comes too late cuts, so that it does not look complete.
    let mut client = Client::connect(&server).await;
    client.send(request("/?flushed", "")).await;
    let rest = client.rest().await;
    assert!(rest.ends_with(&format!("\r\n\r\n{}", chunk("x"))), "{rest}");
    let mut client = Client::connect(&server).await;
    client.send(request("/?broken", "")).await;
    client.closed().await;
}

#[squall::test(timeout = 60)]
async fn a_heart_beats_while_the_handler_waits() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let server = serving(async move |ctx: &Context| {
        let events = ctx.event_stream()?.heartbeat(Duration::from_millis(20));
        waits.notified().await;
        events.send_data("x").await?;
        drop(events);
        // Without a stream there is no heart either.
        tokio::time::sleep(SHORT).await;
        Ok(())
    });
    let mut client = Client::connect(&server).await;
    client.send(request("/", "")).await;
    client.expect(head("") + &chunk(":\n\n").repeat(3)).await;
    go.notify_one();
    let rest = async {
        let mut rest = String::new();
        while !rest.ends_with("0\r\n\r\n") {
            rest += &client.line().await;
        }
        rest
    };
    let rest = within("the end", rest).await;
    let (_, rest) = rest.split_once(&chunk("data: x\n\n")).unwrap();
    assert_eq!(rest, "0\r\n\r\n");
}

#[squall::test(timeout = 60)]
async fn a_client_that_leaves_ends_the_handler() {
    let outcome = Outcome::default();
    let tells = outcome.clone();
    let (sender, receiver) = mpsc::unbounded_channel::<u32>();
    let receiver = Rc::new(tokio::sync::Mutex::new(receiver));
    let server = serving(async move |ctx: &Context| {
        let events = ctx.event_stream()?.heartbeat(None);
        match ctx.request().query() {
            // Waits for what never comes.
            "while_open" => {
                let mut receiver = receiver.lock().await;
                while let Some(Some(number)) = events.while_open(receiver.recv()).await {
                    events.send_data(number.to_string()).await?;
                }
                tells.set("while_open");
            }
            "closed" => {
                events.closed().await;
                tells.set("closed");
            }
            // Notices when it sends.
            _ => loop {
                if let Err(error) = events.send_data("tick").await {
                    let gone = error.downcast_ref::<Disconnected>().expect("the client has left");
                    let source = std::error::Error::source(gone);
                    tells.set(format!(
                        "{error} {}",
                        source.is_some_and(<dyn std::error::Error>::is::<StreamError>)
                    ));
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            },
        }
        Ok(())
    });
    for query in ["while_open", "closed", "send"] {
        let mut client = Client::connect(&server).await;
        client.send(request(&format!("/?{query}"), "")).await;
        client.expect(head("")).await;
        if query == "while_open" {
            sender.send(7).unwrap();
            client.expect(chunk("data: 7\n\n")).await;
        }
        drop(client);
        let how = outcome.get().await;
        assert!(how.starts_with(if query == "send" { "the client has left" } else { query }), "{how}");
    }
    Client::connect(&server).await.alive().await;
}

/// Reads the pieces of a compressed stream as a browser does.
#[squall::test(timeout = 60)]
async fn compressed_events_come_one_by_one() {
    let go = Rc::new(Notify::new());
    let waits = Rc::clone(&go);
    let stream = async move |ctx: &Context| {
        let events = ctx.event_stream()?;
        for word in ["first", "second", "third"] {
            events.send_data(word).await?;
            waits.notified().await;
        }
        Ok(())
    };
    let server = serve(Application::new([get("/", stream)]).compress_response(true));
    let mut client = Client::connect(&server).await;
    client.send(request("/", "Accept-Encoding: gzip\r\n")).await;
    client.expect(head("Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n")).await;
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for word in ["first", "second", "third"] {
        let expected = format!("data: {word}\n\n").into_bytes();
        while *decoder.get_ref() != expected {
            decoder.write_all(&client.chunk().await).unwrap();
            decoder.flush().unwrap();
        }
        decoder.get_mut().clear();
        go.notify_one();
    }
    loop {
        match client.chunk().await {
            piece if piece.is_empty() => break,
            piece => decoder.write_all(&piece).unwrap(),
        }
    }
    assert_eq!(decoder.finish().unwrap(), b"");
}

/// A handler that writes for ever, as fast as the client takes it.
fn endless(outcome: &Outcome, sent: &Rc<Cell<usize>>) -> Application {
    let (outcome, sent) = (outcome.clone(), Rc::clone(sent));
    let endless = async move |ctx: &Context| {
        let piece = "x".repeat(64 * 1024);
        let stopped = match ctx.request().query() {
            "events" => {
                let events = ctx.event_stream()?.write_timeout(SHORT);
                loop {
                    if let Err(error) = events.send_data(&piece).await {
                        break error;
                    }
                    sent.set(sent.get() + piece.len());
                }
            }
            _ => loop {
                ctx.write(&piece);
                if let Err(error) = ctx.flush().await {
                    break error;
                }
                sent.set(sent.get() + piece.len());
            },
        };
        outcome.set(stopped.to_string());
        Err(stopped)
    };
    Application::new([get("/", endless), probe()])
}

#[squall::test(timeout = 60)]
async fn a_client_that_does_not_read_ends_the_handler() {
    let (outcome, sent) = (Outcome::default(), Rc::new(Cell::new(0)));
    let app = {
        let (outcome, sent) = (outcome.clone(), Rc::clone(&sent));
        move || endless(&outcome, &sent)
    };
    let server = serve_on(HttpServer::new(app.clone()).write_timeout(SHORT));
    let mut client = Client::connect(&server).await;
    client.send(request("/", "")).await;
    assert!(outcome.get().await.starts_with("the client has left"));
    let held = sent.replace(0);
    assert!(held < 16 << 20, "{held} bytes for a client that reads nothing");
    client.reset().await;
    Client::connect(&server).await.alive().await;

    // An event stream's own deadline, on a server that has none.
    let server = serve_on(HttpServer::new(app).write_timeout(None));
    let mut client = Client::connect(&server).await;
    client.send(request("/?events", "")).await;
    assert_eq!(outcome.get().await, "the client does not take the response");
    client.reset().await;
    Client::connect(&server).await.alive().await;
}

#[squall::test(timeout = 60)]
async fn a_client_that_reads_slowly_is_not_cut_off() {
    let (outcome, sent) = (Outcome::default(), Rc::new(Cell::new(0)));
    let server = serve_on(
        HttpServer::new({
            let (outcome, sent) = (outcome.clone(), Rc::clone(&sent));
            move || endless(&outcome, &sent)
        })
        .write_timeout(Duration::from_secs(5)),
    );
    let mut client = Client::connect(&server).await;
    client.send(request("/", "")).await;
    // For longer than the timeout, with pauses much shorter than it. The kernel tells the server of room in steps, so that each
    // read is large enough to make one.
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.take(4 << 20).await;
    }
    assert!(outcome.0.borrow().is_none());
    drop(client);
    assert!(outcome.get().await.starts_with("the client has left"));
}

#[squall::test(timeout = 60)]
async fn a_response_that_waits_alone_is_given_up_too() {
    let server = serve_on(
        HttpServer::new(|| {
            Application::new([
                get("/", async |ctx: &Context| {
                    ctx.write("x".repeat(64 << 20));
                    Ok(())
                }),
                probe(),
            ])
        })
        .write_timeout(SHORT),
    );
    let mut client = Client::connect(&server).await;
    client.send(request("/", "")).await;
    client.reset_unread().await;
    Client::connect(&server).await.alive().await;
}

#[squall::test(timeout = 60)]
async fn closed_resolves_with_the_end_of_its_exchange() {
    let outcome = Outcome::default();
    let tells = outcome.clone();
    let server = serving(async move |ctx: &Context| {
        let (connection, tells) = (ctx.request().connection().clone(), tells.clone());
        let started = Rc::new(Notify::new());
        let starts = Rc::clone(&started);
        tokio::task::spawn_local(async move {
            let mut closed = std::pin::pin!(connection.closed());
            // Waits already when the exchange ends.
            assert!(tokio::time::timeout(Duration::ZERO, closed.as_mut()).await.is_err());
            starts.notify_one();
            closed.await;
            tells.set("over");
        });
        started.notified().await;
        ctx.write("done");
        Ok(())
    });
    let mut client = Client::connect(&server).await;
    client.send(request("/", "")).await;
    client.expect(ok("done")).await;
    // The connection is open, and the exchange is over.
    assert_eq!(outcome.get().await, "over");
    client.alive().await;
}
