//! A TCP server that sends back what it receives: the accepting, the buffers and the readiness bookkeeping of a
//! hand-written epoll server are `TcpServer`'s and `IoStream`'s business.
//!
//! `cargo run --example tcp_echo 8888`, then `nc 127.0.0.1 8888`. With `--certfile` and `--keyfile` behind the port
//! over TLS: `openssl s_client -quiet -connect 127.0.0.1:8888`

use std::process::ExitCode;

use squall::ioloop::IoLoop;
use squall::iostream::{IoStream, StreamError};
use squall::netutil::{Address, BindOptions};
use squall::tcpserver::TcpServer;
use squall_examples::ssl_options;

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

fn main() -> ExitCode {
    let port = std::env::args().nth(1).filter(|argument| !argument.starts_with("--"));
    let port = match port.map_or(Ok(8888), |port| port.parse()) {
        Ok(port) => port,
        Err(error) => return fail(&format!("usage: tcp_echo [PORT]: {error}")),
    };
    let server = TcpServer::new(echo);
    if let Some(Err(error)) = ssl_options().map(|options| server.ssl_options(options)) {
        return fail(&error.to_string());
    }
    if let Err(error) = server.listen_on(port, &BindOptions::new().address("127.0.0.1")) {
        return fail(&error.to_string());
    }
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    match IoLoop::current().start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
