//! `TcpClient` against real listeners: families, sources, failures, time limits, losers of the race.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use squall::iostream::IoStream;
use squall::netutil::{Family, Resolver, Resolving};
use squall::tcpclient::{ConnectOptions, TcpClient};
use tokio::net::TcpListener;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const LONG: Duration = Duration::from_secs(30);

/// Gives these addresses for every host.
struct Fixed(Vec<SocketAddr>);

impl Resolver for Fixed {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16, _family: Family) -> Resolving<'a> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

async fn listen(ip: IpAddr) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address on which nobody listens.
async fn refusing(ip: IpAddr) -> SocketAddr {
    listen(ip).await.1
}

/// A listener whose queue is full, so that attempts to connect hang; the sockets that fill it.
fn hanging() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::new(V4, 0).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    };
    let fillers = (0..8).map(|_| fill()).collect();
    (listener, fillers, address.as_socket().unwrap())
}

async fn fetch(stream: &IoStream, listener: &TcpListener) -> SocketAddr {
    use tokio::io::AsyncWriteExt;
    let (mut peer, from) = listener.accept().await.unwrap();
    peer.write_all(b"hello\n").await.unwrap();
    assert_eq!(&stream.read_until(b"\n", None).await.unwrap()[..], b"hello\n");
    from
}

#[squall::test]
async fn connects_by_address_and_by_name() {
    for (host, ip, family) in [
        ("127.0.0.1", V4, Family::Unspec),
        ("::1", V6, Family::Unspec),
        ("localhost", V4, Family::Inet),
        ("localhost", V4, Family::Unspec),
    ] {
        let (listener, address) = listen(ip).await;
        let options = ConnectOptions::new().family(family).timeout(LONG);
        let stream = TcpClient::new().connect_with(host, address.port(), &options).await.unwrap();
        fetch(&stream, &listener).await;
    }
}

#[squall::test]
async fn a_refusal_is_the_systems_error_and_names_the_host() {
    let port = refusing(V4).await.port();
    let error = TcpClient::new().connect("127.0.0.1", port).await.unwrap_err();
    assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    assert!(!error.is_timeout() && !error.is_resolve());
    assert!(error.to_string().starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);

    let error = TcpClient::new().connect("no.such.name.invalid", 80).await.unwrap_err();
    assert!(error.is_resolve(), "{error}");
}

#[squall::test]
async fn goes_on_to_the_other_family_and_the_next_address() {
    let (listener, v4) = listen(V4).await;
    for addresses in [
        vec![refusing(V6).await, v4],
        vec![refusing(V4).await, v4],
        vec![refusing(V6).await, refusing(V6).await, refusing(V4).await, v4],
    ] {
        let client = TcpClient::with_resolver(Fixed(addresses));
        let stream = client.connect("anything", 1).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().inet(), Some(v4));
        fetch(&stream, &listener).await;
    }
    let nobody = TcpClient::with_resolver(Fixed(vec![refusing(V6).await, refusing(V4).await]));
    let error = nobody.connect("anything", 1).await.unwrap_err();
    assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::ConnectionRefused);
}

#[squall::test]
async fn the_source_is_what_was_asked_for() {
    let (listener, address) = listen(V4).await;
    let free = refusing(V4).await.port();
    let options = ConnectOptions::new().source_ip(V4).source_port(free);
    let stream = TcpClient::new().connect_with("127.0.0.1", address.port(), &options).await.unwrap();
    assert_eq!(fetch(&stream, &listener).await, SocketAddr::new(V4, free));

    // Loopback, when only the port is given.
    let free = refusing(V4).await.port();
    let options = ConnectOptions::new().source_port(free);
    let stream = TcpClient::new().connect_with("127.0.0.1", address.port(), &options).await.unwrap();
    assert_eq!(fetch(&stream, &listener).await, SocketAddr::new(V4, free));

    let options = ConnectOptions::new().source_ip([8, 8, 8, 8].into());
    let error = TcpClient::new().connect_with("127.0.0.1", address.port(), &options).await.unwrap_err();
    assert_eq!(error.io_error().unwrap().kind(), io::ErrorKind::AddrNotAvailable);
}

#[squall::test]
async fn a_source_of_one_family_falls_back_to_its_addresses() {
    let (listener, v4) = listen(V4).await;
    let client = TcpClient::with_resolver(Fixed(vec![SocketAddr::new(V6, v4.port()), v4]));
    let options = ConnectOptions::new().source_ip(V4);
    let stream = client.connect_with("localhost", v4.port(), &options).await.unwrap();
    fetch(&stream, &listener).await;
}

#[squall::test]
async fn a_time_limit_says_what_took_too_long() {
    struct Never;
    impl Resolver for Never {
        fn resolve<'a>(&'a self, _: &'a str, _: u16, _: Family) -> Resolving<'a> {
            Box::pin(pending())
        }
    }
    let soon = ConnectOptions::new().timeout(Duration::from_millis(50));
    let error = TcpClient::with_resolver(Never).connect_with("example.com", 1, &soon).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(error.to_string(), "Timeout while resolving example.com");

    let (_listener, _fillers, address) = hanging();
    let error = TcpClient::new().connect_with("127.0.0.1", address.port(), &soon).await.unwrap_err();
    assert_eq!(error.to_string(), format!("Timeout while connecting to {address}"));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
}

#[squall::test]
async fn the_other_family_joins_when_the_first_takes_long() {
    let (_listener, _fillers, slow) = hanging();
    let (quick, v6) = listen(V6).await;
    let client = TcpClient::with_resolver(Fixed(vec![slow, v6]));
    let stream = client.connect_with("anything", 1, &ConnectOptions::new().timeout(LONG)).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap().inet(), Some(v6));
    fetch(&stream, &quick).await;
}

#[squall::test]
async fn giving_up_closes_what_was_begun() {
    let (_listener, _fillers, address) = hanging();
    // The sockets of the system that are being connected to that port.
    let attempts = || {
        let remote = format!(":{:04X} 02", address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().filter(|line| line.contains(&remote)).count()
    };
    let before = attempts();
    let client = TcpClient::new();
    let mut connecting = Box::pin(client.connect("127.0.0.1", address.port()));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut connecting).await.is_err());
    assert_eq!(attempts(), before + 1);
    drop(connecting);
    assert_eq!(attempts(), before);
}
