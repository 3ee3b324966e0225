//! Streams that become TLS, on either side.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};
use squall::iostream::{FilePart, IoStream, pool_stats};
use squall::tls::{Certificate, TlsVersion};

use super::support::{Authority, Identity, role};

fn server_config(identity: &Identity) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
        )
        .unwrap()
}

/// Two ends of a connection.
async fn pair(unix: bool) -> (IoStream, IoStream) {
    if unix {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        return (IoStream::from_std_unix(one).unwrap(), IoStream::from_std_unix(other).unwrap());
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (IoStream::from(client), IoStream::from(listener.accept().await.unwrap().0))
}

/// Both ends over TLS, the client's first.
async fn tls_pair(unix: bool) -> (IoStream, IoStream) {
    let authority = Authority::new();
    let server = server_config(&authority.certify(&["server.test"]));
    let (client, server) =
        shake_hands(pair(unix).await, (Arc::new(authority.config()), Arc::new(server)), "server.test").await;
    (client.unwrap(), server.unwrap())
}

async fn shake_hands(
    (client, server): (IoStream, IoStream),
    (client_config, server_config): (Arc<ClientConfig>, Arc<ServerConfig>),
    host: &str,
) -> (io::Result<IoStream>, io::Result<IoStream>) {
    tokio::join!(client.start_tls(role(client_config, host)), server.start_tls(server_config))
}

#[squall::test(timeout = 60)]
async fn both_sides_of_one_type() {
    for unix in [false, true] {
        let (client, server) = tls_pair(unix).await;
        for stream in [&client, &server] {
            assert!(stream.is_tls());
            stream.wait_for_handshake().await.unwrap();
            stream.wait_for_handshake().await.unwrap();
        }
        client.write("a line\n");
        assert_eq!(server.read_until("\n", None).await.unwrap(), "a line\n");
        server.write("another\n");
        assert_eq!(client.read_until("\n", None).await.unwrap(), "another\n");
        let mut target = [0; 4];
        server.write("into");
        assert_eq!(client.read_into(&mut target, false).await.unwrap(), 4);
        assert_eq!(&target, b"into");
        assert!(client.detach().is_err(), "the socket is of no use without the session");
    }
}

#[squall::test(timeout = 60)]
async fn what_a_handshake_agreed_on_can_be_read() {
    let authority = Authority::new();
    for (versions, version) in
        [(&[&rustls::version::TLS12][..], TlsVersion::Tls12), (rustls::ALL_VERSIONS, TlsVersion::Tls13)]
    {
        let mut client = authority.config_with(versions, None);
        client.alpn_protocols = vec![b"other".to_vec(), b"squall".to_vec()];
        let mut server = server_config(&authority.certify(&["server.test", "other.test"]));
        server.alpn_protocols = vec![b"squall".to_vec()];
        let configs = (Arc::new(client), Arc::new(server));
        let (client, server) = shake_hands(pair(false).await, configs, "server.test").await;
        let (client, server) = (client.unwrap(), server.unwrap());
        let (seen, own) = (client.tls_info().unwrap(), server.tls_info().unwrap());
        for info in [&seen, &own] {
            assert_eq!(info.version, Some(version));
            assert_eq!(info.alpn_protocol.as_deref(), Some(&b"squall"[..]));
            assert!(info.cipher_suite.is_some() && !info.resumed);
        }
        assert_eq!(own.server_name.as_deref(), Some("server.test"));
        assert!(own.peer_certificates.is_empty());
        let certificate = Certificate::parse(&seen.peer_certificates[0]).unwrap();
        assert_eq!(certificate.subject(), "CN=server.test");
        client.close();
        assert!(client.tls_info().is_none() && !client.is_tls());
        assert!(client.wait_for_handshake().await.is_err());
    }
}

/// Tornado's "IOStream is not idle; cannot convert to SSL". The stream goes on as it was.
#[squall::test(timeout = 60)]
async fn only_an_idle_stream_starts_tls() {
    let authority = Authority::new();
    let config = Arc::new(authority.config());
    let role = || role(Arc::clone(&config), "server.test");
    let busy = |error: io::Error| {
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
        assert!(error.to_string().contains("not idle"), "{error}");
    };

    let (client, server) = pair(false).await;
    server.write("early\n");
    while client.read_buffer().is_empty() {
        client.fill().await.unwrap();
    }
    busy(client.start_tls(role()).await.unwrap_err());
    assert_eq!(client.read_until("\n", None).await.unwrap(), "early\n");

    {
        let mut reading = Box::pin(client.read_bytes(1));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(reading.as_mut().poll(cx))).await.is_pending()
        );
        busy(client.start_tls(role()).await.unwrap_err());
    }

    let large = vec![b'x'; 20_000_000];
    let written = client.write(&large);
    assert!(client.is_writing());
    busy(client.start_tls(role()).await.unwrap_err());
    assert_eq!(server.read_bytes(large.len()).await.unwrap().len(), large.len());
    written.await.unwrap();

    assert!(client.wait_for_handshake().await.is_err(), "it is not over TLS");
    let server_side = server_config(&authority.certify(&["server.test"]));
    let (client, server) =
        shake_hands((client, server), (Arc::clone(&config), Arc::new(server_side)), "server.test").await;
    client.unwrap().write("now encrypted\n");
    assert_eq!(server.unwrap().read_until("\n", None).await.unwrap(), "now encrypted\n");
}

