//! The PROXY protocol: a header before the first byte of a connection, in which a load balancer says whose connection
//! it is (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, versions 1 and 2). Pure: bytes in, an address
//! out.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest header of version 1, with its line end (§2.1).
const MAX_V1: usize = 107;

/// The longest of version 2 that is taken: with 216 bytes of addresses and generous additions. (It could be 65,551.)
pub(crate) const MAX_V2: usize = 4096;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// No header of either version is shorter.
pub(crate) const SHORTEST: usize = 15;

/// What the bytes so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// At least so many bytes are missing, and all of them belong to the header.
    More(usize),
    /// They are the header. `None`: the connection is the proxy's own, or of a kind without addresses.
    Done(Option<SocketAddr>),
}

/// Reads a header, which `bytes` must not go beyond: read as many as [`Progress::More`] says.
pub(crate) fn parse(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let common = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    if bytes.len() < SHORTEST && (common(V1_START) || common(V2_START)) {
        return Ok(Progress::More(SHORTEST - bytes.len()));
    }
    if bytes.starts_with(V1_START) {
        parse_v1(bytes)
    } else if bytes.starts_with(V2_START) {
        parse_v2(bytes)
    } else {
        Err(ProxyError::Missing)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        if bytes.contains(&b'\n') {
            return Err(ProxyError::Malformed);
        }
        let missing = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return if bytes.len() + missing > MAX_V1 {
            Err(ProxyError::TooLong)
        } else {
            Ok(Progress::More(missing))
        };
    };
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed)?;
    if line.contains(['\r', '\n']) {
        return Err(ProxyError::Malformed);
    }
    let fields: Vec<&str> = line.split(' ').collect();
    match fields[..] {
        // What follows is to be ignored.
        ["PROXY", "UNKNOWN", ..] => Ok(Progress::Done(None)),
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let address = |text: &str| -> Result<IpAddr, ProxyError> {
                match family {
                    "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::from),
                    _ => text.parse::<Ipv6Addr>().map(IpAddr::from),
                }
                .map_err(|_| ProxyError::Malformed)
            };
            let source = SocketAddr::new(address(source)?, port(source_port)?);
            address(destination)?;
            port(destination_port)?;
            Ok(Progress::Done(Some(source)))
        }
        _ => Err(ProxyError::Malformed),
    }
}

/// A decimal number without leading zeros.
fn port(text: &str) -> Result<u16, ProxyError> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_canonical { text.parse().map_err(|_| ProxyError::Malformed) } else { Err(ProxyError::Malformed) }
}

fn parse_v2(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Progress::More(V2_FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || command & 0x0f > 1 {
        return Err(ProxyError::Malformed);
    }
    if V2_FIXED + length > MAX_V2 {
        return Err(ProxyError::TooLong);
    }
    if rest.len() < length {
        return Ok(Progress::More(length - rest.len()));
    }
    if rest.len() > length {
        return Err(ProxyError::Malformed);
    }
    let local = command & 0x0f == 0;
    let source = match family {
        0x00 => None,
        0x11 => Some(v2_source::<4>(rest).ok_or(ProxyError::Malformed)?),
        0x21 => Some(v2_source::<16>(rest).ok_or(ProxyError::Malformed)?),
        // A Unix stream socket: of no address that would say anything here.
        0x31 if length >= 216 => None,
        _ if local => None,
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Progress::Done(if local { None } else { source }))
}

/// Source and destination address, source and destination port.
fn v2_source<const LENGTH: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; LENGTH]>,
{
    let (source, rest) = block.split_first_chunk::<LENGTH>()?;
    let (_, rest) = rest.split_first_chunk::<LENGTH>()?;
    let (ports, _) = rest.split_first_chunk::<4>()?;
    Some(SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([ports[0], ports[1]])))
}

/// Why a connection is closed that should have begun with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyError {
    Missing,
    Malformed,
    TooLong,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is none",
            Self::Malformed => "it is malformed",
            Self::TooLong => "it is too long",
        })
    }
}

impl Error for ProxyError {}

/// Addresses that begin alike: `10.0.0.0/8`, or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits count.
    prefix: u8,
}

impl Network {
    /// Whether the address is one of them. IPv4 addresses count as such also in their IPv6 form (`::ffff:10.0.0.1`).
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let ((own, own_width), (other, other_width)) = (bits(self.address), bits(address.to_canonical()));
        let differing = (own ^ other).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0);
        own_width == other_width && differing == 0
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let mut network = Self::from(address.parse::<IpAddr>().map_err(|_| InvalidNetwork)?);
        if let Some(prefix) = prefix {
            let prefix = port(prefix).map_err(|_| InvalidNetwork)?;
            network.prefix =
                u8::try_from(prefix).ok().filter(|bits| *bits <= network.prefix).ok_or(InvalidNetwork)?;
        }
        Ok(network)
    }
}

