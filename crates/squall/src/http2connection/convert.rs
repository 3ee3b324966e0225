//! Fields between HTTP/2 and squall's messages, which are the same as in HTTP/1.1.

use bytes::Bytes;

use crate::http2::server::{Field, Machine};
use crate::httputil::HttpHeaders;

/// Says of a request for a tunnel what HTTP/1.1 would have said.
pub(super) fn ask_for_websocket(headers: &mut HttpHeaders) {
    headers.remove("Content-Length");
    for (name, value) in [("Connection", "Upgrade"), ("Upgrade", "websocket")] {
        // Both are fields.
        let _ = headers.set(name, value);
    }
}

/// The fields of a message as they are sent: without those of the connection (RFC 9113 §8.2.2), and with this length instead of
/// any that they have.
pub(super) fn fields<'a>(
    headers: &'a HttpHeaders,
    length: Option<&'a str>,
) -> impl Iterator<Item = Field<'a>> {
    let fields = headers.iter_bytes().filter(|(name, _)| !is_written_anew(name));
    let fields = fields.map(|(name, value)| (name.as_bytes(), value));
    fields.chain(length.map(|length| (&b"Content-Length"[..], length.as_bytes())))
}

/// Names are in Title-Case. A match, since this is asked of every field that is sent.
fn is_written_anew(name: &str) -> bool {
    matches!(
        name,
        "Connection"
            | "Keep-Alive"
            | "Proxy-Connection"
            | "Te"
            | "Transfer-Encoding"
            | "Upgrade"
            | "Content-Length"
    )
}

/// Answers with the text that explains a refusal, if there is room for it: the client may have none, and is told the status.
pub(super) fn refuse(machine: &mut Machine, id: u32, status: u16, text: &str, is_head: bool) {
    let body = format!("{text}\n");
    if !is_head && !machine.has_room(id, body.len()) {
        return machine.send_head(id, status, std::iter::empty(), true);
    }
    let mut headers = HttpHeaders::new();
    // Both are what a field may be.
    let _ = headers.set("Content-Type", "text/plain");
    let length = body.len().to_string();
    machine.send_head(id, status, fields(&headers, Some(&length)), is_head);
    if !is_head {
        machine.send_data(id, Bytes::from(body), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::httputil::connection_fields::is_of_connection;

    #[test]
    fn fields_of_the_connection_are_left_out_and_no_others() {
        let own = [
            "Connection",
            "Te",
            "Proxy-Connection",
            "Content-Length",
            "Upgrade",
            "Keep-Alive",
            "Transfer-Encoding",
        ];
        let others = ["A", "Content-Type", "Trailer", "Tea"];
        let headers: HttpHeaders = own.iter().chain(&others).map(|&name| (name, "1")).collect();
        let sent: Vec<Field<'_>> = fields(&headers, Some("7")).collect();
        let expected = others.map(|name| (name.as_bytes(), &b"1"[..]));
        assert_eq!(sent[..others.len()], expected);
        assert_eq!(sent[others.len()..], [(&b"Content-Length"[..], &b"7"[..])]);
        for name in own.iter().chain(&others) {
            assert_eq!(is_written_anew(name), is_of_connection(name) || *name == "Content-Length", "{name}");
        }
    }
}
