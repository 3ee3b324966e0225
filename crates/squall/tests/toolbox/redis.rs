//! `pubsub` over Redis: over a scripted one, and over a real one, which is started and stopped by the tests where it is
//! installed (`scripts/ci-redis.sh`).

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use squall::pubsub::{Event, PubSub, Subscription};

mod scripted {
    //! What a real Redis does seldom: a Redis that answers as the test says.

    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use squall::pubsub::PubSub;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    /// What is done about a command.
    pub(crate) enum Reply {
        /// As Redis would.
        Usual,
        /// These bytes.
        Bytes(String),
        /// These, and then the connection ends.
        Last(String),
        /// Nothing.
        Silence,
        /// The connection ends without an answer.
        Close,
    }

    type Script = dyn Fn(usize, &[String]) -> Reply;

    /// Listens for as long as it lives; connections are numbered from 1.
    pub(crate) struct Fake {
        pub(crate) port: u16,
        pub(crate) state: Rc<State>,
        task: tokio::task::JoinHandle<()>,
    }

    #[derive(Default)]
    pub(crate) struct State {
        connections: Cell<usize>,
        /// The number of a connection and a command on it, but for those of the greeting.
        commands: RefCell<Vec<(usize, Vec<String>)>>,
        came: Notify,
    }

    impl State {
        pub(crate) fn connections(&self) -> usize {
            self.connections.get()
        }

        /// How often this command has come, on any connection.
        pub(crate) fn count(&self, command: &str) -> usize {
            self.of(command).len()
        }

        /// The commands of that name with their arguments, in order.
        pub(crate) fn of(&self, command: &str) -> Vec<(usize, Vec<String>)> {
            self.commands.borrow().iter().filter(|(_, parts)| parts[0] == command).cloned().collect()
        }

        /// Resolves when this command has come so often.
        pub(crate) async fn came(&self, command: &str, count: usize) {
            loop {
                let came = self.came.notified();
                if self.count(command) >= count {
                    return;
                }
                came.await;
            }
        }
    }

    impl Fake {
        pub(crate) async fn start(script: impl Fn(usize, &[String]) -> Reply + 'static) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (state, script) = (Rc::<State>::default(), Rc::new(script) as Rc<Script>);
            let serving = Rc::clone(&state);
            let task = tokio::task::spawn_local(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    serving.connections.set(serving.connections.get() + 1);
                    let number = serving.connections.get();
                    drop(tokio::task::spawn_local(serve(
                        stream,
                        number,
                        Rc::clone(&serving),
                        Rc::clone(&script),
                    )));
                }
            });
            Self { port, state, task }
        }

        pub(crate) fn pubsub(&self) -> PubSub {
            PubSub::redis(&format!("redis://127.0.0.1:{}/", self.port)).unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn serve(stream: TcpStream, number: usize, state: Rc<State>, script: Rc<Script>) {
        let mut stream = BufReader::new(stream);
        while let Some(command) = command(&mut stream).await {
            let usual = usual(&command);
            let reply = if matches!(command[0].as_str(), "HELLO" | "CLIENT") {
                Reply::Usual
            } else {
                let reply = script(number, &command);
                state.commands.borrow_mut().push((number, command));
                state.came.notify_waiters();
                reply
            };
            let last = matches!(reply, Reply::Last(_));
            let bytes = match reply {
                Reply::Usual => usual,
                Reply::Bytes(bytes) | Reply::Last(bytes) => bytes,
                Reply::Silence => continue,
                Reply::Close => return,
            };
            if stream.write_all(bytes.as_bytes()).await.is_err() || last {
                return;
            }
        }
    }

    /// An array of bulk strings; `None` at the end.
    async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
        async fn number(stream: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            Some(line.strip_prefix(mark)?.trim_end().parse().unwrap())
        }
        let count = number(stream, '*').await?;
        let mut parts = Vec::new();
        for _ in 0..count {
            let mut part = vec![0; number(stream, '$').await? + 2];
            stream.read_exact(&mut part).await.ok()?;
            part.truncate(part.len() - 2);
            parts.push(String::from_utf8(part).unwrap());
        }
        Some(parts)
    }

    fn usual(command: &[String]) -> String {
        match command[0].as_str() {
            kind @ ("SUBSCRIBE" | "UNSUBSCRIBE") => {
                let (kind, name) = (kind.to_lowercase(), &command[1]);
                format!("*3\r\n${}\r\n{kind}\r\n${}\r\n{name}\r\n:1\r\n", kind.len(), name.len())
            }
            "PUBLISH" => ":0\r\n".to_owned(),
            "PING" => "*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        }
    }

    /// A message as Redis sends it to a subscriber.
    pub(crate) fn message(channel: &str, text: &str) -> String {
        format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n", channel.len(), text.len())
    }
}

