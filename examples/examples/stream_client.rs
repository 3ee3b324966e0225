//! An HTTP client on nothing but `IoStream`, as in the documentation of Tornado's:
//! connect, send a request, read the head up to the blank line, read as many bytes as the head announces, stop.
//!
//! `cargo run --example stream_client 127.0.0.1:8888`

use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use squall::ioloop::IoLoop;
use squall::iostream::{IoStream, StreamError};

fn main() -> ExitCode {
    let Some(target) = std::env::args().nth(1) else { return fail("usage: stream_client HOST:PORT") };
    let address = match target.to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(address)) => address,
        Ok(None) => return fail(&format!("cannot connect to {target}: it has no address")),
        Err(error) => return fail(&format!("cannot connect to {target}: {error}")),
    };
    match IoLoop::current().run_sync(send_request(&target, address), None) {
        Ok(Ok(body)) => {
            print!("{body}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => fail(&error.to_string()),
        Err(error) => fail(&error.to_string()),
    }
}

async fn send_request(host: &str, address: SocketAddr) -> Result<String, Box<dyn Error>> {
    let stream = IoStream::for_address(&address.into())?;
    stream.connect(address).await.map_err(|error| format!("cannot connect to {host}: {}", cause(&error)))?;
    stream.write(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"));
    let head = stream
        .read_until(b"\r\n\r\n", Some(65_536))
        .await
        .map_err(|error| format!("no answer from {host}: {}", cause(&error)))?;
    let head = String::from_utf8_lossy(&head);
    let body = match content_length(&head) {
        Some(length) => stream.read_bytes(length).await,
        None => stream.read_until_close().await,
    };
    let body = body.map_err(|error| format!("the answer of {host} is cut short: {}", cause(&error)))?;
    stream.close();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn content_length(head: &str) -> Option<usize> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))
        .and_then(|(_, value)| value.trim().parse().ok())
}

fn cause(error: &StreamError) -> String {
    error.real_error().map_or_else(|| error.to_string(), ToString::to_string)
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
