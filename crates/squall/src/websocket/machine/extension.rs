//! Agreeing on permessage-deflate (RFC 7692 §7.1).

use super::deflate::{
    DeflateSetting, Deflater, Inflater, compressor_memory, context_memory, decompressor_memory,
};
use super::protocol::Role;
use crate::httputil::ows;

/// How to compress messages (permessage-deflate, RFC 7692), if the peer does too.
///
/// With context takeover, the default, a message may refer to earlier ones, which makes small similar messages much
/// smaller. It costs a connection 328 KiB: 272 KiB for what is sent and 56 KiB for what is received; with the smallest window,
/// of 512 bytes, 146 KiB and 24.5 KiB. What is for sending is given back when nothing has been sent for 30 to 60 s, the rest
/// when the connection ends. Without context takeover an idle connection owns nothing for compression. So
/// [`max_context_memory`](Self::max_context_memory) bounds what all connections of a loop may get: those beyond it are agreed
/// on without context takeover.
///
/// Messages of 256 KiB and more are compressed 64 KiB at a time, and long ones decompressed in slices too, so that a loop is
/// not held for as long as that takes; what is written behind such a message waits for it, pings and pongs do not.
///
/// Of Tornado's options `compression_level` is [`level`](Self::level). `mem_level` has no counterpart: the library
/// beneath takes none and uses zlib's default, 8, which is Tornado's. What a message inflates to is limited by
/// [`WebSocketOptions::max_message_size`](crate::websocket::WebSocketOptions::max_message_size).
#[doc(alias = "mem_level")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressionOptions {
    level: u8,
    threshold: usize,
    max_context_memory: usize,
    server: Direction,
    client: Direction,
}

/// What one side may do with what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Direction {
    no_context_takeover: bool,
    max_window_bits: u8,
}

impl CompressionOptions {
    /// Level 6, context takeover and a window of 32 KiB on both sides, for messages of at least 64 bytes; 64 MiB for all
    /// contexts.
    pub fn new() -> Self {
        let direction = Direction { no_context_takeover: false, max_window_bits: 15 };
        let max_context_memory = 64 * 1024 * 1024;
        Self { level: 6, threshold: 64, max_context_memory, server: direction, client: direction }
    }

