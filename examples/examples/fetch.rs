//! What happens in `fetch`, from the top down: the walk-through of Tornado's `httpclient.py`, `simple_httpclient.py`,
//! `tcpclient.py` and `iostream.py` that many articles make, as a program. Each step prints what it shows.
//!
//! `cargo run --release --example fetch -- --url http://localhost:8888/` (or any page that is not `https`).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use squall::httpclient::{AsyncHttpClient, HttpClientError, HttpRequest};
use squall::ioloop::IoLoop;
use squall::netutil::{Family, Resolver, SystemResolver};
use squall::options;
use squall::tcpclient::TcpClient;
use squall_examples::fail;
use url::Url;

/// 1. `fetch` gives a future. Nothing is sent before it is awaited, and dropping it is how a request is cancelled.
async fn a_future(client: &AsyncHttpClient, url: &str) -> Result<(), HttpClientError> {
    let response = client.fetch(url).await?;
    println!("1. {} {}, {} bytes", response.status(), response.reason(), response.body().len());
    Ok(())
}

/// 2. Tornado's `fetch(url, callback)` registers the callback with the future; it is run by the loop, in a later iteration,
///    never from inside `fetch`.
async fn a_callback(client: &AsyncHttpClient, url: &str) {
    let (told, done) = tokio::sync::oneshot::channel();
    let callback = move |status: u16| {
        println!("2. the callback is told {status}");
        let _ = told.send(());
    };
    let (client, request) = (client.clone(), HttpRequest::get(url).raise_error(false));
    tokio::task::spawn_local(async move {
        // Every failure becomes a response for a callback: 599 for what is not HTTP.
        let fetched = client.fetch(request).await;
        let status = fetched.map_or_else(|error| error.code(), |response| response.status());
        IoLoop::current().add_callback(move || callback(status));
    });
    let _ = done.await;
}

/// 3. `fetch_impl` puts the request into a queue, and `_process_queue` starts as many as `max_clients` allows. When one has
///    ended the next begins, in order.
async fn the_queue(url: &str) -> Result<(), HttpClientError> {
    let client = AsyncHttpClient::builder().max_clients(2).build();
    let order = Rc::new(RefCell::new(Vec::new()));
    let fetches = (1..=5).map(|number| {
        let (client, order, url) = (client.clone(), Rc::clone(&order), url.to_owned());
        tokio::task::spawn_local(async move {
            let fetched = client.fetch(url.as_str()).await;
            order.borrow_mut().push(number);
            fetched.map(|response| response.time_info().queue)
        })
    });
    let mut longest = Duration::ZERO;
    for fetch in fetches.collect::<Vec<_>>() {
        longest = longest.max(fetch.await.map_or(Ok(Duration::ZERO), |fetched| fetched)?);
    }
    println!("3. 5 requests, 2 at once, done in the order {:?}", order.borrow());
    println!("   the last has waited {longest:?} for its turn");
    Ok(())
}

/// 4. `_HTTPConnection` asks `TCPClient` for a stream, which asks a `Resolver` for addresses and has a `_Connector` try them, both
///    families at once if the first is slow. Then the request is written to the `IOStream` and the response read from it;
///    what waits for the socket is a task, and the loop's `epoll` wakes it.
async fn by_hand(url: &Url) -> squall::Result {
    let host = url.host_str().unwrap_or("localhost");
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses = SystemResolver.resolve(host, port, Family::default()).await?;
    println!("4. {host} has {} address(es)", addresses.len());
    let stream = TcpClient::new().connect(host, port).await?;
    stream
        .write(format!("GET {} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n", url.path()))
        .await?;
    let head = stream.read_until(b"\r\n\r\n", Some(65_536)).await?;
    let status = String::from_utf8_lossy(&head);
    println!("   the stream says: {}", status.lines().next().unwrap_or_default());
    let body = stream.read_until_close().await?;
    println!("   and then {} bytes until it is closed", body.len());
    Ok(())
}

/// 5. What goes wrong has a type, and Tornado's code.
async fn errors(client: &AsyncHttpClient, url: &Url) {
    let nothing = url.join("/no/such/page").map_or_else(|_| url.to_string(), Into::into);
    for target in [nothing.as_str(), "http://localhost:1/", "gopher://localhost/"] {
        if let Err(error) = client.fetch(target).await {
            println!("5. {}: {error}", error.code());
        }
    }
}

#[squall::main]
async fn main() -> squall::Result {
    let url = options::define_opt::<String>("url").help("what to fetch");
    options::parse_command_line()?;
    let Some(url) = url.get() else { fail("usage: fetch --url URL") };
    let url = Url::parse(&url)?;
    let client = AsyncHttpClient::new();
    a_future(&client, url.as_str()).await?;
    a_callback(&client, url.as_str()).await;
    the_queue(url.as_str()).await?;
    by_hand(&url).await?;
    errors(&client, &url).await;
    Ok(())
}
