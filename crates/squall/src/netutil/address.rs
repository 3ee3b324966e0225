//! Addresses of both kinds of stream socket.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use socket2::SockAddr;

/// The address of a TCP or Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A Unix socket's path. `None` for a socket without a name, as the client's side usually is. A leading NUL byte
    /// marks a name in Linux's abstract name space.
    Unix(Option<PathBuf>),
}

impl Address {
    /// The IP address, unless this is a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.inet().map(|address| address.ip())
    }

    /// The port, unless this is a Unix socket.
    pub fn port(&self) -> Option<u16> {
        self.inet().map(|address| address.port())
    }

    /// The IP address and port, unless this is a Unix socket.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn from_sock_addr(address: &SockAddr) -> io::Result<Self> {
        if let Some(inet) = address.as_socket() {
            return Ok(Self::Inet(inet));
        }
        if !address.is_unix() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("address family {} is neither IP nor Unix", address.family()),
            ));
        }
        let name = address.as_pathname().map(Path::to_path_buf);
        Ok(Self::Unix(name.or_else(|| address.as_abstract_namespace().map(abstract_path))))
    }

    pub(crate) fn to_sock_addr(&self) -> io::Result<SockAddr> {
        match self {
            Self::Inet(address) => Ok(SockAddr::from(*address)),
            Self::Unix(Some(path)) => SockAddr::unix(path),
            Self::Unix(None) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "a Unix address without a name"))
            }
        }
    }
}

impl fmt::Display for Address {
    /// `127.0.0.1:80`, `[::1]:80`, `unix:/run/app.sock`, `unix:@abstract`, `unix:` (no name).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Inet(address) => return address.fmt(f),
            Self::Unix(None) => return f.write_str("unix:"),
            Self::Unix(Some(path)) => path,
        };
        match path.as_os_str().as_bytes() {
            [0, name @ ..] => write!(f, "unix:@{}", OsStr::from_bytes(name).display()),
            _ => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(address: (I, u16)) -> Self {
        Self::Inet(SocketAddr::from(address))
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(Some(path))
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(Some(path.to_path_buf()))
    }
}

impl From<tokio::net::unix::SocketAddr> for Address {
    fn from(address: tokio::net::unix::SocketAddr) -> Self {
        let name = address.as_pathname().map(Path::to_path_buf);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let name = name.or_else(|| address.as_abstract_name().map(abstract_path));
        Self::Unix(name)
    }
}

fn abstract_path(name: &[u8]) -> PathBuf {
    let bytes: Vec<u8> = std::iter::once(0).chain(name.iter().copied()).collect();
    PathBuf::from(OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_what_a_log_line_shows() {
        let shown = |address: Address| address.to_string();
        assert_eq!(shown(Address::from(([127, 0, 0, 1], 80))), "127.0.0.1:80");
        assert_eq!(shown(Address::from(([0u16, 0, 0, 0, 0, 0, 0, 1], 80))), "[::1]:80");
        assert_eq!(shown(Address::from(Path::new("/run/app.sock"))), "unix:/run/app.sock");
        assert_eq!(shown(Address::from(Path::new("\0app"))), "unix:@app");
        assert_eq!(shown(Address::Unix(None)), "unix:");
    }

    #[test]
    fn addresses_survive_the_trip_through_the_kernels_form() {
        for address in [
            Address::from(([127, 0, 0, 1], 80)),
            Address::from(Path::new("/run/app.sock")),
            #[cfg(target_os = "linux")]
            Address::from(Path::new("\0app")),
        ] {
            let kernel = address.to_sock_addr().unwrap();
            assert_eq!(Address::from_sock_addr(&kernel).unwrap(), address);
        }
    }
}
