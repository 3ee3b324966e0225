//! `IoStream` on real sockets. The first part has a counterpart for every test of Tornado's `iostream_test.py` that is not
//! about TLS, pipes or Python's buffer protocol; each runs over TCP, over Unix sockets, and over TLS on both (Tornado's
//! `TestIOStreamSSL` and `TestIOStreamSSLContext`).

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use regex::bytes::Regex;
use socket2::{Domain, SockRef, Socket, Type};
use squall::ioloop::IoLoop;
use squall::iostream::{IoStream, StreamBufferFullError, StreamError, UnsatisfiableReadError, pool_stats};
use squall::netutil::{Address, BindOptions, bind_sockets};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::log::Lines;

#[cfg(all(feature = "client", feature = "tls", feature = "websocket"))]
use super::tls::support;

const MB: usize = 1024 * 1024;

/// Runs a test on a fresh loop. No test needs more than a fraction of the time limit.
fn run<T>(test: impl Future<Output = T>) -> T {
    let io_loop = IoLoop::new().unwrap();
    let result = io_loop.run_sync(test, Some(Duration::from_secs(30))).expect("the test took too long");
    io_loop.close(false);
    result
}

/// Runs a test on two connected streams, first of TCP, then of Unix sockets, then of TLS over them.
fn each(test: impl AsyncFn(IoStream, IoStream)) {
    #[cfg(all(feature = "client", feature = "tls", feature = "websocket"))]
    for unix in [false, true] {
        run(async {
            let (reader, writer) = if unix { unix_pair() } else { tcp_pair() };
            let (reader, writer) = secured(reader, writer).await;
            test(reader, writer).await;
        });
    }
    run(async {
        let (reader, writer) = tcp_pair();
        test(reader, writer).await;
    });
    run(async {
        let (reader, writer) = unix_pair();
        test(reader, writer).await;
    });
}

/// TLS over two ends of a connection.
#[cfg(all(feature = "client", feature = "tls", feature = "websocket"))]
async fn secured(client: IoStream, server: IoStream) -> (IoStream, IoStream) {
    type Configs = (Arc<rustls::ClientConfig>, squall::tls::SslOptions);
    static CONFIGS: std::sync::OnceLock<Configs> = std::sync::OnceLock::new();
    let (config, options) = CONFIGS.get_or_init(|| {
        let authority = support::Authority::new();
        (Arc::new(authority.config()), authority.certify(&["server.test"]).options())
    });
    let acceptor = squall::tls::TlsAcceptor::new(options.clone()).unwrap();
    let role = support::role(Arc::clone(config), "server.test");
    let (client, server) = tokio::join!(client.start_tls(role), acceptor.accept(server));
    (client.unwrap(), server.unwrap())
}

fn unix_pair() -> (IoStream, IoStream) {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    (IoStream::from_std_unix(one).unwrap(), IoStream::from_std_unix(other).unwrap())
}

fn std_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, client)
}

fn tcp_pair() -> (IoStream, IoStream) {
    let (server, client) = std_pair();
    (IoStream::from_std_tcp(server).unwrap(), IoStream::from_std_tcp(client).unwrap())
}

fn tcp_socket() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

fn spawn<F: Future + 'static>(future: F) -> tokio::task::JoinHandle<F::Output> {
    tokio::task::spawn_local(future)
}

/// Polls a future once, to start it.
async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Runs a close callback into a flag that can be awaited.
#[derive(Clone, Default)]
struct Event(Rc<(Cell<bool>, tokio::sync::Notify)>);

impl Event {
    fn set(&self) {
        self.0.0.set(true);
        self.0.1.notify_one();
    }

    fn is_set(&self) -> bool {
        self.0.0.get()
    }

    async fn wait(&self) {
        while !self.is_set() {
            self.0.1.notified().await;
        }
    }

    fn on_close(stream: &IoStream) -> Self {
        let event = Self::default();
        stream.set_close_callback({
            let event = event.clone();
            move || event.set()
        });
        event
    }
}

fn real_error<E: Error + 'static>(error: &StreamError) -> Option<&E> {
    error.real_error()?.downcast_ref()
}

fn assert_closed<T: std::fmt::Debug>(result: Result<T, StreamError>) {
    let error = result.unwrap_err();
    assert!(error.is_closed() && error.real_error().is_none(), "{error:?}");
}

/// Accepts one connection, answers its request and closes: the place of Tornado's test application.
async fn hello_server() -> Address {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    spawn(async move {
        let stream = IoStream::from(listener.accept().await.unwrap().0);
        stream.read_until(b"\r\n\r\n", None).await.unwrap();
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello").await.unwrap();
    });
    address
}

mod tornado_web {
    use super::*;

