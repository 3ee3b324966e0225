//! The table, run against another proxy: `scripts/ci-proxy-peers.sh` starts one and says where it is.
//!
//! Others need not write what squall writes byte for byte. What is compared is what the messages mean: request line or
//! status, the fields that are neither hop-by-hop nor a proxy's own, the decoded body, and whether a message is whole.

use tokio::net::TcpListener;

use super::cases::{shown, talk};
use super::script::{Client, NO_END, Script, text};
use super::table::{Down, Row, rows};

/// `SQUALL_PROXY_PEER` is `name:port of the proxy:port of its upstream`. Prints what differs; fails for squall only.
#[squall::test(timeout = 600)]
#[ignore = "needs a proxy: scripts/ci-proxy-peers.sh"]
async fn peer() {
    let Ok(peer) = std::env::var("SQUALL_PROXY_PEER") else { panic!("SQUALL_PROXY_PEER is not set") };
    let [name, port, upstream] = peer.split(':').collect::<Vec<_>>()[..] else { panic!("{peer:?}") };
    let port: u16 = port.parse().unwrap();
    let script = Script::default();
    let address = format!("127.0.0.1:{upstream}");
    script.serve(TcpListener::bind(&address).await.unwrap());
    let (rows, mut passed) = (rows(), 0);
    for row in &rows {
        script.reset(row.replies.clone());
        let mut client = Client::connect(port).await;
        client.patience = std::time::Duration::from_secs(2);
        let got = tokio::time::timeout(std::time::Duration::from_secs(5), talk(&mut client, row)).await;
        let problem = match got {
            Ok(got) => row.meaning(&script, &address, &text(&got)).err(),
            Err(_) => Some("no end".to_owned()),
        };
        match problem {
            None => passed += 1,
            Some(problem) => println!("{name}: {}: {problem}", row.name),
        }
    }
    println!("{name}: {passed} of {} rows", rows.len());
    assert!(name != "squall" || passed == rows.len(), "squall fails rows");
}

impl Row {
    fn meaning(&self, script: &Script, upstream: &str, got: &str) -> Result<(), String> {
        let up: Vec<_> = self.up.iter().map(|up| Message::of(&shown(up, upstream))).collect();
        let came: Vec<_> = script.requests().iter().map(|came| Message::of(came)).collect();
        let matches =
            came.len() == up.len() && came.iter().zip(&up).all(|(came, up)| came.is_request_like(up));
        if !matches {
            return Err(format!("up {came:?} rather than {up:?}"));
        }
        let ended = got.strip_suffix(NO_END);
        // Whether a refusal ends the connection is everybody's own matter.
        if ended.is_some() && !matches!(self.down, Down::Status(_)) {
            return Err(format!("no end of {got:?}"));
        }
        let got = responses(ended.unwrap_or(got), self.send.starts_with("HEAD"));
        match &self.down {
            Down::Status(502) => match got.last() {
                Some(last) if last.start.contains(" 50") => Ok(()),
                None => Ok(()),
                Some(last) => Err(format!("down {last:?} rather than an error")),
            },
            Down::Status(_) => match got.last() {
                Some(last) if last.start.contains(" 4") || last.start.contains(" 5") => Ok(()),
                None => Ok(()),
                Some(last) => Err(format!("down {last:?} rather than a refusal")),
            },
            Down::Bytes(down) => {
                let down = responses(&shown(down, upstream), self.send.starts_with("HEAD"));
                let matches = got.len() == down.len()
                    && got.iter().zip(&down).all(|(got, down)| got.is_response_like(down));
                if matches { Ok(()) } else { Err(format!("down {got:?} rather than {down:?}")) }
            }
            Down::BrokenOff(_) => match got.last() {
                Some(last) if last.whole && !last.start.contains(" 50") => {
                    Err(format!("down {last:?}, which looks whole"))
                }
                _ => Ok(()),
            },
        }
    }
}

/// A message as it is meant.
#[derive(Debug)]
struct Message {
    start: String,
    /// Names in small letters.
    fields: Vec<(String, String)>,
    body: String,
    whole: bool,
}

impl Message {
    fn of(text: &str) -> Self {
        Self::first(text, false).0
    }

    /// And what stands behind it.
    fn first(all: &str, is_head: bool) -> (Self, &str) {
        let (head, rest) = all.split_once("||").unwrap_or((all, ""));
        let mut lines = head.split('|');
        let start = lines.next().unwrap_or_default().trim().to_owned();
        let mut fields: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let find = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let (coding, length) = (find("transfer-encoding"), find("content-length"));
        let interim = start.starts_with("HTTP/1.1 1");
        let bodiless =
            [" 204", " 304"].iter().any(|status| start.starts_with("HTTP/") && start.contains(status));
        let (body, rest, whole) = match (coding, length) {
            _ if interim || bodiless || is_head => (String::new(), rest, true),
            (Some(_), _) => unchunked(rest),
            (None, Some(length)) => {
                let (body, whole) = take(rest, length.parse().unwrap_or(0));
                (body.to_owned(), &rest[body.len()..], whole)
            }
            (None, None) if start.starts_with("HTTP/") => (rest.to_owned(), "", true),
            (None, None) => (String::new(), rest, true),
        };
        fields.retain(|(name, _)| !is_a_proxys_own(name));
        fields.sort();
        (Self { start, fields, body, whole }, rest)
    }

    fn is_request_like(&self, other: &Self) -> bool {
        // A proxy may speak HTTP/1.0 to its upstream.
        let line = |start: &str| start.rsplit_once(' ').map(|(line, _)| line.to_owned());
        line(&self.start) == line(&other.start)
            && self.fields == other.fields
            && self.body == other.body
            && self.whole
    }

    fn is_response_like(&self, other: &Self) -> bool {
        let status = |start: &str| start.split(' ').nth(1).map(str::to_owned);
        status(&self.start) == status(&other.start)
            && self.fields == other.fields
            && self.body == other.body
            && self.whole
    }
}

fn is_a_proxys_own(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "transfer-encoding"
            | "keep-alive"
            | "via"
            | "date"
            | "server"
            | "forwarded"
            | "x-real-ip"
            | "host"
    ) || name.starts_with("x-forwarded-")
}

/// The first so many octets of what was written with `|` for two of them.
fn take(rest: &str, length: usize) -> (&str, bool) {
    let mut left = length;
    for (at, c) in rest.char_indices() {
        if left == 0 {
            return (&rest[..at], true);
        }
        left = left.saturating_sub(if c == '|' { 2 } else { 1 });
    }
    (rest, left == 0)
}

fn unchunked(mut rest: &str) -> (String, &str, bool) {
    let mut body = String::new();
    loop {
        let Some((size, after)) = rest.split_once('|') else { return (body, "", false) };
        let Ok(size) = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16) else {
            return (body, "", false);
        };
        if size == 0 {
            return match after.strip_prefix('|') {
                Some(rest) => (body, rest, true),
                None => match after.split_once("||") {
                    Some((_, rest)) => (body, rest, true),
                    None => (body, "", false),
                },
            };
        }
        let (data, whole) = take(after, size);
        body += data;
        if !whole {
            return (body, "", false);
        }
        rest = after[data.len()..].strip_prefix('|').unwrap_or_default();
    }
}

fn responses(mut all: &str, is_head: bool) -> Vec<Message> {
    let mut messages = Vec::new();
    while !all.is_empty() {
        let (message, rest) = Message::first(all, is_head);
        messages.push(message);
        all = rest;
    }
    messages
}
