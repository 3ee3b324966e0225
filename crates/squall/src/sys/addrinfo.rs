//! `getaddrinfo`: the standard library's wrapper takes neither a family nor flags.

use std::ffi::{CStr, CString};
use std::io;
use std::net::SocketAddr;
use std::ptr;

use socket2::SockAddr;

/// Resolves `host` (`None`: the wildcard or loopback address, depending on `flags`) to addresses for stream sockets.
///
/// # Errors
/// When the name does not resolve, in the words of the system's resolver.
pub(crate) fn resolve(
    host: Option<&str>,
    port: u16,
    family: libc::c_int,
    flags: libc::c_int,
) -> io::Result<Vec<SocketAddr>> {
    let host = host.map(CString::new).transpose()?;
    let service = CString::new(port.to_string())?;
    // SAFETY: all fields of `addrinfo` are integers and pointers, for which zero is a valid value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = flags | libc::AI_NUMERICSERV;
    let mut list = List(ptr::null_mut());
    let host = host.as_ref().map_or(ptr::null(), |host| host.as_ptr());
    // SAFETY: the strings are terminated and outlive the call, `hints` is initialised, and the result is written to a
    // pointer that is ours.
    let code = unsafe { libc::getaddrinfo(host, service.as_ptr(), &raw const hints, &raw mut list.0) };
    if code != 0 {
        return Err(error(code));
    }
    Ok(list.addresses())
}

/// What `getaddrinfo` returned; freed when dropped.
struct List(*mut libc::addrinfo);

impl List {
    fn addresses(&self) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        let mut next = self.0;
        while !next.is_null() {
            // SAFETY: `next` is an element of the list, which lives as long as `self`.
            let info = unsafe { &*next };
            // SAFETY: `ai_addr` points to `ai_addrlen` bytes of a socket address, which fit any `sockaddr_storage`.
            let converted = unsafe {
                SockAddr::try_init(|storage, length| {
                    ptr::copy_nonoverlapping(
                        info.ai_addr.cast::<u8>(),
                        storage.cast::<u8>(),
                        info.ai_addrlen as usize,
                    );
                    *length = info.ai_addrlen;
                    Ok(())
                })
            };
            found.extend(converted.ok().and_then(|((), address)| address.as_socket()));
            next = info.ai_next;
        }
        found
    }
}

impl Drop for List {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the list came from `getaddrinfo` and is freed once.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

fn error(code: libc::c_int) -> io::Error {
    if code == libc::EAI_SYSTEM {
        return io::Error::last_os_error();
    }
    // SAFETY: `gai_strerror` returns a terminated string that is never freed.
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    let kind = if code == libc::EAI_NONAME { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, text.to_string_lossy().into_owned())
}