    #[test]
    fn read_until_close() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            stream.connect(hello_server().await).await.unwrap();
            stream.write(b"GET / HTTP/1.0\r\n\r\n");
            let data = stream.read_until_close().await.unwrap();
            assert!(data.starts_with(b"HTTP/1.1 200") && data.ends_with(b"Hello"), "{data:?}");
        });
    }

    #[test]
    fn read_zero_bytes() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            stream.connect(hello_server().await).await.unwrap();
            stream.write(b"GET / HTTP/1.0\r\n\r\n");
            assert_eq!(stream.read_bytes(9).await.unwrap(), "HTTP/1.1 ");
            assert_eq!(stream.read_bytes(0).await.unwrap(), "");
            assert_eq!(stream.read_bytes(3).await.unwrap(), "200");
        });
    }

    #[test]
    fn write_while_connecting() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            let address = hello_server().await;
            let order = RefCell::new(Vec::new());
            let mut connect = pin!(stream.connect(address));
            assert!(poll_once(connect.as_mut()).await.is_pending());
            let write = stream.write(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n");
            assert!(stream.is_writing());
            tokio::join!(
                async {
                    write.await.unwrap();
                    order.borrow_mut().push("written");
                },
                async {
                    connect.await.unwrap();
                    order.borrow_mut().push("connected");
                },
            );
            assert_eq!(*order.borrow(), ["connected", "written"]);
            assert!(stream.read_until_close().await.unwrap().ends_with(b"Hello"));
        });
    }

    #[test]
    fn future_interface() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            stream.connect(hello_server().await).await.unwrap();
            stream.write(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            assert_eq!(stream.read_until(b"\r\n", None).await.unwrap(), "HTTP/1.1 200 OK\r\n");
            assert_eq!(stream.read_until("\r\n\r\n", None).await.unwrap(), "Content-Length: 5\r\n\r\n");
            assert_eq!(stream.read_bytes(5).await.unwrap(), "Hello");
            stream.close();
            assert!(stream.is_closed());
        });
    }

    #[test]
    fn close_while_reading() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            stream.connect(hello_server().await).await.unwrap();
            stream.write(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            assert_closed(stream.read_bytes(MB).await);
        });
    }

    #[test]
    fn data_comes_before_the_close() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            stream.connect(hello_server().await).await.unwrap();
            stream.write(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            stream.read_until(b"\r\n\r\n", None).await.unwrap();
            assert_eq!(stream.read_until_close().await.unwrap(), "Hello");
            // The error comes without waiting.
            let mut read = pin!(stream.read_bytes(1));
            assert!(matches!(poll_once(read.as_mut()).await, Poll::Ready(Err(StreamError::Closed(_)))));
        });
    }
}

mod tornado_read_write {
    use super::*;

    #[test]
    fn write_zero_bytes() {
        each(async |_rs, ws| ws.write(b"").await.unwrap());
    }

    #[test]
    fn delayed_close() {
        each(async |rs, ws| {
            ws.write(b"12");
            assert_eq!(rs.read_bytes(1).await.unwrap(), "1");
            ws.close();
            assert_eq!(rs.read_bytes(1).await.unwrap(), "2");
        });
    }

    #[test]
    fn close_with_data_in_the_kernel() {
        each(async |rs, ws| {
            rs.set_read_chunk_size(256);
            ws.write([b'A'; 512]);
            assert_eq!(rs.read_bytes(256).await.unwrap(), [b'A'; 256][..]);
            ws.close();
            rs.closed_by_peer().await;
            assert_eq!(rs.read_bytes(256).await.unwrap(), [b'A'; 256][..]);
            assert!(!rs.is_closed());
            assert_closed(rs.read_bytes(1).await);
            assert!(rs.is_closed());
        });
    }

    #[test]
    fn read_until_close_after_close() {
        each(async |rs, ws| {
            ws.write(b"1234");
            assert_eq!(rs.read_bytes(1).await.unwrap(), "1");
            ws.close();
            assert_eq!(rs.read_until_close().await.unwrap(), "234");
            assert_eq!(rs.read_until_close().await.unwrap(), "");
        });
        each(async |rs, ws| {
            ws.write(b"1234");
            assert_eq!(rs.read_bytes(1).await.unwrap(), "1");
            rs.close();
            assert_eq!(rs.read_until_close().await.unwrap(), "234");
        });
    }

    #[test]
    fn large_read_until() {
        each(async |rs, ws| {
            for _ in 0..4096 {
                ws.write([b'A'; 1024]);
            }
            ws.write(b"\r\n");
            assert_eq!(rs.read_until(b"\r\n", None).await.unwrap().len(), 4096 * 1024 + 2);
        });
    }

    #[test]
    fn read_until_with_close_after_second_packet() {
        each(async |rs, ws| {
            let mut read = pin!(rs.read_until(b"done", None));
            assert!(poll_once(read.as_mut()).await.is_pending());
            ws.write([b'x'; 2048]).await.unwrap();
            ws.write(b"done");
            ws.close();
            assert_eq!(read.await.unwrap().len(), 2052);
        });
    }

    #[test]
    fn read_until_unsatisfied_after_close() {
        each(async |rs, ws| {
            ws.write([b'x'; 2048]).await.unwrap();
            ws.write(b"foo");
            ws.close();
            assert_closed(rs.read_until(b"done", None).await);
            // What had been received is still there.
            assert_eq!(rs.read_until_close().await.unwrap().len(), 2051);
        });
    }

    #[test]
    fn close_callback_with_pending_read() {
        each(async |rs, ws| {
            let closed = Event::on_close(&rs);
            ws.write(b"OK\r\n");
            assert_eq!(rs.read_until(b"\r\n", None).await.unwrap(), "OK\r\n");
            ws.close();
            assert_closed(rs.read_until(b"\r\n", None).await);
            closed.wait().await;
        });
    }

    #[test]
    fn close_callback_without_a_read() {
        each(async |rs, ws| {
            let closed = Event::on_close(&rs);
            ws.write(b"a");
            assert_eq!(rs.read_bytes(1).await.unwrap(), "a");
            assert!(!closed.is_set());
            ws.close();
            closed.wait().await;
            assert!(rs.is_closed());
        });
    }

    #[test]
    fn read_bytes_partial() {
        each(async |rs, ws| {
            ws.write(b"hello");
            assert_eq!(rs.read_bytes_partial(50).await.unwrap(), "hello");
            ws.write(b"world");
            assert_eq!(rs.read_bytes_partial(3).await.unwrap(), "wor");
            assert_eq!(rs.read_bytes_partial(0).await.unwrap(), "");
            assert_eq!(rs.read_bytes_partial(3).await.unwrap(), "ld");
        });
    }

