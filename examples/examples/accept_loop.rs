//! The loop without any server class: a listening socket whose handler accepts and answers.
//!
//! `cargo run --example accept_loop -- --port 8080`, then `nc localhost 8080`. There is no TLS here: that begins with a
//! stream (`tcp_echo`).

use std::io::{self, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;

use squall::ioloop::{Events, IoLoop};
use squall::options;
use squall_examples::fail;

fn main() -> ExitCode {
    let port = options::define("port", 8080_u16);
    if let Err(error) = options::parse_command_line() {
        fail(&error.to_string());
    }
    if !options::get::<Vec<PathBuf>>("certfile").is_empty() {
        fail("this answers in clear text only");
    }
    match serve(port.get()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("accept_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(port: u16) -> Result<(), String> {
    let address = format!("localhost:{port}");
    let listener =
        TcpListener::bind(&address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    listener.set_nonblocking(true).map_err(|error| error.to_string())?;

    let io_loop = IoLoop::current();
    io_loop.add_handler(listener, connection_ready, Events::READ).map_err(|error| error.to_string())?;
    io_loop.start().map_err(|error| error.to_string())
}

/// Accepts until nobody waits any more.
fn connection_ready(listener: &TcpListener, _events: Events) {
    loop {
        match listener.accept() {
            Ok((connection, _address)) => {
                if let Err(error) = handle_connection(connection) {
                    eprintln!("accept_loop: connection lost: {error}");
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                eprintln!("accept_loop: accept failed: {error}");
                return;
            }
        }
    }
}

/// So short an answer fits into the socket's buffer; a longer one would need a handler for writing.
fn handle_connection(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nonblocking(true)?;
    connection.write_all(b"Hello World from A Simple TCP Server")
}
