//! The machine as its client sees it.
//!
//! * `pieces`: however a conversation is cut, it is the same.
//! * `inflow`, `outflow`: both sides' accounts agree, and nobody waits in vain.
//! * `errors`, `heads`: tables of what frames and heads lead to.

mod errors;
mod heads;
mod inflow;
mod outflow;
mod pieces;

use super::{Event, Machine, Settings};
use crate::http2::frame::{self, END_HEADERS, END_STREAM, HEAD, HEADERS, Head, PREFACE, SETTINGS};

/// xorshift64*
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // Seeds that are next to each other begin alike.
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn settings() -> Settings {
    Settings {
        max_concurrent_streams: 10,
        stream_window: 65_536,
        connection_window: 1 << 20,
        max_frame_size: 16_384,
        max_header_size: 4_096,
        max_header_count: 20,
        send_buffer: 65_536,
    }
}

/// GET and POST of http://h/, in fields that are in no table but the static one.
const GET: &[u8] = b"\x82\x86\x84\x01\x01h";
const POST: &[u8] = b"\x83\x86\x84\x01\x01h";

fn a_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_head(&mut out, kind, flags, stream, payload.len());
    out.extend_from_slice(payload);
    out
}

fn get(stream: u32) -> Vec<u8> {
    a_frame(HEADERS, END_HEADERS | END_STREAM, stream, GET)
}

fn post(stream: u32) -> Vec<u8> {
    a_frame(HEADERS, END_HEADERS, stream, POST)
}

fn reset(stream: u32) -> Vec<u8> {
    a_frame(frame::RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    a_frame(frame::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write_settings(&mut out, &[(name, value)]);
    out
}

/// A payload with its length of padding before it.
fn padded(data: &[u8], padding: u8) -> Vec<u8> {
    [&[padding], data, &vec![0; padding.into()]].concat()
}

/// A machine that has greeted and been greeted, and whose settings the client has read.
fn begun(settings: Settings) -> Machine {
    let mut machine = Machine::new(settings);
    let greeting = [PREFACE, &a_frame(SETTINGS, 0, 0, b""), &a_frame(SETTINGS, frame::ACK, 0, b"")].concat();
    assert_eq!(machine.read(&greeting), greeting.len());
    sent(&mut machine);
    machine
}

/// What has to go out, which goes out.
fn sent(machine: &mut Machine) -> Vec<u8> {
    let mut bytes = Vec::new();
    machine.outgoing().drain_behind(0, |piece| bytes.extend_from_slice(&piece));
    machine.set_backlog(0);
    bytes
}

/// The frames that the bytes consist of.
fn frames(mut bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(head) = Head::read(bytes) {
        let (frame, rest) = bytes.split_at(HEAD + head.length);
        frames.push((head, frame[HEAD..].to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

fn sent_frames(machine: &mut Machine) -> Vec<(Head, Vec<u8>)> {
    frames(&sent(machine))
}

/// The numbers of the requests that have come.
fn requests(machine: &mut Machine) -> Vec<u32> {
    let number = |event| match event {
        Event::Request { id, .. } => Some(id),
        Event::Malformed(_) => None,
    };
    std::iter::from_fn(|| machine.next_event()).filter_map(number).collect()
}
