//! IoStream on real sockets; the first part follows Tornado's iostream_test.py.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::time::Duration;

use squall::iostream::{IoStream, pool_stats};
use tokio::net::{TcpListener, TcpStream};

/// Runs a test on a fresh loop; ten seconds are more than any of them needs.
fn run<F: Future<Output = ()>>(test: F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(10), test).await.expect("the test took too long");
    });
}

/// Two connected streams.
async fn pair() -> (IoStream, IoStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (IoStream::from(server.unwrap().0), IoStream::from(client.unwrap()))
}

#[test]
fn keep_alive_requests() {
    run(async {
        let (server, client) = pair().await;
        let rounds: usize = std::env::var("ROUNDS").map_or(3, |n| n.parse().unwrap());
        let task = tokio::task::spawn_local(async move {
            for _ in 0..rounds {
                assert_eq!(server.fill().await.unwrap(), 18);
                server.read_buffer().consume(18);
                assert_eq!(server.try_write(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(), 19);
                assert_eq!(pool_stats().lent, 0);
            }
            server
        });
        for _ in 0..rounds {
            assert_eq!(client.try_write(b"GET / HTTP/1.1\r\n\r\n").unwrap(), 18);
            assert_eq!(client.fill().await.unwrap(), 19);
            client.read_buffer().consume(19);
        }
        task.await.unwrap();
    });
}
