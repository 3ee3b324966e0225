//! Which answers were whole when their streams were reset.
//!
//! A server that has answered and wants no more of the request resets the stream with NO_ERROR (RFC 9113 §8.1). `h2` knows
//! the reset alone then, and one in the middle of an answer looks the same.

use std::collections::VecDeque;

use super::heads::Heads;
use crate::http2::frame::{DATA, END_STREAM, HEADERS, Head, RST_STREAM};

/// So many streams are remembered: more than there can be at a time, as far as the reset comes right behind the end.
const REMEMBERED: usize = 256;

/// What has been read of a server's frames.
pub(super) struct Ends {
    heads: Heads,
    /// The streams that ended last, each by END_STREAM.
    ended: VecDeque<u32>,
    /// Those of them that were reset afterwards.
    reset: VecDeque<u32>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { heads: Heads::behind(0), ended: VecDeque::new(), reset: VecDeque::new() }
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let payload = self.heads.payload(bytes);
            bytes = &bytes[payload..];
            if payload == 0 {
                let (taken, head) = self.heads.head(bytes);
                bytes = &bytes[taken..];
                head.into_iter().for_each(|head| self.note(head));
            }
        }
    }

    fn note(&mut self, head: Head) {
        match head.kind {
            DATA | HEADERS if head.flags & END_STREAM != 0 => remember(&mut self.ended, head.stream),
            RST_STREAM if self.ended.contains(&head.stream) => remember(&mut self.reset, head.stream),
            _ => {}
        }
    }

    /// Whether this stream was reset when all of its answer had come.
    pub(super) fn was_whole(&self, stream: u32) -> bool {
        self.reset.contains(&stream)
    }
}

fn remember(streams: &mut VecDeque<u32>, stream: u32) {
    if streams.len() == REMEMBERED {
        streams.pop_front();
    }
    streams.push_back(stream);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2connection::client::heads::frame;

    #[test]
    fn what_was_reset_behind_its_end_was_whole() {
        let frames = [
            frame(4, 0, 0, &[0; 12]),
            frame(HEADERS, 4, 1, b"block"),
            frame(DATA, 0, 1, &[0; 300]),
            frame(HEADERS, 5, 3, b"block"),
            frame(DATA, 1, 5, b""),
            frame(RST_STREAM, 0, 1, &[0; 4]),
            frame(RST_STREAM, 0, 3, &[0; 4]),
            frame(RST_STREAM, 0, 5, &[0; 4]),
            frame(DATA, 1, 7, b"whole, and not reset"),
        ]
        .concat();
        for size in [1, 3, 64, frames.len()] {
            let mut ends = Ends::new();
            frames.chunks(size).for_each(|piece| ends.read(piece));
            let whole = [1, 3, 5, 7].map(|stream| ends.was_whole(stream));
            assert_eq!(whole, [false, true, true, false], "in pieces of {size}");
        }
    }
}
