//! What becomes of TLS handshakes that are under way when the end comes.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use squall::netutil::BindOptions;
use squall::tls::SslOptions;
use squall::{HttpServer, IoLoop};

use super::{Client, Server, make_app, report, serving};

/// A client that has begun is served, though the port is closed meanwhile.
pub(super) fn handshakes_are_let_finish() {
    let (folder, mut session) = prepare();
    let (t, server) = serving(&format!("tls {}", folder.path().display()));
    let mut client = server.connect();
    begin(&mut session, &mut client);
    barrier(&folder, &server);
    t.signal(Signal::TERM);
    // Until the port is closed.
    while std::net::TcpStream::connect(("127.0.0.1", server.port)).is_ok() {}

    while session.is_handshaking() {
        session.complete_io(&mut client.stream).unwrap();
    }
    let answer = ask(&mut session, &mut client);
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("plain"), "{answer}");
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("Cut off"), "{log}");
}

/// The handshakes' own time is an hour here, and that of the drain as well.
pub(super) fn handshakes_that_stall_do_not_keep_a_server() {
    let (folder, mut session) = prepare();
    let (t, server) = serving(&format!("tls {}", folder.path().display()));
    let mut half = server.connect();
    begin(&mut session, &mut half);
    let mut silent = server.connect();
    barrier(&folder, &server);
    t.signal(Signal::TERM);
    for client in [&mut half, &mut silent] {
        // What the server has answered to the hello, and the end.
        client.raw_rest();
    }
    let (status, log) = t.finish();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("Cut off"), "{log}");
}

/// A certificate in a folder, and a client that trusts it.
fn prepare() -> (tempfile::TempDir, ClientConnection) {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let session = session(&folder);
    (folder, session)
}

fn session(folder: &tempfile::TempDir) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    ClientConnection::new(config, ServerName::try_from("a").unwrap()).unwrap()
}

/// Sends the first message of a handshake.
fn begin(session: &mut ClientConnection, client: &mut Client) {
    while session.wants_write() {
        session.write_tls(&mut client.stream).unwrap();
    }
}

/// Waits until the server has what was sent before.
fn barrier(folder: &tempfile::TempDir, server: &Server) {
    for _ in 0..4 {
        let (mut session, mut client) = (session(folder), server.connect());
        assert!(ask(&mut session, &mut client).ends_with("plain"));
    }
}

fn ask(session: &mut ClientConnection, client: &mut Client) -> String {
    let mut stream = rustls::Stream::new(session, &mut client.stream);
    stream.write_all(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    while !answer.ends_with("plain") {
        let mut block = [0; 4096];
        let length = stream.read(&mut block).unwrap();
        assert!(length > 0, "the end after {answer:?}");
        answer.push_str(str::from_utf8(&block[..length]).unwrap());
    }
    answer
}

pub(super) fn serve(folder: &Path, local: &BindOptions) {
    const HOUR: Duration = Duration::from_secs(3600);
    let options = SslOptions::new(folder.join("cert.pem"), folder.join("key.pem")).handshake_timeout(HOUR);
    let server = HttpServer::new(make_app).ssl_options(options).drain_timeout(HOUR);
    let serve = async move {
        server.listen_on(0, local).unwrap();
        report(server.local_addrs()[0].port().unwrap());
        server.serve().await.unwrap();
    };
    IoLoop::current().run_sync(serve, None).unwrap();
}