    fn assert_unsatisfiable<T: std::fmt::Debug>(rs: &IoStream, result: Result<T, StreamError>, shown: &str) {
        let error = result.unwrap_err();
        let cause: &UnsatisfiableReadError = real_error(&error).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!((cause.max_bytes(), cause.to_string().as_str()), (5, shown));
        assert!(rs.is_closed() && rs.error().is_some());
    }

    #[test]
    fn read_until_max_bytes() {
        const SHOWN: &str = "delimiter \"def\" not found within 5 bytes";
        each(async |rs, ws| {
            let (log, _guard) = Lines::capture();
            let closed = Event::on_close(&rs);
            ws.write(b"abcdef");
            assert_eq!(rs.read_until(b"def", Some(50)).await.unwrap(), "abcdef");
            ws.write(b"abcdef");
            assert_eq!(rs.read_until(b"def", Some(6)).await.unwrap(), "abcdef");
            let mut read = pin!(rs.read_until(b"def", Some(5)));
            assert!(poll_once(read.as_mut()).await.is_pending());
            ws.write(b"123456");
            assert_unsatisfiable(&rs, read.await, SHOWN);
            closed.wait().await;
            assert!(log.text().contains("Unsatisfiable read, closing connection"), "{}", log.text());
        });
        each(async |rs, ws| {
            // The match is there, but beyond the limit; and the data was buffered before.
            ws.write(b"abcdef");
            rs.fill().await.unwrap();
            assert_unsatisfiable(&rs, rs.read_until(b"def", Some(5)).await, SHOWN);
            assert_closed_by_limit(rs.read_bytes(7).await);
        });
    }

    fn assert_closed_by_limit<T: std::fmt::Debug>(result: Result<T, StreamError>) {
        assert!(real_error::<UnsatisfiableReadError>(&result.unwrap_err()).is_some());
    }

    #[test]
    fn read_until_regex_max_bytes() {
        const SHOWN: &str = "regex \"d.f\" not found within 5 bytes";
        let regex = Regex::new("d.f").unwrap();
        each(async |rs, ws| {
            let closed = Event::on_close(&rs);
            ws.write(b"abcdef");
            assert_eq!(rs.read_until_regex(&regex, Some(50)).await.unwrap(), "abcdef");
            ws.write(b"abcdefg");
            assert_eq!(rs.read_until_regex(&regex, Some(6)).await.unwrap(), "abcdef");
            ws.write(b"12345");
            assert_unsatisfiable(&rs, rs.read_until_regex(&regex, Some(5)).await, SHOWN);
            closed.wait().await;
        });
        each(async |rs, ws| {
            ws.write(b"abcdef");
            rs.fill().await.unwrap();
            assert_unsatisfiable(&rs, rs.read_until_regex(&regex, Some(5)).await, SHOWN);
        });
    }

    #[test]
    fn small_reads_from_a_large_buffer() {
        each(async |rs, ws| {
            rs.set_max_buffer_size(10 * 1024);
            ws.write(vec![b'a'; 100 * 1024]);
            for _ in 0..100 {
                assert_eq!(rs.read_bytes(1024).await.unwrap(), [b'a'; 1024][..]);
            }
        });
    }

    #[test]
    fn small_read_untils_from_a_large_buffer() {
        each(async |rs, ws| {
            rs.set_max_buffer_size(10 * 1024);
            let mut line = vec![b'a'; 1023];
            line.push(b'\n');
            ws.write(line.repeat(100));
            for _ in 0..100 {
                assert_eq!(rs.read_until(b"\n", Some(4096)).await.unwrap(), line);
            }
        });
    }

    #[test]
    fn flow_control() {
        each(async |rs, ws| {
            rs.set_max_buffer_size(5 * MB);
            let write = ws.write(vec![b'a'; 40 * MB]);
            rs.read_bytes(MB).await.unwrap();
            let mut write = pin!(write);
            assert!(poll_once(write.as_mut()).await.is_pending(), "no socket buffer takes 40 MB");
            for _ in 1..40 {
                rs.read_bytes(MB).await.unwrap();
            }
            write.await.unwrap();
            assert!(!ws.is_writing());
        });
    }

    #[test]
    fn read_into() {
        each(async |rs, ws| {
            let mut target = [0; 10];
            {
                let mut read = pin!(rs.read_into(&mut target, false));
                assert!(poll_once(read.as_mut()).await.is_pending());
                ws.write(b"hello");
                assert!(rs.is_reading());
                ws.write(b"world!!");
                assert_eq!(read.await.unwrap(), 10);
            }
            assert!(!rs.is_reading());
            assert_eq!(&target, b"helloworld");
            // What is buffered comes first.
            assert_eq!(rs.fill().await.unwrap(), 2);
            ws.write(b"1234567890");
            assert_eq!(rs.read_into(&mut target, false).await.unwrap(), 10);
            assert_eq!(&target, b"!!12345678");
            // Buffered data can be enough.
            ws.write(b"abcdefghi");
            rs.fill().await.unwrap();
            let mut short = [0; 4];
            assert_eq!(rs.read_into(&mut short, false).await.unwrap(), 4);
            assert_eq!(&short, b"90ab");
            assert_eq!(rs.read_bytes(7).await.unwrap(), "cdefghi");
        });
    }

    #[test]
    fn read_into_partial() {
        each(async |rs, ws| {
            let mut target = [0; 10];
            ws.write(b"hello");
            assert_eq!(rs.read_into(&mut target, true).await.unwrap(), 5);
            assert_eq!(&target, b"hello\0\0\0\0\0");
            ws.write(b"world!1234567890");
            assert_eq!(rs.read_into(&mut target, true).await.unwrap(), 10);
            assert_eq!(&target, b"world!1234");
            assert_eq!(rs.read_into(&mut target, true).await.unwrap(), 6);
            assert_eq!(&target, b"5678901234");
        });
    }

