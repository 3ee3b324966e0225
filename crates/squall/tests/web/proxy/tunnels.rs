//! Tunnels: what is left of a proxy once both sides have changed the protocol.

use std::time::Duration;

use squall::netutil::BindOptions;
use squall::web::proxy;
use squall::{Application, HttpServer, url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::live::Connection;
use super::script::{Client, text};

/// A tunnel through a proxy in a server with this limit, both of its ends past the handshake.
async fn tunnel(write_timeout: Duration) -> (Client, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let server = HttpServer::new(move || Application::new([url("/.*", proxy(&upstream))]))
        .write_timeout(write_timeout);
    server.listen_on(0, &BindOptions::new().address("127.0.0.1")).unwrap();
    let mut client = Client::connect(server.local_addrs()[0].port().unwrap()).await;
    client.send("GET / HTTP/1.1|Host: h|Connection: Upgrade|Upgrade: websocket||").await;
    let mut connection = Connection::of(&listener).await;
    connection.until("||").await;
    connection.send("HTTP/1.1 101 Switching Protocols|Connection: Upgrade|Upgrade: websocket||early").await;
    client.until("||").await;
    (client, connection)
}

#[squall::test(timeout = 60)]
async fn a_tunnel_ends_with_either_of_its_sides() {
    // The upstream ends, and the client says nothing.
    let (mut client, mut connection) = tunnel(Duration::from_secs(60)).await;
    connection.send("late").await;
    connection.stream.shutdown().await.unwrap();
    assert_eq!(text(&client.rest().await), "earlylate");
    assert!(connection.is_over().await);
    // The other way round.
    let (mut client, mut connection) = tunnel(Duration::from_secs(60)).await;
    client.send("last words").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(connection.until("words").await, "last words");
    assert!(connection.is_over().await);
    assert_eq!(text(&client.rest().await), "early");
}

#[squall::test(timeout = 60)]
async fn a_tunnel_is_cut_when_a_side_takes_nothing() {
    let flood = vec![b'x'; 1 << 16];
    let (mut client, mut connection) = tunnel(Duration::from_millis(200)).await;
    while connection.stream.write_all(&flood).await.is_ok() {}
    // What the kernel has kept comes, and then no end that looks like one.
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap_err();
    let (mut client, _connection) = tunnel(Duration::from_millis(200)).await;
    while client.stream.write_all(&flood).await.is_ok() {}
}
