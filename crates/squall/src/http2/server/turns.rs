//! Whose turn it is to send, where there is less room than streams want.

use super::streams::Stream;
use crate::http2::frame::DEFAULT_FRAME_SIZE;

/// While others wait a stream has so much of a round, at the least.
const LEAST_SHARE: usize = DEFAULT_FRAME_SIZE as usize;
/// A turn waits for so much room, which there is when nothing waits to be sent.
pub(super) const LEAST_TURN: usize = LEAST_SHARE / 2;

/// Each time that there is room for those who wait is a round, of which each has a share.
pub(super) struct Turns {
    round: u32,
    share: usize,
    /// How many streams have sent data in this round, and in the one before.
    sending: usize,
    sharing: usize,
    /// How many have their turn and have not used it, and whether one has since the last look.
    called: usize,
    is_used: bool,
}

impl Turns {
    pub(super) fn new() -> Self {
        // None has sent in it.
        Self { round: 1, share: usize::MAX, sending: 0, sharing: 0, called: 0, is_used: false }
    }

    /// Turns that nobody uses are lost; to be called when those who have one have had time for it.
    pub(super) fn look(&mut self) {
        if !std::mem::take(&mut self.is_used) {
            self.called = 0;
        }
    }

    /// Begins a round, if anything was sent in this one. Gives how much of the room is promised to nobody.
    pub(super) fn begin_round(&mut self, room: usize, waiting: usize) -> usize {
        if self.sending > 0 {
            self.round = self.round.wrapping_add(1);
            self.sharing = std::mem::take(&mut self.sending);
        }
        // Who has all that it wanted in one round may want more in the next.
        self.share = match waiting.max(self.sharing) {
            0 | 1 => usize::MAX,
            many => (room / many).max(LEAST_SHARE),
        };
        room.saturating_sub(self.share.saturating_mul(self.called))
    }

    /// It is this one's turn. Gives how much that is.
    pub(super) fn call(&mut self, stream: &mut Stream) -> usize {
        self.called += usize::from(!std::mem::replace(&mut stream.is_called, true));
        self.share
    }

    /// The turn was used, or there was no room for it, or it is of no use any more. Says whether there was one.
    pub(super) fn end(&mut self, stream: &mut Stream) -> bool {
        let is_called = std::mem::take(&mut stream.is_called);
        if is_called {
            self.called = self.called.saturating_sub(1);
            self.is_used = true;
        }
        is_called
    }

    /// What is left to a stream of its share.
    pub(super) fn left(&self, stream: &Stream, is_anyone_waiting: bool) -> usize {
        match stream.round == self.round {
            true => self.share.saturating_sub(stream.sent),
            false if is_anyone_waiting && !stream.is_called => 0,
            false => self.share,
        }
    }

    /// So many bytes of data are sent.
    pub(super) fn book(&mut self, stream: &mut Stream, bytes: usize) {
        self.end(stream);
        stream.send_window -= bytes as i64;
        if std::mem::replace(&mut stream.round, self.round) == self.round {
            stream.sent += bytes;
        } else {
            stream.sent = bytes;
            self.sending += 1;
        }
    }
}
