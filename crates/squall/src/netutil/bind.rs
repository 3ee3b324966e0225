//! Making listening sockets.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Address, Network};
use crate::{process, sys};

/// The default length of the queue of connections that wait to be accepted.
pub const DEFAULT_BACKLOG: u32 = 128;

/// How often another port is tried when the one that IPv4 was given is taken for IPv6.
const PORT_ATTEMPTS: usize = 8;

/// A listening socket, not yet attached to a loop: it can be made before processes are forked.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix stream socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// The address that it listens on; for a socket that was bound to port 0 the port that it was given.
    ///
    /// # Errors
    ///
    /// What the system call gives.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::from_sock_addr(&socket2::SockRef::from(self).local_addr()?)
    }

    /// Another handle on the same socket.
    ///
    /// # Errors
    ///
    /// When there are no more file descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<std::os::unix::net::UnixListener> for Listener {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// A listening socket of either kind, as inherited from a supervisor.
impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    fn try_from(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        Ok(if socket.local_addr()?.is_unix() { Self::Unix(socket.into()) } else { Self::Tcp(socket.into()) })
    }
}

/// Which IP versions to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// All that the address has (Tornado's `AF_UNSPEC`).
    #[default]
    Unspec,
    /// IPv4 only (`AF_INET`).
    Inet,
    /// IPv6 only (`AF_INET6`).
    Inet6,
}

impl Family {
    pub(super) fn as_raw(self) -> i32 {
        match self {
            Self::Unspec => libc::AF_UNSPEC,
            Self::Inet => libc::AF_INET,
            Self::Inet6 => libc::AF_INET6,
        }
    }
}

/// What [`bind_sockets`] should listen on, and how; the port apart.
#[derive(Clone, Debug)]
pub struct BindOptions {
    address: Option<String>,
    family: Family,
    backlog: u32,
    flags: i32,
    reuse_port: bool,
    pub(crate) proxies: Option<Vec<Network>>,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            address: None,
            family: Family::Unspec,
            backlog: DEFAULT_BACKLOG,
            flags: libc::AI_PASSIVE,
            reuse_port: false,
            proxies: None,
        }
    }
}

impl BindOptions {
    /// All interfaces, IPv4 and IPv6, a backlog of 128.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An IP address, or a host name: all of its addresses are listened on. Empty, as by default, means all
    /// interfaces.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into()).filter(|address| !address.is_empty());
        self
    }

    /// Restricts to one IP version (default: all that the address has).
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// How many connections may wait to be accepted (default 128).
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// The `AI_*` flags for `getaddrinfo` (default `AI_PASSIVE`).
    #[must_use]
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = flags;
        self
    }

    /// Sets `SO_REUSEPORT`: several processes may bind the same port, and the kernel spreads connections over them
    /// (default off).
    #[must_use]
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Every connection begins with a header of the PROXY protocol, version 1 or 2, by which a load balancer says who
    /// the client is: `.proxy_protocol(["10.0.0.0/8".parse()?])`. It comes before TLS. Believed from these proxies only;
    /// a connection from elsewhere, or without a good header within 10 s, is closed with a line in the log. Default: off.
    ///
    /// For servers ([`HttpServer::listen_on`](crate::HttpServer::listen_on) and its like), which read it;
    /// [`bind_sockets`] knows nothing of it.
    #[must_use]
    pub fn proxy_protocol(mut self, proxies: impl IntoIterator<Item = Network>) -> Self {
        self.proxies = Some(proxies.into_iter().collect());
        self
    }
}

/// Makes the sockets that listen on `port` of the given address: one per IP address that it stands for, IPv4 first.
///
/// With port 0 the system chooses a port, the same for all of them. The sockets are non-blocking, closed on `exec`,
/// have `SO_REUSEADDR` set (a server can be restarted while connections of its former life are in `TIME_WAIT`), and
/// those for IPv6 do not take IPv4 connections. An IP version that the system lacks is skipped, and so is `::1` for
/// "localhost" where it cannot be used.
///
/// It is a function rather than a method of the server so that sockets can be made before processes are forked, and
/// shared by several servers.
///
/// Sockets that the service manager, the last generation of the program or `squall dev` has handed down are taken instead,
/// where they fit ([`process::inherited`]; [`options`](crate::options)).
///
/// # Errors
///
/// When the address does not resolve, or any of the sockets cannot be made. The text names the address and the cause.
pub fn bind_sockets(port: u16, options: &BindOptions) -> Result<Vec<Listener>, BindError> {
    if let Some(listener) = process::take_development() {
        return Ok(vec![listener]);
    }
    let mut attempts = 1;
    loop {
        match bind_once(port, options) {
            // The port that the system chose for one family can be taken for the other.
            Err(error)
                if port == 0 && attempts < PORT_ATTEMPTS && error.kind() == io::ErrorKind::AddrInUse =>
            {
                attempts += 1;
            }
            result => return result,
        }
    }
}