    #[test]
    fn read_into_fails_when_closed_here() {
        each(async |rs, ws| {
            ws.write(b"ab");
            rs.read_bytes(1).await.unwrap();
            let mut target = [0; 10];
            let mut read = pin!(rs.read_into(&mut target, false));
            assert!(poll_once(read.as_mut()).await.is_pending());
            rs.close();
            assert_closed(read.await);
            assert_eq!(rs.read_until_close().await.unwrap(), "b");
        });
    }

    #[test]
    fn read_into_zero_bytes() {
        each(async |rs, _ws| {
            for partial in [false, true] {
                let mut read = pin!(rs.read_into(&mut [], partial));
                assert!(matches!(poll_once(read.as_mut()).await, Poll::Ready(Ok(0))));
            }
        });
    }

    #[test]
    fn many_mixed_reads() {
        each(async |rs, ws| {
            let mut state = 42u32;
            let mut random = move |below: usize| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as usize % below
            };
            let data: Vec<u8> = (0..1_000_000).map(|_| random(256) as u8).collect();
            let sent = data.clone();
            let mut sizes = random;
            let writer = spawn(async move {
                let mut at = 0;
                while at < sent.len() {
                    let n = (sizes(1000) + 1).min(sent.len() - at);
                    ws.write(&sent[at..at + n]).await.unwrap();
                    at += n;
                }
            });
            let (mut received, mut step) = (Vec::new(), 0);
            while received.len() < data.len() {
                step += 1;
                let n = (step * 7919 % 1000 + 1).min(data.len() - received.len());
                if step % 2 == 0 {
                    received.extend_from_slice(&rs.read_bytes(n).await.unwrap());
                } else {
                    let mut target = vec![0; n];
                    assert_eq!(rs.read_into(&mut target, false).await.unwrap(), n);
                    received.extend_from_slice(&target);
                }
            }
            assert!(received == data);
            writer.await.unwrap();
        });
    }
}

mod tornado_socket {
    use super::*;

    #[test]
    fn connection_refused() {
        run(async {
            // Bound and not listening: nobody else can get the port, and connecting to it is refused.
            let refusing = tcp_socket();
            refusing.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            let address = refusing.local_addr().unwrap().as_socket().unwrap();
            let stream = IoStream::new(tcp_socket()).unwrap();
            let closed = Event::on_close(&stream);
            let write = stream.write(b"never sent");
            let error = stream.connect(address).await.unwrap_err();
            let cause: &io::Error = real_error(&error).unwrap();
            assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
            let error = write.await.unwrap_err();
            assert_eq!(real_error::<io::Error>(&error).unwrap().kind(), io::ErrorKind::ConnectionRefused);
            closed.wait().await;
            assert!(stream.is_closed() && stream.error().is_some());
        });
    }

    #[test]
    fn an_address_of_the_wrong_kind() {
        run(async {
            let stream = IoStream::new(tcp_socket()).unwrap();
            let error = stream.connect(Path::new("/nowhere")).await.unwrap_err();
            assert!(real_error::<io::Error>(&error).unwrap().raw_os_error().is_some(), "{error:?}");
            assert!(stream.is_closed());
        });
    }

    #[test]
    fn read_until_close_reports_an_error() {
        each(async |rs, ws| {
            let mut read = pin!(rs.read_until_close());
            ws.write(b"hello");
            assert!(poll_once(read.as_mut()).await.is_pending());
            rs.close_with(io::Error::other("boom"));
            let error = read.await.unwrap_err();
            assert_eq!(error.real_error().unwrap().to_string(), "boom");
        });
    }

