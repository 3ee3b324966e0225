//! The clients' side of a WebSocket: as little as the generator needs, so that it is not what is measured.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::{Decompress, FlushDecompress};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::Result;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of text as a server sends it.
pub fn server_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = head(text.len(), 0);
    frame.extend_from_slice(text);
    frame
}

/// A frame of text as a client sends it: masked.
pub fn client_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = head(text.len(), 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend(text.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn head(length: usize, masked: u8) -> Vec<u8> {
    let mut head = vec![0x81];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => head.push(masked | length),
        (_, Ok(length)) => {
            head.push(masked | 126);
            head.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            head.push(masked | 127);
            head.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    head
}

/// Opens a socket and shakes hands.
///
/// # Errors
/// When the server does not agree, to compression either if that is asked for.
pub fn open(server: SocketAddr, path: &str, deflate: bool) -> Result<TcpStream> {
    shake_hands(TcpStream::connect(server)?, path, deflate)
}

/// A socket for somebody who will not read: its buffer is small, so that it is soon full.
pub fn open_slow(server: SocketAddr, path: &str) -> Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_recv_buffer_size(&socket, 4096)?;
    rustix::net::connect(&socket, &server)?;
    shake_hands(socket.into(), path, false)
}

fn shake_hands(mut stream: TcpStream, path: &str, deflate: bool) -> Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let extension = if deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extension}\r\n"
    )?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer);
    if !answer.starts_with("HTTP/1.1 101") || !answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        return Err(format!("no handshake: {answer}").into());
    }
    if answer.to_ascii_lowercase().contains("permessage-deflate") != deflate {
        return Err(format!("compression was not agreed on as asked: {answer}").into());
    }
    Ok(stream)
}

/// What the next frame has to be, and how much of it has come.
pub enum Expected<'a> {
    /// These bytes.
    Frame { frame: &'a [u8], at: usize },
    /// Any compressed frame that becomes this text; checked where there is an inflater.
    Compressed { text: &'a [u8], seen: Vec<u8>, inflate: Option<Box<Decompress>> },
}

impl Expected<'_> {
    /// Reads once; whether a frame is complete.
    ///
    /// # Errors
    /// When it is not what was expected, or the server closes.
    pub fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> Result<bool> {
        let count = match stream.read(buffer) {
            Ok(0) => return Err("the server closed a socket".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        match self {
            Self::Frame { frame, at } => {
                if frame.get(*at..*at + count) != Some(&buffer[..count]) {
                    return Err("a frame is not what was expected".into());
                }
                *at += count;
                let done = *at == frame.len();
                *at = if done { 0 } else { *at };
                Ok(done)
            }
            Self::Compressed { text, seen, inflate } => {
                seen.extend_from_slice(&buffer[..count]);
                let Some((start, length)) = compressed_frame(seen)? else { return Ok(false) };
                if seen.len() < start + length {
                    return Ok(false);
                }
                if let Some(inflate) = inflate {
                    let mut data = seen[start..].to_vec();
                    data.extend_from_slice(&[0, 0, 0xff, 0xff]);
                    let mut out = Vec::with_capacity(text.len() + 64);
                    inflate.decompress_vec(&data, &mut out, FlushDecompress::Sync)?;
                    if out != *text {
                        return Err("a message is not what was expected".into());
                    }
                }
                seen.clear();
                Ok(true)
            }
        }
    }
}

/// Where the payload of a compressed frame starts, and its length.
fn compressed_frame(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    match bytes {
        [0xc1, length @ 0..=125, ..] => Ok(Some((2, usize::from(*length)))),
        [0xc1, 126, a, b, ..] => Ok(Some((4, usize::from(u16::from_be_bytes([*a, *b]))))),
        [] | [0xc1] | [0xc1, 126, ..] => Ok(None),
        other => Err(format!("no compressed frame: {:02x?}", &other[..other.len().min(8)]).into()),
    }
}
