//! What connections of HTTP/2 in clear text may come over.

use squall::httpserver::HttpServer;
use squall::iostream::IoStream;
use squall::netutil::{BindOptions, Network, bind_unix_socket};
use squall::{Application, Context, get};
use tokio::io::AsyncWriteExt;

use super::support::{self, answer};

fn app() -> Application {
    Application::new([get("/", async |ctx: &Context| {
        ctx.write(format!("{:?} {}", ctx.request().version(), ctx.request().remote_ip()));
        Ok(())
    })])
}

/// The text of `GET /` over this.
async fn ask(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static) -> String {
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    let (response, _) = requests.ready().await.unwrap().send_request(support::get("/"), true).unwrap();
    answer(response).await.unwrap().text().to_owned()
}

#[squall::test]
async fn a_proxy_says_who_the_client_is_before_the_preface() {
    let proxy: Network = "127.0.0.1".parse().unwrap();
    let options = BindOptions::new().address("127.0.0.1").proxy_protocol([proxy]);
    let server = HttpServer::new(app).h2c(true);
    server.listen_on(0, &options).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 8, 127, 0, 0, 1, 0x30, 0x39, 0, 80]]
        .concat();
    for (header, client) in
        [(&b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n"[..], "192.0.2.7"), (&v2, "192.0.2.8")]
    {
        let mut socket = support::connect(port).await;
        socket.write_all(header).await.unwrap();
        assert_eq!(ask(socket).await, format!("HTTP/2.0 {client}"));
    }
}

#[squall::test]
async fn a_unix_socket_carries_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http");
    let server = HttpServer::new(app).h2c(true);
    server.add_sockets([bind_unix_socket(&path, 0o600, 128).unwrap()]).unwrap();
    let connect = || {
        let socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
        IoStream::from_std_unix(socket).unwrap()
    };
    assert_eq!(ask(connect()).await, "HTTP/2.0 0.0.0.0");
    let stream = connect();
    stream.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = stream.read_until_close().await.unwrap();
    assert!(answer.ends_with(b"HTTP/1.1 0.0.0.0"), "{answer:?}");
}
