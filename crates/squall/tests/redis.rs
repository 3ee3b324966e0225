//! `pubsub` over a real Redis, which is started and stopped by the tests: `scripts/ci-redis.sh`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use squall::pubsub::{Event, PubSub, Subscription};

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
        subscription.ready().await;
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
    late.ready().await;
    there.publish("late", "found").await.unwrap();
    assert_eq!(message(&mut late).await, "found");
    drop(late);
    let mut again = here.subscribe("late");
    again.ready().await;
    there.publish("late", "again").await.unwrap();
    assert_eq!(message(&mut again).await, "again");
}

#[squall::test(timeout = 60)]
async fn a_lost_connection_is_made_again_and_the_gap_told() {
    let mut server = Server::start().await;
    let pubsub = server.pubsub();
    let mut subscription = pubsub.subscribe("room");
    subscription.ready().await;
    pubsub.publish("room", "before").await.unwrap();
    assert_eq!(message(&mut subscription).await, "before");
    server.stop();
    assert!(pubsub.publish("room", "into the void").await.is_err());
    let _server = Server::start_on(server.port).await;
    assert_eq!(subscription.recv().await, Event::Missed(None));
    subscription.ready().await;
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
    subscription.ready().await;
    pubsub.publish("room", "hello").await.unwrap();
    assert_eq!(message(&mut subscription).await, "hello");
    assert!(PubSub::redis("http://x").is_err());
}