/// Tornado's TestIOStreamCheckHostname, and its no match for a name of another kind.
#[squall::test(timeout = 60)]
async fn the_name_is_checked() {
    let authority = Authority::new();
    let server =
        Arc::new(server_config(&authority.certify_with(&["server.test", "*.wild.test"], |params| {
            params.subject_alt_names.push(super::support::ip_name("127.0.0.1"));
        })));
    let client = Arc::new(authority.config());
    for (host, good) in [
        ("server.test", true),
        ("SERVER.TEST", true),
        ("a.wild.test", true),
        ("127.0.0.1", true),
        ("other.test", false),
        ("wild.test", false),
        ("a.b.wild.test", false),
        ("127.0.0.2", false),
    ] {
        let configs = (Arc::clone(&client), Arc::clone(&server));
        let (client, server) = shake_hands(pair(false).await, configs, host).await;
        assert_eq!(client.is_ok(), good, "{host}");
        if let Err(error) = client {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            assert!(matches!(inner, Some(rustls::Error::InvalidCertificate(_))), "{error:?}");
            // In TLS 1.3 the server is done before the client has looked.
            if let Ok(server) = server {
                assert!(server.read_bytes(1).await.is_err());
            }
        }
    }
}

/// An unknown authority is told to the server as an alert.
#[squall::test(timeout = 60)]
async fn a_refused_server_is_told() {
    let authority = Authority::new();
    let server = server_config(&Authority::new().certify(&["server.test"]));
    let client = authority.config_with(&[&rustls::version::TLS12], None);
    let (client, server) =
        shake_hands(pair(false).await, (Arc::new(client), Arc::new(server)), "server.test").await;
    assert!(client.is_err());
    let error = server.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    assert!(matches!(inner, Some(rustls::Error::AlertReceived(_))), "{error:?}");
}

/// An end that was meant, and ends that were not.
#[squall::test(timeout = 60)]
async fn an_end_is_told_from_a_cut() {
    // Said, by closing, by shutting down the sending side and by dropping the stream.
    for end in [|stream: IoStream| stream.close(), |stream: IoStream| stream.shutdown_write().unwrap(), drop]
    {
        let (client, server) = tls_pair(false).await;
        server.write("all").await.unwrap();
        end(server);
        assert_eq!(client.read_bytes(3).await.unwrap(), "all");
        let error = client.read_bytes(1).await.unwrap_err();
        assert!(error.is_closed() && error.real_error().is_none(), "{error:?}");
        assert_eq!(client.read_until_close().await.unwrap(), "");
    }
    // Not said: the connection is reset; or closed with something unsent, which must not look complete.
    let (client, server) = tls_pair(false).await;
    server.abort();
    assert!(client.read_bytes(1).await.unwrap_err().real_error().is_some());

    let (client, server) = tls_pair(true).await;
    let unsent = vec![b'x'; 20_000_000];
    drop(server.write(&unsent));
    assert!(server.is_writing());
    server.close();
    let error = client.read_until_close().await.unwrap_err();
    let real = error.real_error().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(real.kind(), io::ErrorKind::UnexpectedEof, "{real:?}");
}