use scripted::{Fake, Reply};

/// A Redis of its own.
struct Server {
    port: u16,
    process: Child,
}

impl Server {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_on(port).await
    }

    async fn start_on(port: u16) -> Self {
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { port, process }
    }

    fn pubsub(&self) -> PubSub {
        PubSub::redis(&format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn message(subscription: &mut Subscription) -> String {
    match subscription.recv().await {
        Event::Message(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        missed @ Event::Missed(_) => panic!("{missed:?} instead of a message"),
    }
}

#[squall::test(timeout = 60)]
async fn messages_reach_every_process_in_order() {
    let server = Server::start().await;
    // Two clients, as two processes would have.
    let (here, there) = (server.pubsub(), server.pubsub());
    let (mut a, mut b) = (here.subscribe("room"), there.subscribe("room"));
    let mut other = there.subscribe("elsewhere");
    for subscription in [&a, &b, &other] {
        subscription.ready().await.unwrap();
    }
    for n in 0..100 {
        here.publish("room", n.to_string()).await.unwrap();
    }
    there.publish("elsewhere", &b"\x00\xff"[..]).await.unwrap();
    for n in 0..100 {
        assert_eq!(message(&mut a).await, n.to_string());
        assert_eq!(message(&mut b).await, n.to_string());
    }
    assert_eq!(other.recv().await, Event::Message((&b"\x00\xff"[..]).into()));

    // A subscription later on, and one that ends.
    let mut late = here.subscribe("late");
    late.ready().await.unwrap();
    there.publish("late", "found").await.unwrap();
    assert_eq!(message(&mut late).await, "found");
    drop(late);
    let mut again = here.subscribe("late");
    again.ready().await.unwrap();
    there.publish("late", "again").await.unwrap();
    assert_eq!(message(&mut again).await, "again");
}

#[squall::test(timeout = 60)]
async fn a_lost_connection_is_made_again_and_the_gap_told() {
    let mut server = Server::start().await;
    let pubsub = server.pubsub();
    let mut subscription = pubsub.subscribe("room");
    subscription.ready().await.unwrap();
    pubsub.publish("room", "before").await.unwrap();
    assert_eq!(message(&mut subscription).await, "before");
    server.stop();
    assert!(pubsub.publish("room", "into the void").await.is_err());
    let _server = Server::start_on(server.port).await;
    assert_eq!(subscription.recv().await, Event::Missed(None));
    subscription.ready().await.unwrap();
    pubsub.publish("room", "after").await.unwrap();
    assert_eq!(message(&mut subscription).await, "after");
}

#[squall::test(timeout = 60)]
async fn a_redis_that_comes_late_is_found() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pubsub = PubSub::redis(&format!("redis://127.0.0.1:{port}/")).unwrap();
    let mut subscription = pubsub.subscribe("room");
    let error = pubsub.publish("room", "x").await.unwrap_err();
    assert!(error.to_string().starts_with("cannot publish: "), "{error}");
    let _server = Server::start_on(port).await;
    subscription.ready().await.unwrap();
    pubsub.publish("room", "hello").await.unwrap();
    assert_eq!(message(&mut subscription).await, "hello");
    assert!(PubSub::redis("http://x").is_err());
}

#[squall::test(timeout = 60)]
async fn a_channel_that_is_refused_is_no_others_business() {
    let fake = Fake::start(|_, command| match (command[0].as_str(), command.get(1).map(String::as_str)) {
        ("SUBSCRIBE", Some("secret")) => {
            Reply::Bytes("-NOPERM No permissions to access a channel\r\n".to_owned())
        }
        ("SUBSCRIBE", Some("open")) => Reply::Bytes(
            "*3\r\n$9\r\nsubscribe\r\n$4\r\nopen\r\n:1\r\n".to_owned() + &scripted::message("open", "hello"),
        ),
        _ => Reply::Usual,
    })
    .await;
    let pubsub = fake.pubsub();
    let secret = pubsub.subscribe("secret");
    let mut open = pubsub.subscribe("open");
    let error = secret.ready().await.unwrap_err().to_string();
    assert!(error.starts_with("cannot subscribe: ") && error.contains("No permissions"), "{error}");
    open.ready().await.unwrap();
    assert_eq!(message(&mut open).await, "hello");
    // Asked again for who comes later, on the same connection.
    let again = pubsub.subscribe("secret");
    assert!(again.ready().await.is_err());
    assert_eq!((fake.state.connections(), fake.state.count("SUBSCRIBE")), (1, 3));
    // Who publishes where that is not allowed is told so, and others go on.
    let fake = Fake::start(|_, command| match command.get(1).map(String::as_str) {
        Some("secret") => Reply::Bytes("-NOPERM No permissions\r\n".to_owned()),
        _ => Reply::Usual,
    })
    .await;
    let pubsub = fake.pubsub();
    let (refused, taken) = tokio::join!(pubsub.publish("secret", "x"), pubsub.publish("open", "x"));
    assert!(refused.is_err());
    taken.unwrap();
    assert_eq!(fake.state.connections(), 1);
}

#[squall::test(timeout = 60)]
async fn connecting_alone_does_not_reset_the_back_off() {
    // It lets one connect and then closes.
    let fake = Fake::start(|_, _| Reply::Close).await;
    let began = std::time::Instant::now();
    let _subscription = fake.pubsub().subscribe("room");
    fake.state.came("SUBSCRIBE", 5).await;
    // 0.1 + 0.2 + 0.4 + 0.8 s lie between the five; without growing it were 0.4 s.
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[squall::test(timeout = 90)]
async fn a_subscription_that_is_never_answered_is_made_anew_and_told() {
    let fake = Fake::start(|connection, command| match command[0].as_str() {
        "SUBSCRIBE" if connection == 1 => Reply::Silence,
        _ => Reply::Usual,
    })
    .await;
    let mut subscription = fake.pubsub().subscribe("room");
    subscription.ready().await.unwrap();
    assert_eq!(fake.state.connections(), 2);
    assert_eq!(subscription.recv().await, Event::Missed(None));
}

#[squall::test(timeout = 90)]
async fn a_silent_link_is_noticed_and_told() {
    let fake = Fake::start(|connection, command| match command[0].as_str() {
        "PING" if connection == 1 => Reply::Silence,
        "PING" => {
            Reply::Bytes("*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_owned() + &scripted::message("room", "alive"))
        }
        _ => Reply::Usual,
    })
    .await;
    let mut subscription = fake.pubsub().subscribe("room");
    subscription.ready().await.unwrap();
    assert_eq!(subscription.recv().await, Event::Missed(None));
    // A link that answers is kept.
    assert_eq!(message(&mut subscription).await, "alive");
    fake.state.came("PING", 3).await;
    assert_eq!(fake.state.connections(), 2);
}

#[squall::test(timeout = 60)]
async fn a_gap_is_told_before_what_follows_it() {
    let fake = Fake::start(|connection, command| match command[0].as_str() {
        "SUBSCRIBE" => {
            let (name, text) = (&command[1], format!("after {connection}"));
            let subscribed = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{name}\r\n:1\r\n", name.len());
            let bytes = subscribed + &scripted::message(name, &text);
            if connection < 4 { Reply::Last(bytes) } else { Reply::Bytes(bytes) }
        }
        _ => Reply::Usual,
    })
    .await;
    let mut subscription = fake.pubsub().subscribe("room");
    assert_eq!(message(&mut subscription).await, "after 1");
    for connection in 2..=4 {
        assert_eq!(subscription.recv().await, Event::Missed(None));
        assert_eq!(message(&mut subscription).await, format!("after {connection}"));
    }
}

#[squall::test(timeout = 60)]
async fn publishers_share_a_connection_and_keep_their_order() {
    let fake = Fake::start(|connection, command| match command[0].as_str() {
        // Lost in the middle.
        "PUBLISH" if connection == 1 && command[2] == "700" => Reply::Close,
        _ => Reply::Usual,
    })
    .await;
    let pubsub = fake.pubsub();
    for (round, connection, failing) in [(0..500, 1, 0), (500..1000, 1, 300), (1000..1500, 2, 0)] {
        let publishing: Vec<_> = round
            .clone()
            .map(|n| {
                let pubsub = pubsub.clone();
                tokio::task::spawn_local(async move { pubsub.publish("room", n.to_string()).await })
            })
            .collect();
        let mut failed = 0;
        for publishing in publishing {
            failed += usize::from(publishing.await.unwrap().is_err());
        }
        // Answers that were sent may be lost with the connection too.
        assert!(if failing == 0 { failed == 0 } else { failed >= failing }, "{failed} of {round:?}");
        assert_eq!(fake.state.connections(), connection, "{round:?}");
    }
    // In order, and none of those whose fate is unknown twice.
    let published: Vec<usize> =
        fake.state.of("PUBLISH").iter().map(|(_, command)| command[2].parse().unwrap()).collect();
    assert_eq!(published, (0..=700).chain(1000..1500).collect::<Vec<_>>());
}

#[squall::test(timeout = 60)]
async fn a_message_whose_reply_was_lost_is_not_sent_again() {
    let fake = Fake::start(|connection, command| match command[0].as_str() {
        "PUBLISH" if connection == 1 && command[2] == "lost" => Reply::Close,
        _ => Reply::Usual,
    })
    .await;
    let pubsub = fake.pubsub();
    pubsub.publish("room", "kept").await.unwrap();
    assert!(pubsub.publish("room", "lost").await.is_err());
    pubsub.publish("room", "next").await.unwrap();
    let published: Vec<_> =
        fake.state.of("PUBLISH").into_iter().map(|(_, command)| command[2].clone()).collect();
    assert_eq!(published, ["kept", "lost", "next"]);
}

#[squall::test(timeout = 60)]
async fn a_slow_answer_is_waited_for() {
    // Longer than the library's own half second.
    let fake = Fake::start(|_, command| match command[0].as_str() {
        "PUBLISH" => Reply::Silence,
        _ => Reply::Usual,
    })
    .await;
    let pubsub = fake.pubsub();
    let began = std::time::Instant::now();
    let error = pubsub.publish("room", "x").await.unwrap_err().to_string();
    assert!(began.elapsed() >= Duration::from_secs(10), "{error} after {:?}", began.elapsed());
    assert_eq!(error, "cannot publish: Redis does not answer");
}

#[squall::test(timeout = 60)]
async fn ready_does_not_lie_about_a_subscription_that_was_dropped_before() {
    let server = Server::start().await;
    let pubsub = server.pubsub();
    let first = pubsub.subscribe("other");
    first.ready().await.unwrap();
    for n in 0..200 {
        let name = format!("room {}", n % 3);
        for _ in 0..n % 4 {
            drop(pubsub.subscribe(&name));
            if n % 2 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut subscription = pubsub.subscribe(&name);
        subscription.ready().await.unwrap();
        pubsub.publish(&name, n.to_string()).await.unwrap();
        assert_eq!(message(&mut subscription).await, n.to_string());
    }
}

#[squall::test(timeout = 120)]
async fn a_frozen_redis_is_noticed_and_told() {
    let server = Server::start().await;
    let signal = |name: &str| {
        let id = server.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    let pubsub = server.pubsub();
    let mut subscription = pubsub.subscribe("room");
    subscription.ready().await.unwrap();
    pubsub.publish("room", "before").await.unwrap();
    assert_eq!(message(&mut subscription).await, "before");
    signal("-STOP");
    // Its error says that the ten seconds are over; the subscriber's fifteen are then nearly so.
    assert!(pubsub.publish("room", "into the ice").await.is_err());
    tokio::time::sleep(Duration::from_secs(7)).await;
    signal("-CONT");
    assert_eq!(subscription.recv().await, Event::Missed(None));
    subscription.ready().await.unwrap();
    pubsub.publish("room", "after").await.unwrap();
    while message(&mut subscription).await != "after" {}
}
