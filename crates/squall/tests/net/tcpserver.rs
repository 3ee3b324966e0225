//! `TcpServer` on real sockets and in processes of its own.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use squall::ioloop::IoLoop;
use squall::iostream::{IoStream, StreamError};
use squall::netutil::{Address, BindOptions, bind_sockets, bind_unix_socket};
use squall::tcpserver::{BoxError, StartError, StreamHandler, TcpServer};

use crate::log::Lines;

const TIMEOUT: Duration = Duration::from_secs(30);

fn run<T>(test: impl Future<Output = T>) -> T {
    let io_loop = IoLoop::new().unwrap();
    let result = io_loop.run_sync(test, Some(TIMEOUT)).expect("the test took too long");
    io_loop.close(false);
    result
}

fn localhost() -> BindOptions {
    BindOptions::new().address("127.0.0.1")
}

fn address<H: StreamHandler>(server: &TcpServer<H>) -> SocketAddr {
    server.local_addrs()[0].inet().unwrap()
}

fn connect(address: SocketAddr) -> IoStream {
    IoStream::from_std_tcp(TcpStream::connect(address).unwrap()).unwrap()
}

async fn echo(stream: IoStream, _: Address) -> Result<(), StreamError> {
    loop {
        let data = stream.read_bytes_partial(65_536).await?;
        stream.write(data).await?;
    }
}

/// A handler with state, as a type.
struct Greeter {
    greeting: &'static str,
    served: Cell<usize>,
}

impl StreamHandler for Greeter {
    async fn handle_stream(&self, stream: IoStream, address: Address) -> Result<(), BoxError> {
        self.served.set(self.served.get() + 1);
        stream.write(format!("{} {}", self.greeting, address.ip().ok_or("no IP address")?)).await?;
        Ok(())
    }
}

#[test]
fn functions_and_types_are_handlers() {
    run(async {
        let server = TcpServer::new(echo);
        server.listen_on(0, &localhost()).unwrap();
        let client = connect(address(&server));
        client.write(b"hello");
        assert_eq!(client.read_bytes(5).await.unwrap(), "hello");

        let server = TcpServer::new(Greeter { greeting: "hello", served: Cell::new(0) });
        server.listen_on(0, &localhost()).unwrap();
        for n in 1..=3 {
            let client = connect(address(&server));
            assert_eq!(client.read_until_close().await.unwrap(), "hello 127.0.0.1");
            assert_eq!(server.handler().served.get(), n);
        }
    });
}

#[test]
fn a_stream_that_is_closed_after_writing_has_written() {
    run(async {
        let server = TcpServer::new(async |stream: IoStream, _: Address| -> Result<(), StreamError> {
            stream.write(b"data");
            stream.close();
            Ok(())
        });
        server.listen_on(0, &localhost()).unwrap();
        assert_eq!(connect(address(&server)).read_until_close().await.unwrap(), "data");
    });
}

#[test]
fn what_a_peer_does_is_no_error() {
    run(async {
        let (log, _guard) = Lines::capture();
        let ended = Rc::new(Cell::new(0));
        let ends = Rc::clone(&ended);
        let server = TcpServer::new(async move |stream: IoStream, _: Address| {
            let read = stream.read_until(b"never", Some(100)).await.map(drop);
            ends.set(ends.get() + 1);
            read
        });
        server.set_max_buffer_size(1000);
        server.listen_on(0, &localhost()).unwrap();
        // Leaves, is cut, sends too much, sends what is not looked for.
        for (length, resets) in [(10, false), (10, true), (5000, false), (200, false)] {
            let before = ended.get();
            let client = connect(address(&server));
            client.write(vec![b'x'; length]).await.unwrap();
            match (length, resets) {
                (10, true) => client.abort(),
                (10, false) => client.close(),
                _ => client.closed_by_peer().await,
            }
            while ended.get() == before {
                tokio::task::yield_now().await;
            }
        }
        tokio::task::yield_now().await;
        let logged = log.text();
        assert!(!logged.contains("ERROR") && !logged.contains("WARN"), "{logged}");
    });
}

