//! What handlers can do: the request before the upgrade, streams, rooms, other threads.

use std::cell::Cell;
use std::rc::Rc;

use squall::websocket::{
    Broadcaster, Membership, Message, PreparedMessage, WebSocket, WebSocketHandler, WebSocketStream, upgrade,
    websocket, ws,
};
use squall::{Application, Context, OrStatus, Result, get, handler};

use crate::support::{Client, close, handshake, server_close, server_frame, text, within};

#[derive(Clone, Default)]
struct Greeter {
    name: String,
    number: u32,
}

#[handler]
impl WebSocketHandler for Greeter {
    async fn prepare(&mut self, ctx: &Context, name: String, number: u32) -> Result {
        (self.name, self.number) = (name, number);
        (self.name != "nobody").then_some(()).or_status(401)?;
        ctx.set_header("X-Name", &self.name)?;
        ctx.set_cookie("name", &self.name)?;
        Ok(())
    }

    async fn open(&mut self, ws: &WebSocket) -> Result {
        ws.write_message(format!("Hello, {} {}", self.name, self.number)).await
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        self.number += 1;
        ws.write_json(&(self.number, message.len())).await
    }
}

#[squall::test]
async fn the_request_is_there_before_the_upgrade() {
    let server =
        squall::testing::serve(Application::new([ws("/greet/([^/]+)/([0-9]+)", Greeter::default())]));
    let (mut client, head) = Client::open_with(&server, "/greet/Ann/7", "").await;
    assert!(head.contains("\r\nX-Name: Ann\r\n"), "{head}");
    assert!(head.contains("\r\nSet-Cookie: name=Ann; Path=/\r\n"), "{head}");
    client.expect(server_frame(0x81, b"Hello, Ann 7")).await;
    client.send([text("one"), text("three")].concat()).await;
    client.expect([server_frame(0x81, b"[8,3]"), server_frame(0x81, b"[9,5]")].concat()).await;
    // The next connection starts from the routed value.
    let (mut client, _) = Client::open_with(&server, "/greet/Bob/1", "").await;
    client.expect(server_frame(0x81, b"Hello, Bob 1")).await;
    for (path, status) in [("/greet/nobody/1", "401"), ("/greet/Ann/99999999999", "404")] {
        let (_, head) = Client::ask(&server, handshake(path, "")).await;
        assert_eq!(&head[9..12], status, "{path}");
    }
}

#[squall::test]
async fn streams() {
    let shout = websocket("/shout/{name}", async |ctx: &Context, ws: &mut WebSocketStream| {
        let name = ctx.path_arg_str("name")?;
        while let Some(message) = ws.recv().await {
            match message.as_text() {
                Some("end") => return Ok(()),
                Some("fail") => return Err(std::io::Error::other("on purpose").into()),
                other => ws.write_message(format!("{name}: {}", other.unwrap_or("?").to_uppercase())).await?,
            }
        }
        Ok(())
    });
    let task = get("/task", async |ctx: &Context| {
        let Some(mut ws) = upgrade(ctx, None)? else { return Ok(()) };
        tokio::task::spawn_local(async move {
            while let Some(message) = ws.recv().await {
                ws.write_message(message).await.expect("open");
            }
        });
        Ok(())
    });
    let server = squall::testing::serve(Application::new([shout, task]));
    for (last, code) in [("end", 1000), ("fail", 1011)] {
        let mut client = Client::open(&server, "/shout/Ann").await;
        client.send([text("a"), text("b"), text("c")].concat()).await;
        for letter in ["A", "B", "C"] {
            client.expect(server_frame(0x81, format!("Ann: {letter}").as_bytes())).await;
        }
        client.send(text(last)).await;
        client.expect(server_close(code, "")).await;
        client.send(close(1000, "")).await;
        client.closed().await;
    }
    let mut client = Client::open(&server, "/task").await;
    client.send(text("x")).await;
    client.expect(server_frame(0x81, b"x")).await;
    client.send(close(1000, "")).await;
    client.expect([0x88, 0x02, 0x03, 0xe8]).await;
    client.closed().await;
    let (_, head) = Client::ask(&server, "GET /task HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[derive(Clone, Default)]
struct Chat {
    rooms: Broadcaster,
    member: Option<Rc<Membership>>,
}

impl WebSocketHandler for Chat {
    async fn open(&mut self, ws: &WebSocket) -> Result {
        self.member = Some(Rc::new(self.rooms.join("lobby", ws)));
        Ok(())
    }

    async fn on_message(&mut self, ws: &WebSocket, message: Message) -> Result {
        let told = self.rooms.broadcast_except("lobby", message, Some(ws));
        ws.write_message(told.to_string()).await
    }
}

#[squall::test]
async fn rooms() {
    let chat = Chat::default();
    let rooms = chat.rooms.clone();
    let server = squall::testing::serve(Application::new([ws("/chat", chat)]));
    let (mut a, mut b, mut c) = (
        Client::open(&server, "/chat").await,
        Client::open(&server, "/chat").await,
        Client::open(&server, "/chat").await,
    );
    within("three to join", async {
        while rooms.len("lobby") < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    a.send(text("hi")).await;
    a.expect(server_frame(0x81, b"2")).await;
    b.expect(server_frame(0x81, b"hi")).await;
    c.expect(server_frame(0x81, b"hi")).await;
    drop(a);
    b.send(close(1000, "")).await;
    within("two to leave", async {
        while rooms.len("lobby") > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(rooms.broadcast("lobby", PreparedMessage::new("last")), 1);
    c.expect(server_frame(0x81, b"last")).await;
    assert_eq!(rooms.broadcast("nowhere", "x"), 0);
    drop(c);
    within("the room to end", async {
        while !rooms.rooms().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Lets another thread write.
#[derive(Clone)]
struct Threaded(Rc<Cell<Option<std::thread::JoinHandle<()>>>>);

impl WebSocketHandler for Threaded {
    async fn open(&mut self, ws: &WebSocket) -> Result {
        let sender = ws.sender(2);
        self.0.set(Some(std::thread::spawn(move || {
            for number in 0..100 {
                sender.blocking_write_message(number.to_string()).expect("open");
            }
            while !sender.is_closed() {
                std::thread::yield_now();
            }
            assert!(sender.try_write("late").is_err());
        })));
        Ok(())
    }

    async fn on_message(&mut self, _ws: &WebSocket, _message: Message) -> Result {
        Ok(())
    }
}

#[squall::test]
async fn other_threads_write() {
    let thread = Rc::new(Cell::new(None));
    let server = squall::testing::serve(Application::new([ws("/ws", Threaded(Rc::clone(&thread)))]));
    let mut client = Client::open(&server, "/ws").await;
    for number in 0..100 {
        client.expect(server_frame(0x81, number.to_string().as_bytes())).await;
    }
    client.send(close(1000, "")).await;
    client.expect([0x88, 0x02, 0x03, 0xe8]).await;
    client.closed().await;
    thread.take().unwrap().join().unwrap();
}