    /// 0 (not at all) to 9 (smallest). Default: 6.
    #[must_use]
    #[doc(alias = "compression_level")]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.min(9);
        self
    }

    /// Messages of fewer bytes go out as they are. Default: 64.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// The server compresses every message on its own. Default: off.
    #[must_use]
    pub fn server_no_context_takeover(mut self, on: bool) -> Self {
        self.server.no_context_takeover = on;
        self
    }

    /// The client is to compress every message on its own. Default: off.
    #[must_use]
    pub fn client_no_context_takeover(mut self, on: bool) -> Self {
        self.client.no_context_takeover = on;
        self
    }

    /// The server's window is 2 to the power of this many bytes, 9 to 15. Default: 15.
    #[must_use]
    pub fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server.max_window_bits = bits.clamp(9, 15);
        self
    }

    /// The client's window, likewise; only for clients that offer to keep to it. Default: 15.
    #[must_use]
    pub fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client.max_window_bits = bits.clamp(9, 15);
        self
    }

    /// Most bytes that connections with context takeover may take for it, all connections of this thread's loop counted,
    /// servers' and clients'. What would be beyond is agreed on without context takeover, on both sides: it compresses less,
    /// and costs nothing while it is idle. 0 for no context takeover at all. Default: 64 MiB, which is enough for 199
    /// connections with the largest windows.
    #[must_use]
    pub fn max_context_memory(mut self, bytes: usize) -> Self {
        self.max_context_memory = bytes;
        self
    }

    /// These options, without context takeover if there is no memory left for it.
    pub(in crate::websocket) fn within_memory(mut self) -> Self {
        let needed = |direction: Direction, memory: fn(u8) -> usize| {
            if direction.no_context_takeover { 0 } else { memory(direction.max_window_bits) }
        };
        // Either side compresses one direction and decompresses the other; the larger sum counts for both.
        let as_server = needed(self.server, compressor_memory) + needed(self.client, decompressor_memory);
        let as_client = needed(self.client, compressor_memory) + needed(self.server, decompressor_memory);
        if context_memory().saturating_add(as_server.max(as_client)) > self.max_context_memory {
            self.server.no_context_takeover = true;
            self.client.no_context_takeover = true;
        }
        self
    }

    /// What a client offers.
    pub(in crate::websocket) fn offer(&self) -> String {
        let mut offer = NAME.to_owned();
        self.server.write("server", &mut offer);
        if self.client.no_context_takeover {
            offer.push_str("; client_no_context_takeover");
        }
        offer.push_str("; client_max_window_bits");
        if self.client.max_window_bits < 15 {
            offer.push_str(&format!("={}", self.client.max_window_bits));
        }
        offer
    }

    /// The first of a client's offers that can be taken, and the answer that says so.
    pub(in crate::websocket) fn accept(&self, offers: &str) -> Option<(Agreed, String)> {
        extensions(offers).flatten().filter(|extension| extension.name == NAME).find_map(|offer| {
            let offered = Parameters::parse(&offer, Role::Server)?;
            let mut agreed = Agreed { options: self.within_memory() };
            agreed.options.server.restrict(offered.server);
            agreed.options.client.no_context_takeover |= offered.client.no_context_takeover;
            if !offered.client_bits_offered {
                agreed.options.client.max_window_bits = 15;
            }
            agreed.options.client.max_window_bits =
                agreed.options.client.max_window_bits.min(offered.client.max_window_bits);
            // zlib has no such window for compressing.
            if offered.server.max_window_bits < 9 {
                return None;
            }
            let mut answer = NAME.to_owned();
            agreed.options.server.write("server", &mut answer);
            agreed.options.client.write("client", &mut answer);
            Some((agreed, answer))
        })
    }

    /// What a server's answer to [`offer`](Self::offer) amounts to.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(in crate::websocket) fn confirm(&self, answer: &str) -> Result<Agreed, &'static str> {
        let mut all = extensions(answer);
        let (Some(Some(extension)), None) = (all.next(), all.next()) else {
            return Err("the server's extensions are malformed, or more than were offered");
        };
        if extension.name != NAME {
            return Err("the server uses an extension that was not offered");
        }
        let answered =
            Parameters::parse(&extension, Role::Client).ok_or("invalid parameters of permessage-deflate")?;
        if self.server.no_context_takeover && !answered.server.no_context_takeover
            || answered.server.max_window_bits > self.server.max_window_bits
        {
            return Err("the server does not keep to what was asked of permessage-deflate");
        }
        if answered.client.max_window_bits < 9 {
            return Err("a window of 256 bytes is not supported");
        }
        let mut agreed = Agreed { options: *self };
        agreed.options.server = answered.server;
        agreed.options.client.restrict(answered.client);
        Ok(agreed)
    }
}

impl Default for CompressionOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Direction {
    fn restrict(&mut self, other: Self) {
        self.no_context_takeover |= other.no_context_takeover;
        self.max_window_bits = self.max_window_bits.min(other.max_window_bits);
    }

    fn write(self, side: &str, out: &mut String) {
        if self.no_context_takeover {
            out.push_str(&format!("; {side}_no_context_takeover"));
        }
        if self.max_window_bits < 15 {
            out.push_str(&format!("; {side}_max_window_bits={}", self.max_window_bits));
        }
    }
}

const NAME: &str = "permessage-deflate";

/// What both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct Agreed {
    options: CompressionOptions,
}

impl Agreed {
    /// The codecs of one end.
    pub(in crate::websocket) fn codecs(&self, role: Role) -> (Deflater, Inflater) {
        let CompressionOptions { level, threshold, server, client, .. } = self.options;
        let (ours, theirs) = match role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        let setting = DeflateSetting { level, window_bits: ours.max_window_bits };
        (
            Deflater::new(setting, !ours.no_context_takeover, threshold),
            Inflater::new(theirs.max_window_bits, !theirs.no_context_takeover),
        )
    }
}

/// The parameters of one offer or answer.
struct Parameters {
    server: Direction,
    client: Direction,
    client_bits_offered: bool,
}

impl Parameters {
    /// `None` when a parameter is unknown, comes twice, or has a value that it must not have: the offer is declined
    /// then (§5.1).
    fn parse(extension: &Extension<'_>, role: Role) -> Option<Self> {
        let free = Direction { no_context_takeover: false, max_window_bits: 15 };
        let mut found = Self { server: free, client: free, client_bits_offered: false };
        let mut seen = Vec::new();
        for &(name, value) in &extension.parameters {
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                ("server_no_context_takeover", None) => found.server.no_context_takeover = true,
                ("client_no_context_takeover", None) => found.client.no_context_takeover = true,
                ("server_max_window_bits", Some(bits)) => found.server.max_window_bits = window_bits(bits)?,
                ("client_max_window_bits", Some(bits)) => {
                    found.client.max_window_bits = window_bits(bits)?;
                    found.client_bits_offered = true;
                }
                // Only an offer may leave the value to the other side.
                ("client_max_window_bits", None) if role == Role::Server => found.client_bits_offered = true,
                _ => return None,
            }
        }
        Some(found)
    }
}

