//! Chat by long polling, Tornado's demo `chat`: a browser asks for what is new, and is answered when there is something.
//! `cargo run --release --example chat_longpoll`, then http://localhost:8888/ in two windows.
//!
//! * `POST /messages` with `{"text": "..."}` says something; the answer is the message.
//! * `GET /messages?after=ID` gives the messages after that one, at once or as soon as there are any, and an empty list
//!   after half a minute without; without a cursor it gives all that are kept, at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::{
    Application, Context, HttpError, HttpServer, RequestHandler, Result, get, handler, options, url,
};
use squall_examples::unique;
use tokio::sync::Notify;

/// So many messages are kept.
const KEPT: usize = 200;
/// Of a message, in characters.
const LONGEST_TEXT: usize = 1000;
/// How long a poll waits, in seconds, unless `--wait=SECONDS` says otherwise: proxies give up after a minute.
const WAIT: Duration = Duration::from_secs(30);

fn main() -> Result {
    let wait = options::define("wait", WAIT).help("how long a request waits for messages");
    options::parse_command_line()?;
    let wait = wait.get();
    let buffer = Rc::new(MessageBuffer::new());
    let make_app = move || {
        Application::new([
            get("/", async |ctx: &Context| {
                ctx.write(include_str!("chat/longpoll.html"));
                Ok(())
            }),
            url("/messages", Messages { buffer: Rc::clone(&buffer), wait }),
        ])
    };
    HttpServer::new(make_app).processes(1).run()
}

#[derive(Clone)]
struct Messages {
    buffer: Rc<MessageBuffer>,
    wait: Duration,
}

#[derive(Deserialize)]
struct NewMessage {
    text: String,
}

#[handler]
impl RequestHandler for Messages {
    async fn get(&mut self, ctx: &Context) -> Result {
        ctx.set_header("Cache-Control", "no-store")?;
        let cursor = ctx.argument_opt("after")?;
        let new = tokio::select! {
            new = self.buffer.after(cursor) => new,
            () = tokio::time::sleep(self.wait) => Vec::new(),
            // The client asks again, and finds another process.
            () = ctx.shutdown() => Vec::new(),
            // Nobody is there to be answered.
            () = ctx.closed() => return Ok(()),
        };
        ctx.write_json(&new)
    }

    /// JSON, and declared as such: a page of another site cannot post that without being allowed to.
    async fn post(&mut self, ctx: &Context) -> Result {
        let NewMessage { text } = ctx.require_json()?;
        let text: String = text.trim().chars().take(LONGEST_TEXT).collect();
        if text.is_empty() {
            return Err(HttpError::new(400).reason("Nothing said").into());
        }
        ctx.set_status(201);
        ctx.write_json(&self.buffer.add(text))
    }
}

#[derive(Serialize, Clone)]
struct Line {
    id: String,
    text: String,
}

/// The latest messages, and who waits for more.
struct MessageBuffer {
    /// What this process, and no other, begins its identifiers with: a cursor from before a restart names no message.
    prefix: String,
    lines: RefCell<VecDeque<Line>>,
    said: Cell<u64>,
    arrived: Notify,
}

impl MessageBuffer {
    fn new() -> Self {
        Self { prefix: unique(), lines: RefCell::default(), said: Cell::new(0), arrived: Notify::new() }
    }

    fn add(&self, text: String) -> Line {
        self.said.set(self.said.get() + 1);
        let line = Line { id: format!("{}-{:x}", self.prefix, self.said.get()), text };
        let mut lines = self.lines.borrow_mut();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.clone());
        self.arrived.notify_waiters();
        line
    }

    /// What came after the message `cursor`; everything when there is no such message, as after a restart.
    async fn after(&self, cursor: Option<&str>) -> Vec<Line> {
        loop {
            let new = self.since(cursor);
            if !new.is_empty() || cursor.is_none() {
                return new;
            }
            self.arrived.notified().await;
        }
    }

    fn since(&self, cursor: Option<&str>) -> Vec<Line> {
        let lines = self.lines.borrow();
        let known = lines.iter().rposition(|line| cursor == Some(&line.id));
        lines.iter().skip(known.map_or(0, |at| at + 1)).cloned().collect()
    }
}
