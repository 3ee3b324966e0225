//! https, against servers that rustls plays on threads, with certificates made here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sha1::Digest;
use squall::httpclient::{
    AsyncHttpClient, BodyWriter, HttpClientBuilder, HttpClientError, HttpRequest, Proxy, TlsConfig,
};
use squall::iostream::StreamError;
use squall::netutil::{OverrideResolver, SystemResolver};
use squall::websocket::{WebSocketConnectError, WebSocketRequest, websocket_connect};

use crate::httpclient::script::{self, Stall, Until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An authority that exists for one test.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "squall's test authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name and its key, in PEM.
    fn certify(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn trusted(&self) -> TlsConfig {
        TlsConfig::builder().ca_certs(self.pem()).unwrap().build().unwrap()
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

struct Server {
    address: SocketAddr,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    /// Serves each connection on a thread of its own.
    fn start(
        config: ServerConfig,
        serve: impl Fn(&mut Stream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(0));
        let (counter, config, serve) = (Arc::clone(&connections), Arc::new(config), Arc::new(serve));
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                *counter.lock().unwrap() += 1;
                let (config, serve) = (Arc::clone(&config), Arc::clone(&serve));
                std::thread::spawn(move || {
                    let session = ServerConnection::new(config).unwrap();
                    let _ = serve(&mut StreamOwned::new(session, tcp.unwrap()));
                });
            }
        });
        Self { address, connections }
    }

    /// Answers each request with a plain `ok`.
    fn hello(config: ServerConfig) -> Self {
        Self::start(config, |stream| {
            while !read_head(stream)?.is_empty() {
                stream.write_all(OK.as_bytes())?;
            }
            Ok(())
        })
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.address.port())
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn config(authority: &Authority, name: &str) -> ServerConfig {
    let (cert, key) = authority.certify(name);
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der(&cert)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A request's head; empty at the end of the connection.
fn read_head(stream: &mut Stream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(String::new());
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

fn builder() -> HttpClientBuilder {
    AsyncHttpClient::builder()
        .resolver(OverrideResolver::new(SystemResolver).host("server.test", "127.0.0.1"))
}

/// The client that trusts this authority.
fn client(authority: &Authority) -> AsyncHttpClient {
    builder().defaults(HttpRequest::get("").tls(authority.trusted())).build()
}

fn certificate_error(error: &HttpClientError) -> bool {
    let HttpClientError::Tls(error) = error else { return false };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

#[squall::test(timeout = 60)]
async fn a_trusted_server_by_name_and_by_address() {
    let authority = Authority::new();
    for name in ["server.test", "127.0.0.1"] {
        let server = Server::hello(config(&authority, name));
        let client = client(&authority);
        for _ in 0..3 {
            assert_eq!(client.fetch(server.url(name)).await.unwrap().text(), "ok");
        }
        assert_eq!((server.connections(), client.idle_connections()), (1, 1), "{name}");
    }
}

#[squall::test(timeout = 60)]
async fn an_unknown_authority_is_refused() {
    let (known, other) = (Authority::new(), Authority::new());
    let server = Server::hello(config(&other, "server.test"));
    // By the given authority, and by the system's.
    for client in [client(&known), builder().build()] {
        let error = client.fetch(server.url("server.test")).await.unwrap_err();
        assert!(certificate_error(&error), "{error:?}");
        assert!(error.is_connect() && error.code() == 599);
        assert_eq!((client.active_requests(), client.idle_connections()), (0, 0));
    }
    let request = HttpRequest::get(server.url("server.test")).validate_cert(true);
    assert!(certificate_error(&builder().build().fetch(request).await.unwrap_err()));
}

#[squall::test(timeout = 60)]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let server = Server::hello(config(&authority, "other.test"));
    for host in ["server.test", "127.0.0.1"] {
        let error = client(&authority).fetch(server.url(host)).await.unwrap_err();
        assert!(certificate_error(&error), "{error:?}");
    }
}

#[squall::test(timeout = 60)]
async fn validate_cert_off() {
    let server = Server::hello(config(&Authority::new(), "other.test"));
    let client = builder().build();
    let request = || HttpRequest::get(server.url("server.test")).validate_cert(false);
    assert_eq!(client.fetch(request()).await.unwrap().text(), "ok");
    assert_eq!(client.fetch(request()).await.unwrap().text(), "ok");
    assert_eq!(server.connections(), 1);
    // The connection of somebody who does not care is not for one who does.
    assert!(client.fetch(server.url("server.test")).await.is_err());
}

#[squall::test(timeout = 60)]
async fn the_client_s_certificate() {
    let authority = Authority::new();
    let mut roots = RootCertStore::empty();
    roots.add(der(&authority.pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let (cert, key) = authority.certify("server.test");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![der(&cert)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    let server = Server::hello(config);
    let (cert, key) = authority.certify("me.test");
    let with = TlsConfig::builder().ca_certs(authority.pem()).unwrap().client_cert(cert, key).unwrap();
    let request = HttpRequest::get(server.url("server.test")).tls(with.build().unwrap());
    assert_eq!(builder().build().fetch(request).await.unwrap().text(), "ok");
    // Without one the server ends the connection, in TLS 1.3 after the handshake.
    client(&authority).fetch(server.url("server.test")).await.unwrap_err();

    for bad in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = TlsConfig::builder().ca_certs(bad).unwrap_err();
        assert!(matches!(error, HttpClientError::Request(_)), "{bad}: {error:?}");
    }
}

#[squall::test(timeout = 60)]
async fn a_silent_server_times_out() {
    let silent = script::Server::playing(vec![Stall]).await;
    let url = silent.url("/").replace("http:", "https:");
    let client = AsyncHttpClient::new();
    let limits = [
        HttpRequest::get(url.as_str()).connect_timeout(Duration::from_millis(200)),
        HttpRequest::get(url.as_str()).request_timeout(Duration::from_millis(200)),
    ];
    for request in limits {
        let error = client.fetch(request.validate_cert(false)).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
    }
    assert_eq!(client.active_requests(), 0);
}

#[squall::test(timeout = 60)]
async fn what_is_no_tls_is_an_error() {
    let half_a_record = vec![script::send(b"\x16\x03\x01\xff\xff"), Stall];
    for script in [vec![script::send(OK)], vec![script::send("SSH-2.0-OpenSSH\r\n")], vec![], half_a_record] {
        let stalls = matches!(script.last(), Some(Stall));
        let server = script::Server::playing(script).await;
        let url = server.url("/").replace("http:", "https:");
        let limit = Duration::from_millis(if stalls { 200 } else { 30_000 });
        let request = HttpRequest::get(url).validate_cert(false).connect_timeout(limit);
        let error = AsyncHttpClient::new().fetch(request).await.unwrap_err();
        assert!(matches!(error, HttpClientError::Tls(_)) || (stalls && error.is_timeout()), "{error:?}");
    }
}

/// More than all buffers hold, both ways at once, against a server that reads slowly.
#[squall::test(timeout = 120)]
async fn large_bodies() {
    const LENGTH: usize = 8_000_000;
    let authority = Authority::new();
    let server = Server::start(config(&authority, "server.test"), |stream| {
        read_head(stream)?;
        let (mut sum, mut seen, mut piece) = (0_u64, 0, vec![0; 10_000]);
        while seen < LENGTH {
            let count = stream.read(&mut piece)?;
            sum += piece[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>();
            seen += count;
        }
        write!(stream, "HTTP/1.1 200 OK\r\nX-Sum: {sum}\r\nContent-Length: {LENGTH}\r\n\r\n")?;
        for piece in pattern().chunks(50_000) {
            stream.write_all(piece)?;
        }
        Ok(())
    });
    let sum: u64 = pattern().iter().map(|&byte| u64::from(byte)).sum();
    let request = HttpRequest::post(server.url("server.test"));
    let produced = async |writer: BodyWriter| -> Result<(), StreamError> {
        for piece in pattern().chunks(70_001) {
            writer.write(piece).await?;
        }
        Ok(())
    };
    for request in
        [request.clone().body(pattern()), request.header("Content-Length", LENGTH).body_producer(produced)]
    {
        let response = client(&authority).fetch(request).await.unwrap();
        assert_eq!(response.headers().get("X-Sum"), Some(sum.to_string().as_str()));
        assert!(response.body()[..] == pattern()[..]);
    }
}

fn pattern() -> Vec<u8> {
    (0..8_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Without a length the end of the connection is the end of the body: it counts only if the server says so over TLS,
/// since anybody can end a TCP connection.
#[squall::test(timeout = 60)]
async fn a_cut_connection_is_no_end_of_a_body() {
    let authority = Authority::new();
    for orderly in [true, false] {
        let server = Server::start(config(&authority, "server.test"), move |stream| {
            read_head(stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it")?;
            if orderly {
                stream.conn.send_close_notify();
            }
            stream.flush()?;
            stream.sock.shutdown(std::net::Shutdown::Write)
        });
        let result = client(&authority).fetch(server.url("server.test")).await;
        match orderly {
            true => assert_eq!(result.unwrap().text(), "all of it"),
            false => assert!(matches!(result, Err(HttpClientError::Closed(_))), "{result:?}"),
        }
    }
}

#[squall::test(timeout = 60)]
async fn through_a_proxy_by_connect() {
    let authority = Authority::new();
    let server = Server::hello(config(&authority, "server.test"));
    let target = server.address;
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let played = std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut server, &mut client);
        String::from_utf8(head).unwrap()
    });
    let client = client(&authority);
    let request = HttpRequest::get(server.url("server.test"))
        .proxy(Proxy::new(&proxy_url).unwrap().credentials("u", "p"));
    assert_eq!(client.fetch(request).await.unwrap().text(), "ok");
    client.close();
    // The server's thread ends when the client has closed, and with it the proxy's.
    let head = played.join().unwrap();
    assert!(head.starts_with(&format!("CONNECT server.test:{} HTTP/1.1\r\n", target.port())), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dTpw\r\n"), "{head}");
}

/// From http to https and back: credentials stay where they belong.
#[squall::test(timeout = 60)]
async fn redirects_between_schemes() {
    let authority = Authority::new();
    let secure = Server::start(config(&authority, "127.0.0.1"), |stream| {
        let head = read_head(stream)?;
        let body = if head.contains("Authorization") { "credentials" } else { "none" };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let to =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", secure.url("127.0.0.1"));
    let plain = script::Server::playing(vec![Until("\r\n\r\n"), script::send(to)]).await;
    let request = HttpRequest::get(plain.url("/")).basic_auth("user", "pw");
    let response = client(&authority).fetch(request).await.unwrap();
    assert_eq!(
        (response.text(), response.effective_url()),
        ("none".to_owned(), secure.url("127.0.0.1").as_str())
    );
    let request = HttpRequest::get(secure.url("127.0.0.1")).basic_auth("user", "pw");
    assert_eq!(client(&authority).fetch(request).await.unwrap().text(), "credentials");
}

/// Shakes hands, then sends each message back.
fn echo_frames(stream: &mut Stream) -> std::io::Result<()> {
    let head = read_head(stream)?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let (_, key) = fields.find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key")).unwrap();
    let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    loop {
        let mut start = [0; 2];
        stream.read_exact(&mut start)?;
        let mut head = start.to_vec();
        head[1] &= 0x7f;
        head.resize(2 + [0, 2, 8][usize::from(head[1] > 125) + usize::from(head[1] == 127)], 0);
        stream.read_exact(&mut head[2..])?;
        let length = match head.len() {
            2 => u64::from(head[1]),
            _ => head[2..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let mut mask = [0; 4];
        stream.read_exact(&mut mask)?;
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload)?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        stream.write_all(&head)?;
        stream.write_all(&payload)?;
        stream.flush()?;
    }
}

#[squall::test(timeout = 60)]
async fn websockets() {
    let authority = Authority::new();
    let server = Server::start(config(&authority, "localhost"), echo_frames);
    let request = || WebSocketRequest::new(server.url("localhost").replace("https", "wss"));
    let mut connection = websocket_connect(request().tls(authority.trusted())).await.unwrap();
    for size in [0, 1, 125, 126, 16_000, 65_536, 1_000_000] {
        let text = "squall ".repeat(size / 7 + 1)[..size].to_owned();
        connection.write_message(text.as_str()).await.unwrap();
        assert_eq!(connection.read_message().await, Some(text.into()), "{size} bytes");
    }
    let stranger = websocket_connect(request().tls(Authority::new().trusted())).await.unwrap_err();
    let WebSocketConnectError::Tls(error) = stranger else { panic!("{stranger:?}") };
    assert!(certificate_error(error.downcast_ref().unwrap()), "{error:?}");
    let mut unseen =
        websocket_connect(request().tls(Authority::new().trusted()).validate_cert(false)).await.unwrap();
    unseen.write_message("trusting").await.unwrap();
    assert_eq!(unseen.read_message().await, Some("trusting".into()));
    // A server that speaks no TLS.
    let plain = squall::testing::serve(squall::Application::new([]));
    let request = WebSocketRequest::new(format!("wss://localhost:{}/", plain.port()));
    assert!(matches!(websocket_connect(request).await, Err(WebSocketConnectError::Tls(_))));
}