/// The text is neither an IP address nor one with the length of a prefix behind a slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidNetwork;

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address nor a network such as 10.0.0.0/8")
    }
}

impl Error for InvalidNetwork {}

/// What the fuzz target calls: a header read piece by piece asks for no byte too many, and for few in all.
///
/// # Panics
/// When it does not.
#[doc(hidden)]
pub fn __fuzz(data: &[u8]) {
    let mut read = 0;
    loop {
        match parse(&data[..read]) {
            Ok(Progress::More(missing)) => {
                assert!(missing > 0 && read + missing <= MAX_V2, "{missing} after {read}");
                if data.len() < read + missing {
                    return;
                }
                read += missing;
            }
            Ok(Progress::Done(source)) => {
                assert!(read >= SHORTEST);
                if data.starts_with(V1_START) {
                    assert!(read <= MAX_V1 && data[..read].ends_with(b"\r\n"));
                    assert!(!data[..read - 2].contains(&b'\n'), "{source:?} beyond a line end");
                }
                return;
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as a server does, and says how much of the input was the header.
    fn read(data: &[u8]) -> Result<(usize, Option<SocketAddr>), Option<ProxyError>> {
        let mut read = 0;
        loop {
            match parse(&data[..read]).map_err(Some)? {
                Progress::Done(source) => return Ok((read, source)),
                Progress::More(missing) if read + missing > data.len() => return Err(None),
                Progress::More(missing) => read += missing,
            }
        }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, block].concat()
    }

    #[test]
    fn headers() {
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0x30, 0x39, 0, 80];
        let v6 = [&[0; 15][..], &[1], &[0; 16], &[0x30, 0x39, 0, 80]].concat();
        let tlv = [&v4[..], &[4, 0, 1, 0]].concat();
        let good: &[(Vec<u8>, Option<&str>)] = &[
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 12345 443\r\n".to_vec(), Some("1.2.3.4:12345")),
            (b"PROXY TCP6 ::1 2001:db8::1 12345 443\r\n".to_vec(), Some("[::1]:12345")),
            (
                b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(),
                Some("255.255.255.255:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("1.2.3.4:12345")),
            (v2(0x21, 0x11, &tlv), Some("1.2.3.4:12345")),
            (v2(0x21, 0x21, &v6), Some("[::1]:12345")),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x00, &[1, 2, 3]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ];
        for (header, source) in good {
            let followed = [header, &b"GET / HTTP/1.1\r\n"[..]].concat();
            let source = source.map(|text| text.parse().unwrap());
            assert_eq!(read(&followed), Ok((header.len(), source)), "{}", header.escape_ascii());
            for length in 0..header.len() {
                assert_eq!(read(&header[..length]), Err(None), "{length} of {}", header.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_no_header() {
        use ProxyError::{Malformed, Missing, TooLong};
        let unix_short = v2(0x21, 0x31, &[0; 215]);
        let long_line = [b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat();
        let bad: &[(&[u8], ProxyError)] = &[
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Missing),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00", Missing),
            (b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Missing),
            (b"PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n", Missing),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\nGET", Malformed),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", Malformed),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", Malformed),
            (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", Malformed),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", Malformed),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", Malformed),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", Malformed),
            (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            (b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", Malformed),
            (b"PROXY TCP4 1.2.3.\xff 5.6.7.8 1 2\r\n", Malformed),
            (&long_line, TooLong),
            (&v2(0x11, 0x11, &[0; 12]), Malformed),
            (&v2(0x22, 0x11, &[0; 12]), Malformed),
            (&v2(0x21, 0x11, &[0; 11]), Malformed),
            (&v2(0x21, 0x21, &[0; 35]), Malformed),
            (&v2(0x21, 0x12, &[0; 12]), Malformed),
            (&v2(0x21, 0x41, &[0; 12]), Malformed),
            (&unix_short, Malformed),
            (&v2(0x21, 0x11, &[0; MAX_V2]), TooLong),
        ];
        for (data, error) in bad {
            assert_eq!(read(data), Err(Some(*error)), "{}", data[..data.len().min(60)].escape_ascii());
        }
    }

    #[test]
    fn networks() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1", "::1", true),
        ];
        for (network, address, expected) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
        for bad in
            ["", "a", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "::/129", "10.0.0.0/8/8"]
        {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork), "{bad}");
        }
    }
}
