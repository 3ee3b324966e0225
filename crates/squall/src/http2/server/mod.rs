//! The server's side of an HTTP/2 connection: what a client's bytes mean, and which bytes answer them.
//!
//! A pure machine. [`Machine::read`] takes bytes and leaves [`Event`]s; whoever answers a stream says what is to be sent of it,
//! as much as there is [room](Machine::poll_room) for; [`Machine::outgoing`] is what the client gets. Wakers of those who wait are
//! collected, for whoever holds the machine to [wake](Machine::take_woken) when it has let go of it.
//!
//! What is sent is in frames at once: a client's windows and the room of the connection are looked at before, so that a stream
//! queues nothing here and all of them together no more than [`Settings::send_buffer`] and a frame for each.

pub(crate) mod __fuzz;
mod body;
mod input;
mod outgoing;
mod output;
mod request;
mod streams;
mod turns;
mod window;

use std::collections::VecDeque;
use std::task::Waker;

use super::Reason;
use super::frame::{self, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, LAST_STREAM};
use super::hpack::{Decoder, Encoder};
use crate::httputil::HttpServerRequest;

pub(crate) use self::body::Piece;
pub(crate) use self::outgoing::Outgoing;
pub(crate) use self::output::Field;
pub(crate) use self::request::Asked;

use self::input::{Block, InData};
use self::request::{Limits, Scratch};
use self::streams::Streams;
use self::turns::Turns;
use self::window::Inflow;

/// A WINDOW_UPDATE says no more (RFC 9113 §6.9).
const LARGEST_INCREMENT: i64 = frame::LARGEST_WINDOW as i64;

/// Both sides' tables of header fields, whatever the client allows (RFC 7541 §4.2).
const TABLE_SIZE: usize = 4_096;

/// So many events are collected before they are looked at.
const MOST_EVENTS: usize = 64;
/// So many requests that nobody has begun may be reset at once (CVE-2023-44487).
const MOST_UNBEGUN_RESETS: usize = 20;
/// How many streams of one connection may break the protocol, or come beyond their number, in all its life. A proxy's connection
/// lives long and has many clients.
const MOST_BROKEN: usize = 1_024;
/// So many frames in a row may say nothing, such as DATA without data (CVE-2019-9518).
const MOST_EMPTY: usize = 100;
/// In so many frames a head may come beside those that its size takes (CVE-2024-27316).
const MOST_CONTINUATIONS: usize = 32;

/// What a PING says that asks whether the client has read a GOAWAY, and one that asks for a sign of life.
const FAREWELL: [u8; 8] = *b"farewell";
const ALIVE: [u8; 8] = *b"alive ??";

/// What the server allows its client, and itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) max_concurrent_streams: u32,
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) max_frame_size: u32,
    /// Of the list of a message's fields, in bytes, and how many there may be.
    pub(crate) max_header_size: usize,
    pub(crate) max_header_count: usize,
    /// So much of one response may wait at once, in bytes.
    pub(crate) send_buffer: usize,
}

