//! A TCP server that sends back what it receives: the accepting, the buffers and the readiness bookkeeping of a
//! hand-written epoll server are `TcpServer`'s and `IoStream`'s business.
//!
//! `cargo run --example tcp_echo -- --port 8888`, then `nc 127.0.0.1 8888`. With `--certfile` and `--keyfile` over
//! TLS: `openssl s_client -quiet -connect 127.0.0.1:8888`

use std::path::PathBuf;

use squall::ioloop::IoLoop;
use squall::iostream::{IoStream, StreamError};
use squall::netutil::{Address, BindOptions};
use squall::tcpserver::TcpServer;
use squall::tls::SslOptions;
use squall::{Result, options};

async fn echo(stream: IoStream, address: Address) -> Result<(), StreamError> {
    println!("{address} connected");
    let mut chunks = stream.chunks();
    while let Some(chunk) = chunks.next().await {
        // Awaiting the write is what slows down a peer that sends more than it reads.
        stream.write_bytes(chunk?).await?;
    }
    println!("{address} left");
    Ok(())
}

fn main() -> Result {
    options::parse_command_line()?;
    let server = TcpServer::new(echo);
    let (certfiles, keyfiles): (Vec<PathBuf>, Vec<PathBuf>) =
        (options::get("certfile"), options::get("keyfile"));
    if let (Some(certfile), Some(keyfile)) = (certfiles.first(), keyfiles.first()) {
        server.ssl_options(SslOptions::new(certfile, keyfile))?;
    }
    server.listen_on(options::get("port"), &BindOptions::new().address("127.0.0.1"))?;
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    Ok(IoLoop::current().start()?)
}