/// Makes a listening Unix socket at `path`, with the permissions `mode` (Tornado's default is `0o600`).
///
/// An old socket at that path is removed. A path that begins with a NUL byte or `@` is a name in Linux's abstract name
/// space, which has neither files nor permissions.
///
/// # Errors
///
/// When a file that is not a socket is in the way, and what the system calls give.
pub fn bind_unix_socket(path: impl AsRef<Path>, mode: u32, backlog: u32) -> Result<Listener, BindError> {
    let path = kernel_name(path.as_ref());
    let wanted = Address::from(path.as_path());
    if let Some(listener) = process::take_inherited(|address| *address == wanted) {
        return Ok(listener);
    }
    let fail = |error| BindError::new(Address::from(path.as_path()).to_string(), error);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fail)?;
    bind_unix(&socket, &path, mode, backlog).map_err(fail)?;
    Ok(Listener::Unix(socket.into()))
}

/// Whether `ip` is an IPv4 or IPv6 address in its usual notation. Host names are not, nor is anything with an interface
/// name, a port or space around it.
pub fn is_valid_ip(ip: &str) -> bool {
    ip.parse::<IpAddr>().is_ok()
}

/// A listening socket could not be made.
///
/// Its text has the cause in it: `cannot listen on 127.0.0.1:80: Permission denied (os error 13)`.
#[derive(Debug)]
pub struct BindError {
    address: String,
    error: io::Error,
}

impl BindError {
    fn new(address: String, error: io::Error) -> Self {
        Self { address, error }
    }

    /// The address that was asked for, or that a name resolved to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What kind of error it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// The cause.
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

/// No `source`: the text has it already.
impl Error for BindError {}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        Self::new(error.kind(), error)
    }
}

fn bind_once(port: u16, options: &BindOptions) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::new();
    let mut bound_port = port;
    let mut skipped = None;
    for mut address in resolve(port, options)? {
        address.set_port(bound_port);
        let fail = |error| BindError::new(address.to_string(), error);
        let handed_down = process::take_inherited(|known| fits(known, address));
        match handed_down.map_or_else(|| bind_one(address, options), Ok) {
            Ok(listener) => {
                bound_port = listener.local_addr().map_err(fail)?.port().unwrap_or(bound_port);
                listeners.push(listener);
            }
            Err(error) if may_be_skipped(address, options, &error) => skipped = Some(fail(error)),
            Err(error) => return Err(fail(error)),
        }
    }
    match skipped {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// The addresses to listen on: IPv4 first, none twice.
fn resolve(port: u16, options: &BindOptions) -> Result<Vec<SocketAddr>, BindError> {
    let host = options.address.as_deref();
    let resolved = sys::addrinfo::resolve(host, port, options.family.as_raw(), options.flags)
        .map_err(|error| BindError::new(format!("{}:{port}", host.unwrap_or("*")), error))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in resolved {
        if !addresses.contains(&address) && !is_macos_link_local(host, &address) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

/// macOS resolves "localhost" to `fe80::1%lo0` as well, for which its firewall asks the user.
fn is_macos_link_local(host: Option<&str>, address: &SocketAddr) -> bool {
    cfg!(target_os = "macos")
        && host == Some("localhost")
        && matches!(address, SocketAddr::V6(address) if address.scope_id() != 0)
}

/// Whether a socket that was handed down is the one that is asked for; any port will do for port 0.
fn fits(known: &Address, wanted: SocketAddr) -> bool {
    known.ip() == Some(wanted.ip()) && (wanted.port() == 0 || known.port() == Some(wanted.port()))
}

fn bind_one(address: SocketAddr, options: &BindOptions) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // Linux's IPv6 sockets take IPv4 connections otherwise, and `0.0.0.0` and `::` could not both be bound.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(backlog_arg(options.backlog))?;
    Ok(Listener::Tcp(socket.into()))
}

fn may_be_skipped(address: SocketAddr, options: &BindOptions, error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => true,
        // Typical of containers: IPv6 exists and "localhost" resolves to `::1`, which no interface has.
        Some(libc::EADDRNOTAVAIL) => {
            options.address.as_deref() == Some("localhost") && address.is_ipv6() && address.ip().is_loopback()
        }
        _ => false,
    }
}

fn bind_unix(socket: &Socket, path: &Path, mode: u32, backlog: u32) -> io::Result<()> {
    let address = SockAddr::unix(path)?;
    let is_file = path.as_os_str().as_bytes().first() != Some(&0);
    socket.set_nonblocking(true)?;
    if is_file {
        remove_old_socket(path)?;
        // The file is created with the permissions of the socket: without this it would be open to others until the
        // `chmod` below. Not every system takes it, and the umask applies, hence both.
        let _ = rustix::fs::fchmod(socket, rustix::fs::Mode::from_raw_mode(mode as rustix::fs::RawMode));
    }
    socket.bind(&address)?;
    if is_file {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog_arg(backlog))
}

fn remove_old_socket(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// `@name` is how abstract names are usually written; the kernel wants a NUL byte.
fn kernel_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_vec();
    if name.first() == Some(&b'@') {
        name[0] = 0;
    }
    PathBuf::from(std::ffi::OsString::from_vec(name))
}

fn backlog_arg(backlog: u32) -> i32 {
    i32::try_from(backlog).unwrap_or(i32::MAX)
}
