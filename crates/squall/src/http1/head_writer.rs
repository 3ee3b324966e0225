//! The one place where heads become bytes: of requests and responses, of upgrades and tunnels.
//!
//! Whatever these functions are given, no CR, LF or NUL goes out but those that end the lines, so one head cannot become
//! two (RFC 9112 §11.1). Fields come from [`HttpHeaders`], which lets no such octet in; the rest is made harmless here.

use http::Method;

use crate::httputil::{HttpHeaders, is_field_value};

/// `method SP target SP HTTP/1.1`. The target is written as it is, in parts; what cannot stand in one is percent-encoded.
pub(crate) fn request_line(out: &mut Vec<u8>, method: &Method, target: &[&str]) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    for part in target {
        if part.bytes().all(is_target_octet) {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        for octet in part.bytes() {
            match octet {
                _ if is_target_octet(octet) => out.push(octet),
                _ => {
                    let digit = |n: u8| b"0123456789ABCDEF"[usize::from(n)];
                    out.extend_from_slice(&[b'%', digit(octet >> 4), digit(octet & 0xf)]);
                }
            }
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `HTTP/1.1 SP status SP reason`. A reason that cannot stand there is left out, as RFC 9112 §4 allows.
#[inline]
pub(crate) fn status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    if status == 200 && reason == "OK" {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    if is_field_value(reason.as_bytes()) {
        out.extend_from_slice(reason.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// One field whose name is ours. Control characters become spaces (RFC 9110 §5.5).
pub(crate) fn field(out: &mut Vec<u8>, name: &'static str, value: impl AsRef<[u8]>) {
    let value = value.as_ref();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if is_field_value(value) {
        out.extend_from_slice(value);
    } else {
        out.extend(value.iter().map(|&octet| if is_field_value(&[octet]) { octet } else { b' ' }));
    }
    out.extend_from_slice(b"\r\n");
}

/// Every field.
#[inline]
pub(crate) fn fields(out: &mut Vec<u8>, headers: &HttpHeaders) {
    headers.write_to(out);
}

/// The empty line behind the last field.
#[inline]
pub(crate) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Neither a control character nor a space; octets beyond ASCII are percent-encoded too (RFC 3986 §2).
fn is_target_octet(octet: u8) -> bool {
    matches!(octet, b'!'..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_ends_before_its_end() {
        for bad in ["a\rb", "a\nb", "a\0b", "a\r\nX: y"] {
            let mut out = Vec::new();
            request_line(&mut out, &Method::GET, &["/", bad]);
            status_line(&mut out, 200, bad);
            field(&mut out, "X", bad);
            end(&mut out);
            let ends = out.windows(2).filter(|pair| pair == b"\r\n").count();
            let controls = out.iter().filter(|octet| octet.is_ascii_control()).count();
            assert_eq!((ends, controls), (4, 8), "{}", out.escape_ascii());
        }
    }

    #[test]
    fn what_may_stand_there_stands_there() {
        let mut out = Vec::new();
        request_line(&mut out, &Method::GET, &["/a%20b/../c?d#", "\u{e9} "]);
        status_line(&mut out, 404, "N\u{e9}nt");
        status_line(&mut out, 200, "OK");
        field(&mut out, "X", b"\xff\t ");
        let expected = b"GET /a%20b/../c?d#%C3%A9%20 HTTP/1.1\r\nHTTP/1.1 404 N\xc3\xa9nt\r\nHTTP/1.1 200 OK\r\nX: \xff\t \r\n";
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}
