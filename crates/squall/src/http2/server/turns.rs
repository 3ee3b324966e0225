//! Whose turn it is to send, where there is less room than streams want.
//!
//! Who has sent least is the first in the line, and nobody sends who has sent a share more than that one. A call is not a turn that was
//! used: who is called stays in the line till it sends, or till the connection's task has had two turns, behind which it has no use
//! for the room. In the order in which they ask again, or with those who were called out of the line, one of them takes all.

use std::collections::VecDeque;

use super::streams::Stream;
use crate::http2::frame::DEFAULT_FRAME_SIZE;

/// While others wait a stream has so much at a time, in bytes.
pub(super) const SHARE: usize = DEFAULT_FRAME_SIZE as usize;
/// Who has sent less than others has its turn before them, until it has caught up with so many bytes.
const MOST_BEHIND: u64 = 8 * SHARE as u64;
/// So many turns of the connection's task a call holds.
const PATIENCE: u32 = 2;

/// One that waits.
struct Place {
    sent: u64,
    id: u32,
    /// The turn of the connection's task in which it was called.
    called: Option<u32>,
}

/// The line of those who wait for room.
#[derive(Default)]
pub(super) struct Turns {
    line: VecDeque<Place>,
    /// The most that one has sent.
    most_sent: u64,
    turn: u32,
}

impl Turns {
    pub(super) fn is_anyone_waiting(&self) -> bool {
        !self.line.is_empty()
    }

    /// How much of this room a stream may use now.
    pub(super) fn share(&self, id: u32, stream: &Stream, room: usize) -> usize {
        match self.line.iter().find(|place| place.id != id) {
            None => room,
            Some(first) if stream.sent > first.sent + SHARE as u64 => 0,
            Some(_) => room.min(SHARE),
        }
    }

    /// It waits for room from here on, if it does not already.
    pub(super) fn enter(&mut self, id: u32, stream: &mut Stream) {
        if std::mem::replace(&mut stream.is_waiting, true) {
            if let Some(place) = self.line.iter_mut().find(|place| place.id == id) {
                // It was called, and found none.
                place.called = None;
            }
            return;
        }
        stream.sent = stream.sent.max(self.most_sent.saturating_sub(MOST_BEHIND));
        let sent = stream.sent;
        let at = self.line.partition_point(|place| place.sent <= sent);
        self.line.insert(at, Place { sent, id, called: None });
    }

    /// It sends, or waits no longer for another reason.
    pub(super) fn leave(&mut self, id: u32, stream: &mut Stream) {
        if std::mem::take(&mut stream.is_waiting) {
            self.line.retain(|place| place.id != id);
        }
    }

    /// So many bytes of data are sent.
    pub(super) fn book(&mut self, id: u32, stream: &mut Stream, bytes: usize) {
        self.leave(id, stream);
        stream.send_window -= bytes as i64;
        stream.sent += bytes as u64;
        self.most_sent = self.most_sent.max(stream.sent);
    }

    /// The connection's task has had another turn. Gives those whose calls have led to nothing: they are in the line no longer.
    pub(super) fn advance(&mut self, mut forgotten: impl FnMut(u32)) {
        if self.line.is_empty() {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        self.line.retain(|place| {
            let is_late = place.called.is_some_and(|called| turn.wrapping_sub(called) >= PATIENCE);
            if is_late {
                forgotten(place.id);
            }
            !is_late
        });
    }

    /// Calls as many as there is a share for; who has no use for it, as `call` says, waits no longer.
    pub(super) fn call(&mut self, mut room: usize, mut call: impl FnMut(u32) -> bool) {
        let turn = self.turn;
        self.line.retain_mut(|place| {
            if room == 0 {
                return true;
            }
            let waits = place.called.is_some() || call(place.id);
            if waits {
                place.called.get_or_insert(turn);
                room = room.saturating_sub(SHARE);
            }
            waits
        });
    }

    pub(super) fn shrink(&mut self) {
        if self.line.is_empty() {
            *self = Self::default();
        }
    }
}