/// 8 to 15, without leading zeros (§7.1.2.1).
fn window_bits(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

struct Extension<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

/// The extensions of a header (RFC 6455 §9.1); `None` for one that is malformed.
fn extensions(header: &str) -> impl Iterator<Item = Option<Extension<'_>>> {
    header.split(',').map(ows::trim).filter(|part| !part.is_empty()).map(|part| {
        let mut pieces = part.split(';').map(ows::trim);
        let name = pieces.next()?;
        let parameters = pieces.map(|piece| match piece.split_once('=') {
            None => is_token(piece).then_some((piece, None)),
            Some((name, value)) => {
                let (name, value) = (ows::trim_end(name), ows::trim_start(value));
                let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
                (is_token(name) && is_token(inner)).then_some((name, Some(inner)))
            }
        });
        let parameters = parameters.collect::<Option<Vec<_>>>()?;
        is_token(name).then_some(Extension { name, parameters })
    })
}

fn is_token(text: &str) -> bool {
    crate::httputil::is_token(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_and_answers() {
        let options = CompressionOptions::new();
        let small = options.server_max_window_bits(10).client_max_window_bits(11);
        let alone = options.server_no_context_takeover(true).client_no_context_takeover(true);
        for (options, offer, answer) in [
            (options, "permessage-deflate", Some("permessage-deflate")),
            (options, "permessage-deflate; client_max_window_bits", Some("permessage-deflate")),
            (options, "x-webkit-deflate-frame, permessage-deflate", Some("permessage-deflate")),
            (
                options,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            ),
            (
                options,
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=\"10\"",
                Some("permessage-deflate; server_max_window_bits=9; client_max_window_bits=10"),
            ),
            (small, "permessage-deflate", Some("permessage-deflate; server_max_window_bits=10")),
            (
                small,
                "permessage-deflate; client_max_window_bits",
                Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=11"),
            ),
            (
                small,
                "permessage-deflate; client_max_window_bits=9",
                Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"),
            ),
            (
                alone,
                "permessage-deflate",
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            ),
            // The first that can be taken wins.
            (
                options,
                "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12",
                Some("permessage-deflate; server_max_window_bits=12"),
            ),
            (options, "", None),
            (options, "deflate", None),
            (options, "permessage-deflate; unknown", None),
            (options, "permessage-deflate; unknown=1", None),
            (options, "permessage-deflate; server_max_window_bits", None),
            (options, "permessage-deflate; server_max_window_bits=16", None),
            (options, "permessage-deflate; server_max_window_bits=010", None),
            (options, "permessage-deflate; server_max_window_bits=7", None),
            (options, "permessage-deflate; server_no_context_takeover=1", None),
            (options, "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            (options, "permessage-deflate; =", None),
        ] {
            let got = options.accept(offer).map(|(_, answer)| answer);
            assert_eq!(got.as_deref(), answer, "{offer}");
        }
    }

    #[test]
    fn a_client_checks_the_answer() {
        let options = CompressionOptions::new();
        assert_eq!(options.offer(), "permessage-deflate; client_max_window_bits");
        let strict = options.server_no_context_takeover(true).server_max_window_bits(12);
        assert_eq!(
            strict.offer(),
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits"
        );
        for (options, answer, fine) in [
            (options, "permessage-deflate", true),
            (options, "permessage-deflate; client_max_window_bits=10", true),
            (options, "permessage-deflate; server_max_window_bits=8", true),
            (strict, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11", true),
            (strict, "permessage-deflate; server_max_window_bits=11", false),
            (strict, "permessage-deflate; server_no_context_takeover", false),
            (options, "permessage-deflate; client_max_window_bits", false),
            (options, "permessage-deflate; client_max_window_bits=8", false),
            (options, "permessage-deflate; unknown", false),
            (options, "permessage-deflate, permessage-deflate", false),
            (options, "x-deflate", false),
            (options, "", false),
        ] {
            assert_eq!(options.confirm(answer).is_ok(), fine, "{answer}");
        }
    }
}