/// More than all buffers hold, both ways at once. Afterwards nothing is held.
#[squall::test(timeout = 120)]
async fn much_data_both_ways() {
    const LENGTH: usize = 8_000_000;
    let data: Vec<u8> = (0..LENGTH as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for unix in [false, true] {
        let (client, server) = tls_pair(unix).await;
        let exchange = async |own: &IoStream| {
            let written = own.write(&data);
            assert!(own.read_bytes(LENGTH).await.unwrap() == data);
            written.await.unwrap();
        };
        tokio::join!(exchange(&client), exchange(&server));
        assert_eq!((client.write_buffer_len(), server.write_buffer_len()), (0, 0));
        assert_eq!(pool_stats().lent, 0, "an idle connection holds a block");
    }
}

/// A slow reader that takes some is seen to take some: the write's progress is told before all of it has left.
#[squall::test(timeout = 60)]
async fn progress_is_told_piece_by_piece() {
    let (client, server) = {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        // The kernel takes less than is encrypted at a time.
        socket2::SockRef::from(&other).set_send_buffer_size(4096).unwrap();
        let pair = (IoStream::from_std_unix(one).unwrap(), IoStream::from_std_unix(other).unwrap());
        let authority = Authority::new();
        let server = server_config(&authority.certify(&["server.test"]));
        let configs = (Arc::new(authority.config()), Arc::new(server));
        let (client, server) = shake_hands(pair, configs, "server.test").await;
        (client.unwrap(), server.unwrap())
    };
    let data = vec![b'x'; 1_000_000];
    drop(server.write(&data));
    let mut steps = 0;
    let mut last = server.write_buffer_len();
    let mut read = 0;
    while read < data.len() {
        read += client.read_bytes_partial(4096).await.unwrap().len();
        tokio::task::yield_now().await;
        let now = server.write_buffer_len();
        assert!(now <= last);
        steps += usize::from(now < last);
        last = now;
    }
    server.flush().await.unwrap();
    // There are 31 pieces of 32 KiB.
    assert!(steps > 40, "{steps} steps");
}

/// What a TLS proxy tunnels is TLS again.
#[squall::test(timeout = 60)]
async fn tls_within_tls() {
    let (client, server) = tls_pair(false).await;
    let authority = Authority::new();
    let configs =
        (Arc::new(authority.config()), Arc::new(server_config(&authority.certify(&["inner.test"]))));
    let (client, server) = shake_hands((client, server), configs, "inner.test").await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let data = vec![b'x'; 1_000_000];
    let written = client.write(&data);
    assert_eq!(server.read_bytes(data.len()).await.unwrap().len(), data.len());
    written.await.unwrap();
    client.close();
    assert!(server.read_bytes(1).await.unwrap_err().real_error().is_none());
}

/// A peer that closes, or is not TLS, during the handshake.
#[squall::test(timeout = 60)]
async fn a_handshake_that_fails_closes() {
    let authority = Authority::new();
    let client_config = Arc::new(authority.config());
    for answer in ["", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (client, server) = pair(false).await;
        server.write(answer).await.unwrap();
        server.shutdown_write().unwrap();
        let error = client.start_tls(role(Arc::clone(&client_config), "server.test")).await.unwrap_err();
        let expected =
            if answer.is_empty() { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
        assert_eq!(error.kind(), expected, "{error}");
        assert!(client.is_closed());
        // Not a second try on a socket that is gone.
        let again = client.start_tls(role(Arc::clone(&client_config), "server.test")).await;
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}

/// Tornado's test_connect_tls_cancel_closes_stream and its like: nobody goes on with a handshake that was given up.
#[squall::test(timeout = 60)]
async fn a_dropped_handshake_closes() {
    let authority = Authority::new();
    let config = Arc::new(authority.config());
    let (client, server) = pair(false).await;
    {
        let mut handshake = Box::pin(client.start_tls(role(Arc::clone(&config), "server.test")));
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(handshake.as_mut().poll(cx))).await;
        assert!(first.is_pending());
    }
    assert!(client.is_closed());
    let hello = server.read_until_close().await.unwrap();
    assert_eq!(hello[0], 22);
    // By a time limit.
    let (client, server) = pair(false).await;
    let handshake = client.start_tls(role(config, "server.test"));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), handshake).await.is_err());
    assert!(client.is_closed() && server.read_until_close().await.unwrap()[0] == 22);
}

/// A file between other writes: read and encrypted piece by piece, in order, whatever the socket takes at a time.
#[squall::test(timeout = 120)]
async fn files_keep_their_place() {
    const LENGTH: usize = 3_000_000;
    let content: Vec<u8> = (0..LENGTH as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, &content).unwrap();
    let file = Arc::new(file);
    for unix in [false, true] {
        let (client, server) = tls_pair(unix).await;
        server.write("before");
        server.write_file(FilePart::new(Arc::clone(&file), 0..LENGTH as u64));
        server.write("between");
        server.write_file(FilePart::new(Arc::clone(&file), 1_000..2_000));
        let last = server.write("after");
        assert_eq!(client.read_bytes(6).await.unwrap(), "before");
        assert!(client.read_bytes(LENGTH).await.unwrap() == content);
        assert_eq!(client.read_bytes(7).await.unwrap(), "between");
        assert!(client.read_bytes(1_000).await.unwrap() == content[1_000..2_000]);
        assert_eq!(client.read_bytes(5).await.unwrap(), "after");
        last.await.unwrap();
        assert_eq!(server.write_buffer_len(), 0);
        // Its end is missing: a cut, which nobody takes for the whole.
        server.write_file(FilePart::new(Arc::clone(&file), 0..LENGTH as u64 + 1));
        assert!(client.read_bytes(LENGTH + 1).await.unwrap_err().real_error().is_some());
    }
}
