//! A WebSocket client that sends back what it gets: what interoperation tests and the Autobahn suite talk to.
//!
//!     cargo run --release --example websocket_client -- ws://localhost:8888/echo       sends lines of its input
//!     cargo run --release --example websocket_client -- --autobahn ws://127.0.0.1:9001 runs all cases of a server
//!     cargo run --release --example websocket_client -- --interop ws://127.0.0.1:9002  checks an echo server

use std::io::BufRead;

use squall::websocket::{
    CompressionOptions, Message, WebSocketClientConnection, WebSocketOptions, WebSocketRequest,
    websocket_connect,
};
use squall::{IoLoop, Result};

async fn connect(url: &str, compression: bool) -> Result<WebSocketClientConnection> {
    let options = WebSocketOptions::new().max_message_size(32 * 1024 * 1024);
    let compression = compression.then(CompressionOptions::new);
    Ok(websocket_connect(WebSocketRequest::new(url).options(options).compression(compression)).await?)
}

/// Sends each line of the standard input and prints what comes back.
async fn talk(url: &str) -> Result {
    let mut connection = connect(url, true).await?;
    // Reading a terminal blocks, so a thread does it.
    let sender = connection.socket().sender(16);
    let read = IoLoop::current().run_in_executor(None, move || {
        let lines = std::io::stdin().lock().lines().map_while(std::result::Result::ok);
        lines.take_while(|line| sender.blocking_write_message(line.as_str()).is_ok()).count()
    });
    let mut read = std::pin::pin!(read);
    let (mut wanted, mut got) = (None, 0);
    // At the end of the input the answers to what has been sent are still to come.
    while wanted.is_none_or(|lines| got < lines) {
        tokio::select! {
            lines = &mut read, if wanted.is_none() => wanted = Some(lines?),
            message = connection.read_message() => {
                let Some(message) = message else { return Ok(()) };
                println!("{}", message.as_text().unwrap_or("(bytes)"));
                got += 1;
            }
        }
    }
    connection.close(1000, "");
    connection.closed().await;
    Ok(())
}

/// Runs every case that an Autobahn fuzzing server has, echoing, and asks it for a report.
async fn autobahn(server: &str) -> Result {
    let mut counting = connect(&format!("{server}/getCaseCount"), false).await?;
    let count = counting.read_message().await;
    let count: usize = count.as_ref().and_then(Message::as_text).unwrap_or("0").parse()?;
    drop(counting);
    for case in 1..=count {
        let url = format!("{server}/runCase?case={case}&agent=squall");
        if let Ok(mut connection) = connect(&url, true).await {
            while let Some(message) = connection.read_message().await {
                // A connection that is failed meanwhile is what some cases want.
                let _ = connection.write_message(message).await;
            }
        }
    }
    let report = connect(&format!("{server}/updateReports?agent=squall"), false).await?;
    report.closed().await;
    println!("ran {count} cases");
    Ok(())
}

/// Sends messages of many sizes to an echo server, with and without compression, and compares.
async fn interop(url: &str) -> Result {
    for compression in [false, true] {
        let mut connection = connect(url, compression).await?;
        for size in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 16 << 20] {
            let text = "squall ✓ ".repeat(size / 11 + 1);
            let text = &text[..text.floor_char_boundary(size)];
            for message in [Message::from(text), Message::from(text.as_bytes())] {
                connection.write_message(message.clone()).await?;
                let answer = connection.read_message().await;
                assert!(answer.as_ref() == Some(&message), "{size} bytes came back otherwise");
            }
        }
        connection.ping("are you there")?;
        connection.close(1000, "done");
        connection.closed().await;
        assert_eq!(connection.close_code(), Some(1000));
        println!("ok: {url}, compression {compression}");
    }
    Ok(())
}

#[squall::main]
async fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--autobahn", server] => autobahn(server).await,
        ["--interop", url] => interop(url).await,
        [url] => talk(url).await,
        _ => talk("ws://localhost:8888/echo").await,
    }
}
