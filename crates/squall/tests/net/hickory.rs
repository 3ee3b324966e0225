//! `HickoryResolver` against a name server that is played here, on loopback.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, HttpRequest};
use squall::netutil::{Family, HickoryResolver, Resolver};
use squall::testing::serve;
use squall::{Application, Context, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// Name and type of each question, and by what it came.
type Log = RefCell<Vec<(String, u16, &'static str)>>;

struct NameServer {
    address: SocketAddr,
    asked: Rc<Log>,
}

impl NameServer {
    async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let asked: Rc<Log> = Rc::default();
        let log = Rc::clone(&asked);
        tokio::task::spawn_local(async move {
            let mut query = [0; 4096];
            loop {
                let (length, peer) = udp.recv_from(&mut query).await.unwrap();
                if let Some(answer) = answer(&query[..length], "udp", &log) {
                    udp.send_to(&answer, peer).await.unwrap();
                }
            }
        });
        let log = Rc::clone(&asked);
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let log = Rc::clone(&log);
                tokio::task::spawn_local(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut query = vec![0; length.into()];
                        stream.read_exact(&mut query).await.unwrap();
                        let Some(answer) = answer(&query, "tcp", &log) else { return };
                        stream.write_u16(answer.len() as u16).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn resolver(&self) -> HickoryResolver {
        HickoryResolver::with_name_servers([self.address]).unwrap()
    }

    fn times_asked(&self, name: &str) -> usize {
        self.asked.borrow().iter().filter(|(asked, ..)| asked == name).count()
    }
}

/// What the name server says; `None` when it says nothing.
fn answer(query: &[u8], by: &'static str, log: &Log) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        name += std::str::from_utf8(&query[at + 1..end]).unwrap();
        name.push('.');
        at = end;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    log.borrow_mut().push((name.clone(), kind, by));
    let v4 = |last: u8| (A, Ipv4Addr::new(127, 0, 0, last).octets().to_vec());
    let v6 = || (AAAA, Ipv6Addr::LOCALHOST.octets().to_vec());
    // Flags beyond "response, recursion available", and the records.
    let (flags, ttl, records) = match (name.as_str(), kind) {
        ("both.test.", A) => (0, 60, vec![v4(1), v4(2), v4(1)]),
        ("both.test.", AAAA) => (0, 60, vec![v6()]),
        ("four.test." | "brief.test.", A) => (0, if name == "four.test." { 60 } else { 0 }, vec![v4(1)]),
        ("four.test." | "brief.test." | "alias.test.", AAAA) => (0, 60, vec![]),
        ("alias.test.", A) => (0, 60, vec![(CNAME, b"\x04four\x04test\x00".to_vec()), v4(1)]),
        ("long.test.", A) if by == "udp" => (0x0200, 60, vec![]),
        ("long.test.", A) => (0, 60, (1..=200).map(v4).collect()),
        ("silent.test.", _) => return None,
        ("failing.test.", _) => (2, 60, vec![]),
        _ => (3, 60, vec![]),
    };
    let mut out = query[..2].to_vec();
    out.extend((0x8180_u16 | flags).to_be_bytes());
    for count in [1, records.len() as u16, 0, 0] {
        out.extend(count.to_be_bytes());
    }
    out.extend(&query[12..at + 5]);
    for (kind, data) in records {
        // An alias is one of the question's name, an address here belongs to whatever the alias says.
        match kind {
            A if name == "alias.test." => out.extend(b"\x04four\x04test\x00"),
            _ => out.extend([0xc0, 12]),
        }
        out.extend([&kind.to_be_bytes()[..], &[0, 1], &u32::to_be_bytes(ttl)].concat());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

async fn found(resolver: &impl Resolver, host: &str, family: Family) -> Result<Vec<String>, ErrorKind> {
    let addresses = resolver.resolve(host, 80, family).await.map_err(|error| error.kind())?;
    Ok(addresses.iter().map(ToString::to_string).collect())
}

fn list(addresses: &[&str]) -> Vec<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

#[squall::test(timeout = 60)]
async fn addresses_of_either_family_or_both() {
    let server = NameServer::start().await;
    let resolver = server.resolver();
    for (host, family, expected) in [
        ("both.test", Family::Unspec, Ok(list(&["[::1]:80", "127.0.0.1:80", "127.0.0.2:80"]))),
        ("both.test", Family::Inet, Ok(list(&["127.0.0.1:80", "127.0.0.2:80"]))),
        ("both.test", Family::Inet6, Ok(list(&["[::1]:80"]))),
        ("four.test", Family::Unspec, Ok(list(&["127.0.0.1:80"]))),
        ("four.test", Family::Inet6, Err(ErrorKind::NotFound)),
        ("alias.test", Family::Unspec, Ok(list(&["127.0.0.1:80"]))),
        ("alias.test", Family::Inet, Ok(list(&["127.0.0.1:80"]))),
        ("nothing.test", Family::Unspec, Err(ErrorKind::NotFound)),
        ("nothing.test", Family::Inet, Err(ErrorKind::NotFound)),
        ("a..b", Family::Unspec, Err(ErrorKind::NotFound)),
        ("", Family::Unspec, Err(ErrorKind::NotFound)),
    ] {
        assert_eq!(found(&resolver, host, family).await, expected, "{host} {family:?}");
    }
    assert!(found(&resolver, "failing.test", Family::Unspec).await.is_err());
}

#[squall::test(timeout = 60)]
async fn addresses_are_not_asked_for() {
    let server = NameServer::start().await;
    let resolver = server.resolver();
    for (host, expected) in [("127.0.0.9", "127.0.0.9:80"), ("[::1]", "[::1]:80")] {
        assert_eq!(found(&resolver, host, Family::Unspec).await, Ok(list(&[expected])));
    }
    assert!(server.asked.borrow().is_empty());
}

#[squall::test(timeout = 60)]
async fn answers_are_kept_for_as_long_as_they_say() {
    let server = NameServer::start().await;
    let resolver = server.resolver();
    for _ in 0..3 {
        found(&resolver, "four.test", Family::Inet).await.unwrap();
        found(&resolver, "brief.test", Family::Inet).await.unwrap();
    }
    assert_eq!((server.times_asked("four.test."), server.times_asked("brief.test.")), (1, 3));
}

#[squall::test(timeout = 60)]
async fn a_long_answer_comes_by_tcp() {
    let server = NameServer::start().await;
    assert_eq!(found(&server.resolver(), "long.test", Family::Inet).await.unwrap().len(), 200);
    let ways: Vec<_> = server.asked.borrow().iter().map(|&(_, _, by)| by).collect();
    assert_eq!(ways, ["udp", "tcp"]);
}

#[squall::test(timeout = 60)]
async fn fetches_by_name() {
    let server = NameServer::start().await;
    let app = serve(Application::new([get("/", async |ctx: &Context| {
        ctx.write(ctx.request().headers().get("Host").unwrap());
        Ok(())
    })]));
    let client = AsyncHttpClient::builder().resolver(server.resolver()).build();
    let host = format!("four.test:{}", app.port());
    assert_eq!(client.fetch(format!("http://{host}/")).await.unwrap().text(), host);
    // A name server that says nothing holds nobody up for longer than the request allows.
    let silent = HttpRequest::get("http://silent.test/").connect_timeout(Duration::from_millis(100));
    let error = client.fetch(silent).await.unwrap_err();
    assert_eq!(error.to_string(), "Timeout while resolving silent.test");
    let error = client.fetch("http://nothing.test/").await.unwrap_err();
    assert!(error.is_connect() && !error.is_timeout(), "{error}");
}
