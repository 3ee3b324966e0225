//! Chat rooms over WebSockets, Tornado's demo `websocket` and more: the last messages of a room are kept for newcomers,
//! and the page connects again by itself. `cargo run --release --example chat_websocket`, then
//! http://localhost:8888/ in two windows.
//!
//! With `--redis redis://127.0.0.1/` (and the feature `redis` of this package) rooms span all processes that are given
//! the same Redis; `--processes N` then forks N of them (0 for one per core). Further option: `--port`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall::pubsub::{Event, PubSub, Subscription};
use squall::websocket::{Broadcaster, Membership, WebSocketOptions, WhenFull};
use squall::{
    Application, Context, HttpServer, IoLoop, Message, OrStatus, Result, WebSocket, WebSocketHandler, get,
    options, ws,
};
use squall_examples::{fail, unique};

/// So many messages of a room are kept.
const KEPT: usize = 50;
/// Beyond this number, rooms that nobody is in are forgotten.
const ROOMS: usize = 1000;
/// Of a room's name.
const LONGEST_NAME: usize = 40;
/// Of a message, in characters.
const LONGEST_TEXT: usize = 1000;
/// One channel for all rooms, so that each process knows the latest messages also of those that it has nobody in.
const CHANNEL: &str = "squall:chat";

fn main() -> Result {
    let redis =
        options::define_opt::<String>("redis").help("the server over which processes share their rooms");
    let processes = options::define("processes", 1_usize).help("how many processes serve");
    options::parse_command_line()?;
    let (redis, processes) = (redis.get(), processes.get());
    if processes != 1 && redis.is_none() {
        fail("--processes needs --redis: else each process has rooms of its own");
    }
    let pubsub = redis.as_deref().map_or_else(PubSub::in_process, over_redis);
    // Forks, if at all, before there is a loop. At the end the visitors' pages connect again, a few at a time.
    HttpServer::new(move || make_app(pubsub.clone())).processes(processes).run()
}

#[cfg(feature = "redis")]
fn over_redis(url: &str) -> PubSub {
    PubSub::redis(url).unwrap_or_else(|error| fail(&format!("--redis {url}: {error}")))
}

#[cfg(not(feature = "redis"))]
fn over_redis(_url: &str) -> PubSub {
    fail("--redis needs the feature `redis`: cargo run --features redis")
}

fn make_app(pubsub: PubSub) -> Application {
    let rooms = Rooms::new(pubsub);
    Application::new([
        get("/", async |ctx: &Context| ctx.redirect("/room/lobby")),
        get("/room/{room}", async |ctx: &Context| {
            room_name(ctx)?;
            ctx.write(include_str!("chat/websocket.html"));
            Ok(())
        }),
        ws("/socket/{room}", Chat { rooms, room: Rc::from(""), member: None }),
    ])
    .websocket_max_message_size(16 * 1024)
    .websocket_ping_interval(Duration::from_secs(30))
}

fn room_name(ctx: &Context) -> Result<&str> {
    let name = ctx.path_arg_str("room")?;
    Some(name).filter(|name| name.chars().count() <= LONGEST_NAME).or_status(404)
}

/// One visitor.
#[derive(Clone)]
struct Chat {
    rooms: Rc<Rooms>,
    room: Rc<str>,
    member: Option<Rc<Membership>>,
}

impl WebSocketHandler for Chat {
    async fn prepare(&mut self, ctx: &Context) -> Result {
        self.room = room_name(ctx)?.into();
        Ok(())
    }

    /// Who does not keep up is better off connecting again: the latest messages are there then.
    fn options(&self, _ctx: &Context, defaults: WebSocketOptions) -> WebSocketOptions {
        defaults.queue(256 * 1024, WhenFull::Close)
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        // Nothing is awaited between the two, so that no message is missed, and none comes before the older ones.
        let latest = self.rooms.latest(&self.room)?;
        self.member = Some(Rc::new(self.rooms.members.join(&self.room, ws)));
        ws.write_message(latest).await
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(());
        }
        let text = text.chars().take(LONGEST_TEXT).collect();
        if let Err(error) = self.rooms.say(&self.room, text).await {
            tracing::warn!("{error}");
            ws.write_json(&Packet::Notice("Your message could not be sent.")).await?;
        }
        Ok(())
    }
}

/// What goes to a browser. It shows texts as texts: nothing in them is HTML.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Packet<'a> {
    Messages(Vec<&'a Line>),
    Notice(&'a str),
}

/// A message; the identifier is for who has seen it already.
#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    text: String,
}

/// A message on its way between processes.
#[derive(Serialize, Deserialize)]
struct Said {
    room: String,
    line: Line,
}

/// The rooms of this process.
struct Rooms {
    members: Broadcaster,
    lines: RefCell<HashMap<String, VecDeque<Line>>>,
    pubsub: PubSub,
    /// What this process, and no other, begins its identifiers with.
    prefix: String,
    said: Cell<u64>,
}

impl Rooms {
    fn new(pubsub: PubSub) -> Rc<Self> {
        let rooms = Rc::new(Self {
            members: Broadcaster::new(),
            lines: RefCell::default(),
            prefix: unique(),
            said: Cell::new(0),
            pubsub,
        });
        IoLoop::current().spawn_callback(deliver(rooms.pubsub.subscribe(CHANNEL), Rc::downgrade(&rooms)));
        rooms
    }

    /// The messages of a room as a newcomer gets them.
    fn latest(&self, room: &str) -> Result<String> {
        let lines = self.lines.borrow();
        let latest = lines.get(room).into_iter().flatten().collect();
        Ok(serde_json::to_string(&Packet::Messages(latest))?)
    }

    /// Says something in a room, in all processes.
    async fn say(&self, room: &str, text: String) -> Result {
        self.said.set(self.said.get() + 1);
        let id = format!("{}-{:x}", self.prefix, self.said.get());
        let said = Said { room: room.to_owned(), line: Line { id, text } };
        Ok(self.pubsub.publish(CHANNEL, serde_json::to_vec(&said)?).await?)
    }

    fn hear(&self, message: &[u8]) -> Result {
        let Said { room, line } = serde_json::from_slice(message)?;
        self.members.broadcast(&room, serde_json::to_string(&Packet::Messages(vec![&line]))?);
        let mut rooms = self.lines.borrow_mut();
        if rooms.len() >= ROOMS && !rooms.contains_key(&room) {
            rooms.retain(|room, _| !self.members.is_empty(room));
        }
        let lines = rooms.entry(room).or_default();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
        Ok(())
    }

    fn hear_that_messages_are_missing(&self) -> Result {
        let notice = serde_json::to_string(&Packet::Notice("Messages may be missing here."))?;
        for room in self.members.rooms() {
            self.members.broadcast(&room, notice.as_str());
        }
        Ok(())
    }
}

/// Hands what is published to the rooms, as long as there are any.
async fn deliver(mut subscription: Subscription, rooms: Weak<Rooms>) {
    loop {
        let event = subscription.recv().await;
        let Some(rooms) = rooms.upgrade() else { return };
        let heard = match event {
            Event::Message(message) => rooms.hear(&message),
            Event::Missed(_) => rooms.hear_that_messages_are_missing(),
        };
        if let Err(error) = heard {
            tracing::warn!("{error}");
        }
    }
}