/// What has come.
pub(crate) enum Event {
    Request {
        id: u32,
        request: HttpServerRequest,
        asked: Asked,
    },
    /// A stream was reset for this.
    Malformed(&'static str),
}

/// One connection.
pub(crate) struct Machine {
    settings: Settings,
    /// How much of a body may be under way, for those that are taken.
    window: u32,
    decoder: Decoder,
    encoder: Encoder,
    scratch: Scratch,
    /// So much of the preface has come.
    greeted: usize,
    /// The client's first SETTINGS have come, and it has read ours.
    has_settings: bool,
    is_acknowledged: bool,
    /// A head that comes in several frames.
    block: Option<Box<Block>>,
    /// A frame of data that is not whole.
    data: Option<InData>,
    /// So many bytes of a frame are passed over.
    skipped: usize,
    /// How many frames have begun that carry no body.
    begun: u64,
    streams: Streams,
    /// The last stream that the client has opened.
    last_stream: u32,
    /// The client has been told to open no more streams, and asked whether it has read that.
    is_bidding_farewell: bool,
    /// No stream behind this one is served: the client was told.
    last_served: Option<u32>,
    inflow: Inflow,
    /// How much data the client takes, of all streams.
    send_window: i64,
    peer_window: u32,
    peer_frame_size: u32,
    outgoing: Outgoing,
    /// So much of what went out the kernel has not taken.
    backlog: usize,
    turns: Turns,
    events: VecDeque<Event>,
    woken: Vec<Waker>,
    unbegun_resets: usize,
    broken: usize,
    empty: usize,
    /// The client has said that it opens no more streams. Asked once.
    is_leaving: bool,
    /// It has answered a PING. Asked once.
    is_alive: bool,
    fault: Option<Reason>,
}

impl Machine {
    /// A connection of which nothing has come. It is to be begun by [`greet`](Self::greet).
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            window: settings.stream_window,
            decoder: Decoder::new(TABLE_SIZE),
            encoder: Encoder::new(TABLE_SIZE),
            scratch: Scratch::default(),
            greeted: 0,
            has_settings: false,
            is_acknowledged: false,
            block: None,
            data: None,
            skipped: 0,
            begun: 0,
            streams: Streams::default(),
            last_stream: 0,
            is_bidding_farewell: false,
            last_served: None,
            inflow: Inflow::new(DEFAULT_WINDOW),
            send_window: DEFAULT_WINDOW.into(),
            peer_window: DEFAULT_WINDOW,
            peer_frame_size: DEFAULT_FRAME_SIZE,
            outgoing: Outgoing::default(),
            backlog: 0,
            turns: Turns::default(),
            events: VecDeque::new(),
            woken: Vec::new(),
            unbegun_resets: 0,
            broken: 0,
            empty: 0,
            is_leaving: false,
            is_alive: false,
            fault: None,
        }
    }

    /// Says what the client may do.
    pub(crate) fn greet(&mut self) {
        let Settings { max_concurrent_streams, stream_window, max_frame_size, max_header_size, .. } =
            self.settings;
        let out = self.outgoing.frames();
        frame::write_settings(
            out,
            &[
                (frame::MAX_CONCURRENT_STREAMS, max_concurrent_streams),
                (frame::INITIAL_WINDOW_SIZE, stream_window),
                (frame::MAX_FRAME_SIZE, max_frame_size),
                (frame::MAX_HEADER_LIST_SIZE, u32::try_from(max_header_size).unwrap_or(u32::MAX)),
                // WebSocket (RFC 8441).
                (frame::ENABLE_CONNECT_PROTOCOL, 1),
            ],
        );
        self.open_connection_window();
    }

    /// What is wrong with the connection, from when it is known. The client was told by GOAWAY, and nothing more is read.
    pub(crate) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Ends the connection: GOAWAY, with what has been begun so far.
    pub(crate) fn fail(&mut self, reason: Reason) {
        if self.fault.is_none() {
            self.fault = Some(reason);
            let last = self.last_served.unwrap_or(self.last_stream);
            frame::write_goaway(self.outgoing.frames(), last, reason);
        }
    }

    /// Has the client open no more streams; those that it has go on, and so do those that it opens before it has read that (§6.8):
    /// a second GOAWAY says which were the last when it has answered a PING.
    pub(crate) fn bid_farewell(&mut self) {
        if self.fault.is_none() {
            self.is_bidding_farewell = true;
            let out = self.outgoing.frames();
            frame::write_goaway(out, LAST_STREAM, Reason::NO_ERROR);
            frame::write_ping(out, 0, FAREWELL);
        }
    }

    fn end_farewell(&mut self) {
        if self.last_served.is_none() {
            self.last_served = Some(self.last_stream);
            frame::write_goaway(self.outgoing.frames(), self.last_stream, Reason::NO_ERROR);
        }
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self) {
        frame::write_ping(self.outgoing.frames(), 0, ALIVE);
    }

    /// Whether there was one. Says so once.
    pub(crate) fn take_pong(&mut self) -> bool {
        std::mem::take(&mut self.is_alive)
    }

    /// Whether the client has said that it opens no more streams. Says so once.
    pub(crate) fn take_goodbye(&mut self) -> bool {
        std::mem::take(&mut self.is_leaving)
    }

    /// Whether all has been said: no stream is left, and the client knows that none may come.
    pub(crate) fn is_done(&self) -> bool {
        self.fault.is_some()
            || self.last_served.is_some() && self.streams.is_empty() && self.events.is_empty()
    }

    /// Whether no more is read before something else has happened: events are to be looked at, what is to go out is to be sent, or
    /// the connection ends.
    pub(crate) fn is_stopped(&self) -> bool {
        self.fault.is_some() || self.events.len() >= MOST_EVENTS || self.is_full()
    }

    /// Whether the preface was there, and was one.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted == frame::PREFACE.len()
    }

    /// The number of what has begun to come and is not whole, `rest` of it in a buffer: the client's greeting, a head, any frame
    /// that is not a body's.
    pub(crate) fn unfinished(&self, rest: usize) -> Option<u64> {
        let is_unfinished = self.block.is_some() || self.skipped > 0 || !self.has_settings || rest > 0;
        // Nothing is read of whom nothing more can be answered.
        (is_unfinished && self.data.is_none() && !self.is_full()).then_some(self.begun)
    }

    /// What has come since it was last asked, in its order.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() {
            self.unbegun_resets = 0;
        }
        event
    }

    /// Those who are to be woken. To be called when the machine has been let go of.
    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Gives back memory: nothing is under way.
    pub(crate) fn rest(&mut self) {
        self.streams.shrink();
        self.scratch.shrink();
        self.outgoing.shrink();
        self.events = VecDeque::new();
        self.turns.shrink();
        self.woken = Vec::new();
    }

    fn limits(&self) -> Limits {
        Limits { size: self.settings.max_header_size, count: self.settings.max_header_count }
    }
}

#[cfg(test)]
mod tests;