    #[test]
    fn read_until_close_takes_a_reset_as_the_end() {
        run(async {
            let (server, client) = std_pair();
            let rs = IoStream::from_std_tcp(server).unwrap();
            (&client).write_all(b"1234").unwrap();
            assert_eq!(rs.fill().await.unwrap(), 4);
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            assert_eq!(rs.read_until_close().await.unwrap(), "1234");
            let cause = rs.error().unwrap();
            let cause: &io::Error = cause.downcast_ref().unwrap();
            assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn read_until_close_overflows() {
        each(async |rs, ws| {
            let (log, _guard) = Lines::capture();
            rs.set_max_buffer_size(1024);
            ws.write([b'a'; 4096]);
            let error = rs.read_until_close().await.unwrap_err();
            assert!(real_error::<StreamBufferFullError>(&error).is_some(), "{error:?}");
            assert!(rs.is_closed());
            assert!(log.text().contains("Reached maximum read buffer size"));
        });
        each(async |rs, ws| {
            rs.set_max_buffer_size(1024);
            ws.write([b'a'; 1024]);
            ws.close();
            assert_eq!(rs.read_until_close().await.unwrap().len(), 1024);
        });
    }

    #[test]
    fn a_reset_ends_a_read_with_the_real_error_and_no_log_line() {
        run(async {
            let (log, _guard) = Lines::capture();
            let (server, client) = std_pair();
            let rs = IoStream::from_std_tcp(server).unwrap();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            let error = rs.read_bytes(1).await.unwrap_err();
            assert_eq!(real_error::<io::Error>(&error).unwrap().kind(), io::ErrorKind::ConnectionReset);
            assert!(rs.is_closed());
            assert_eq!(log.text(), "");
        });
    }

    #[test]
    fn concurrent_writers_are_all_told() {
        run(async {
            let (rs, ws) = tcp_pair();
            const CHUNK: usize = 5000;
            let producers: Vec<_> = (0..10u8)
                .map(|id| {
                    let ws = ws.clone();
                    spawn(async move {
                        for _ in 0..1000 {
                            ws.write([id; CHUNK]).await.unwrap();
                        }
                    })
                })
                .collect();
            let mut counts = [0; 10];
            for _ in 0..10_000 {
                let data = rs.read_bytes(CHUNK).await.unwrap();
                assert!(data.iter().all(|byte| *byte == data[0]), "writes must not be torn");
                counts[data[0] as usize] += 1;
            }
            assert_eq!(counts, [1000; 10]);
            for producer in producers {
                producer.await.unwrap();
            }
        });
    }

    #[test]
    fn close_while_connecting() {
        run(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = IoStream::new(tcp_socket()).unwrap();
            let mut connect = pin!(stream.connect(listener.local_addr().unwrap()));
            assert!(poll_once(connect.as_mut()).await.is_pending());
            let write = stream.write([b'x'; 10_000]);
            stream.close();
            assert_closed(connect.await);
            assert_closed(write.await);
        });
    }

    #[test]
    fn close_while_writing() {
        each(async |_rs, ws| {
            let write = ws.write(vec![b'x'; 40 * MB]);
            assert!(ws.is_writing());
            ws.close();
            assert_closed(write.await);
            assert!(!ws.is_writing());
        });
    }

    #[test]
    fn write_fails_when_the_peer_has_gone() {
        each(async |rs, ws| {
            drop(rs);
            let error = ws.write(vec![b'x'; 40 * MB]).await.unwrap_err();
            assert!(error.is_closed(), "{error:?}");
            assert!(ws.is_closed());
            assert_closed_with_error(ws.write(b"more").await);
        });
    }

    fn assert_closed_with_error(result: Result<(), StreamError>) {
        assert!(real_error::<io::Error>(&result.unwrap_err()).is_some());
    }
}

mod reading {
    use super::*;

    #[test]
    fn a_peer_that_sends_a_byte_at_a_time() {
        each(async |rs, ws| {
            let message = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
            let writer = spawn(async move {
                for byte in message {
                    ws.write([*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                ws
            });
            assert_eq!(rs.read_until(b"\r\n", None).await.unwrap(), "POST / HTTP/1.1\r\n");
            let end = Regex::new("\r?\n\r?\n").unwrap();
            assert_eq!(rs.read_until_regex(&end, None).await.unwrap(), "Content-Length: 5\r\n\r\n");
            assert_eq!(rs.read_bytes(5).await.unwrap(), "hello");
            drop(writer.await.unwrap());
            assert_closed(rs.read_bytes(1).await);
        });
    }

    #[test]
    fn system_calls_that_read_one_byte() {
        each(async |rs, ws| {
            rs.set_read_chunk_size(1);
            ws.write(b"one\r\ntwo\r\nthree");
            assert_eq!(rs.read_until(b"\r\n", None).await.unwrap(), "one\r\n");
            assert_eq!(rs.read_until(b"\r\n", None).await.unwrap(), "two\r\n");
            ws.close();
            assert_eq!(rs.read_until_close().await.unwrap(), "three");
        });
    }

    #[test]
    fn a_second_read_is_refused() {
        each(async |rs, ws| {
            let mut first = pin!(rs.read_bytes(2));
            assert!(poll_once(first.as_mut()).await.is_pending());
            let error = rs.read_until(b"x", None).await.unwrap_err();
            assert!(matches!(error, StreamError::AlreadyReading));
            assert_eq!(error.to_string(), "Already reading");
            assert!(rs.clone().read_u8().await.is_err(), "AsyncRead is a read as well");
            ws.write(b"ok");
            assert_eq!(first.await.unwrap(), "ok");
        });
    }

    #[test]
    fn cancelled_reads_keep_the_data() {
        run(async {
            let (server, client) = std_pair();
            let in_kernel = server.try_clone().unwrap();
            let (rs, ws) = (IoStream::from_std_tcp(server).unwrap(), IoStream::from_std_tcp(client).unwrap());
            ws.write(b"abc");
            rs.fill().await.unwrap();
            let _ = poll_once(pin!(rs.read_until(b"\n", None))).await;
            let _ = poll_once(pin!(rs.read_bytes(10))).await;
            let _ = poll_once(pin!(rs.read_until_close())).await;
            let mut target = [0; 8];
            {
                let mut read = pin!(rs.read_into(&mut target, false));
                assert!(poll_once(read.as_mut()).await.is_pending());
                // These go straight into `target`, and must come back from there.
                ws.write(b"def");
                while in_kernel.peek(&mut [0; 8]).is_ok() {
                    tokio::task::yield_now().await;
                    assert!(poll_once(read.as_mut()).await.is_pending());
                }
            }
            assert!(!rs.is_reading());
            assert_eq!(rs.read_buffer().as_slice(), b"abcdef");
            ws.write(b"ghi\n");
            assert_eq!(rs.read_until(b"\n", None).await.unwrap(), "abcdefghi\n");
        });
    }

    #[test]
    fn buffered_data_wins_over_a_close_from_here() {
        each(async |rs, ws| {
            ws.write(b"data\n");
            rs.fill().await.unwrap();
            rs.close();
            assert_eq!(rs.read_bytes(2).await.unwrap(), "da");
            assert_eq!(rs.read_until(b"\n", None).await.unwrap(), "ta\n");
            assert_closed(rs.read_bytes(1).await);
        });
    }

    #[test]
    fn a_close_from_here_ends_a_pending_read() {
        each(async |rs, _ws| {
            let read = spawn({
                let rs = rs.clone();
                async move { rs.read_bytes(1).await }
            });
            while !rs.is_reading() {
                tokio::task::yield_now().await;
            }
            rs.close();
            assert_closed(read.await.unwrap());
        });
    }

    #[test]
    fn chunks_end_with_the_stream() {
        each(async |rs, ws| {
            let data: Vec<u8> = (0..3 * MB).map(|i| (i / 1000) as u8).collect();
            let sent = data.clone();
            spawn(async move { ws.write(sent).await.unwrap() });
            let (mut chunks, mut received) = (rs.chunks(), Vec::new());
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.unwrap();
                assert!(!chunk.is_empty() && chunk.len() <= 65_536);
                received.extend_from_slice(&chunk);
            }
            assert!(received == data);
            assert!(chunks.next().await.is_none());
        });
    }

    #[test]
    fn chunks_report_an_error_once() {
        each(async |rs, ws| {
            ws.write(b"abc");
            let mut chunks = rs.chunks();
            assert_eq!(chunks.next().await.unwrap().unwrap(), "abc");
            rs.close_with(io::Error::other("boom"));
            assert_eq!(chunks.next().await.unwrap().unwrap_err().real_error().unwrap().to_string(), "boom");
            assert!(chunks.next().await.is_none());
        });
    }

    #[test]
    fn ten_megabytes_in_one_read() {
        each(async |rs, ws| {
            let data: Vec<u8> = (0..10 * MB).map(|i| (i / 4099) as u8).collect();
            let sent = data.clone();
            spawn(async move { ws.write(sent).await.unwrap() });
            assert!(rs.read_bytes(data.len()).await.unwrap() == data);
        });
    }
}

mod writing {
    use super::*;

    #[test]
    fn both_directions_at_once() {
        each(async |left, right| {
            let data: Vec<u8> = (0..10 * MB).map(|i| (i / 4099) as u8).collect();
            let side = async |stream: &IoStream| {
                let write = stream.write(&data);
                let received = stream.read_bytes(data.len()).await.unwrap();
                write.await.unwrap();
                assert!(received == data);
            };
            tokio::join!(side(&left), side(&right));
        });
    }

    #[test]
    fn writes_keep_their_order_whatever_their_size() {
        each(async |rs, ws| {
            let mut expected = Vec::new();
            for i in 0..3000usize {
                let piece = vec![i as u8; i * 37 % 5000];
                expected.extend_from_slice(&piece);
                if i % 3 == 0 {
                    ws.write_bytes(Bytes::from(piece));
                } else {
                    ws.write(piece);
                }
            }
            assert!(ws.is_writing() && ws.write_buffer_len() > 0);
            assert!(rs.read_bytes(expected.len()).await.unwrap() == expected);
            ws.flush().await.unwrap();
            assert_eq!(ws.write_buffer_len(), 0);
        });
    }

    #[test]
    fn dropping_everything_loses_no_bytes() {
        each(async |rs, ws| {
            drop(ws.write(vec![b'x'; 10 * MB]));
            drop(ws);
            assert_eq!(rs.read_until_close().await.unwrap().len(), 10 * MB);
        });
    }

    #[test]
    fn a_hundred_megabytes_to_a_slow_reader() {
        run(async {
            let (rs, ws) = tcp_pair();
            let write = ws.write_bytes(Bytes::from(vec![7; 100 * MB]));
            let mut left = 100 * MB;
            let mut target = vec![0; 256 * 1024];
            while left > 0 {
                let n = rs.read_into(&mut target, true).await.unwrap();
                assert!(target[..n].iter().all(|byte| *byte == 7));
                left -= n;
                tokio::task::yield_now().await;
            }
            write.await.unwrap();
        });
    }

    #[test]
    fn the_write_buffer_is_bounded() {
        each(async |rs, ws| {
            ws.set_max_write_buffer_size(Some(8 * MB));
            let error = ws.write(vec![0; 8 * MB + 1]).await.unwrap_err();
            assert!(matches!(error, StreamError::BufferFull(_)));
            assert_eq!(error.to_string(), "Reached maximum write buffer size");
            assert!(!ws.is_closed());
            let first = ws.write(vec![1; 8 * MB]);
            let mut refused = 0;
            while refused == 0 {
                let mut more = pin!(ws.write(vec![2; MB]));
                if let Poll::Ready(Err(error)) = poll_once(more.as_mut()).await {
                    assert!(matches!(error, StreamError::BufferFull(_)));
                    refused += 1;
                }
            }
            assert_eq!(refused, 1);
            rs.read_bytes(8 * MB).await.unwrap();
            first.await.unwrap();
        });
    }

    #[test]
    fn try_write_takes_what_fits_and_leaves_the_queue_alone() {
        each(async |rs, ws| {
            let piece = vec![b'x'; 64 * 1024];
            let mut sent = 0;
            loop {
                match ws.try_write(&piece).unwrap() {
                    0 => break,
                    n => sent += n,
                }
            }
            assert!(sent > 0);
            ws.write(b"tail");
            assert_eq!(ws.try_write(b"not before the tail").unwrap(), 0);
            let received = rs.read_bytes(sent + 4).await.unwrap();
            assert!(received.ends_with(b"xtail"));
            ws.flush().await.unwrap();
            let pieces = [IoSlice::new(b"head "), IoSlice::new(b"body")];
            assert_eq!(ws.try_write_vectored(&pieces).unwrap(), 9);
            assert_eq!(rs.read_bytes(9).await.unwrap(), "head body");
        });
    }

    #[test]
    fn operations_on_a_closed_stream_fail() {
        each(async |rs, _ws| {
            rs.close();
            rs.close();
            assert_closed(rs.write(b"x").await);
            assert_eq!(rs.try_write(b"x").unwrap_err().kind(), io::ErrorKind::NotConnected);
            assert_eq!(rs.peer_addr().unwrap_err().kind(), io::ErrorKind::NotConnected);
            assert_eq!(rs.fill().await.unwrap(), 0);
            assert!(rs.detach().is_err());
            rs.closed_by_peer().await;
            Event::on_close(&rs).wait().await;
        });
    }

    #[test]
    fn an_answer_sent_before_hanging_up_survives_a_failed_write() {
        run(async {
            let (server, client) = std_pair();
            let ws = IoStream::from_std_tcp(client).unwrap();
            (&server).write_all(b"413 too large").unwrap();
            let write = ws.write(vec![0; 40 * MB]);
            // Closing with unread data makes the kernel reset the connection.
            drop(server);
            assert!(write.await.is_err());
            assert_eq!(ws.read_bytes(13).await.unwrap(), "413 too large");
        });
    }
}

mod closing {
    use super::*;

    #[test]
    fn the_peers_close_is_seen_without_reading() {
        each(async |rs, ws| {
            ws.write(b"unread");
            rs.read_bytes(2).await.unwrap();
            ws.write(b"more");
            let mut closed = pin!(rs.closed_by_peer());
            assert!(poll_once(closed.as_mut()).await.is_pending());
            let other = spawn({
                let rs = rs.clone();
                async move { rs.closed_by_peer().await }
            });
            ws.close();
            closed.await;
            other.await.unwrap();
            assert!(!rs.is_closed());
            assert_eq!(rs.read_until_close().await.unwrap(), "readmore");
        });
    }

    #[test]
    fn a_close_from_here_ends_the_wait_for_the_peers() {
        each(async |rs, ws| {
            let wait = spawn({
                let rs = rs.clone();
                async move { rs.closed_by_peer().await }
            });
            tokio::task::yield_now().await;
            rs.close();
            wait.await.unwrap();
            // The descriptor is gone as well, and the peer knows.
            assert_closed(ws.read_bytes(1).await);
        });
    }

    #[test]
    fn a_reset_is_seen_without_reading() {
        run(async {
            let (server, client) = std_pair();
            let rs = IoStream::from_std_tcp(server).unwrap();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            rs.closed_by_peer().await;
            assert_eq!(rs.fill().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn close_frees_the_descriptor_while_handles_exist() {
        run(async {
            let (server, mut client) = std_pair();
            let fd = server.as_raw_fd();
            let rs = IoStream::from_std_tcp(server).unwrap();
            let handle = rs.clone();
            assert!(format!("{rs:?}").contains(&format!("Some({fd})")));
            rs.close();
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
            assert!(handle.is_closed());
        });
    }

    #[test]
    fn the_close_callback_waits_for_buffered_data() {
        each(async |rs, ws| {
            let closed = Event::on_close(&rs);
            ws.write(b"abc");
            rs.fill().await.unwrap();
            ws.close();
            rs.closed_by_peer().await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(!closed.is_set() && !rs.is_closed());
            assert_eq!(rs.read_bytes(3).await.unwrap(), "abc");
            closed.wait().await;
        });
    }

    #[test]
    fn the_close_callback_runs_later_and_once() {
        each(async |rs, _ws| {
            let calls = Rc::new(Cell::new(0));
            let count = calls.clone();
            rs.set_close_callback(move || count.set(count.get() + 100));
            let count = calls.clone();
            rs.set_close_callback(move || count.set(count.get() + 1));
            rs.close();
            assert_eq!(calls.get(), 0, "it is run by the loop");
            while calls.get() == 0 {
                tokio::task::yield_now().await;
            }
            rs.close();
            tokio::task::yield_now().await;
            assert_eq!(calls.get(), 1);
        });
    }

    #[test]
    fn a_panicking_close_callback_is_logged() {
        each(async |rs, _ws| {
            let (log, _guard) = Lines::capture();
            rs.set_close_callback(|| panic!("from the callback"));
            rs.close();
            while log.text().is_empty() {
                tokio::task::yield_now().await;
            }
            assert!(log.text().contains("from the callback"), "{}", log.text());
        });
    }

    #[test]
    fn detach_gives_the_socket_and_what_was_received() {
        run(async {
            let (rs, ws) = tcp_pair();
            ws.write(b"received");
            rs.fill().await.unwrap();
            let mut read = pin!(rs.read_bytes(100));
            assert!(poll_once(read.as_mut()).await.is_pending());
            assert_eq!(rs.detach().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
            assert!(!rs.is_closed());
        });
        run(async {
            let (rs, ws) = tcp_pair();
            ws.write(b"received");
            rs.fill().await.unwrap();
            let (socket, data) = rs.detach().unwrap();
            assert_eq!(data, "received");
            assert!(rs.is_closed());
            let again = IoStream::new(socket).unwrap();
            ws.write(b"more");
            assert_eq!(again.read_bytes(4).await.unwrap(), "more");
        });
    }
}

mod memory {
    use super::*;

    #[test]
    fn idle_streams_own_no_buffer() {
        each(async |rs, ws| {
            assert_eq!(pool_stats().lent, 0);
            let mut read = pin!(rs.fill());
            assert!(poll_once(read.as_mut()).await.is_pending());
            assert_eq!(pool_stats().lent, 0, "a waiting stream has none");
            ws.write(b"hello");
            assert_eq!(read.await.unwrap(), 5);
            assert_eq!(pool_stats().lent, 1);
            assert_eq!(rs.read_buffer().as_slice(), b"hello");
            rs.read_buffer().consume(5);
            assert_eq!(pool_stats().lent, 0);
            ws.close();
            assert_eq!(rs.fill().await.unwrap(), 0);
            assert_eq!(pool_stats().lent, 0, "the end needs none");
        });
    }

    #[test]
    fn dropped_streams_return_their_block() {
        each(async |rs, ws| {
            ws.write(b"hello");
            rs.fill().await.unwrap();
            assert_eq!(pool_stats().lent, 1);
            drop(rs);
            assert_eq!(pool_stats().lent, 0);
        });
    }

    #[test]
    fn keep_alive_requests_use_one_block_in_turn() {
        run(async {
            let (server, client) = tcp_pair();
            // `strace -c` on this test with ROUNDS=1000 shows one recv and one send per side and round.
            let rounds: usize = std::env::var("ROUNDS").map_or(100, |n| n.parse().unwrap());
            let task = spawn(async move {
                for _ in 0..rounds {
                    assert_eq!(server.fill().await.unwrap(), 18);
                    server.read_buffer().consume(18);
                    assert_eq!(server.try_write(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(), 19);
                }
                server
            });
            for _ in 0..rounds {
                assert_eq!(client.try_write(b"GET / HTTP/1.1\r\n\r\n").unwrap(), 18);
                assert_eq!(client.fill().await.unwrap(), 19);
                client.read_buffer().consume(19);
            }
            drop(task.await.unwrap());
            assert_eq!((pool_stats().lent, pool_stats().idle), (0, 1));
        });
    }
}

mod as_async_read_write {
    use super::*;

    #[test]
    fn lines_of_a_buf_reader() {
        each(async |rs, mut ws| {
            spawn(async move {
                ws.write_all(b"one\ntwo\n").await.unwrap();
                ws.write_all(b"three").await.unwrap();
                ws.shutdown().await.unwrap();
            });
            let mut lines = BufReader::new(rs).lines();
            let mut got = Vec::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                got.push(line);
            }
            assert_eq!(got, ["one", "two", "three"]);
        });
    }

    #[test]
    fn buffered_data_is_read_first() {
        each(async |rs, ws| {
            ws.write(b"head\nbody");
            assert_eq!(rs.read_until(b"\n", None).await.unwrap(), "head\n");
            let mut body = [0; 4];
            rs.clone().read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"body");
        });
    }

    #[test]
    fn copy_is_an_echo_server_with_bounded_memory() {
        each(async |server, client| {
            spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(server);
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            let data: Vec<u8> = (0..10 * MB).map(|i| (i / 4099) as u8).collect();
            let mut sending = client.clone();
            let sent = data.clone();
            let writer = spawn(async move {
                for piece in sent.chunks(100_000) {
                    sending.write_all(piece).await.unwrap();
                    assert!(sending.write_buffer_len() <= 64 * 1024);
                }
                sending.shutdown().await.unwrap();
            });
            assert!(client.read_until_close().await.unwrap() == data);
            writer.await.unwrap();
        });
    }
}

mod sockets {
    use super::*;

    #[test]
    fn addresses_and_options() {
        run(async {
            let (rs, ws) = tcp_pair();
            assert_eq!(rs.local_addr().unwrap(), ws.peer_addr().unwrap());
            assert_eq!(rs.peer_addr().unwrap(), ws.local_addr().unwrap());
            ws.set_nodelay(true).unwrap();
            let (socket, _) = ws.detach().unwrap();
            assert!(std::net::TcpStream::from(socket).nodelay().unwrap());
            let (unix, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
            let unix = IoStream::from_std_unix(unix).unwrap();
            unix.set_nodelay(true).unwrap();
            assert_eq!(unix.peer_addr().unwrap(), Address::Unix(None));
        });
    }

    #[test]
    fn connect_to_a_unix_socket() {
        run(async {
            let path = std::env::temp_dir().join(format!("squall-iostream-{}.sock", std::process::id()));
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            let client = IoStream::new(Socket::new(Domain::UNIX, Type::STREAM, None).unwrap()).unwrap();
            let (accepted, connected) = tokio::join!(listener.accept(), client.connect(path.as_path()));
            connected.unwrap();
            assert_eq!(client.peer_addr().unwrap(), Address::from(path.as_path()));
            let server = IoStream::from(accepted.unwrap().0);
            server.write(b"hello");
            assert_eq!(client.read_bytes(5).await.unwrap(), "hello");
            std::fs::remove_file(path).unwrap();
        });
    }

    #[test]
    fn a_connected_stream_cannot_be_connected() {
        run(async {
            let (rs, ws) = tcp_pair();
            let error = rs.connect(ws.local_addr().unwrap()).await.unwrap_err();
            assert_eq!(real_error::<io::Error>(&error).unwrap().raw_os_error(), Some(libc::EISCONN));
            ws.write(b"fine");
            assert_eq!(rs.read_bytes(4).await.unwrap(), "fine");
        });
    }

    #[test]
    fn a_dropped_connect_closes_the_stream() {
        run(async {
            let listener = bind_sockets(0, &BindOptions::new().address("127.0.0.1")).unwrap().remove(0);
            let stream = IoStream::new(tcp_socket()).unwrap();
            assert!(poll_once(pin!(stream.connect(listener.local_addr().unwrap()))).await.is_pending());
            assert!(stream.is_closed());
        });
    }

    #[test]
    fn a_read_started_before_the_connection_waits_for_it() {
        run(async {
            let address = hello_server().await;
            let stream = IoStream::new(tcp_socket()).unwrap();
            let (first, connected) = tokio::join!(stream.read_bytes(4), async {
                stream.connect(address).await?;
                stream.write(b"GET / HTTP/1.0\r\n\r\n").await
            });
            connected.unwrap();
            assert_eq!(first.unwrap(), "HTTP");
        });
    }

    #[test]
    fn streams_made_before_the_loop_runs_work_in_it() {
        let io_loop = IoLoop::new().unwrap();
        io_loop.make_current();
        let (server, client) = std_pair();
        let (rs, ws) = (IoStream::from_std_tcp(server).unwrap(), IoStream::from_std_tcp(client).unwrap());
        ws.write(vec![1; 10 * MB]);
        let closed = Event::on_close(&rs);
        let read = async {
            assert_eq!(rs.read_bytes(10 * MB).await.unwrap().len(), 10 * MB);
            ws.close();
            closed.wait().await;
        };
        io_loop.run_sync(read, Some(Duration::from_secs(30))).unwrap();
        io_loop.close(false);
    }
}