#[test]
fn errors_and_panics_are_logged_and_the_server_goes_on() {
    run(async {
        let (log, _guard) = Lines::capture();
        let server = TcpServer::new(async |stream: IoStream, _: Address| -> Result<(), BoxError> {
            let request = stream.read_bytes(5).await?;
            match &request[..] {
                b"panic" => panic!("deliberately"),
                b"error" => Err("handler failed".into()),
                _ => Ok(stream.write(b"fine").await?),
            }
        });
        server.listen_on(0, &localhost()).unwrap();
        for request in ["error", "panic", "fine!"] {
            let client = connect(address(&server));
            client.write(request);
            let expected = if request == "fine!" { "fine" } else { "" };
            assert_eq!(client.read_until_close().await.unwrap(), expected);
        }
        let logged = log.text();
        assert_eq!(logged.matches("Error in connection callback").count(), 2, "{logged}");
        assert!(logged.contains("ERROR squall::application"), "{logged}");
        assert!(logged.contains("handler failed") && logged.contains("deliberately"), "{logged}");
    });
}

#[test]
fn a_peer_that_leaves_is_not_an_error() {
    run(async {
        let (log, _guard) = Lines::capture();
        let ended = Rc::new(Cell::new(false));
        let set = ended.clone();
        let server = TcpServer::new(async move |stream: IoStream, address: Address| {
            let result = echo(stream, address).await;
            set.set(true);
            result
        });
        server.listen_on(0, &localhost()).unwrap();
        drop(connect(address(&server)));
        while !ended.get() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert_eq!(log.text(), "");
    });
}

#[test]
fn stop_closes_the_listener_and_keeps_connections() {
    run(async {
        let server = TcpServer::new(echo);
        server.listen_on(0, &localhost()).unwrap();
        let address = address(&server);
        let client = connect(address);
        client.write(b"before");
        assert_eq!(client.read_bytes(6).await.unwrap(), "before");
        server.stop();
        server.stop();
        assert!(server.local_addrs().is_empty());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        client.write(b"after");
        assert_eq!(client.read_bytes(5).await.unwrap(), "after");
        // And it can listen again.
        server.listen_on(address.port(), &localhost()).unwrap();
        drop(connect(address));
    });
}

#[test]
fn stop_from_inside_a_handler() {
    run(async {
        let slot = Rc::new(RefCell::new(None::<Box<dyn Fn()>>));
        let stop = slot.clone();
        let server = Rc::new(TcpServer::new(async move |stream: IoStream, _: Address| {
            if let Some(stop) = &*stop.borrow() {
                stop();
            }
            stream.read_until_close().await.map(drop)
        }));
        let stopped = server.clone();
        slot.replace(Some(Box::new(move || stopped.stop())));
        server.listen_on(0, &localhost()).unwrap();
        let address = address(&server);
        let clients: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
        while !server.local_addrs().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(TcpStream::connect(address).is_err());
        drop(clients);
    });
}

