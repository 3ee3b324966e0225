//! Binding and accepting on real sockets.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use squall::ioloop::IoLoop;
use squall::iostream::IoStream;
use squall::netutil::{
    Address, BindOptions, Family, Listener, add_accept_handler, bind_sockets, bind_unix_socket, is_valid_ip,
};

fn run<T>(test: impl Future<Output = T>) -> T {
    let io_loop = IoLoop::new().unwrap();
    let result = io_loop.run_sync(test, Some(Duration::from_secs(30))).expect("the test took too long");
    io_loop.close(false);
    result
}

fn localhost() -> BindOptions {
    BindOptions::new().address("127.0.0.1")
}

fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().map(|listener| listener.local_addr().unwrap().inet().unwrap()).collect()
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// A path in a directory of its own, which is removed with the value.
struct TempPath(PathBuf);

impl TempPath {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("squall-netutil-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory.join("socket"))
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn valid_ips() {
    for ip in ["127.0.0.1", "4.4.4.4", "::1", "2620:0:1cfe:face:b00c::3"] {
        assert!(is_valid_ip(ip), "{ip:?}");
    }
    let long = "a".repeat(100);
    for ip in [
        "www.google.com",
        "localhost",
        "4.4.4.4<",
        " 127.0.0.1",
        "",
        " ",
        "\n",
        "\0",
        "1.2.3",
        "::1%lo",
        &long,
    ] {
        assert!(!is_valid_ip(ip), "{ip:?}");
    }
}

#[test]
fn all_families_share_one_port_and_ipv4_comes_first() {
    for options in
        [BindOptions::new(), BindOptions::new().address(""), BindOptions::new().address("localhost")]
    {
        let listeners = bind_sockets(0, &options).unwrap();
        let bound = addresses(&listeners);
        assert!(bound[0].is_ipv4() && bound[0].port() != 0, "{bound:?}");
        assert!(bound.iter().all(|address| address.port() == bound[0].port()), "{bound:?}");
        let mut unique = bound.clone();
        unique.dedup();
        assert_eq!(unique, bound);
    }
    if has_ipv6() {
        let bound = addresses(&bind_sockets(0, &BindOptions::new()).unwrap());
        assert_eq!(bound.len(), 2, "the IPv6 socket must not take IPv4: {bound:?}");
        assert!(bound[1].is_ipv6());
    }
}

#[test]
fn one_family_only() {
    let bound = addresses(&bind_sockets(0, &BindOptions::new().family(Family::Inet)).unwrap());
    assert!(bound.len() == 1 && bound[0].is_ipv4(), "{bound:?}");
    assert_eq!(bound[0].ip().to_string(), "0.0.0.0");
    if has_ipv6() {
        let bound = addresses(&bind_sockets(0, &BindOptions::new().family(Family::Inet6)).unwrap());
        assert!(bound.len() == 1 && bound[0].is_ipv6(), "{bound:?}");
    }
    assert!(bind_sockets(0, &localhost().family(Family::Inet6)).is_err());
}

#[test]
fn flags_reach_the_resolver() {
    // Without AI_PASSIVE "no address" means loopback; with AI_NUMERICHOST a name does not resolve.
    let bound = addresses(&bind_sockets(0, &BindOptions::new().flags(0).family(Family::Inet)).unwrap());
    assert!(bound[0].ip().is_loopback());
    assert!(bind_sockets(0, &BindOptions::new().address("localhost").flags(libc::AI_NUMERICHOST)).is_err());
}

#[test]
fn options_are_set_on_the_socket() {
    let listener = bind_sockets(0, &localhost()).unwrap().remove(0);
    let socket = SockRef::from(&listener);
    assert!(socket.reuse_address().unwrap());
    assert!(socket.nonblocking().unwrap());
    assert!(!socket.reuse_port().unwrap());
    let flags = rustix::io::fcntl_getfd(listener.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_port_can_be_reused_by_agreement_only() {
    let first = bind_sockets(0, &localhost().reuse_port(true)).unwrap();
    let port = addresses(&first)[0].port();
    let second = bind_sockets(port, &localhost().reuse_port(true)).unwrap();
    assert_eq!(addresses(&second), addresses(&first));
    let error = bind_sockets(port, &localhost()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_port_with_old_connections_can_be_bound_again() {
    let listener = bind_sockets(0, &localhost()).unwrap().remove(0);
    let address = addresses(std::slice::from_ref(&listener))[0];
    let client = TcpStream::connect(address).unwrap();
    let Listener::Tcp(tcp) = &listener else { panic!("{listener:?}") };
    // The side that closes first is the one whose connection stays in TIME_WAIT.
    drop(tcp.accept().unwrap());
    drop(client);
    drop(listener);
    bind_sockets(address.port(), &localhost()).unwrap();
}

#[test]
fn errors_name_the_address_and_the_cause() {
    let taken = bind_sockets(0, &localhost()).unwrap();
    let address = addresses(&taken)[0];
    let error = bind_sockets(address.port(), &localhost()).unwrap_err();
    let os_error = std::io::Error::from_raw_os_error(libc::EADDRINUSE);
    assert_eq!(error.to_string(), format!("cannot listen on {address}: {os_error}"));
    assert_eq!(error.io_error().raw_os_error(), Some(libc::EADDRINUSE));
    assert_eq!(error.address(), address.to_string());

    let error = bind_sockets(80, &BindOptions::new().address("no such host")).unwrap_err();
    let shown = error.to_string();
    assert!(shown.starts_with("cannot listen on no such host:80: ") && shown.len() > 35, "{shown}");

    // An address that no interface has (TEST-NET-1).
    let error = bind_sockets(80, &BindOptions::new().address("192.0.2.1")).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:80: "), "{error}");
    assert!(bind_sockets(80, &BindOptions::new().address("a\0b")).is_err());
}

#[test]
fn unix_sockets_replace_old_sockets_and_nothing_else() {
    let path = TempPath::new("replace");
    let first = bind_unix_socket(&path.0, 0o600, 128).unwrap();
    assert_eq!(first.local_addr().unwrap(), Address::from(path.0.as_path()));
    let metadata = std::fs::metadata(&path.0).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    let second = bind_unix_socket(&path.0, 0o666, 128).unwrap();
    assert_eq!(std::fs::metadata(&path.0).unwrap().permissions().mode() & 0o777, 0o666, "despite the umask");
    drop(first);
    std::os::unix::net::UnixStream::connect(&path.0).unwrap();
    drop(second);

    std::fs::remove_file(&path.0).unwrap();
    std::fs::write(&path.0, "precious").unwrap();
    let error = bind_unix_socket(&path.0, 0o600, 128).unwrap_err().to_string();
    assert!(
        error.contains("exists and is not a socket") && error.contains(path.0.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(std::fs::read(&path.0).unwrap(), b"precious");

    let error = bind_unix_socket("/no/such/directory/socket", 0o600, 128).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_have_no_file() {
    let name = format!("squall-test-{}", std::process::id());
    let listener = bind_unix_socket(format!("@{name}"), 0o600, 128).unwrap();
    assert_eq!(listener.local_addr().unwrap(), Address::from(Path::new(&format!("\0{name}"))));
    assert!(!Path::new(&format!("@{name}")).exists());
    assert!(bind_unix_socket(format!("\0{name}"), 0o600, 128).is_err(), "it is in use");
}

#[test]
fn accept_handlers_get_connections_until_removed() {
    run(async {
        let listener = bind_sockets(0, &localhost()).unwrap().remove(0);
        let address = addresses(std::slice::from_ref(&listener))[0];
        let accepted = Rc::new(RefCell::new(Vec::new()));
        let remove = add_accept_handler(listener, {
            let accepted = accepted.clone();
            move |connection, peer| accepted.borrow_mut().push((IoStream::from(connection), peer))
        });
        // More than are accepted in one go.
        let clients: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        while accepted.borrow().len() < clients.len() {
            tokio::task::yield_now().await;
        }
        for (client, (stream, peer)) in clients.iter().zip(&*accepted.borrow()) {
            assert_eq!(peer.inet().unwrap(), client.local_addr().unwrap());
            assert_eq!(stream.peer_addr().unwrap(), *peer);
        }
        remove();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_panicking_accept_callback_does_not_end_accepting() {
    run(async {
        let path = TempPath::new("panic");
        let listener = bind_unix_socket(&path.0, 0o600, 128).unwrap();
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let remove = add_accept_handler(listener, move |_, peer| {
            assert_eq!(peer, Address::Unix(None));
            count.set(count.get() + 1);
            panic!("the callback's own mistake");
        });
        for expected in 1..=3 {
            let _client = std::os::unix::net::UnixStream::connect(&path.0).unwrap();
            while calls.get() < expected {
                tokio::task::yield_now().await;
            }
        }
        remove();
    });
}

#[test]
fn a_callback_may_remove_its_own_handler() {
    run(async {
        let listener = bind_sockets(0, &localhost()).unwrap().remove(0);
        let address = addresses(std::slice::from_ref(&listener))[0];
        let clients: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        let remover = Rc::new(RefCell::new(None::<Box<dyn FnOnce()>>));
        let calls = Rc::new(Cell::new(0));
        let (own, count) = (remover.clone(), calls.clone());
        let remove = add_accept_handler(listener, move |_, _| {
            count.set(count.get() + 1);
            let remove = own.take().unwrap();
            remove();
        });
        remover.replace(Some(Box::new(remove)));
        while calls.get() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(calls.get(), 1, "{} connections waited", clients.len());
        assert!(TcpStream::connect(address).is_err());
    });
}