#[test]
fn unix_sockets_and_several_listeners() {
    run(async {
        let path = std::env::temp_dir().join(format!("squall-tcpserver-{}.sock", std::process::id()));
        let server = TcpServer::new(echo);
        server.add_socket(bind_unix_socket(&path, 0o600, 128).unwrap());
        server.add_sockets(bind_sockets(0, &localhost()).unwrap());
        assert_eq!(server.local_addrs().len(), 2);
        let unix = IoStream::from_std_unix(std::os::unix::net::UnixStream::connect(&path).unwrap()).unwrap();
        let tcp = connect(server.local_addrs()[1].inet().unwrap());
        for client in [unix, tcp] {
            client.write(b"hello");
            assert_eq!(client.read_bytes(5).await.unwrap(), "hello");
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn the_read_buffer_can_be_limited() {
    run(async {
        let (log, _guard) = Lines::capture();
        let server = TcpServer::new(async |stream: IoStream, _: Address| {
            stream.read_until(b"never", None).await.map(drop)
        });
        server.set_max_buffer_size(1000);
        server.listen_on(0, &localhost()).unwrap();
        let client = connect(address(&server));
        client.write([b'x'; 5000]);
        client.closed_by_peer().await;
        assert!(log.text().contains("Reached maximum read buffer size"), "{}", log.text());
    });
}

#[test]
fn listening_before_the_loop_runs() {
    let io_loop = IoLoop::new().unwrap();
    io_loop.make_current();
    let server = TcpServer::new(echo);
    server.listen_on(0, &localhost()).unwrap();
    // Accepted by the kernel, answered once the loop runs.
    let early = TcpStream::connect(address(&server)).unwrap();
    let client = async {
        let client = IoStream::from_std_tcp(early).unwrap();
        client.write(b"hello");
        assert_eq!(client.read_bytes(5).await.unwrap(), "hello");
    };
    io_loop.run_sync(client, Some(TIMEOUT)).unwrap();
    io_loop.close(false);
}

#[test]
fn bind_waits_for_start_and_start_works_once() {
    run(async {
        let server = TcpServer::new(echo);
        server.bind(0, &localhost()).unwrap();
        let first = address(&server);
        let client = connect(first);
        server.start(1).unwrap();
        client.write(b"hello");
        assert_eq!(client.read_bytes(5).await.unwrap(), "hello");
        assert!(matches!(server.start(1), Err(StartError::AlreadyStarted)));
        // Sockets that are bound later are served at once.
        server.bind(0, &localhost()).unwrap();
        let client = connect(server.local_addrs()[1].inet().unwrap());
        client.write(b"hello");
        assert_eq!(client.read_bytes(5).await.unwrap(), "hello");
    });
}

#[test]
fn forking_is_refused_when_a_loop_exists() {
    run(async {
        let server = TcpServer::new(echo);
        server.bind(0, &localhost()).unwrap();
        let error = server.start(3).unwrap_err();
        assert!(matches!(error, StartError::Fork(_)));
        assert!(error.to_string().contains("Cannot run in multiple processes"), "{error}");
        // It can still be started in this process.
        server.start(1).unwrap();
        drop(connect(address(&server)));
    });
}

/// This test program, run again for the test `name` alone, which then plays its second role: a limit on descriptors
/// wants a process of its own.
fn run_again(name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("tcpserver::{name}"), "--nocapture", "--test-threads=1"])
        .env("SQUALL_TEST_ROLE", name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn has_role(name: &str) -> bool {
    std::env::var("SQUALL_TEST_ROLE").is_ok_and(|role| role == name)
}

/// Kills the process when the test fails half-way.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line of a child's output that starts with `prefix`, without it. (The test harness prints as well.)
fn line_after(output: &mut impl BufRead, prefix: &str) -> String {
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if let Some(at) = line.find(prefix) {
            return line[at + prefix.len()..].trim().to_string();
        }
        line.clear();
    }
    panic!("the child printed no {prefix:?}");
}

#[test]
fn running_out_of_descriptors_is_survived() {
    const NAME: &str = "running_out_of_descriptors_is_survived";
    const CLIENTS: usize = 12;
    if has_role(NAME) {
        return serve_with_few_descriptors();
    }
    let mut child = Killed(run_again(NAME));
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    let address: SocketAddr = line_after(&mut output, "listening on ").parse().unwrap();
    let mut clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(TIMEOUT)).unwrap();
            client.write_all(b"x").unwrap();
            client
        })
        .collect();
    // The log line comes once no descriptor is left; only then does a client leave, and another gets its place.
    let mut errors = BufReader::new(child.0.stderr.take().unwrap());
    let logged = line_after(&mut errors, "Cannot accept a connection: ");
    assert!(logged.contains("Too many open files") && logged.contains("100 ms"), "{logged}");
    // Nobody reads the rest; the child must not block on it.
    let drain = std::thread::spawn(move || io::copy(&mut errors, &mut io::sink()));
    for mut client in clients.drain(..) {
        client.read_exact(&mut [0]).expect("every client is served in the end");
    }
    drop(child);
    drain.join().unwrap().unwrap();
}

fn serve_with_few_descriptors() {
    tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
    let server = TcpServer::new(echo);
    server.listen_on(0, &localhost()).unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = rustix::process::Rlimit { current: Some(open + 4), maximum: Some(open + 4) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    println!("listening on {}", address(&server));
    IoLoop::current().start().unwrap();
}
